"""The host's network for tasks: edge, routers and task namespaces put together behind `interfaces.hostnet.HostNetwork`.

Owns which task has which ENI on this host. All work runs on the one thread of the `network` lane, which is what makes
it the only writer of that state and of the kernel's; a caller that gives up waiting leaves a step that still completes.
Each step of attach and detach may be repeated: a killed agent either attaches again or detaches, and nothing is left.
"""

import shutil
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from ..interfaces.hostnet import FlowCapture, GuestInterface, HostError, InterfaceStats, TaskNetwork
from ..log import get_logger
from ..model.host_ids import UserNamespace
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..model.network import (
    REGION_ENDPOINT_ADDRESS,
    RESOLVER_ADDRESS,
    TASK_METADATA_ADDRESS,
    Eni,
    PublicPool,
    VpcPlan,
    kept_plans,
)
from ..uplink.pools import Outside
from ..vpc.acls import unusable_lines
from ..vpc.groups import unusable_rules
from ..vpc.ruleset import local_eni
from ..world import World
from . import edge as edges
from . import netlink
from .attachments import Records, safe_id
from .edge import Edge
from .endpoints import namespace_of
from .guests import Guests, keep_agent_ports
from .namespaces import Namespaces
from .netlink import Netlink, NetlinkError
from .nftables import NftablesError, NftablesMissing
from .public_pools import PublicPools
from .router import Router, interface_name, namespace_name, private_addresses
from .task_link import configure_task, gateway_of
from .task_namespaces import NO_USERS_NOTE, TaskNamespaces
from .user_namespaces import UserNamespaces
from .vpcs import Vpcs

T = TypeVar("T")
Step = Callable[[], None]
# Why no task can run in such a user namespace, whose network namespace has this path; None: it can.
Trial = Callable[[UserNamespace, str], Awaitable[str | None]]
# A lane of its own: one thread, whatever width other lanes were given.
_LANE = "network"
log = get_logger(__name__)


class LinuxNetwork:
    """HostNetwork on netlink and nftables. `instance` is the region's six hex digits on this machine.

    `private_beyond`: private networks, as CIDRs of IPv4, that this machine's operator lets tasks reach.
    `allowed_pools`: pools of public addresses that he lets the region have beside `public_pool`, as of now; may block.
    `against_users`: asked at each start; where it finds nothing against them, new tasks get user namespaces.
    """

    def __init__(
        self,
        world: World,
        *,
        instance: str,
        run_dir: Path,
        public_pool: str,
        knobs: Knobs = DEFAULT_KNOBS,
        endpoint_port: int = 4566,
        private_beyond: tuple[str, ...] = (),
        allowed_pools: Callable[[], Iterable[PublicPool]] = tuple,
        against_users: Trial | None = None,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._instance = safe_id(instance)
        self._run_dir = run_dir
        self._public_pool = ip_network(public_pool)
        self._pools = PublicPools(self._instance, public_pool, allowed_pools, self._opened_edge)
        self._endpoint_port = endpoint_port
        self._private_beyond = private_beyond
        self._namespaces = Namespaces(run_dir / "netns", world.die)
        self._task_namespaces = TaskNamespaces(self._namespaces, UserNamespaces(run_dir / "userns"))
        self._against_users = against_users
        self._guests = Guests(self._namespaces)
        self._records = Records(run_dir)
        self._edge: Edge | None = None
        self._vpcs = Vpcs(
            self._namespaces,
            self._opened_edge,
            endpoint_port=endpoint_port,
            mtu=knobs.eni_mtu,
            beyond_mtu=knobs.uplink_mtu,
            is_for_tasks=self._is_for_tasks,
        )
        self._enis: dict[str, Eni] = {}
        # Links that go with their namespaces: (VPC, link) -> when that began.
        self._leaving: dict[tuple[str, str], float] = {}

    async def start(self) -> None:
        await self._do("start the host's network", self._start)
        if self._against_users is not None:
            await self._try_users(self._against_users)

    async def _try_users(self, against: Trial) -> None:
        try:
            users, netns_path = await self._do("make a user namespace", self._task_namespaces.begin_trial)
            reason = await against(users, netns_path)
        except HostError as error:
            reason = error.reason
        note = self._run_dir / NO_USERS_NOTE
        await self._do("end a trial", lambda: self._task_namespaces.end_trial(reason, note))
        log.info("whether tasks get user namespaces", given=reason is None, reason=reason)

    async def apply_vpc(self, plan: VpcPlan) -> None:
        await self._do(f"apply the rules of {plan.vpc_id}", lambda: self._apply(plan))

    async def remove_vpc(self, vpc_id: str, generation: int) -> None:
        await self._do(f"remove the router of {vpc_id}", lambda: self._remove_vpc(safe_id(vpc_id), generation))

    async def relieve_flows(self) -> None:
        await self._do("make room for flows", self._relieve_flows)

    async def consider_pools(self) -> None:
        """What this host's operator allows may be something else now."""
        await self._do("look which pools are allowed", self._consider_pools)

    async def make_namespace(self, task_id: str, eni: Eni) -> TaskNetwork:
        return await self._attach(f"make the namespace of {eni.eni_id}", task_id, eni, self._namespace_steps)

    async def attach_eni(self, task_id: str, eni: Eni) -> TaskNetwork:
        return await self._attach(f"attach {eni.eni_id}", task_id, eni, self._attach_steps)

    async def _attach(self, what: str, task_id: str, eni: Eni, steps: Callable[[str, Eni], list[Step]]) -> TaskNetwork:
        def attach() -> TaskNetwork:
            self._check(safe_id(task_id), eni)
            self._pools.lead({*self._publics_in_use(), *filter(None, (eni.public_ipv4,)), *self._found_ipv6([eni])})
            for step in steps(task_id, eni):
                step()
            return self._describe(task_id, eni)

        return await self._do(what, attach)

    async def open_tap(self, task_id: str, spare: int | None = None) -> GuestInterface:
        def admit() -> GuestInterface:
            eni = self._enis.get(safe_id(task_id))
            if eni is None:
                raise HostError(f"task {task_id} has no interface on this host")
            mtu, beyond_mtu = self._knobs.eni_mtu, self._knobs.uplink_mtu
            networks = self._router(eni.vpc_id).plan.cidrs
            self._records.write_tap(task_id)
            return self._guests.admit(
                _task_namespace(task_id), eni, networks, mtu=mtu, beyond_mtu=beyond_mtu, spare=spare
            )

        guest = await self._do(f"open the tap of {task_id}", admit)
        self._guests.taken(_task_namespace(task_id))
        return guest

    async def open_spare_tap(self) -> int:
        return await self._do("open a spare tap", self._guests.spare)

    async def detach_eni(self, task_id: str) -> None:
        def detach() -> None:
            for step in self._detach_steps(safe_id(task_id)):
                step()
            self._pools.lead(self._publics_in_use())

        await self._do(f"detach the interface of {task_id}", detach)

    async def list_tasks(self) -> list[TaskNetwork]:
        def collect() -> list[TaskNetwork]:
            return [self._describe(task_id, eni) for task_id, eni in self._records.enis().items()]

        return await self._do("list attached tasks", collect)

    async def listen(self, vpc_id: str, address: str, port: int, *, datagrams: bool = False) -> socket.socket:
        """Only what the routers' input rules open: metadata at port 80, the region's endpoint, the resolver.

        And the region's API at the addresses of the VPC's interface endpoints.
        """
        opened = {(TASK_METADATA_ADDRESS, 80), (REGION_ENDPOINT_ADDRESS, self._endpoint_port), (RESOLVER_ADDRESS, 53)}

        def listen() -> socket.socket:
            router = self._router(vpc_id)
            endpoint = next((eni for eni in router.plan.endpoint_enis if eni.private_ipv4 == address), None)
            if endpoint is not None and port == self._endpoint_port and not datagrams:
                return router.listen(address, port, datagrams=False, namespace=namespace_of(endpoint.eni_id))
            if (address, port) not in opened or (datagrams and address != RESOLVER_ADDRESS):
                raise HostError(f"{address}:{port} is not open to tasks")
            return router.listen(address, port, datagrams=datagrams)

        return await self._do(f"listen on {address}:{port}", listen)

    async def task_socket(self, task_id: str) -> socket.socket:
        def make() -> socket.socket:
            if safe_id(task_id) not in self._enis:
                raise HostError(f"task {task_id} has no interface on this host")
            with self._namespaces.inside(_task_namespace(task_id)):
                return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

        return await self._do(f"make a socket of {task_id}", make)

    async def set_controls(self, task_id: str, controls: Sequence[tuple[str, str]]) -> None:
        def write() -> None:
            if safe_id(task_id) not in self._enis:
                raise HostError(f"task {task_id} has no interface on this host")
            with self._namespaces.inside(_task_namespace(task_id)):
                self._task_namespaces.set_controls(_task_namespace(task_id), controls)
                if self._records.has_tap(task_id):
                    keep_agent_ports()

        await self._do(f"set kernel parameters of {task_id}", write)

    async def capture_flows(self, vpc_id: str) -> FlowCapture:
        return await self._do(f"hear of flows of {vpc_id}", lambda: self._router(vpc_id).capture_flows())

    async def interface_stats(self, task_id: str) -> InterfaceStats:
        def read() -> InterfaceStats:
            eni = self._enis.get(task_id)
            if eni is None:
                raise HostError(f"task {task_id} has no interface on this host")
            return self._router(eni.vpc_id).stats(eni)

        return await self._do(f"read the counters of {task_id}", read)

    @property
    def outside(self) -> Outside:
        """The operator's pools and who here has addresses of them: what the uplink must know."""
        return self._pools.outside

    async def close(self) -> None:
        """Let go of the host without changing it: everything stays for the next agent."""
        await self._do("close the host's network", self._close)

    async def remove_all(self) -> None:
        await self._do("remove the host's network", self._remove_all)

    async def _do(self, what: str, work: Callable[[], T]) -> T:
        def guarded() -> T:
            with _explained(what):
                return work()

        return await self._world.offload(_LANE, guarded)

    def _start(self) -> None:
        self._close()
        self._records.prepare()
        with Netlink() as host:
            self._edge = Edge.ensure(
                self._namespaces,
                host,
                instance=self._instance,
                public_pool=str(self._public_pool),
                mtu=self._knobs.uplink_mtu,
            )
        recorded = self._records.enis()
        # An ENI whose namespace is gone has no task: it is what a kill before the namespace, or a reboot, left behind.
        self._enis = {task: eni for task, eni in recorded.items() if self._namespaces.exists(_task_namespace(task))}
        plans = self._records.plans().values()
        kept = kept_plans(plans, {eni.vpc_id for eni in recorded.values()})
        self._pools.become(pool for plan in kept for pool in plan.pools)
        for plan in plans:
            if plan not in kept:
                # It may have been deleted meanwhile. Its router goes as a stray; its next task comes with its plan.
                self._records.forget_plan(plan.vpc_id)
                continue
            enis = {task: eni for task, eni in self._enis.items() if eni.vpc_id == plan.vpc_id}
            self._vpcs.adopt(self._as_said_here(plan), enis)
        for task_id, eni in recorded.items():
            if task_id in self._enis and eni.vpc_id in self._vpcs.routers:
                steps = self._attach_steps(task_id, eni)
            else:
                steps = self._detach_steps(task_id)
            for step in steps:
                step()
        self._vpcs.settle(self._taken())
        self._remove_strays()
        self._pools.lead(self._publics_in_use())

    def _remove_strays(self) -> None:
        """Public routes and links without an ENI, and namespaces that no record speaks of."""
        edge = self._opened_edge()
        wanted = {public for eni in self._enis.values() for public in _publics(eni)} | set(self._vpcs.gateway_publics)
        own = edges.host_address(str(self._public_pool))
        for public in edge.public_routes():
            if public != own and public not in wanted:
                edge.remove_public(public)
        of_tasks = {_task_namespace(task_id) for task_id in self._enis}
        self._task_namespaces.delete_strays(of_tasks)
        known = {edges.NAMESPACE} | of_tasks
        known |= {namespace_name(vpc_id) for vpc_id in self._vpcs.routers} | self._vpcs.namespaces
        for name in self._namespaces.names():
            if name not in known:
                self._namespaces.delete(name)
        links = {interface_name(eni.eni_id) for eni in self._enis.values()} | self._vpcs.links
        for router in self._vpcs.routers.values():
            for link in router.task_links():
                if link not in links:
                    router.remove_link(link)

    def _apply(self, plan: VpcPlan) -> None:
        safe_id(plan.vpc_id)
        router = self._vpcs.routers.get(plan.vpc_id)
        if router is not None and plan.generation < router.plan.generation:
            return
        said = plan
        self._pools.become(said.pools)
        plan = self._as_said_here(said)
        for sentence in (*unusable_rules(plan), *unusable_lines(plan)):
            log.warning("rule cannot be used", vpc_id=plan.vpc_id, reason=sentence)
        self._vpcs.apply(plan, self._taken())
        self._pools.lead(self._publics_in_use())
        # A plan that the kernel refused would be refused to the next agent too, which could then not start.
        self._records.write_plan(said)

    def _as_said_here(self, plan: VpcPlan) -> VpcPlan:
        """What is this host's to say: a gateway carries to no private network because the server calls it a pool, and
        nobody gets a public address that is not for tasks."""
        allowed = tuple(pool for pool in plan.pools if pool in self._pools.known)
        nodes = tuple(one if self._may_have(one.public_ipv4) else replace(one, public_ipv4=None) for one in plan.nodes)
        return replace(plan, private_beyond=self._private_beyond, pools=allowed, nodes=nodes)

    def _may_have(self, public: str | None) -> bool:
        return public is None or self._is_for_tasks(public)

    def _consider_pools(self) -> None:
        self._pools.reconsider()
        try:
            for router in list(self._vpcs.routers.values()):
                self._vpcs.apply(replace(router.plan, pools=self._pools.known), self._taken())
        finally:  # what was forbidden is led nowhere, whatever becomes of a VPC's rules
            self._pools.lead(self._publics_in_use())

    def _remove_vpc(self, vpc_id: str, generation: int) -> None:
        """The record goes first: a start without it takes the rest for strays."""
        router = self._vpcs.routers.get(vpc_id)
        if router is not None and router.plan.generation > generation:
            return
        if any(eni.vpc_id == vpc_id for eni in (*self._enis.values(), *self._records.enis().values())):
            raise HostError(f"tasks of this host are in {vpc_id}")
        self._records.forget_plan(vpc_id)
        self._leaving = {leaving: since for leaving, since in self._leaving.items() if leaving[0] != vpc_id}
        self._vpcs.remove(vpc_id)
        self._pools.lead(self._publics_in_use())  # it may have had NAT gateways

    def _relieve_flows(self) -> None:
        """Each VPC, whatever becomes of another."""
        troubles: list[str] = []
        for vpc_id, router in self._vpcs.routers.items():
            try:
                for address in router.relieve():
                    log.warning("an interface has too many flows and begins no more", vpc_id=vpc_id, address=address)
            except (NftablesError, OSError) as error:
                troubles.append(f"{vpc_id}: {error}")
        if troubles:
            raise HostError(f"cannot make room for flows: {'; '.join(troubles)[:2000]}")

    def _taken(self) -> set[str]:
        """Public addresses of tasks."""
        return {eni.public_ipv4 for eni in self._enis.values() if eni.public_ipv4 is not None}

    def _is_for_tasks(self, public: str) -> bool:
        return self._pools.has(public)

    def _publics_in_use(self) -> set[str]:
        return {*self._taken(), *self._vpcs.gateway_publics, *self._found_ipv6(self._enis.values())}

    def _found_ipv6(self, enis: Iterable[Eni]) -> set[str]:
        """Of the operator's pools: all others lead nowhere from the host."""
        return {eni.ipv6 for eni in enis if eni.ipv6 is not None and self._pools.holds_ipv6(eni.ipv6)}

    def _check(self, task_id: str, eni: Eni) -> None:
        """Refuses what would take another task's address. Raises HostError."""
        plan = self._router(eni.vpc_id).plan
        try:
            local_eni("e", eni)
            gateway_of(eni)
        except ValueError as error:
            raise HostError(f"{eni.eni_id} cannot be attached: {error}") from error
        for other_id, other in self._enis.items():
            if other_id == task_id:
                continue
            if other.eni_id == eni.eni_id:
                raise HostError(f"{eni.eni_id} still belongs to task {other_id}")
            if other.vpc_id == eni.vpc_id and other.private_ipv4 == eni.private_ipv4:
                raise HostError(f"{eni.private_ipv4} still belongs to task {other_id}")
            for public in set(_publics(eni)) & set(_publics(other)):
                raise HostError(f"{public} still belongs to task {other_id}")
        planned = [(one.private_ipv4, one.endpoint_id) for one in plan.endpoints]
        planned += [(one.private_ipv4, one.balancer) for one in plan.nodes]
        for address, holder in planned:
            if address == eni.private_ipv4:
                raise HostError(f"{eni.private_ipv4} still belongs to {holder}")
        if eni.public_ipv4 is not None:
            if not self._is_for_tasks(eni.public_ipv4):
                raise HostError(f"{eni.public_ipv4} cannot be given: {self._pools.why_not(eni.public_ipv4)}")
            if eni.public_ipv4 in self._vpcs.gateway_publics:
                raise HostError(f"{eni.public_ipv4} still belongs to a NAT gateway or a load balancer")
        held = self._enis.get(task_id)
        if held is not None and (held.eni_id, held.vpc_id) != (eni.eni_id, eni.vpc_id):
            raise HostError(f"task {task_id} already has {held.eni_id}")

    def _namespace_steps(self, task_id: str, eni: Eni) -> list[Step]:
        """In order; each may be repeated. The record comes first: what it does not name is removed as a stray."""
        router = self._router(eni.vpc_id)

        def record() -> None:
            before = self._enis.get(task_id)
            self._records.write_eni(task_id, eni)
            self._enis[task_id] = eni
            for public in _publics(before) if before is not None else ():
                if public not in _publics(eni):
                    self._opened_edge().remove_public(public)

        def ensure() -> None:
            if self._task_namespaces.ensure(_task_namespace(task_id)):
                # A link into a namespace that is gone: the kernel may still be busy removing it.
                router.remove_link(interface_name(eni.eni_id))

        return [record, ensure]

    def _attach_steps(self, task_id: str, eni: Eni) -> list[Step]:
        """In order; each may be repeated. Packets flow after the last but one, from outside after the last."""
        router = self._router(eni.vpc_id)
        namespace = _task_namespace(task_id)

        def connect() -> None:
            router.connect(eni, namespace, mtu=self._knobs.eni_mtu)

        def configure() -> None:
            with self._namespaces.inside(namespace):
                links = Netlink()
            with links:
                mtu, beyond_mtu = self._knobs.eni_mtu, self._knobs.uplink_mtu
                configure_task(links, eni, router.plan.cidrs, mtu=mtu, beyond_mtu=beyond_mtu)

        def allow() -> None:
            router.allow(task_id, eni)
            self._vpcs.tell_peers(router)

        def publish() -> None:
            for public in _publics(eni):
                self._opened_edge().add_public(eni.vpc_id, public)

        return [
            *self._namespace_steps(task_id, eni),
            connect,
            configure,
            allow,
            publish,
        ]

    def _detach_steps(self, task_id: str) -> list[Step]:
        """The way back. The record goes last, so that a kill in between leaves a task that is detached again."""
        eni = self._enis.get(task_id) or self._records.enis().get(task_id)
        steps: list[Step] = []
        if eni is not None:
            router = self._vpcs.routers.get(eni.vpc_id)
            if _publics(eni):
                steps.append(lambda: self._unpublish(eni))
            if router is not None:
                steps.append(lambda: self._forbid(router, task_id))
                steps.append(lambda: router.disconnect(eni))
                steps.append(lambda: self._vpcs.cut_at_peers(router, private_addresses(eni)))
                self._leaving[eni.vpc_id, interface_name(eni.eni_id)] = self._world.monotonic()
        if self._records.has_tap(task_id):
            # Whoever has it open keeps the namespace alive.
            steps.append(lambda: self._guests.remove(_task_namespace(task_id)))
        steps.append(lambda: self._task_namespaces.delete(_task_namespace(task_id)))

        def forget() -> None:
            self._records.forget_tap(task_id)
            self._records.forget_eni(task_id)
            self._enis.pop(task_id, None)

        return [*steps, forget, self._remove_lingering_links]

    def _unpublish(self, eni: Eni) -> None:
        for public in _publics(eni):
            self._opened_edge().remove_public(public)

    def _forbid(self, router: Router, task_id: str) -> None:
        router.forbid(task_id)
        self._vpcs.tell_peers(router)

    def _remove_lingering_links(self) -> None:
        """A namespace that something still holds keeps its link: remove that by hand after a while."""
        used = {(eni.vpc_id, interface_name(eni.eni_id)) for eni in self._enis.values()}
        limit = self._world.monotonic() - self._knobs.link_linger_s
        for leaving, since in list(self._leaving.items()):
            if since <= limit:
                del self._leaving[leaving]
                router = self._vpcs.routers.get(leaving[0])
                if router is not None and leaving not in used:
                    router.remove_link(leaving[1])

    def _remove_all(self) -> None:
        """Works from what lies on the host, so also for an instance that never started here."""
        self._close()
        with Netlink() as host:
            host.run([netlink.link_gone(edges.host_link_name(self._instance))])
        for task_id in self._records.taps():
            self._guests.remove(_task_namespace(task_id))
        # Links end with their namespaces; routers and tasks first, so that nothing is routed into a void meanwhile.
        for name in sorted(self._namespaces.names(), key=lambda name: name == edges.NAMESPACE):
            self._namespaces.delete(name)
        self._task_namespaces.delete_strays(set())
        for directory in ("netns", "userns"):
            shutil.rmtree(self._run_dir / directory, ignore_errors=True)
        (self._run_dir / NO_USERS_NOTE).unlink(missing_ok=True)
        self._records.clear()

    def _close(self) -> None:
        self._guests.close()
        self._vpcs.close()
        if self._edge is not None:
            self._edge.close()
        self._pools.forget()
        self._enis, self._edge, self._leaving = {}, None, {}

    def _describe(self, task_id: str, eni: Eni) -> TaskNetwork:
        name = _task_namespace(task_id)
        path, users = str(self._namespaces.path(name)), self._task_namespaces.users_of(name)
        return TaskNetwork(task_id=task_id, eni_id=eni.eni_id, vpc_id=eni.vpc_id, netns_path=path, user_namespace=users)

    def _router(self, vpc_id: str) -> Router:
        router = self._vpcs.routers.get(vpc_id)
        if router is None:
            raise HostError(f"this host has no plan of {vpc_id} yet")
        return router

    def _opened_edge(self) -> Edge:
        if self._edge is None:
            raise HostError("the host's network is not started")
        return self._edge


def _publics(eni: Eni) -> tuple[str, ...]:
    """Addresses that the edge leads to its router: an IPv6 address is public by nature."""
    return tuple(address for address in (eni.public_ipv4, eni.ipv6) if address is not None)


def _task_namespace(task_id: str) -> str:
    return f"task-{task_id}"


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except NftablesMissing as error:
        raise HostError(str(error)) from error
    except (NetlinkError, NftablesError, OSError, ValueError) as error:
        raise HostError(f"cannot {what}: {error}") from error
