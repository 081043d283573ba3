"""One VPC's router namespace on this host: its links to tasks, its rule set and its listeners.

Owns the sockets into that namespace and the rule set that the kernel holds. What the rules should be is decided by
`vpc.ruleset`; this file carries it out. Every method may be repeated and picks up what an earlier, killed call left.
"""

import hashlib
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_network

from ..interfaces.hostnet import FlowCapture, InterfaceStats
from ..model.network import (
    ENI_MAC_GATEWAY,
    REGION_ENDPOINT_ADDRESS,
    RESOLVER_ADDRESS,
    TASK_METADATA_ADDRESS,
    Eni,
    VpcPlan,
)
from ..vpc.crowding import crowding, held_by, is_filling
from ..vpc.flows import misled
from ..vpc.ruleset import LocalEni, PeerVpc, RouterRules, crowd_transaction, local_eni, render, transaction
from ..vpc.tracking import ended, lost_open_rules
from . import netlink, peerings
from .conntrack import Conntrack, KernelFlow
from .edge import Edge
from .flow_counting import FlowCounting
from .namespaces import Namespaces, read_sysctl, write_sysctl
from .netlink import Netlink
from .nftables import Nftables, NftablesError

# Of 1460 bytes each, together less than 64 KiB: more at once than a network card can cut the kernel cuts, at half the
# speed. To addresses of the VPC packets are longer, and so is what is sent as one.
_PACKETS_AT_ONCE = 44
_SAMPLED = 2048  # flows of a full table: enough to know shares by, some tens of ms to read
_OWED_MAX = 8  # while the kernel forgets no flows, further plans wait
Peers = Callable[[VpcPlan], Sequence[PeerVpc]]  # those of a plan's peers that this host has, and that peer back


def namespace_name(vpc_id: str) -> str:
    return f"vpc-{vpc_id}"


def interface_name(eni_id: str) -> str:
    """The router's end of an ENI. Only ENIs begin with `e`: the input rules rely on it."""
    return "e" + hashlib.sha256(eni_id.encode()).hexdigest()[:14]


class Router:
    """Open with `Router.ensure`."""

    def __init__(self, namespaces: Namespaces, plan: VpcPlan, endpoint_port: int, peers: Peers) -> None:
        self.name = namespace_name(plan.vpc_id)
        self.plan = plan
        self._namespaces = namespaces
        self._endpoint_port = endpoint_port
        self._peers = peers
        self._enis: dict[str, LocalEni] = {}
        self._planned: tuple[LocalEni, ...] = _planned_of(plan)
        self._loaded: RouterRules | None = None
        self._counting = FlowCounting(namespaces, self.name)
        self._crowd: frozenset[str] = frozenset()
        self._owed: list[VpcPlan] = []  # plans that were in force, with flows that are still to be forgotten
        with namespaces.inside(self.name):
            _configure()
            self._links = Netlink()
            self._flows = Conntrack()
            self._nft = Nftables()

    @classmethod
    def ensure(
        cls, namespaces: Namespaces, edge: Edge, plan: VpcPlan, enis: Mapping[str, Eni], port: int, peers: Peers
    ) -> "Router":
        """Make or adopt. The rules of `enis` (by task id) stand before this returns; their flows go on meanwhile."""
        fresh = namespaces.ensure(namespace_name(plan.vpc_id))
        router = cls(namespaces, plan, port, peers)
        try:
            router._settle_in(enis)
            edge.join_router(plan.vpc_id, router.name, router._links, fresh=fresh)
        except BaseException:
            router.close()  # it is tried again and again, and libraries of C close nothing by themselves
            raise
        return router

    def _settle_in(self, enis: Mapping[str, Eni]) -> None:
        loopback = self._links.existing("lo").index
        self._links.run(
            [
                netlink.link_up(loopback),
                netlink.address(loopback, TASK_METADATA_ADDRESS),
                netlink.address(loopback, REGION_ENDPOINT_ADDRESS),
                netlink.address(loopback, RESOLVER_ADDRESS),
            ]
        )
        self._links.run([netlink.blackhole(cidr) for cidr in self.plan.cidrs])
        self._open_other_networks()
        # The rules come before the link that packets could arrive on.
        self._enis = {task_id: local_eni(interface_name(eni.eni_id), eni) for task_id, eni in enis.items()}
        self._load()
        self._forget_for_good()

    def _forget_for_good(self) -> None:
        """A connection that was cut is not taken up again in its middle, whoever sends next. One that is over on both
        sides is forgotten soon, or who makes many would fill the table. The settings are there once rules asked for
        flows."""
        with self._namespaces.inside(self.name):
            write_sysctl("netfilter/nf_conntrack_tcp_loose", "0")
            write_sysctl("netfilter/nf_conntrack_tcp_timeout_time_wait", "10")

    def close(self) -> None:
        self._links.close()
        self._flows.close()
        self._nft.close()

    def apply(self, plan: VpcPlan) -> None:
        """Repeated after a failure it does what is left, also where the rules are those of the plan already."""
        if len(self._owed) == _OWED_MAX:
            self._settle_flows()
        # New networks are closed before rules lead into them, old ones after; what was refused closes none.
        self._links.run([netlink.blackhole(cidr) for cidr in plan.cidrs])
        try:
            if plan != self.plan:
                self._load(plan)
            self._counting.follow(plan)  # which may have failed when the rules were loaded
        finally:
            self._open_other_networks()
        self._settle_flows()

    def _settle_flows(self) -> None:
        """Rules are in force first, whatever becomes of flows: what fails here is done at the next call."""
        while self._owed:
            for address, _ in _translations(self._owed[0]) - _translations(self.plan):
                self._flows.cut(address)
            self._forget_flows(self._owed[0])
            del self._owed[0]

    def _open_other_networks(self) -> None:
        """Those that are not of the plan in force, whoever closed them."""
        own = {str(ip_network(cidr)) for cidr in self.plan.cidrs}
        self._links.run([netlink.route_gone(cidr) for cidr in self._links.blackholes() if cidr not in own])

    def _forget_flows(self, before: VpcPlan) -> None:
        """What changed routes mislead, and what AWS would not have tracked. The flows are read only for cause."""
        plan, loaded = self.plan, self._loaded
        rerouted = _routes(before) != _routes(plan)
        closed = lost_open_rules(before, plan)
        if loaded is None or not (rerouted or closed):
            return
        flows = self._flows.flows()
        here = [(address, eni) for eni in self._members() for address in eni.addresses]
        gone: list[KernelFlow] = []
        if rerouted:
            gone += misled(plan, {address: eni.subnet_id for address, eni in here}, flows)
        if closed:
            groups_of = {address: eni.groups for address, eni in here}
            gone += ended(before, plan, groups_of, loaded.members, flows, loaded.steering.always_tracked)
        self._flows.cut_flows(gone)

    def join(self, other: "Router", peering_id: str, *, mtu: int) -> None:
        ends = {self.name: self._links, other.name: other._links}
        peerings.ensure_link(self._namespaces, peering_id, ends, mtu)

    def relieve(self) -> frozenset[str]:
        """Interfaces that from now on begin no flows, since the table fills. Until it does this is one question."""
        crowd: frozenset[str] = frozenset()
        if is_filling(*self._flows.fill()):
            with self._namespaces.inside(self.name):
                some = Conntrack()
            try:
                flows = some.sample(_SAMPLED)
            finally:
                some.close()
            here = [address for eni in self._members() for address in eni.addresses]
            crowd = crowding(held_by(flows, here), len(flows))
        before = self._crowd
        if crowd != before:
            self._nft.run(crowd_transaction(crowd))
            self._crowd = crowd
        return crowd - before

    def leave(self) -> None:
        """No peer has a link to here any more."""
        peerings.remove_others(self._links, ())

    def cut_over(self, peering_id: str, addresses: Iterable[str]) -> None:
        """Flows with these addresses of that peer: another one may have the same."""
        if self._loaded is not None:
            marks = [mark for mark, way in self._loaded.steering.lookups.items() if way == peering_id]
            for address in addresses:
                self._flows.cut_marked(address, marks)

    def as_peer(self, peering_id: str) -> PeerVpc:
        return PeerVpc(peering_id=peering_id, groups=self.plan.groups, members=self._members())

    def _members(self) -> tuple[LocalEni, ...]:
        """Interfaces of tasks, of endpoints and of load balancers' nodes."""
        return (*self._enis.values(), *self._planned)

    def reload(self) -> None:
        """What a peer has changed is known here too: the members of its groups."""
        self._load()

    def settle_peerings(self, joined: Iterable[str]) -> None:
        """Links of other peerings are gone, and the kernel leads packets over those that are there."""
        peerings.remove_others(self._links, joined)
        if self._loaded is not None:
            peerings.lead(self._links, self._loaded.steering.lookups)

    def connect(self, eni: Eni, task_namespace: str, *, mtu: int) -> None:
        """The link to the task and the way to its addresses. No packet passes before `allow`."""
        name = interface_name(eni.eni_id)
        link = self._links.link(name)
        if link is None:
            with self._namespaces.opened(task_namespace) as target:
                pair = netlink.veth(
                    name,
                    ENI_MAC_GATEWAY,
                    peer="eth0",
                    peer_mac=eni.mac,
                    peer_namespace=target,
                    mtu=mtu,
                    peer_packets=_PACKETS_AT_ONCE,
                )
                self._links.run([pair])
            link = self._links.existing(name)
        # One that is there may be of a release with shorter packets: IPv6 would not tell senders of longer ones, since
        # the router has no address to say it from.
        messages = [
            netlink.link_mtu(link.index, mtu),
            netlink.no_autoconf(link.index),
            netlink.link_up(link.index, arp=False),
        ]
        for address in private_addresses(eni):
            messages.append(netlink.neighbour(link.index, address, eni.mac))
            messages.append(netlink.route(_host_route(address), link.index))
        self._links.run(messages)

    def allow(self, task_id: str, eni: Eni) -> None:
        """Anti-spoofing, security groups and translation of the ENI, in one transaction."""
        self.settle_link(eni)
        self._change({**self._enis, task_id: local_eni(interface_name(eni.eni_id), eni)})

    def settle_link(self, eni: Eni) -> None:
        self._links.settle(interface_name(eni.eni_id))

    def forbid(self, task_id: str) -> None:
        if task_id in self._enis:
            self._change({other: eni for other, eni in self._enis.items() if other != task_id})

    def _change(self, enis: dict[str, LocalEni]) -> None:
        """What is refused is not carried out by a later change either; and a repeated call is not taken for done."""
        before, self._enis = self._enis, enis
        try:
            self._load()
        except NftablesError:
            self._enis = before
            raise

    def disconnect(self, eni: Eni) -> None:
        """No route leads to the addresses any more and their flows are forgotten.

        The link itself ends with the task's namespace: removing it by hand takes some 30 ms of the kernel's
        network lock, which every start of another task would wait for.
        """
        self._links.run([netlink.route_gone(_host_route(address)) for address in private_addresses(eni)])
        for address in private_addresses(eni):
            self._flows.cut(address)

    def remove_link(self, name: str) -> None:
        self._links.run([netlink.link_gone(name)])

    def task_links(self) -> list[str]:
        """The router's ends of all ENIs that the kernel still has."""
        return [link.name for link in self._links.links() if link.name.startswith("e")]

    def stats(self, eni: Eni) -> InterfaceStats:
        """Counters of the router's end, turned round: what it sent is what the task received."""
        rx_packets, tx_packets, rx_bytes, tx_bytes, rx_errors, tx_errors, rx_dropped, tx_dropped = self._links.existing(
            interface_name(eni.eni_id)
        ).stats
        return InterfaceStats(
            rx_bytes=tx_bytes,
            rx_packets=tx_packets,
            rx_errors=tx_errors,
            rx_dropped=tx_dropped,
            tx_bytes=rx_bytes,
            tx_packets=rx_packets,
            tx_errors=rx_errors,
            tx_dropped=rx_dropped,
        )

    def capture_flows(self) -> FlowCapture:
        return self._counting.capture()

    def listen(self, address: str, port: int, *, datagrams: bool, namespace: str = "") -> socket.socket:
        """`namespace`: of an endpoint; empty for the router's own."""
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        with self._namespaces.inside(namespace or self.name):
            listener = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if datagrams:
                listener.bind((address, port))
                return listener
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(1024)
        except OSError:
            listener.close()
            raise
        return listener

    def _load(self, plan: VpcPlan | None = None) -> None:
        """The rules of the plan in force, or of a new one, which is in force when the kernel has taken them."""
        plan = plan or self.plan
        planned = self._planned if plan is self.plan else _planned_of(plan)
        wanted = render(
            plan,
            (*self._enis.values(), *planned),
            endpoint_port=self._endpoint_port,
            peers=self._peers(plan),
            previous=self._loaded,
        )
        text = transaction(self._loaded, wanted)
        try:
            if text:
                self._nft.run(text)
        except NftablesError:
            # The kernel does not hold what we believe (someone flushed the table): replace all of it, at one instant.
            self._loaded, self._crowd = None, frozenset()
            self._nft.run(transaction(None, wanted))
        if plan != self.plan:
            self._owed.append(self.plan)
        self._loaded, self.plan, self._planned = wanted, plan, planned
        self._counting.follow(plan)


def _planned_of(plan: VpcPlan) -> tuple[LocalEni, ...]:
    """Interfaces that follow from the plan alone."""
    return tuple(local_eni(interface_name(eni.eni_id), eni) for eni in (*plan.endpoint_enis, *plan.node_enis))


def _routes(plan: VpcPlan) -> tuple[object, ...]:
    return plan.subnets, plan.tables, plan.nats, plan.peerings


def _translations(plan: VpcPlan) -> set[tuple[str, str]]:
    """(address that NAT gateways put in a sender's place, which gateway)."""
    pairs = ((address, nat.nat_id) for nat in plan.nats for address in (nat.public_ipv4, nat.private_ipv4))
    return {(address, nat_id) for address, nat_id in pairs if address is not None}


def private_addresses(eni: Eni) -> list[str]:
    return [address for address in (eni.private_ipv4, eni.ipv6) if address is not None]


def _host_route(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _configure() -> None:
    """Of the router's own namespace. The spoofing rules are stricter than reverse path filtering, which is off."""
    for scope in ("all", "default"):
        write_sysctl(f"ipv4/conf/{scope}/send_redirects", "0")
        write_sysctl(f"ipv4/conf/{scope}/accept_redirects", "0")
        write_sysctl(f"ipv4/conf/{scope}/accept_source_route", "0")
        write_sysctl(f"ipv4/conf/{scope}/rp_filter", "0")
        write_sysctl(f"ipv6/conf/{scope}/accept_ra", "0")
        write_sysctl(f"ipv6/conf/{scope}/accept_redirects", "0")
    # `all` alone decides what is forwarded. A link that is no router of its own joins no routers' group, so nothing is
    # announced on it that would count as a task's traffic. `all` sets every link, so it is written once.
    if read_sysctl("ipv6/conf/all/forwarding") == "0":
        write_sysctl("ipv6/conf/all/forwarding", "1")
        write_sysctl("ipv6/conf/default/forwarding", "0")
    write_sysctl("ipv4/ip_forward", "1")
