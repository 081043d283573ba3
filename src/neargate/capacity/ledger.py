"""The zone's hosts, claims and addresses in memory: fast to decide on, rebuilt from the database at start.

It proposes and never decides: what it hands out is taken here at once (so that callers at the same instant do not meet)
and guarded again by the database. Invariant: whatever the database holds is also taken here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from msgspec import Struct, field
from msgspec.structs import replace

from ..model.capacity import HostFacts, Tenancy
from ..placement.feasible import HostView
from ..placement.reserve import Room, give_back, take, with_overhead
from ..placement.software import software_of
from ..placement.spot import SpotTask
from ..placement.tenancy import GIVES_KERNEL, Sharing, sharing, tenant_of
from ..vpc.addresses import AddressRange, address_text, operator_range, pool_share, whole_range
from .books import Addresses, PublicAddresses
from .claims import Claim, Key

CLOSED_MAX = 10_000


class Host(Struct, kw_only=True):
    """`sharing`: who may come to it beside whom it has; `accounts`: how many tasks it has of each."""

    facts: HostFacts
    sharing: Sharing
    offered: Room
    view: HostView
    reserved: Room
    tasks: int
    spot: Room = Room()  # of what is reserved, held by Spot tasks
    accounts: dict[str, int] = field(default_factory=dict)

    @property
    def tenant(self) -> str | None:
        return tenant_of(self.sharing, self.accounts)


class Ledger:
    def __init__(
        self, public_pool: AddressRange, share: tuple[int, int] = (0, 1), tenancy: Tenancy = Tenancy.STRICT
    ) -> None:
        """`share`: which part, of how many, of the operator's pools is given out here."""
        self._share = share
        self._tenancy = tenancy
        self.hosts: dict[str, Host] = {}
        self.claims: dict[Key, Claim] = {}
        self.cpu_units_of: dict[tuple[str, bool], int] = {}  # account, on Spot or not -> held by its claims
        self._spot: dict[Key, Claim] = {}
        self._spot_rooms: dict[str, tuple[Room, Room]] = {}  # pool -> what `spot_room` says, until hosts change
        self.placed: dict[Key, None] = {}  # claims of things that are no tasks
        self._ahead: dict[Key, Claim] = {}  # claims of room that Spot tasks still hold
        self.unsettled: dict[Key, float] = {}
        self.subnets: dict[str, Addresses] = {}
        self._closed: dict[str, None] = {}  # subnets that are deleted, or about to be
        self.public = PublicAddresses(public_pool)
        self.lost: dict[str, float] = {}  # host without a session -> since when (monotonic)
        self._views: dict[str, HostView] = {}
        self._strangers: set[str] = set()  # hosts that claims name and that have not registered
        self.bare: set[Key] = set()  # restored claims without what their host, a stranger, needs beside the task

    def views(self) -> Iterable[HostView]:
        return self._views.values()

    def put_host(
        self, facts: HostFacts, offered: Room, *, connected: bool, pool: str = "", is_draining: bool = False
    ) -> None:
        """A host as its agent describes it now; what it holds stays counted."""
        known = self.hosts.get(facts.host_id)
        reserved, tasks, spot = (known.reserved, known.tasks, known.spot) if known else (Room(), 0, Room())
        free = offered.minus(reserved)
        rule, accounts = sharing(self._tenancy, facts.sandbox), known.accounts if known else {}
        view = HostView(
            host_id=facts.host_id,
            free_cpu_units=free.cpu_units,
            free_memory_mib=free.memory_mib,
            free_disk_gib=free.disk_gib,
            architecture=facts.architecture,
            software=software_of(facts.software, facts.platform),
            zone=facts.zone,
            tenant=tenant_of(rule, accounts),
            pool=pool,
            overhead=facts.overhead,
            connected=connected,
            accepts_tasks=facts.accepts_tasks,
            is_draining=is_draining,
            gives_kernel=facts.sandbox in GIVES_KERNEL,
        )
        self.hosts[facts.host_id] = Host(
            facts=facts,
            sharing=rule,
            offered=offered,
            view=view,
            reserved=reserved,
            tasks=tasks,
            spot=spot,
            accounts=accounts,
        )
        self._views[facts.host_id] = view
        self._spot_rooms.clear()
        if facts.host_id in self._strangers:
            # Restored claims hold it, and its own row was lost with theirs.
            self._strangers.discard(facts.host_id)
            for claim in self.claims.values():
                if claim.host_id == facts.host_id and not claim.is_placed:
                    self._hold(self.hosts[facts.host_id], claim)

    def dressed(self, facts: HostFacts) -> list[Claim]:
        """The bare claims of a host that says now what it needs beside each task: with that."""
        bare = [self.claims[key] for key in sorted(self.bare) if self.claims[key].host_id == facts.host_id]
        return [replace(claim, room=with_overhead(claim.room, facts.overhead)) for claim in bare]

    def dress(self, claims: Iterable[Claim]) -> None:
        """Before the host is put: nothing of them is counted yet."""
        for claim in claims:
            if claim.key in self.bare:
                self.bare.discard(claim.key)
                self.claims[claim.key] = claim

    def set_view(self, host: Host, view: HostView) -> None:
        if view.pool != host.view.pool or view.connected != host.view.connected:
            self._spot_rooms.clear()
        host.view = view
        self._views[view.host_id] = view

    def set_connected(self, host: Host, connected: bool) -> None:
        self.set_view(host, replace(host.view, connected=connected))

    def placed_on(self) -> Counter[str]:
        """How many things that are no tasks each host has."""
        return Counter(self.claims[key].host_id for key in self.placed)

    def lost_since(self, instant: float) -> set[str]:
        """Hosts whose session ended after that instant; who was lost before is forgotten here."""
        gone = [host_id for host_id, since in self.lost.items() if since <= instant or self._views[host_id].connected]
        for host_id in gone:
            del self.lost[host_id]
        return set(self.lost)

    def addresses(self, subnet_id: str) -> Addresses:
        """The subnet's book. Its range is set by the first request that brings the CIDR."""
        book = self.subnets.get(subnet_id)
        if book is None:
            book = self.subnets[subnet_id] = Addresses(within=AddressRange(1, 0))
        return book

    def close_subnet(self, subnet_id: str) -> bool:
        """No new interface in it; False while one is there. The last that were closed are remembered: a launch that
        still knows a subnet which is gone by now is seconds old."""
        book = self.subnets.get(subnet_id)
        if book is not None and book.taken:
            return False
        self._closed[subnet_id] = None
        if len(self._closed) > CLOSED_MAX:
            oldest = next(iter(self._closed))
            del self._closed[oldest]
            self.subnets.pop(oldest, None)
        return True

    def open_subnet(self, subnet_id: str) -> None:
        self._closed.pop(subnet_id, None)

    def is_closed(self, subnet_id: str) -> bool:
        return subnet_id in self._closed

    @property
    def holds_spot(self) -> bool:
        return bool(self._spot)

    def spot_tasks(self) -> list[SpotTask]:
        """All that hold room here, and who of them is already waited for."""
        leaving = set(chain.from_iterable(claim.waits_for for claim in self._ahead.values()))
        return [
            SpotTask(
                key=claim.key,
                host_id=claim.host_id,
                room=claim.room,
                created_at=claim.created_at,
                is_leaving=claim.key in leaving,
            )
            for claim in self._spot.values()
        ]

    def spot_room(self, pool: str) -> tuple[Room, Room]:
        """What the pool's connected hosts offer, and what Spot tasks hold of its hosts."""
        if pool not in self._spot_rooms:
            of_pool = [host for host in self.hosts.values() if host.view.pool == pool]
            offered = _sum(host.offered for host in of_pool if host.view.connected)
            self._spot_rooms[pool] = offered, _sum(host.spot for host in of_pool)
        return self._spot_rooms[pool]

    def _hold_spot(self, host: Host, spot: Room) -> None:
        pool = host.view.pool
        if pool in self._spot_rooms:
            offered, held = self._spot_rooms[pool]
            self._spot_rooms[pool] = offered, held.plus(spot).minus(host.spot)
        host.spot = spot

    def add(self, claim: Claim) -> None:
        """Take what the claim takes. Addresses may be taken already (`take_next` does)."""
        self._count_cpu(claim, claim.room.cpu_units if claim.key not in self.claims else 0)
        self.claims[claim.key] = claim
        if claim.is_spot:
            self._spot[claim.key] = claim
        if claim.waits_for:
            self._ahead[claim.key] = claim
        if claim.is_placed:
            self.placed[claim.key] = None
        else:
            self.unsettled[claim.key] = claim.created_at
        if claim.private_ip is not None:
            self.addresses(claim.subnet_id).taken.add(claim.private_ip)
        if claim.public_ip is not None:
            self.public.add(claim.public_ip)
        if claim.is_placed:
            return
        host = self.hosts.get(claim.host_id)
        if host is not None:
            self._hold(host, claim)
        else:
            self._strangers.add(claim.host_id)

    def use_pools(self, cidrs: Sequence[str]) -> None:
        """Of the operator, which new public addresses come from; none: from the region's own block."""
        held = (claim.public_ip for claim in self.claims.values() if claim.public_ip is not None)
        self.public.become([operator_range(pool_share(cidr, *self._share)) for cidr in cidrs], held)

    def public_holders(self, cidr: str) -> dict[str, str]:
        """Address -> task, of the network's addresses."""
        within = whole_range(cidr)
        held = ((claim.public_ip, claim.key[0]) for claim in self.claims.values() if claim.public_ip is not None)
        return {address_text(address): task_id for address, task_id in held if within.has(address)}

    def _count_cpu(self, claim: Claim, more: int) -> None:
        whose = (claim.account, claim.is_spot)
        units = self.cpu_units_of.get(whose, 0) + more
        if units:
            self.cpu_units_of[whose] = units
        else:
            self.cpu_units_of.pop(whose, None)

    def _hold(self, host: Host, claim: Claim) -> None:
        host.reserved = host.reserved.plus(claim.room)
        host.tasks += 1
        host.accounts[claim.account] = host.accounts.get(claim.account, 0) + 1
        if claim.is_spot:
            self._hold_spot(host, host.spot.plus(claim.room))
        self.set_view(host, take(host.view, claim.room, tenant=host.tenant))

    def remove(self, claim: Claim) -> None:
        """Undo `add`; once per claim, however often it is called."""
        held = self.claims.get(claim.key)
        if held is None or held.capacity_id != claim.capacity_id:
            return
        del self.claims[claim.key]
        self._count_cpu(held, -held.room.cpu_units)
        self._spot.pop(claim.key, None)
        self._ahead.pop(claim.key, None)
        self.placed.pop(claim.key, None)
        self.unsettled.pop(claim.key, None)
        self.bare.discard(claim.key)
        if claim.private_ip is not None:
            self.addresses(claim.subnet_id).taken.discard(claim.private_ip)
        if claim.public_ip is not None:
            self.public.discard(claim.public_ip)
        host = self.hosts.get(claim.host_id)
        if host is not None and not held.is_placed:
            host.reserved = host.reserved.minus(held.room)
            host.tasks -= 1
            host.accounts[claim.account] -= 1
            if not host.accounts[claim.account]:
                del host.accounts[claim.account]
            if held.is_spot:
                self._hold_spot(host, host.spot.minus(held.room))
            self.set_view(host, give_back(host.view, held.room, tenant=host.tenant))


def _sum(rooms: Iterable[Room]) -> Room:
    """In numbers, since a room made for each of thousands of hosts would be felt."""
    cpu_units = memory_mib = disk_gib = 0
    for room in rooms:
        cpu_units += room.cpu_units
        memory_mib += room.memory_mib
        disk_gib += room.disk_gib
    return Room(cpu_units=cpu_units, memory_mib=memory_mib, disk_gib=disk_gib)
