"""Brings what has a place to it and takes it away again: what should be, against what the zones hold.

Here NAT gateways, and what they share with the interfaces of VPC endpoints (`placing/endpoints.py`) and the nodes of
load balancers (`placing/balancers.py`): which hosts are lost, and when things go to others.

A plan is made of an account's records alone; doing is a short loop over it. The record is durable before the zone is
asked, and says `available` or `deleted` only after the zone has answered, so that whatever kills the process the next
look goes on where this one ended: a zone's answers can be asked for again. Must not know requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from ....interfaces.roles import CapacityManager
from ....interfaces.store import Overloaded
from ....log import get_logger
from ....model.capacity import NoAddress, NoCapacity, RecordedReservation, Reservation
from ....model.errors import AwsError
from ....model.knobs import Knobs
from ....world import World
from ...regional.shelves import Shelf
from ..addressing import nat_gateways
from ..addressing.nat_gateways import Failure
from ..nodes.node_moves import MovePlanner, Patience
from ..places import interface_of, must_hold
from ..pools import public as public_pool
from ..pools.public import POOL, GivenAddress
from ..records.objects import NatGateway, Subnet
from ..registry import NetworkRegistry
from . import balancers as balancing
from .endpoints import EndpointPlacing, places_in
from .endpoints import recorded as recorded_endpoints
from .host_watch import HostWatch
from .interfaces import InterfacePlacing, places_of, recorded_addresses

_log = get_logger(__name__)

_HELD = ("pending", "available", "deleting")
# One that was being deleted may have been given back, and its address be a task's since then.
_HELD_AT_START = ("pending", "available")
_PERIODS_LATE = 3  # a look that comes so late: this process stood still


class PlacingPlan(Struct, frozen=True, kw_only=True):
    """Of one account. `fail`: what its own records say against it; nobody needs to be asked."""

    place: tuple[NatGateway, ...] = ()
    fail: tuple[tuple[NatGateway, Failure], ...] = ()
    release: tuple[NatGateway, ...] = ()
    forget: tuple[NatGateway, ...] = ()
    stay: tuple[NatGateway, ...] = ()


def plan_placing(shelf: Shelf, now: float, keep_s: float) -> PlacingPlan:
    """`keep_s`: for so long deleted and failed gateways are shown."""
    place: list[NatGateway] = []
    fail: list[tuple[NatGateway, Failure]] = []
    release: list[NatGateway] = []
    forget: list[NatGateway] = []
    stay = tuple(nat for nat in shelf.all(NatGateway) if nat.state == "available")
    for nat in shelf.all(NatGateway):
        if nat.state == "pending":
            why = nat_gateways.failure_now(shelf, nat)
            if why is None:
                place.append(nat)
            else:
                fail.append((nat, why))
        elif nat.state == "deleting":
            release.append(nat)
        elif nat.state in ("deleted", "failed") and nat.deleted_at is not None and nat.deleted_at + keep_s <= now:
            forget.append(nat)
    return PlacingPlan(place=tuple(place), fail=tuple(fail), release=tuple(release), forget=tuple(forget), stay=stay)


async def open_placing(
    world: World, network: NetworkRegistry, capacities: Mapping[str, CapacityManager], knobs: Knobs
) -> "Placing":
    """Before the cell is opened, which restores what its tasks hold: the zones hold no more for gateways that are over.

    `restore` what the others hold before the first launch, and `run` it for the rest.
    """
    placing = Placing(world, network, capacities, knobs)
    await placing.take_back_claims(_HELD_AT_START)
    return placing


class Placing:
    def __init__(
        self, world: World, network: NetworkRegistry, capacities: Mapping[str, CapacityManager], knobs: Knobs
    ) -> None:
        self._world = world
        self._network = network
        self._capacities = capacities
        self._knobs = knobs
        self._endpoints = EndpointPlacing(network, capacities)
        self._interfaces = InterfacePlacing(network, capacities)
        self._balancers = balancing.NodePlacing(network, capacities, knobs.node_no_host_s)
        self._patience = Patience(lost_s=knobs.node_lost_s, told_s=knobs.node_told_s, handover_s=knobs.node_handover_s)
        self._hosts = HostWatch(world, capacities, knobs.placing_period_s * _PERIODS_LATE)
        self._unowned: dict[str, float] | None = None  # allocation that no account has -> since when
        self._due = asyncio.Event()
        self._due.set()
        network.on_change(self._due.set)

    async def run(self) -> None:
        """At each change, and each period for what did not succeed or is due by the clock. Never returns."""
        self._world.spawn(self._tick(), "placing periods")
        while True:
            await self._due.wait()
            self._due.clear()
            await self.look()

    async def _tick(self) -> None:
        while True:
            await self._world.sleep(self._knobs.placing_period_s)
            self._due.set()

    async def look(self) -> None:
        """Everything that is to be done now, once; what fails is left to the next look."""
        planner = MovePlanner(self._hosts.look(), self._world.now(), self._patience)
        for account in self._network.accounts():
            plan = plan_placing(self._network.shelf(account), self._world.now(), self._knobs.nat_gateway_shown_s)
            for nat in plan.release:
                await self._try(nat, self._release)
            for nat, why in plan.fail:
                await self._try(nat, partial(self._fail, why=why))
            for nat in plan.place:
                await self._try(nat, self._place)
            for nat in plan.forget:
                await self._try(nat, self._forget)
            for nat in plan.stay:
                if planner.is_to_leave(nat.host_id, nat.zone):
                    await self._try(nat, self._carry)
            await self._endpoints.look(account, planner)
            await self._interfaces.look(account, self._world.now(), self._knobs.interface_pending_s)
            await self._balancers.look(account, self._world.now(), planner)
        try:
            await self.take_back_claims(_HELD)
        except Overloaded as busy:
            _log.warning("what is over may hold its address yet", why=str(busy))
        await self._take_back_unowned()

    async def _try(self, nat: NatGateway, work: Callable[[NatGateway], Coroutine[Any, Any, None]]) -> None:
        try:
            await work(nat)
        except (AwsError, Overloaded) as error:
            _log.warning("a NAT gateway waits", gateway=nat.name, state=nat.state, why=str(error))

    async def _place(self, nat: NatGateway) -> None:
        request = nat_gateways.placed_request(self._network.shelf(nat.account), nat)
        manager = self._capacities.get(nat.zone)
        if request is None or manager is None:
            return  # a look that follows the change says so; a zone that was taken away may come again
        if nat.public_ip is not None and await self._has_task(nat.public_ip):
            await self._fail(nat, nat_gateways.already_associated(nat))
            return
        given = await manager.place(request)
        if isinstance(given, NoAddress):
            await self._fail(nat, nat_gateways.no_address(nat, is_taken=given.is_taken))
        elif isinstance(given, NoCapacity):
            _log.warning("a NAT gateway waits", gateway=nat.name, state=nat.state, why="the zone has no host for it")
        else:
            await self._network.change(nat.account, lambda shelf: nat_gateways.placed(shelf, nat.name, given))

    async def _carry(self, nat: NatGateway) -> None:
        """Every host translates what its own tasks send, so it goes to another at once: which one says what passes by
        it (flow logs)."""
        request = nat_gateways.placed_request(self._network.shelf(nat.account), nat)
        manager = self._capacities.get(nat.zone)
        if request is None or manager is None or nat.host_id is None:
            return
        given = await manager.carry(request, nat.host_id)
        if isinstance(given, Reservation):
            await self._network.change(nat.account, lambda shelf: nat_gateways.carried(shelf, nat.name, given))

    async def _has_task(self, public_ip: str) -> bool:
        """A service's; zones know no address of a gateway. Asked after the record says that the gateway has it."""
        managers = dict.fromkeys(self._capacities.values())
        return any([public_ip in await manager.public_addresses() for manager in managers])

    async def _fail(self, nat: NatGateway, why: Failure) -> None:
        """First it is said: what is given back cannot be placed again, should the reason be gone by then.

        An earlier process may have placed it and not said so; what is not given back now is so by a later look.
        """
        now = self._world.now()
        await self._network.change(nat.account, lambda shelf: nat_gateways.failed(shelf, nat.name, why, now))
        await self._give_back(nat)

    async def _release(self, nat: NatGateway) -> None:
        await self._give_back(nat)
        now = self._world.now()
        await self._network.change(nat.account, lambda shelf: nat_gateways.deleted(shelf, nat.name, now))

    async def _give_back(self, nat: NatGateway) -> None:
        """A zone that was taken out of the configuration took its addresses with it."""
        manager = self._capacities.get(nat.zone)
        if manager is not None:
            await manager.release(nat.name, nat.zone)

    async def _forget(self, nat: NatGateway) -> None:
        await self._network.change(nat.account, lambda shelf: nat_gateways.forgotten(shelf, nat.name))

    async def take_back_claims(self, states: Collection[str]) -> None:
        """What the zones hold for what is in none of these states: a crash may cost a zone that it was given back.

        The record is durable before its claim is made, so who has caught up since it saw the claim knows the thing.
        Raises Overloaded.
        """
        managers = dict.fromkeys(self._capacities.values())
        held = [(manager, key) for manager in managers for key in await manager.placed()]
        known = self._in(states)  # once: a caller may hold addresses by the thousand
        if all(name in known for _, (name, _) in held):
            return
        await self._network.catch_up()
        known = self._in(states)
        for manager, (name, zone) in held:
            if name in known:
                continue
            try:
                await manager.release(name, zone)
            except Overloaded as busy:
                _log.warning("an address of what is over is not free yet", name=name, why=str(busy))

    def _in(self, states: Collection[str]) -> set[str]:
        shelves = [self._network.shelf(account) for account in self._network.accounts()]
        places = {place for shelf in shelves for place in places_in(shelf, states)}
        places |= {place for shelf in shelves for place in balancing.places_in(shelf, states)}
        places |= {place for shelf in shelves for place in places_of(shelf, at_start=states == _HELD_AT_START)}
        return places | {nat.name for shelf in shelves for nat in shelf.all(NatGateway) if nat.state in states}

    async def _take_back_unowned(self) -> None:
        """Elastic addresses that a crash left between the pool and an account, or between an account and the pool.

        What is seen when this process begins was left by another; most of what is seen later is on its way, and waited
        for by our own clock. Whose it is no clock decides, but its account.
        """
        owned = {one for account in self._network.accounts() for one in self._allocations(account)}
        unowned, now = public_pool.unowned(self._network.shelf(POOL), owned), self._world.monotonic()
        known, patience_s = self._unowned, self._knobs.elastic_unowned_s
        begun = now - patience_s if known is None else now
        self._unowned = {one.allocation_id: (known or {}).get(one.allocation_id, begun) for one in unowned}
        for given in unowned:
            if now - self._unowned[given.allocation_id] >= patience_s:
                await self._take_back(given)

    def _allocations(self, account: str) -> set[str]:
        return public_pool.allocations(self._network.shelf(account))

    async def _take_back(self, given: GivenAddress) -> None:
        allocation = given.allocation_id
        try:
            if await self._network.change(given.owner, lambda own: public_pool.renounce(own, allocation)):
                await self._network.change(POOL, lambda pool: public_pool.take_back(pool, given.name, allocation))
        except (AwsError, Overloaded) as error:
            _log.warning("an address is not in the pool again yet", address=given.name, why=str(error))

    async def restore(self, settle: Callable[[], Awaitable[object]]) -> None:
        """Before the first launch: a zone may have lost its last claims with the machine; things keep what they had.

        What cannot be written now the zone's memory has all the same. `settle`: gives back what the zones lost the
        release of; their older state may have a task where a gateway is now.
        """
        is_settled = False
        for account in self._network.accounts():
            for recorded in list(_all_recorded(self._network.shelf(account))):
                name = recorded.task_id
                manager = self._capacities.get(recorded.zone)
                if manager is None or not await manager.missing([(name, recorded.zone)]):
                    continue
                if not is_settled:
                    await settle()
                    is_settled = True
                try:
                    await manager.restore([recorded])
                except Overloaded as busy:
                    _log.error("the claim of what has a place is not written yet", name=name, why=str(busy))
                else:
                    _log.warning("the claim of what has a place, which a crash had cost, was restored", name=name)


def _all_recorded(shelf: Shelf) -> Iterator[RecordedReservation]:
    gateways = (_recorded(shelf, nat) for nat in shelf.all(NatGateway))
    yield from (recorded for recorded in gateways if recorded is not None)
    yield from recorded_endpoints(shelf)
    yield from recorded_addresses(shelf)
    yield from balancing.recorded(shelf)


def _recorded(shelf: Shelf, nat: NatGateway) -> RecordedReservation | None:
    """None of one that holds nothing."""
    subnet = shelf.find(Subnet, nat.subnet_id)
    if nat.state != "available" or subnet is None or nat.eni_id is None or nat.private_ip is None:
        return None
    return must_hold(
        subnet,
        interface_of(nat, subnet),
        place=nat.name,
        capacity_id=nat.capacity_id or "",
        owner=nat_gateways.description(nat),
        created_at=nat.created_at,
        host_id=nat.host_id or "",
    )
