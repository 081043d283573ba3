"""When nodes of load balancers go to other hosts: single rules, and random walks of hosts that go and come back."""

from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from neargate.frontend.network.nodes import balancer_nodes
from neargate.frontend.network.nodes.node_moves import HostSeen, Move, MovePlanner, Patience, Step, hosts_beside
from neargate.frontend.network.records.balancers import (
    AVAILABLE,
    LEAVING,
    MOVING,
    PENDING,
    RETIRING,
    LoadBalancer,
    Node,
)
from neargate.frontend.network.records.objects import Subnet
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.capacity import HostPlace, Reservation
from neargate.model.network import Eni

PATIENCE = Patience(lost_s=60.0, told_s=5.0, handover_s=120.0)
NODE = Node(place="n1", subnet_id="subnet-a", zone="a", state=AVAILABLE, host_id="h1", serves=True)
NEXT = Node(place="n2", subnet_id="subnet-a", zone="a", state=AVAILABLE, host_id="h2", serves=True, followed="n1")
NOW = 10_000.0


def host(name: str, *, up: bool = True, for_s: float = 1000.0, draining: bool = False, gone: bool = False) -> HostSeen:
    place = HostPlace(host_id=name, zone="a", is_connected=up, is_draining=draining, is_given_up=gone)
    return HostSeen(place=place, for_s=for_s)


H1, H2, H3 = host("h1"), host("h2"), host("h3")
DRAINED = host("h1", draining=True)
LOST = host("h1", up=False, for_s=60.0)
GONE = host("h1", up=False, for_s=0.0, gone=True, draining=True)
BOUND = replace(NODE, wanted_private_ip="10.0.0.9")
MOVED = replace(BOUND, state=MOVING, since=NOW - 5.0)
LISTED, YOUNG = replace(NODE, is_listed=True), replace(NEXT, attached_at=NOW - 119.0)
RETIRED = replace(NODE, state=RETIRING, since=NOW - 120.0)


def planned(nodes: tuple[Node, ...], *hosts: HostSeen) -> list[tuple[str, Step]]:
    return [(move.place, move.step) for move in MovePlanner(hosts, NOW, PATIENCE).moves(nodes)]


@pytest.mark.parametrize(
    ("nodes", "hosts", "steps"),
    [
        ((NODE,), (H1, H2), []),
        ((NODE,), (LOST, H2), [("n1", Step.SUCCEED)]),
        ((NODE,), (LOST,), []),
        ((NODE,), (LOST, host("h2", draining=True)), []),
        ((NODE,), (host("h1", up=False, for_s=59.9), H2), []),
        ((NODE,), (LOST, host("h2", up=False), H3), []),  # two of three: rather the way to them is ill
        ((NODE,), (H2, H3), []),  # its host is not known at all
        ((NODE,), (DRAINED, H2), [("n1", Step.SUCCEED)]),
        ((NODE,), (GONE, H2), [("n1", Step.CARRY)]),
        ((BOUND,), (LOST, H2), []),
        ((BOUND,), (GONE, H2), [("n1", Step.CARRY)]),
        ((BOUND,), (DRAINED, H2), [("n1", Step.LET_GO)]),
        ((replace(NODE, allocation_id="eipalloc-1"),), (DRAINED, H2), [("n1", Step.LET_GO)]),
        ((MOVED,), (DRAINED, H2), [("n1", Step.CARRY)]),
        ((replace(MOVED, since=NOW - 4.9),), (DRAINED, H2), []),
        ((MOVED,), (host("h1", draining=True, for_s=4.9), H2), []),  # it may not have heard of it
        ((MOVED,), (LOST, H2), []),
        ((MOVED,), (GONE, H2), [("n1", Step.CARRY)]),
        ((MOVED,), (H1, H2), [("n1", Step.STAY)]),
        ((MOVED,), (DRAINED,), [("n1", Step.STAY)]),
        ((replace(MOVED, since=NOW + 1.0),), (DRAINED, H2), [("n1", Step.CARRY)]),  # the clock was set back
        ((NODE, replace(NEXT, state=PENDING, host_id=None, serves=False)), (LOST, H2), []),
        ((NODE, replace(NEXT, state=PENDING, host_id=None, serves=False)), (H1, H2), [("n2", Step.END)]),
        (
            (NODE, replace(NEXT, state=PENDING, host_id=None, serves=False)),
            (GONE, H2),
            [("n2", Step.END), ("n1", Step.CARRY)],
        ),
        ((NODE, replace(NEXT, serves=False)), (LOST, H2), []),
        ((NODE, replace(NEXT, serves=False)), (H1, H2), [("n2", Step.END)]),
        ((NODE, NEXT), (DRAINED, H2), [("n1", Step.RETIRE)]),
        ((NODE, NEXT), (H1, H2), [("n1", Step.RETIRE)]),
        ((LISTED, YOUNG), (DRAINED, H2), []),  # it has found no healthy target yet, and names lead to the other
        ((LISTED, replace(YOUNG, is_listed=True)), (DRAINED, H2), [("n1", Step.RETIRE)]),
        ((LISTED, replace(YOUNG, attached_at=NOW - 120.0)), (DRAINED, H2), [("n1", Step.RETIRE)]),
        ((NODE, YOUNG), (DRAINED, H2), [("n1", Step.RETIRE)]),  # none has a healthy target
        ((RETIRED, NEXT), (H1, H2), [("n1", Step.END)]),
        ((RETIRED, NEXT), (DRAINED, H2), [("n1", Step.END)]),
        ((replace(RETIRED, since=NOW - 119.0), NEXT), (DRAINED, H2), []),
        ((RETIRED, NEXT), (LOST, H2), []),  # it may answer still: its address is held
        ((RETIRED, NEXT), (GONE, H2), [("n1", Step.END)]),
        ((replace(NODE, state=LEAVING),), (LOST, H2), []),
    ],
)
def test_what_becomes_of_a_node(nodes: tuple[Node, ...], hosts: tuple[HostSeen, ...], steps: object) -> None:
    assert planned(nodes, *hosts) == steps


def test_a_host_of_another_zone_is_none() -> None:
    other = HostSeen(place=HostPlace(host_id="h9", zone="b"), for_s=1000.0)
    assert planned((NODE,), LOST, other) == []
    anywhere = HostSeen(place=HostPlace(host_id="h9"), for_s=1000.0)
    assert planned((NODE,), LOST, anywhere) == [("n1", Step.SUCCEED)]


def test_a_zone_is_hopeless_without_a_host_that_may_come_back() -> None:
    hopeless = [MovePlanner(hosts, NOW, PATIENCE).is_hopeless("a") for hosts in ([], [GONE], [LOST], [GONE, H2])]
    assert hopeless == [True, True, False, False]


def test_a_node_rather_keeps_off_the_hosts_of_the_others() -> None:
    other = replace(NODE, place="n5", subnet_id="subnet-b", host_id="h3")
    new = replace(NEXT, place="n6", state=PENDING, host_id=None)
    assert hosts_beside((NODE, other, replace(other, state=LEAVING, host_id="h4"), new), new) == ("h1", "h3")


# -- walks


class Machine(Struct):
    """`runs`: nodes whose addresses it answers at; it keeps them over a reboot, as agents keep plans."""

    runs: set[str]
    alive: bool = True
    linked: bool = True
    draining: bool = False
    given_up: bool = False
    since: float = 0.0
    linked_at: float = 0.0

    @property
    def connected(self) -> bool:
        return self.alive and self.linked


class Walk:
    """One load balancer with three lines, one of them bound, on some hosts; each turn is a second or some."""

    def __init__(self, seed: int, hosts: int) -> None:
        self.random = Random(seed)
        self.now = 1.0
        self.names = count(1)
        self.hosts = {f"h{n}": Machine(set()) for n in range(hosts)}
        self.shelf = Shelf("1")
        nodes = []
        for n in range(3):
            name = f"subnet-{n}"
            subnet = Subnet(account="1", name=name, vpc_id="vpc-1", zone="a", zone_id="z", cidr="10.0.0.0/24")
            self.shelf.apply((subnet,), ())
            nodes.append(balancer_nodes.new_node(subnet, self.bits, private_ip="10.0.0.9" if n == 0 else None))
        self.put(
            LoadBalancer(
                account="1",
                name="arn",
                label="web",
                number="1",
                lb_type="network",
                scheme="internal",
                vpc_id="vpc-1",
                created_at=0.0,
                dns_name="web",
                nodes=tuple(nodes),
            )
        )

    def bits(self, _: int) -> int:
        return next(self.names)

    def put(self, *records: Kept) -> None:
        self.shelf.apply(records, ())

    def take(self, change: Change[None]) -> None:
        self.shelf.apply(change.put, change.drop)

    @property
    def balancer(self) -> LoadBalancer:
        [one] = self.shelf.all(LoadBalancer)
        return one

    def seen(self) -> list[HostSeen]:
        return [
            HostSeen(
                place=HostPlace(
                    host_id=name,
                    is_connected=one.connected,
                    is_draining=one.draining or one.given_up,
                    is_given_up=one.given_up,
                ),
                for_s=self.now - one.since,
            )
            for name, one in self.hosts.items()
        ]

    def shake(self) -> None:
        one = self.hosts[self.random.choice(sorted(self.hosts))]
        was = one.connected
        match self.random.randrange(8):
            case 0:
                one.alive = False
            case 1:
                one.linked = False
            case 2 | 3:
                one.alive = one.linked = True
            case 4:
                one.draining = True
            case 5:
                one.draining = one.given_up = False
            case 6 if not one.alive:
                one.given_up = True
                one.runs.clear()  # gone for good: what comes by this name is another machine, or empty
        if one.connected != was:
            one.since = self.now
        if one.connected and one.given_up:
            one.given_up, one.draining = False, True

    def tell(self, *, lazily: bool) -> None:
        """A connected host runs what it is told; it may take as long as is waited for."""
        for name, one in self.hosts.items():
            told = {node.place for node in balancer_nodes.there(self.balancer) if node.host_id == name}
            is_due = self.now - one.linked_at >= 3.0 or not lazily
            if not one.connected or one.runs == told:
                one.linked_at = self.now
            elif is_due or self.random.random() < 0.5:
                one.runs, one.linked_at = told, self.now

    def place(self, node: Node) -> str | None:
        beside = hosts_beside(self.balancer.nodes, node)
        free = [h for h, one in self.hosts.items() if one.connected and not one.draining]
        return min(free, key=lambda h: (h in beside, h), default=None)

    def look(self) -> None:
        moves = MovePlanner(self.seen(), self.now, PATIENCE).moves(self.balancer.nodes)
        self.take(balancer_nodes.moved(self.shelf, "arn", moves, self.now, self.bits))
        for move in moves:
            if move.step is Step.CARRY:
                self.carry(move)
        for node in self.balancer.nodes:
            if node.state == PENDING and (chosen := self.place(node)) is not None:
                answer = self.answer(node, chosen)
                self.take(balancer_nodes.placed(self.shelf, "arn", node.place, answer, self.now))
            elif node.state == LEAVING:
                self.take(balancer_nodes.released(self.shelf, "arn", node.place))

    def carry(self, move: Move) -> None:
        [node] = [one for one in self.balancer.nodes if one.place == move.place]
        chosen = self.place(node)
        assert chosen is not None and chosen != node.host_id
        self.take(balancer_nodes.carried(self.shelf, "arn", node.place, self.answer(node, chosen)))

    def answer(self, node: Node, chosen: str) -> Reservation:
        eni = Eni(
            eni_id=f"eni-{node.place}",
            attachment_id="",
            mac="",
            vpc_id="vpc-1",
            subnet_id=node.subnet_id,
            subnet_cidr="10.0.0.0/24",
            private_ipv4="10.0.0.1",
        )
        return Reservation(capacity_id="", task_id=node.place, zone="a", host_id=chosen, eni=eni)

    def report(self) -> None:
        there = {node.place: node.host_id or "" for node in balancer_nodes.there(self.balancer)}
        serving = {place for place, name in there.items() if self.hosts[name].connected and place in self.runs(name)}
        self.take(balancer_nodes.seen(self.shelf, "arn", serving, frozenset(), serving))

    def runs(self, name: str) -> set[str]:
        return self.hosts[name].runs if self.hosts[name].alive else set()

    def check(self) -> None:
        answered = [place for name in self.hosts for place in self.runs(name)]
        assert len(answered) == len(set(answered)), "two hosts answer at one address"
        assert {node.line for node in self.balancer.nodes} >= {f"elbnode-{n:017x}" for n in (1, 2, 3)}
        for node in balancer_nodes.led_to(self.balancer):
            assert node.state == AVAILABLE

    def turn(self, *, lazily: bool = True) -> None:
        self.now += self.random.choice((0.5, 1.0, 4.0, 30.0)) if lazily else 10.0
        self.tell(lazily=lazily)
        self.check()
        self.report()
        self.look()
        self.check()


@given(seed=st.integers(0, 10_000), hosts=st.integers(2, 5))
def test_no_two_hosts_ever_answer_at_one_address_and_all_lines_serve_in_the_end(seed: int, hosts: int) -> None:
    walk = Walk(seed, hosts)
    for _ in range(60):
        if walk.random.random() < 0.4:
            walk.shake()
        walk.turn()
    for one in walk.hosts.values():
        one.since = one.since if one.connected else walk.now
        one.alive = one.linked = True
        one.draining = one.given_up = False
    for _ in range(40):
        walk.turn(lazily=False)
    assert sorted((node.line, node.state, node.serves) for node in walk.balancer.nodes) == [
        (line, AVAILABLE, True) for line in sorted({node.line for node in walk.balancer.nodes})
    ]
    assert (len(walk.balancer.nodes), walk.balancer.state) == (3, "active")


@given(seed=st.integers(0, 10_000), hosts=st.integers(3, 5))
def test_lines_that_are_not_bound_never_stop_serving_while_a_host_is_drained(seed: int, hosts: int) -> None:
    walk = Walk(seed, hosts)
    for _ in range(5):
        walk.turn(lazily=False)
    walk.hosts["h0"].draining = True
    for _ in range(40):
        walk.turn()
        served = {
            node.line for node in walk.balancer.nodes if node.serves and node.place in walk.runs(node.host_id or "")
        }
        assert len(served & {f"elbnode-{n:017x}" for n in (2, 3)}) == 2
    for _ in range(20):
        walk.turn(lazily=False)
    assert walk.hosts["h0"].runs == set() and len(walk.balancer.nodes) == 3
