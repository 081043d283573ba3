"""One zone's shard at work: reserve, release, hosts. Several zones of one machine may share one shard.

Owns the ledger and the shard's store; must not know tasks, cells or sessions. Invariants: what is answered is durable;
a reservation is made at most once per (task, zone) and never after its release; room, address and interface are taken
and given back in one write. A flight (`flights.py`) goes on without its caller, so that one who goes away leaves no
doubt.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import structs

from ..interfaces.store import Refused, Store, StoreFactory
from ..log import get_logger
from ..model import ids
from ..model.capacity import (
    NOTHING_KEPT,
    HostFacts,
    HostPlace,
    InterfacePlace,
    NoAddress,
    NoCapacity,
    PlacedRequest,
    RecordedReservation,
    Reservation,
    ReservationRequest,
    Tenancy,
)
from ..model.errors import ClientError
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..model.network import Eni
from ..placement.feasible import HostView, Wanted
from ..placement.rank import choose, explain
from ..placement.reserve import Room, offered, with_overhead
from ..placement.spot import is_spare, reclaim
from ..store.gathering import GatheredWrites
from ..vpc.addresses import address_text, ipv6_beside, mac_address, pool_range, private_dns_name
from ..world import World
from . import interfaces, schema
from .addressing import take_addresses
from .claims import Claim, Key, NewClaim, claim_of_record, claim_of_row, reservation
from .flights import Flights
from .host_facts import all_shown, host_places, is_known
from .ledger import Ledger
from .own_hosts import NOBODYS, HostPools
from .placed import host_for, placed_claim, placed_interface, take_placed
from .spot_share import SpotShare

CAPACITY_UNAVAILABLE = (
    "Capacity is unavailable at this time. Please try again later or in a different availability zone"
)
NO_KERNEL_HERE = "No host gives tasks a kernel of their own, which this task definition asks for (--sandbox microvm)."
_TRIM_EVERY = 256  # releases between two trims of old tombstones
_SAY_WHY_EVERY_S = 5.0

_log = get_logger(__name__)

_decode_eni = msgspec.json.Decoder(Eni).decode
_decode_facts = msgspec.json.Decoder(HostFacts).decode
_encode = msgspec.json.Encoder().encode


async def open_capacity(
    world: World,
    stores: StoreFactory,
    *,
    shard: str,
    region: str,
    zones: tuple[str, ...],
    public_pool: str,
    knobs: Knobs = DEFAULT_KNOBS,
    pools: HostPools | None = None,
    spot: SpotShare | None = None,
    share: tuple[int, int] = (0, 1),
    tenancy: Tenancy = Tenancy.STRICT,
) -> "Capacity":
    """The capacity manager of a shard (`zone-a`), its ledger read from the database. `zones` are those it serves.

    `share`: which part of how many of the operator's public pools is its own. `public_pool` is its own wholly.
    `pools`: which hosts somebody has to himself; none without it. `spot`: how much of the fleet Spot tasks may hold.
    `tenancy`: who may be on a host together.

    Two shards must be given pools that do not overlap (vpc.addresses.pool_share).
    """
    store = await stores.open(shard, schema.MIGRATIONS, rebuildable=True)
    await store.write([schema.DISCONNECT_ALL])
    pools = pools or HostPools()
    capacity = Capacity(
        world,
        store,
        region=region,
        zones=zones,
        public_pool=public_pool,
        knobs=knobs,
        pools=pools,
        spot=spot or SpotShare(),
        share=share,
        tenancy=tenancy,
    )
    await capacity.load()
    pools.on_change(capacity.assign_host)
    return capacity


class Capacity:
    """interfaces.roles.CapacityManager over one store. Raises the store's Overloaded when its queue is full."""

    def __init__(
        self,
        world: World,
        store: Store,
        *,
        region: str,
        zones: tuple[str, ...],
        public_pool: str,
        knobs: Knobs,
        pools: HostPools,
        spot: SpotShare,
        share: tuple[int, int],
        tenancy: Tenancy,
    ) -> None:
        self._world = world
        self._store = store
        self._region = region
        self._zones = frozenset(zones)
        self._knobs = knobs
        self._pools = pools
        self._spot = spot
        self._ledger = Ledger(pool_range(public_pool), share, tenancy)
        self._writes = GatheredWrites(world, store, name="claims", statements=schema.reserve)
        self._flights = Flights(world)
        self._releases = 0
        self._say_why_after = 0.0

    async def load(self) -> None:
        """The ledger anew from the database: hosts, live claims, where the address cursors stood."""
        for host_id, cpu, memory, disk, doc, pool in await self._store.read(schema.HOSTS):
            room = Room(cpu_units=cpu, memory_mib=memory, disk_gib=disk)
            facts: HostFacts = _decode_facts(doc)
            assert facts.host_id == host_id
            self._put_host(facts, room, connected=False, pool=pool)
            self._ledger.lost[host_id] = self._world.monotonic()
            if pool != self._pools.of(host_id):
                await self.assign_host(host_id)
        for row in await self._store.read(schema.LIVE_CLAIMS):
            self._ledger.add(claim_of_row(row))
        for subnet_id, address in await self._store.read(schema.LAST_ADDRESSES):
            self._ledger.addresses(subnet_id).cursor = address
        for (address,) in await self._store.read(schema.LAST_PUBLIC):
            self._ledger.public.set_cursor(address)

    # -- reservations

    async def reserve(self, request: ReservationRequest) -> Reservation | NoCapacity:
        """See CapacityManager. An exhausted subnet is a Reservation with `eni` None and `eni_error` in AWS's words."""
        key = (request.task_id, request.zone)
        if key not in self._flights and key not in self._ledger.claims:
            claim = self._propose(request)
            if claim is not None:
                try:
                    return await self._claim_first(request, claim)
                except Refused:
                    pass  # the ledger was wrong: it learns below
        return await self._flights.in_turn(key, lambda: self._reserve(request))

    async def _claim_first(self, request: ReservationRequest, claim: Claim) -> Reservation:
        """The usual case: nobody else knows of the claim, and a group's write carries it, so it needs no task."""
        new = self._new_claim(request, claim)
        flight = self._writes.submit(new)
        self._flights.begin(claim.key, flight)
        flight.add_done_callback(partial(self._landed, claim))
        await asyncio.shield(flight)
        return reservation(claim, new.eni)

    def _landed(self, claim: Claim, flight: "asyncio.Future[None]") -> None:
        self._flights.end(claim.key)
        if flight.exception() is not None:
            self._ledger.remove(claim)

    async def _reserve(self, request: ReservationRequest) -> Reservation | NoCapacity:
        key = (request.task_id, request.zone)
        if key in self._ledger.claims:
            return await self._existing(key)
        for _ in range(self._knobs.reserve_attempts):
            claim = self._propose(request)
            if claim is None:
                break
            try:
                return await self._write_claim(request, claim)
            except Refused as refused:
                if refused.name == schema.CLAIM:
                    return await self._existing(key)
                await self._relearn(claim, refused.name)
                # Claims that another process made are not read again: should it be the address that was asked for
                # that somebody has, any will do.
                request = structs.replace(request, public_address=None)
        if request.may_reclaim and (ahead := await self._reserve_ahead(request)) is not None:
            return ahead
        self._say_why(request)
        has_none = request.needs_kernel and not any(view.gives_kernel for view in self._ledger.views())
        return NoCapacity(reason=CAPACITY_UNAVAILABLE, detail=NO_KERNEL_HERE if has_none else None)

    async def _reserve_ahead(self, request: ReservationRequest) -> Reservation | None:
        """Room that Spot tasks hold. It is given away here and now, so that nobody else gets it when they leave."""
        if request.zone not in self._zones:
            return None
        plan = reclaim(self._ledger.views(), self._ledger.spot_tasks(), self._wanted(request))
        if plan is None:
            return None
        claim = self._take(request, plan.host_id, plan.waits_for)
        new = self._new_claim(request, claim)
        try:
            await self._store.write(schema.reserve_ahead(new, plan.coming))
        except Refused as refused:
            self._ledger.remove(claim)
            await self._relearn(claim, refused.name)
            return None
        except Exception:
            self._ledger.remove(claim)
            raise
        return reservation(claim, new.eni)

    def _say_why(self, request: ReservationRequest) -> None:
        """For the operator. A full zone refuses thousands a second: one line each `_SAY_WHY_EVERY_S` is enough."""
        now = self._world.monotonic()
        if now >= self._say_why_after:
            self._say_why_after = now + _SAY_WHY_EVERY_S
            why = explain(self._ledger.views(), self._wanted(request))
            _log.warning("no capacity", task=request.task_id, zone=request.zone, why=why)

    def _propose(self, request: ReservationRequest) -> Claim | None:
        """Choose a host and addresses and take them in the ledger. None: no host has room."""
        if request.zone not in self._zones:
            return None
        wanted = self._wanted(request)
        if request.is_spot and not is_spare(*self._ledger.spot_room(wanted.pool), wanted, self._spot.percent):
            return None
        host = choose(self._ledger.views(), wanted) or self._choose_lost(request)
        return None if host is None else self._take(request, host.host_id)

    def _take(self, request: ReservationRequest, host_id: str, waits_for: tuple[Key, ...] = ()) -> Claim:
        bits = self._world.random.getrandbits
        private, public, error = take_addresses(self._ledger, request)
        now = self._world.now()
        room = Room(cpu_units=request.cpu_units, memory_mib=request.memory_mib, disk_gib=request.disk_gib)
        claim = Claim(
            key=(request.task_id, request.zone),
            capacity_id=ids.capacity_id(now, bits),
            account=request.account,
            host_id=host_id,
            room=with_overhead(room, self._ledger.hosts[host_id].facts.overhead),
            subnet_id=request.subnet.subnet_id,
            private_ip=private,
            public_ip=public,
            eni_id=ids.ec2_id("eni", bits) if error is None else None,
            eni_error=error,
            created_at=now,
            is_spot=request.is_spot,
            waits_for=waits_for,
        )
        self._ledger.add(claim)
        return claim

    def _wanted(self, request: ReservationRequest) -> Wanted:
        return Wanted(
            zone=request.zone,
            account=request.account,
            cpu_units=request.cpu_units,
            memory_mib=request.memory_mib,
            disk_gib=request.disk_gib,
            architecture=request.architecture,
            pool=self._pools.wanted_by(request.account, request.cluster),
            needs_kernel=request.needs_kernel,
        )

    def _choose_lost(self, request: ReservationRequest) -> HostView | None:
        """No connected host has room. One whose agent is being restarted will be back before anybody notices."""
        lately = self._ledger.lost_since(self._world.monotonic() - self._knobs.host_grace_s)
        return choose(self._ledger.views(), self._wanted(request), lately) if lately else None

    async def _write_claim(self, request: ReservationRequest, claim: Claim) -> Reservation:
        """Make the claim durable. Whatever goes wrong, the ledger forgets it again."""
        new = self._new_claim(request, claim)
        try:
            await self._writes.submit(new)
        except Exception:
            self._ledger.remove(claim)
            raise
        return reservation(claim, new.eni)

    def _new_claim(self, request: ReservationRequest, claim: Claim) -> NewClaim:
        host = self._ledger.hosts[claim.host_id]
        eni = self._interface(request, claim)
        return NewClaim(
            claim=claim,
            eni=eni,
            owner=request.owner,
            doc=_encode(eni) if eni is not None else b"",
            sharing=host.sharing,
            pool=host.view.pool,
            sandbox=host.facts.sandbox,
        )

    def _interface(self, request: ReservationRequest, claim: Claim) -> Eni | None:
        if claim.eni_id is None or claim.private_ip is None:
            return None
        private = address_text(claim.private_ip)
        return Eni(
            eni_id=claim.eni_id,
            attachment_id=request.attachment_id,
            mac=mac_address(self._world.random.getrandbits),
            vpc_id=request.subnet.vpc_id,
            subnet_id=request.subnet.subnet_id,
            subnet_cidr=request.subnet.cidr,
            private_ipv4=private,
            ipv6=ipv6_beside(request.subnet.ipv6_cidr, claim.private_ip),
            public_ipv4=address_text(claim.public_ip) if claim.public_ip is not None else None,
            security_groups=request.security_groups,
            private_dns_name=private_dns_name(private, self._region),
        )

    async def _existing(self, key: Key) -> Reservation | NoCapacity:
        """What the database says of a claim made before: the same answer again, or a refusal when it was given back."""
        claim = await self._read_claim(key)
        if claim is None:
            return NoCapacity(reason=CAPACITY_UNAVAILABLE)
        rows = await self._store.read(schema.ENI_OF, (claim.eni_id,)) if claim.eni_id is not None else []
        return reservation(claim, _decode_eni(rows[0][0]) if rows else None)

    async def _read_claim(self, key: Key) -> Claim | None:
        """The live claim in the database, also taken into the ledger; None when there is none or a tombstone."""
        rows = await self._store.read(schema.ONE_CLAIM, key)
        live = [claim_of_row(row[1:]) for row in rows if row[0] == "reserved"]
        held = self._ledger.claims.get(key)
        if held is not None and (not live or live[0].capacity_id != held.capacity_id):
            self._ledger.remove(held)
            held = None
        if not live:
            return None
        if held is not None:
            return held
        self._ledger.add(live[0])
        return live[0]

    async def _relearn(self, claim: Claim, guard: str) -> None:
        """A guard refused what the ledger proposed: another writer was there. Read again what it was wrong about."""
        if guard == schema.ADDRESS:
            taken = {row[0] for row in await self._store.read(schema.TAKEN, (claim.subnet_id,))}
            public = {row[0] for row in await self._store.read(schema.TAKEN_PUBLIC)}
            for other in self._ledger.claims.values():
                if other.subnet_id == claim.subnet_id and other.private_ip is not None:
                    taken.add(other.private_ip)
                if other.public_ip is not None:
                    public.add(other.public_ip)
            self._ledger.addresses(claim.subnet_id).taken = taken
            self._ledger.public.replace(public)
            return
        for host_id, cpu, memory, disk, doc, pool in await self._store.read(schema.HOSTS):
            known = self._ledger.hosts.get(host_id)
            room = Room(cpu_units=cpu, memory_mib=memory, disk_gib=disk)
            connected = known is not None and known.view.connected
            # The database's pool: another process may have heard of the operator's word before this one.
            self._put_host(_decode_facts(doc), room, connected=connected, pool=pool)
        for row in await self._store.read(schema.LIVE_CLAIMS):
            if (row[0], row[1]) not in self._ledger.claims:
                self._ledger.add(claim_of_row(row))

    async def place(self, request: PlacedRequest) -> Reservation | NoCapacity | NoAddress:
        key = (request.object_id, request.zone)
        return await self._flights.in_turn(key, lambda: self._place(key, request))

    async def placed(self) -> list[tuple[str, str]]:
        return [key for key in self._ledger.placed if key not in self._flights]

    async def _place(self, key: Key, request: PlacedRequest) -> Reservation | NoCapacity | NoAddress:
        if key in self._ledger.claims:
            return await self._existing(key)
        for _ in range(self._knobs.reserve_attempts):
            new = self._propose_placed(request)
            if not isinstance(new, NewClaim):
                return new
            try:
                await self._store.write(schema.place(new))
            except Refused as refused:
                self._ledger.remove(new.claim)
                if refused.name == schema.CLAIM:
                    return await self._existing(key)
                await self._relearn(new.claim, refused.name)
            except Exception:
                self._ledger.remove(new.claim)
                raise
            else:
                return reservation(new.claim, new.eni)
        return NoCapacity(reason=CAPACITY_UNAVAILABLE)

    def _propose_placed(self, request: PlacedRequest) -> NewClaim | NoCapacity | NoAddress:
        host_id = self._host_for(request)
        if host_id is None:
            return NoCapacity(reason=CAPACITY_UNAVAILABLE)
        taken = take_placed(request, self._ledger.addresses(request.subnet.subnet_id), self._ledger.public)
        if isinstance(taken, NoAddress):
            return taken
        bits = self._world.random.getrandbits
        claim = placed_claim(request, host_id, taken, self._world.now(), bits)
        self._ledger.add(claim)
        eni = placed_interface(request, claim, self._region, bits)
        return NewClaim(claim=claim, eni=eni, owner=request.description, doc=_encode(eni))

    def _host_for(self, request: PlacedRequest, other_than: str = "") -> str | None:
        if request.zone not in self._zones:
            return None
        pools = (NOBODYS, self._pools.wanted_by(request.account, ""))
        views = (view for view in self._ledger.views() if view.host_id != other_than)
        return host_for(request, views, pools, self._ledger.placed_on())

    async def carry(self, request: PlacedRequest, host_id: str) -> Reservation | NoCapacity:
        key = (request.object_id, request.zone)
        return await self._flights.in_turn(key, lambda: self._carry(key, request, host_id))

    async def _carry(self, key: Key, request: PlacedRequest, host_id: str) -> Reservation | NoCapacity:
        claim = self._ledger.claims.get(key)
        if claim is None or claim.host_id != host_id:
            return await self._existing(key)
        chosen = self._host_for(request, host_id)
        if chosen is None:
            return NoCapacity(reason=CAPACITY_UNAVAILABLE)
        try:
            await self._store.write([schema.carry(claim, chosen)])
        except Refused:
            return await self._existing(key)  # another process gave it back
        self._ledger.remove(claim)
        self._ledger.add(structs.replace(claim, host_id=chosen))
        return await self._existing(key)

    def host_places(self) -> list[HostPlace]:
        return host_places(self._ledger.hosts, self._pools.words)

    async def release(self, task_id: str, zone: str) -> None:
        """See CapacityManager. Afterwards a tombstone is durable, whether there was a claim or not."""
        key = (task_id, zone)
        await self._flights.in_turn(key, lambda: self._release(key))

    async def _release(self, key: Key) -> None:
        for _ in range(self._knobs.reserve_attempts):
            claim = self._ledger.claims.get(key)
            now = self._world.now()
            statements = schema.release(claim, now) if claim is not None else [schema.bury(key, now)]
            try:
                await self._store.write([*statements, *self._trim(now)])
            except Refused:
                # Given back already, or made by another process: the database knows.
                if await self._read_claim(key) is None:
                    return
            else:
                if claim is not None:
                    self._ledger.remove(claim)
                return
        raise AssertionError(f"the claim {key} can neither be given back nor buried")

    def _trim(self, now: float) -> list[Any]:
        self._releases += 1
        if self._releases % _TRIM_EVERY:
            return []
        return [schema.forget_tombstones(now - self._knobs.tombstone_keep_s)]

    async def unclaimed(self, older_than: float) -> list[tuple[str, str]]:
        flying, now = self._flights, self._world.now()
        # One from the future was made before the wall clock was set back: nobody waits until it is reached again.
        due = [key for key, at in self._ledger.unsettled.items() if at < older_than or at > now]
        return [key for key in due if key not in flying]

    async def settled(self, claims: Sequence[tuple[str, str]]) -> None:
        for key in claims:
            self._ledger.unsettled.pop(key, None)

    async def missing(self, claims: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        return [key for key in claims if key not in self._ledger.claims]

    async def restore(self, recorded: Sequence[RecordedReservation]) -> None:
        for lost in recorded:
            await self._flights.in_turn((lost.task_id, lost.zone), partial(self._restore, lost))

    async def _restore(self, lost: RecordedReservation) -> None:
        """Raises Overloaded; the ledger holds the claim all the same, so nothing is given away that a task uses."""
        claim = claim_of_record(lost)
        if claim.key in self._ledger.claims:
            return
        host = self._ledger.hosts.get(claim.host_id)
        if host is not None and not claim.is_placed:
            claim = structs.replace(claim, room=with_overhead(claim.room, host.facts.overhead))
        elif not claim.is_placed:
            self._ledger.bare.add(claim.key)
        self._ledger.add(claim)
        new = NewClaim(claim=claim, eni=lost.eni, owner=lost.owner, doc=_encode(lost.eni))
        try:
            await self._store.write(schema.place(new) if claim.is_placed else schema.restore(new))
        except Refused as refused:
            self._ledger.remove(claim)
            await self._relearn(claim, refused.name)
            _log.error("a reservation could not be restored", task=lost.task_id, zone=lost.zone, guard=refused.name)

    # -- hosts

    async def register_host(self, facts: HostFacts) -> None:
        """Take a host as its agent describes it; it counts as connected. Raises ClientError above Knobs.hosts_max."""
        await self._pools.came_back(facts.host_id)
        known = self._ledger.hosts.get(facts.host_id)
        if known is None and len(self._ledger.hosts) >= self._knobs.hosts_max:
            raise ClientError(f"This zone has {self._knobs.hosts_max} hosts, as many as it takes.")
        if known is not None and known.view.connected and is_known(known.facts, facts):
            known.facts = facts
            return
        room = offered(
            facts.capacity,
            cpu_overcommit=self._knobs.cpu_overcommit,
            disk_overcommit=self._knobs.disk_overcommit,
        )
        await self._flights.in_turn(("", facts.host_id), lambda: self._register(facts, room))
        await self._pools.came_back(facts.host_id)  # that may have been said of it while it joined

    async def _register(self, facts: HostFacts, room: Room) -> None:
        pool = self._pools.of(facts.host_id)
        host = schema.register(facts, room, _encode(facts), pool=pool)
        while True:
            dressed = self._ledger.dressed(facts)
            await self._store.write([*map(schema.dress, dressed), host])
            self._ledger.dress(dressed)
            if not self._ledger.dressed(facts):
                break  # else one was restored meanwhile, and to a host that was unknown yet
        self._put_host(facts, room, connected=True, pool=pool)

    def _put_host(self, facts: HostFacts, room: Room, *, connected: bool, pool: str) -> None:
        is_left = self._pools.is_left(facts.host_id)
        self._ledger.put_host(facts, room, connected=connected, pool=pool, is_draining=is_left)

    async def assign_host(self, host_id: str) -> None:
        """Its pool or its operator's word has changed. What runs on it stays; nothing comes that is of another pool."""
        await self._flights.in_turn(("", host_id), lambda: self._assign(host_id))

    async def _assign(self, host_id: str) -> None:
        """In turn also for a host that is not known: it may be joining, and have asked before."""
        host, pool = self._ledger.hosts.get(host_id), self._pools.of(host_id)
        if host is not None:
            view = structs.replace(host.view, pool=pool, is_draining=self._pools.is_left(host_id))
            self._ledger.set_view(host, view)
            await self._store.write([schema.assign(host_id, pool)])

    async def host_seen(self, host_id: str, seen: bool) -> None:
        host = self._ledger.hosts.get(host_id)
        if host is None or host.view.connected == seen:
            return
        # The ledger first: a silent host gets no task from this instant, whatever the write takes.
        self._ledger.set_connected(host, seen)
        if not seen:
            self._ledger.lost[host_id] = self._world.monotonic()
        await self._store.write([schema.connection(host_id, seen)])

    async def hosts(self) -> list[dict[str, Any]]:
        return all_shown(self._ledger)

    # -- addresses

    def cpu_units_held(self, account: str, *, on_spot: bool = False) -> int:
        return self._ledger.cpu_units_of.get((account, on_spot), 0)

    def holds_spot(self) -> bool:
        return self._ledger.holds_spot

    def close_subnet(self, subnet_id: str) -> bool:
        return self._ledger.close_subnet(subnet_id)

    def open_subnet(self, subnet_id: str) -> None:
        self._ledger.open_subnet(subnet_id)

    async def subnet_usage(
        self, subnet_ids: Sequence[str], kept: Mapping[str, Sequence[str]] = NOTHING_KEPT
    ) -> dict[str, int]:
        books = self._ledger.subnets
        return {one: books[one].taken_beside(kept.get(one, ())) for one in subnet_ids if one in books}

    async def describe_enis(self, account: str, eni_ids: Sequence[str] | None = None) -> list[dict[str, Any]]:
        return await interfaces.described(self._store, self._region, account, eni_ids)

    async def interface_place(self, eni_id: str) -> InterfacePlace | None:
        return await interfaces.place_of(self._store, eni_id)

    async def public_addresses(self) -> list[str]:
        return [address_text(number) for (number,) in await self._store.read(schema.TAKEN_PUBLIC)]

    def use_public_pools(self, cidrs: Sequence[str]) -> None:
        self._ledger.use_pools(cidrs)

    def public_holders(self, cidr: str) -> dict[str, str]:
        return self._ledger.public_holders(cidr)
