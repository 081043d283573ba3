"""Real packets: where route tables, NAT gateways and network ACLs let them go, as AWS documents it.

One network for all tests; each has a VPC of its own, with the same addresses as all others.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.interfaces.hostnet import HostError, TaskNetwork
from neargate.model.network import (
    AclRule,
    NetworkAcl,
    PlannedNat,
    PlannedPeering,
    PlannedSubnet,
    SecurityGroup,
    VpcPlan,
)
from neargate.testing.internet import Internet
from neargate.testing.netlab import (
    NetLab,
    connect,
    echo,
    eni,
    listener_in,
    pings,
    reaches,
    rule,
    seen_source,
    socket_in,
)
from neargate.testing.plans import OPEN_ACL, table

pytestmark = pytest.mark.root
EVERYWHERE = "0.0.0.0/0"
OUTSIDE, ELSEWHERE = "203.0.113.7", "192.0.2.10"
UNCARRIED = "192.168.1.1"  # is there as well
OUT = (rule("-1", peer=EVERYWHERE), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
TO_INTERNET = (EVERYWHERE, "igw-1")
A, B, C = "subnet-0a", "subnet-0b", "subnet-0c"
CIDRS = {A: "172.31.0.0/20", B: "172.31.16.0/20", C: "172.31.32.0/20"}
NAT_PRIVATE = "172.31.0.9"
# What passes does so within a millisecond. On a machine so busy that it does not, a test sees too little, not a fault.
SILENT_AFTER_S = 0.15
Routes = tuple[tuple[str, str], ...]


class Lab:
    """`vpc` is another one in each test; addresses of the pool are not given twice."""

    def __init__(self, net: NetLab, internet: Internet) -> None:
        self.net = net
        self.outside = internet.netns_path
        self._numbers = count(1)
        self._tasks: list[str] = []

    def new_vpc(self) -> "Vpc":
        return Vpc(self, f"vpc-0{next(self._numbers):x}")

    def public(self) -> str:
        return self.net.public(next(self._numbers))

    async def attach(self, interface: Any) -> TaskNetwork:
        task = f"task{next(self._numbers)}"
        self._tasks.append(task)
        return await self.net.attach(task, interface)

    async def clean(self) -> None:
        while self._tasks:
            await self.net.network.detach_eni(self._tasks.pop())


class Vpc:
    """172.31.0.0/16 with subnets A, B and C, each with a route table of the same name."""

    def __init__(self, lab: Lab, vpc_id: str) -> None:
        self.lab = lab
        self.vpc_id = vpc_id
        self.plan = VpcPlan(
            vpc_id=vpc_id,
            generation=0,
            cidrs=("172.31.0.0/16", "2001:db8::/56"),
            groups=(OPEN,),
            subnets=tuple(
                PlannedSubnet(
                    subnet_id=name,
                    cidr=cidr,
                    ipv6_cidr=f"2001:db8:0:{number}::/64",
                    route_table=f"rtb-{name}",
                    acl=OPEN_ACL.acl_id,
                )
                for number, (name, cidr) in enumerate(CIDRS.items())
            ),
            acls=(OPEN_ACL,),
        )
        self.routes: dict[str, Routes] = dict.fromkeys(CIDRS, ())

    async def apply(self, routes: Mapping[str, Routes] | None = None, **changes: Any) -> None:
        """The plan with these routes of tables, and the others as they were."""
        self.routes |= dict(routes or {})
        tables = tuple(table(f"rtb-{name}", *of, local=self.plan.cidrs) for name, of in self.routes.items())
        self.plan = replace(self.plan, generation=self.plan.generation + 1, tables=tables, **changes)
        await self.lab.net.network.apply_vpc(self.plan)

    def move(self, cidr: str, ipv6_cidr: str) -> None:
        """To other networks, for VPCs that are to be peered. Before the first plan."""
        old, new = "172.31.", f"{cidr.rsplit('.', 2)[0]}."
        six = ipv6_cidr.split("::", maxsplit=1)[0]
        subnets = tuple(
            replace(subnet, cidr=subnet.cidr.replace(old, new), ipv6_cidr=f"{six}:{number}::/64")
            for number, subnet in enumerate(self.plan.subnets)
        )
        self.plan = replace(self.plan, cidrs=(cidr, ipv6_cidr), subnets=subnets)

    async def task(
        self,
        name: str,
        number: int,
        *,
        public: str | None = None,
        ipv6: bool = False,
        group: str = OPEN.group_id,
        of: tuple[PlannedSubnet, ...] | None = None,
    ) -> TaskNetwork:
        """With the subnet's address NUMBER. `of`: subnets, where the plan has not all of them."""
        subnet = next(each for each in of or self.plan.subnets if each.subnet_id == name)
        six = f"{str(subnet.ipv6_cidr).removesuffix('/64')}{number:x}" if ipv6 else None
        made = replace(
            eni(number, group, vpc=self.vpc_id, public=public),
            eni_id=f"eni-{self.vpc_id}{name}{number}",
            subnet_id=name,
            subnet_cidr=subnet.cidr,
            private_ipv4=f"{subnet.cidr.rsplit('.', 1)[0]}.{number}",
            ipv6=six,
        )
        return await self.lab.attach(made)

    def with_acl(self, subnet: str, *rules: AclRule) -> dict[str, Any]:
        """Changes that give a subnet an ACL of these rules alone."""
        own = NetworkAcl(acl_id=f"acl-{subnet}", rules=rules)
        subnets = tuple(replace(s, acl=own.acl_id) if s.subnet_id == subnet else s for s in self.plan.subnets)
        return {"acls": (*(acl for acl in self.plan.acls if acl.acl_id != own.acl_id), own), "subnets": subnets}


Run = Callable[[Callable[[Lab], Coroutine[Any, Any, None]]], None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    directory: Path = tmp_path_factory.mktemp("routes") / "run"
    with asyncio.Runner() as runner:
        net = runner.run(NetLab.open(directory))
        try:
            internet = Internet.beyond(net, OUTSIDE, ELSEWHERE, UNCARRIED)
            try:
                lab = Lab(net, internet)

                def play(scenario: Callable[[Lab], Coroutine[Any, Any, None]]) -> None:
                    async def whole() -> None:
                        try:
                            await scenario(lab)
                        finally:
                            await lab.clean()

                    runner.run(whole())

                yield play
            finally:
                internet.close()
        finally:
            runner.run(net.close())


def test_an_internet_gateway_is_for_who_has_a_public_address_and_a_route(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply({A: (TO_INTERNET,)})
        address, hidden_address = lab.public(), lab.public()
        shown, private = await vpc.task(A, 11, public=address), await vpc.task(A, 12)
        unrouted = await vpc.task(B, 11, public=hidden_address)
        with (
            listener_in(lab.outside, "0.0.0.0", 80) as server,
            listener_in(shown.netns_path, "0.0.0.0", 80) as web,
            listener_in(unrouted.netns_path, "0.0.0.0", 80),
        ):
            assert await seen_source(shown.netns_path, OUTSIDE, 80, server) == address
            assert await seen_source(lab.outside, address, 80, web) == OUTSIDE
            results = await asyncio.gather(
                is_cut_off(private.netns_path, OUTSIDE, 80),
                is_cut_off(unrouted.netns_path, OUTSIDE, 80),
                is_cut_off(lab.outside, hidden_address, 80),
                # What the internet does not carry.
                is_cut_off(shown.netns_path, UNCARRIED, 80),
            )
            assert all(results)
            # Inside the VPC all reach each other, by local routes.
            assert await reaches(unrouted.netns_path, "172.31.0.11", 80)
            assert await reaches(private.netns_path, "172.31.16.11", 80)
            # Between public addresses: out and in again, where both have the route.
            assert await is_cut_off(shown.netns_path, hidden_address, 80)
            await vpc.apply({B: (TO_INTERNET,)})
            assert await reaches(shown.netns_path, hidden_address, 80)
            assert await reaches(lab.outside, hidden_address, 80)

    run(scenario)


def test_its_own_groups_are_asked_of_what_a_task_sends_to_its_own_public_address(run: Run) -> None:
    """Also where both ends have the same port, so that what comes in again is the answer to itself."""
    only = SecurityGroup(group_id="sg-0one", ingress=(rule("udp", 5000, 5000, peer=EVERYWHERE),), egress=OUT)

    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply({A: (TO_INTERNET,)}, groups=(only,))
        address = lab.public()
        task = await vpc.task(A, 11, public=address, group=only.group_id)
        loop = asyncio.get_running_loop()
        with (
            socket_in(task.netns_path, kind=socket.SOCK_DGRAM) as client,
            socket_in(task.netns_path, kind=socket.SOCK_DGRAM) as shut,
            socket_in(task.netns_path, kind=socket.SOCK_DGRAM) as opened,
        ):
            shut.bind(("0.0.0.0", 5001))
            opened.bind(("0.0.0.0", 5000))
            for sender, port in ((shut, 5001), (client, 5001), (opened, 5000), (client, 5000)):
                sender.sendto(b"%d" % port, (address, port))
            came = [await asyncio.wait_for(loop.sock_recvfrom(opened, 100), 10) for _ in range(2)]
            assert came == [(b"5000", (address, 5000)), (b"5000", (address, client.getsockname()[1]))]
            # Sent before those, by the same way.
            with pytest.raises(BlockingIOError):
                shut.recv(100)
            opened.sendto(b"answer", came[1][1])
            assert await asyncio.wait_for(loop.sock_recvfrom(client, 100), 10) == (b"answer", (address, 5000))

    run(scenario)


def test_the_longest_prefix_decides_in_both_directions(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply({A: (TO_INTERNET, ("192.0.2.0/24", "blackhole"))})
        address = lab.public()
        task = await vpc.task(A, 11, public=address)
        with (
            listener_in(lab.outside, OUTSIDE, 80),
            listener_in(lab.outside, ELSEWHERE, 80),
            listener_in(task.netns_path, "0.0.0.0", 80),
        ):
            assert await reaches(task.netns_path, OUTSIDE, 80)
            assert await is_cut_off(task.netns_path, ELSEWHERE, 80)
            # Who would get no answer does not get in.
            assert await _from(lab.outside, OUTSIDE, address, 80)
            assert not await _from(lab.outside, ELSEWHERE, address, 80)
            await vpc.apply({A: (TO_INTERNET, ("192.0.2.0/24", "blackhole"), ("192.0.2.8/29", "igw-1"))})
            assert await reaches(task.netns_path, ELSEWHERE, 80)
            assert await _from(lab.outside, ELSEWHERE, address, 80)

    run(scenario)


def test_a_route_that_goes_ends_what_is_under_way_and_a_new_one_lets_it_go_on(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply({A: (TO_INTERNET,)})
        task = await vpc.task(A, 11, public=lab.public())
        with (
            socket_in(lab.outside, kind=socket.SOCK_DGRAM) as server,
            socket_in(task.netns_path, kind=socket.SOCK_DGRAM) as client,
        ):
            server.bind((OUTSIDE, 5000))
            client.connect((OUTSIDE, 5000))
            await _answered(client, server, b"first")
            await vpc.apply({A: ()})
            client.send(b"lost")
            await vpc.apply({A: (TO_INTERNET,)})
            # In order: had the lost one passed, it would come first.
            await _answered(client, server, b"second")

    run(scenario)


def test_an_interface_of_an_unknown_subnet_gets_no_packet_through(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply({A: (TO_INTERNET,)})
        known = vpc.plan.subnets
        await vpc.apply(subnets=known[:1])
        a, b = await vpc.task(A, 11), await vpc.task(B, 11, of=known)
        with listener_in(a.netns_path, "0.0.0.0", 80), listener_in(b.netns_path, "0.0.0.0", 80):
            assert await is_cut_off(b.netns_path, "172.31.0.11", 80)
            assert await is_cut_off(a.netns_path, "172.31.16.11", 80)
            await vpc.apply(subnets=known)
            assert await reaches(b.netns_path, "172.31.0.11", 80)
            assert await reaches(a.netns_path, "172.31.16.11", 80)

    run(scenario)


def test_a_nat_gateway_takes_private_tasks_out_and_nobody_in(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        elastic = lab.public()
        nat = PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE, public_ipv4=elastic)
        await vpc.apply({A: (TO_INTERNET,), B: ((EVERYWHERE, "nat-1"),)}, nats=(nat,))
        shown = lab.public()
        task, public = await vpc.task(B, 11), await vpc.task(A, 11, public=shown)
        with (
            listener_in(lab.outside, OUTSIDE, 80) as server,
            listener_in(task.netns_path, "0.0.0.0", 80),
            listener_in(public.netns_path, "0.0.0.0", 80) as web,
        ):
            assert await seen_source(task.netns_path, OUTSIDE, 80, server) == elastic
            assert await pings(task.netns_path, OUTSIDE)
            # A low port is not kept: replies come to those that NAT gateways use.
            with socket_in(task.netns_path) as low:
                low.bind(("172.31.16.11", 99))
                await asyncio.get_running_loop().sock_connect(low, (OUTSIDE, 80))
                accepted, peer = await asyncio.get_running_loop().sock_accept(server)
                accepted.close()
                assert peer[0] == elastic
                assert peer[1] >= 1024
            # A task with a public address is seen by the gateway's, when its subnet's route says so; by public address
            # inside the region as well.
            assert await seen_source(task.netns_path, shown, 80, web) == elastic
            assert await seen_source(task.netns_path, "172.31.0.11", 80, web) == "172.31.16.11"
            results = await asyncio.gather(
                is_cut_off(lab.outside, elastic, 80),
                is_cut_off(public.netns_path, elastic, 80),
                is_cut_off(public.netns_path, NAT_PRIVATE, 80),
                is_cut_off(task.netns_path, NAT_PRIVATE, 80),
            )
            assert all(results)
            await lab.net.restart()
            assert await seen_source(task.netns_path, OUTSIDE, 80, server) == elastic, "a new agent keeps it"
            # The gateway's own subnet has no way out.
            await vpc.apply({A: ()})
            assert await is_cut_off(task.netns_path, OUTSIDE, 80)
            await vpc.apply({A: (TO_INTERNET,)})
            assert await reaches(task.netns_path, OUTSIDE, 80)
            # It is gone.
            await vpc.apply(nats=())
            assert await is_cut_off(task.netns_path, OUTSIDE, 80)

    run(scenario)


def test_a_flow_of_one_nat_gateway_does_not_go_on_by_another(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        first, second = lab.public(), lab.public()
        nats = (
            PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE, public_ipv4=first),
            PlannedNat(nat_id="nat-2", subnet_id=A, private_ipv4="172.31.0.10", public_ipv4=second),
        )
        await vpc.apply({A: (TO_INTERNET,), B: ((EVERYWHERE, "nat-1"),)}, nats=nats)
        task = await vpc.task(B, 11)
        with (
            listener_in(lab.outside, OUTSIDE, 80) as server,
            socket_in(lab.outside, kind=socket.SOCK_DGRAM) as datagrams,
        ):
            datagrams.bind((OUTSIDE, 5000))
            client = await connect(task.netns_path, OUTSIDE, 80)
            assert client is not None
            accepted, _ = await asyncio.get_running_loop().sock_accept(server)
            with client, accepted, socket_in(task.netns_path, kind=socket.SOCK_DGRAM) as asking:
                asking.connect((OUTSIDE, 5000))
                assert await echo(client, accepted, b"by the first") == b"by the first"
                assert await _answered(asking, datagrams, b"one") == first
                await vpc.apply({B: ((EVERYWHERE, "nat-2"),)})
                with pytest.raises((TimeoutError, ConnectionError)):
                    await asyncio.wait_for(_echoed(client, accepted), SILENT_AFTER_S)
                assert await seen_source(task.netns_path, OUTSIDE, 80, server) == second
                # What has no connection to lose goes on at once, by the new one.
                assert await _answered(asking, datagrams, b"two") == second

    run(scenario)


async def _echoed(client: socket.socket, accepted: socket.socket) -> None:
    assert await echo(client, accepted, b"?") == b"?"


def test_an_elastic_address_that_moves_takes_no_flow_along(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc, other = lab.new_vpc(), lab.new_vpc()
        elastic = lab.public()
        nat = PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE, public_ipv4=elastic)
        routes = {A: (TO_INTERNET,), B: ((EVERYWHERE, "nat-1"),)}
        await vpc.apply(routes, nats=(nat,))
        await other.apply(routes)
        task, stranger = await vpc.task(B, 11), await other.task(B, 11)
        with listener_in(lab.outside, OUTSIDE, 80) as server:
            client = await connect(task.netns_path, OUTSIDE, 80)
            assert client is not None
            accepted, _ = await asyncio.get_running_loop().sock_accept(server)
            with client, accepted:
                # Whose news comes first does not matter.
                await other.apply(nats=(nat,))
                await vpc.apply(nats=())
                assert await seen_source(stranger.netns_path, OUTSIDE, 80, server) == elastic
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(_echoed(accepted, client), SILENT_AFTER_S)
        with pytest.raises(HostError, match="still belongs to a NAT gateway"):
            await vpc.task(A, 12, public=elastic)

    run(scenario)


def test_a_private_nat_gateway_and_one_whose_way_stays_inside(run: Run) -> None:
    """What goes through a gateway to somebody inside comes from its private address."""

    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        nat = PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE)
        await vpc.apply({A: (TO_INTERNET,), B: ((EVERYWHERE, "nat-1"), (CIDRS[C], "nat-1"))}, nats=(nat,))
        task, target = await vpc.task(B, 11), await vpc.task(C, 11)
        with listener_in(lab.outside, OUTSIDE, 80), listener_in(target.netns_path, "0.0.0.0", 80) as server:
            assert await seen_source(task.netns_path, "172.31.32.11", 80, server) == NAT_PRIVATE
            assert await is_cut_off(task.netns_path, OUTSIDE, 80)
            # The answer is routed by the target's own table, to the gateway.
            await vpc.apply({C: ((CIDRS[A], "blackhole"),)})
            assert await is_cut_off(task.netns_path, "172.31.32.11", 80)

    run(scenario)


def _line(number: int, protocol: str = "-1", first: int | None = None, last: int | None = None, **more: Any) -> AclRule:
    """`more`: cidr, is_egress, allow."""
    facts: dict[str, Any] = {"cidr": EVERYWHERE, "is_egress": False, "allow": True} | more
    return AclRule(number=number, protocol=protocol, from_port=first, to_port=last, **facts)


ALL_OUT = _line(100, is_egress=True)


def test_a_network_acl_knows_no_flows(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply()
        a, b, beside = await vpc.task(A, 11), await vpc.task(B, 11), await vpc.task(B, 12)
        with listener_in(a.netns_path, "0.0.0.0", 80) as server, listener_in(b.netns_path, "0.0.0.0", 80):
            client = await connect(b.netns_path, "172.31.0.11", 80)
            assert client is not None
            accepted, _ = await asyncio.get_running_loop().sock_accept(server)
            with client, accepted:
                # Answers to B come to ports that no line lets in: also of what is under way.
                await vpc.apply(**vpc.with_acl(B, _line(100, "6", 80, 80), ALL_OUT))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(_echoed(accepted, client), SILENT_AFTER_S)
            assert await is_cut_off(b.netns_path, "172.31.0.11", 80)
            assert await reaches(a.netns_path, "172.31.16.11", 80)
            assert not await pings(a.netns_path, "172.31.16.11")
            # Within the subnet nothing is asked.
            assert await pings(beside.netns_path, "172.31.16.11")
            await vpc.apply(**vpc.with_acl(B, _line(100, "6", 1024, 65535), ALL_OUT))
            assert await reaches(b.netns_path, "172.31.0.11", 80)
            assert await is_cut_off(a.netns_path, "172.31.16.11", 80)

    run(scenario)


def test_the_first_line_that_matches_decides(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply()
        a, b = await vpc.task(A, 11), await vpc.task(A, 12)
        c = await vpc.task(B, 11)
        denied = _line(90, "6", 80, 80, cidr="172.31.0.12/32", allow=False)
        await vpc.apply(**vpc.with_acl(B, denied, _line(100), ALL_OUT))
        with listener_in(c.netns_path, "0.0.0.0", 80), listener_in(c.netns_path, "0.0.0.0", 81):
            assert await reaches(a.netns_path, "172.31.16.11", 80)
            assert await is_cut_off(b.netns_path, "172.31.16.11", 80)
            assert await reaches(b.netns_path, "172.31.16.11", 81)
            # Outbound of the other subnet; and after a line that allows, no denial counts.
            await vpc.apply(**vpc.with_acl(B, _line(80), denied, ALL_OUT))
            assert await reaches(b.netns_path, "172.31.16.11", 80)
            no_81 = _line(90, "6", 81, 81, is_egress=True, allow=False)
            await vpc.apply(**vpc.with_acl(A, _line(100), no_81, ALL_OUT))
            assert await is_cut_off(b.netns_path, "172.31.16.11", 81)
            assert await reaches(b.netns_path, "172.31.16.11", 80)
            # ICMP by type; an ACL that is not there lets nothing pass, but metadata is asked of nobody.
            await vpc.apply(**vpc.with_acl(A, _line(100, "1", 0, -1), _line(100, "1", 8, -1, is_egress=True)))
            assert await pings(a.netns_path, "172.31.16.11")
            assert not await _pings_from(c, "172.31.0.11")
            await vpc.apply(acls=())
            assert not await pings(a.netns_path, "172.31.16.11")
            with await lab.net.network.listen(vpc.vpc_id, "169.254.170.2", 80) as metadata:
                assert await seen_source(a.netns_path, "169.254.170.2", 80, metadata) == "172.31.0.11"

    run(scenario)


async def _pings_from(task: TaskNetwork, address: str) -> bool:
    return await pings(task.netns_path, address)


def test_the_acl_of_a_nat_gateways_subnet_stands_between(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        elastic = lab.public()
        nat = PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE, public_ipv4=elastic)
        await vpc.apply({A: (TO_INTERNET,), B: ((EVERYWHERE, "nat-1"),)}, nats=(nat,))
        task, beside = await vpc.task(B, 11), await vpc.task(B, 12)
        from_task, answers = _line(100, "6", 80, 80, cidr="172.31.16.11/32"), _line(110, "6", 1024, 65535)
        to_web, to_tasks = (_line(100, "6", 80, 80, is_egress=True), _line(110, "6", 1024, is_egress=True))
        with listener_in(lab.outside, OUTSIDE, 80) as server, listener_in(lab.outside, ELSEWHERE, 80):
            await vpc.apply(**vpc.with_acl(A, from_task, answers, to_web, to_tasks))
            assert await seen_source(task.netns_path, OUTSIDE, 80, server) == elastic
            assert await is_cut_off(beside.netns_path, OUTSIDE, 80), "not let in to the gateway"
            for without in (
                (from_task, to_web, to_tasks),
                (from_task, answers, to_tasks),
                (from_task, answers, to_web),
            ):
                await vpc.apply(**vpc.with_acl(A, *without))
                assert await is_cut_off(task.netns_path, OUTSIDE, 80)
            # Answers by where they come from.
            partly = _line(110, "6", 1024, cidr="203.0.113.0/24")
            await vpc.apply(**vpc.with_acl(A, from_task, partly, to_web, to_tasks))
            assert await reaches(task.netns_path, OUTSIDE, 80)
            assert await is_cut_off(task.netns_path, ELSEWHERE, 80)

    run(scenario)


def test_the_acl_of_a_nat_gateways_subnet_sees_answers_by_a_public_address_from_there(run: Run) -> None:
    """Of somebody in the VPC whose public address was asked, too: what it says to the gateway's comes from outside."""

    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        elastic, shown = lab.public(), lab.public()
        nat = PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE, public_ipv4=elastic)
        await vpc.apply({A: (TO_INTERNET,), B: ((EVERYWHERE, "nat-1"),), C: (TO_INTERNET,)}, nats=(nat,))
        task, target = await vpc.task(B, 11), await vpc.task(C, 11, public=shown)
        with listener_in(target.netns_path, "0.0.0.0", 80) as server:
            for denied in (CIDRS[C], "172.31.32.11/32"):
                await vpc.apply(**vpc.with_acl(A, _line(1, cidr=denied, allow=False), _line(100), ALL_OUT))
                assert await seen_source(task.netns_path, shown, 80, server) == elastic
            await vpc.apply(**vpc.with_acl(A, _line(1, cidr=f"{shown}/32", allow=False), _line(100), ALL_OUT))
            assert await is_cut_off(task.netns_path, shown, 80)

    run(scenario)


def test_ipv6_goes_by_routes_as_ipv4_does(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply()
        a, b = await vpc.task(A, 11, ipv6=True), await vpc.task(B, 11, ipv6=True)
        beside = await vpc.task(B, 12, ipv6=True)
        with listener_in(b.netns_path, "::", 80):
            assert await reaches(a.netns_path, "2001:db8:0:1::b", 80)
            await vpc.apply({A: (("2001:db8:0:1::/64", "blackhole"),)})
            assert await is_cut_off(a.netns_path, "2001:db8:0:1::b", 80)
            await vpc.apply({A: (), B: (("2001:db8::/64", "blackhole"),)})
            assert await is_cut_off(a.netns_path, "2001:db8:0:1::b", 80), "no answer comes back"
            await vpc.apply({B: ()})
            assert await reaches(a.netns_path, "2001:db8:0:1::b", 80)
            # An ACL without a line for IPv6 lets none of it pass.
            await vpc.apply(**vpc.with_acl(B, _line(100), ALL_OUT))
            assert await is_cut_off(a.netns_path, "2001:db8:0:1::b", 80)
            assert await reaches(beside.netns_path, "2001:db8:0:1::b", 80)
            assert await reaches(a.netns_path, "172.31.16.11", 80)

    run(scenario)


def test_peers_reach_each_other_and_nobody_beyond(run: Run) -> None:
    """Two peers of one VPC have the same networks: the route says which of them is meant."""

    async def scenario(lab: Lab) -> None:
        left, middle, right = (lab.new_vpc() for _ in range(3))
        middle.move("10.5.0.0/16", "2001:db8:500::/56")
        to_left, to_right = f"pcx-{middle.vpc_id[4:]}a", f"pcx-{middle.vpc_id[4:]}b"
        back = {A: (("10.5.0.0/16", to_left), ("2001:db8:500::/56", to_left))}
        await left.apply(back, peerings=(_peering(to_left, middle),))
        await right.apply({A: (("10.5.0.0/16", to_right),)}, peerings=(_peering(to_right, middle),))
        await middle.apply()
        one, other = await left.task(A, 11, ipv6=True), await right.task(A, 11)
        a, b = await middle.task(A, 11, ipv6=True), await middle.task(B, 11)
        with (
            listener_in(one.netns_path, "::", 80) as on_left,
            listener_in(other.netns_path, "0.0.0.0", 80) as on_right,
            listener_in(a.netns_path, "::", 80) as in_middle,
        ):
            assert await is_cut_off(one.netns_path, "10.5.0.11", 80), "the other VPC knows nothing of it"
            routes = {A: (("172.31.0.0/16", to_left), ("2001:db8::/56", to_left)), B: (("172.31.0.0/16", to_right),)}
            both = (_peering(to_left, left), _peering(to_right, right))
            await middle.apply(routes, peerings=both)
            assert await seen_source(a.netns_path, "172.31.0.11", 80, on_left) == "::ffff:10.5.0.11"
            assert await seen_source(b.netns_path, "172.31.0.11", 80, on_right) == "10.5.16.11"
            assert await seen_source(one.netns_path, "10.5.0.11", 80, in_middle) == "::ffff:172.31.0.11"
            assert await seen_source(a.netns_path, "2001:db8::b", 80, on_left) == "2001:db8:500::b"
            # What comes over one peering is not answered over the other; nothing goes through to a third.
            assert await is_cut_off(other.netns_path, "10.5.0.11", 80)
            await left.apply({A: (*back[A], ("10.6.0.0/16", to_left))})
            assert await is_cut_off(one.netns_path, "10.6.0.11", 80)
            # Also after a new agent; and not after the peering, which one side alone may end.
            await lab.net.restart()
            assert await reaches(a.netns_path, "172.31.0.11", 80)
            assert await reaches(b.netns_path, "172.31.0.11", 80)
            await left.apply(peerings=())
            assert await is_cut_off(a.netns_path, "172.31.0.11", 80)
            assert await reaches(b.netns_path, "172.31.0.11", 80)

    run(scenario)


def test_a_nat_gateway_over_peering_is_seen_by_its_private_address(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        here, there = lab.new_vpc(), lab.new_vpc()
        there.move("10.5.0.0/16", "2001:db8:500::/56")
        peering_id = f"pcx-{here.vpc_id[4:]}"
        nat = PlannedNat(nat_id="nat-1", subnet_id=A, private_ipv4=NAT_PRIVATE)
        routes = {A: (("10.5.0.0/16", peering_id),), B: ((EVERYWHERE, "nat-1"),)}
        await here.apply(routes, nats=(nat,), peerings=(_peering(peering_id, there),))
        await there.apply({A: ((CIDRS[A], peering_id),)}, peerings=(_peering(peering_id, here),))
        task, server = await here.task(B, 11), await there.task(A, 11)
        with listener_in(server.netns_path, "0.0.0.0", 80) as web:
            assert await seen_source(task.netns_path, "10.5.0.11", 80, web) == NAT_PRIVATE
            assert await is_cut_off(server.netns_path, NAT_PRIVATE, 80)

    run(scenario)


def test_a_rule_may_name_a_group_of_a_peer(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        here, there, twin = (lab.new_vpc() for _ in range(3))
        here.move("10.5.0.0/16", "2001:db8:500::/56")
        one, other = f"pcx-{here.vpc_id[4:]}a", f"pcx-{here.vpc_id[4:]}b"
        named, named_there = f"sg-{here.vpc_id[4:]}a", f"sg-{here.vpc_id[4:]}b"
        guarded = SecurityGroup(group_id=named, ingress=(rule("tcp", 80, 80, peer=named_there),), egress=())
        picky = SecurityGroup(group_id=named_there, egress=(rule("tcp", 80, 80, peer=named),))
        for vpc, peering_id, groups in ((there, one, (OPEN, picky)), (twin, other, (OPEN,))):
            route = (("10.5.0.0/16", peering_id),)
            await vpc.apply({A: route}, peerings=(_peering(peering_id, here),), groups=groups)
        routes = {A: ((CIDRS[A], one),), B: ((CIDRS[A], other),)}
        both = (_peering(one, there), _peering(other, twin))
        await here.apply(routes, peerings=both, groups=(OPEN, guarded))
        server, beside = await here.task(A, 11, group=named), await here.task(A, 12)
        with listener_in(server.netns_path, "0.0.0.0", 80), listener_in(beside.netns_path, "0.0.0.0", 80):
            # Members that come after the rule, and one who is none.
            client, stranger = await there.task(A, 11, group=named_there), await there.task(A, 12)
            assert await reaches(client.netns_path, "10.5.0.11", 80)
            assert await is_cut_off(client.netns_path, "10.5.0.12", 80), "the target is in no group it may go to"
            assert await is_cut_off(stranger.netns_path, "10.5.0.11", 80)
            # The same address in another peer is no member's.
            await here.apply({A: routes[B]})
            lookalike = await twin.task(A, 11)
            assert await is_cut_off(lookalike.netns_path, "10.5.0.11", 80)
            assert await reaches(lookalike.netns_path, "10.5.0.12", 80)
            await here.apply(routes)
            assert await reaches(client.netns_path, "10.5.0.11", 80)
            await there.apply(groups=(OPEN,))
            assert await is_cut_off(client.netns_path, "10.5.0.11", 80)

    run(scenario)


def _peering(peering_id: str, other: Vpc) -> PlannedPeering:
    return PlannedPeering(peering_id=peering_id, peer_vpc=other.vpc_id)


def test_ipv6_leaves_by_gateways_and_an_egress_only_one_lets_nobody_in(run: Run) -> None:
    async def scenario(lab: Lab) -> None:
        here, there = lab.new_vpc(), lab.new_vpc()
        here.move("10.5.0.0/16", "2001:db8:500::/56")
        both = (("::/0", "igw-1"),)
        await here.apply({A: (("::/0", "eigw-1"),), B: both})
        await there.apply({A: both})
        private, public = await here.task(A, 11, ipv6=True), await here.task(B, 11, ipv6=True)
        server = await there.task(A, 11, ipv6=True)
        with (
            listener_in(private.netns_path, "::", 80),
            listener_in(public.netns_path, "::", 80),
            listener_in(server.netns_path, "::", 80) as web,
        ):
            assert await seen_source(private.netns_path, "2001:db8::b", 80, web) == "2001:db8:500::b"
            assert await seen_source(public.netns_path, "2001:db8::b", 80, web) == "2001:db8:500:1::b"
            assert await reaches(server.netns_path, "2001:db8:500:1::b", 80)
            assert await is_cut_off(server.netns_path, "2001:db8:500::b", 80)
            await there.apply({A: (("2001:db8:500:1::/64", "igw-1"),)})
            assert await is_cut_off(private.netns_path, "2001:db8::b", 80), "its answer has no way"
            await here.apply({B: ()})
            assert await is_cut_off(server.netns_path, "2001:db8:500:1::b", 80)
        twin = lab.new_vpc()
        await twin.apply()
        with pytest.raises(HostError, match="still belongs to task"):
            await twin.task(A, 11, ipv6=True)

    run(scenario)


def test_no_packet_meets_half_a_plan(run: Run) -> None:
    """Of plans that all let a flow pass, one takes another's place while it is under way: there is no time without.

    The kernel reads rules as they were when it began with a packet, and elements of maps as they are now: what is in
    the rules at that instant may be lost, more than one where the processor that writes them was taken away in between.
    Of plans that came in two parts it would be thousands.
    """

    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply({A: (TO_INTERNET,)})
        sender, receiver = await vpc.task(A, 11), await vpc.task(B, 11)
        sent, came = 0, set[int]()
        with (
            socket_in(sender.netns_path, kind=socket.SOCK_DGRAM) as client,
            socket_in(receiver.netns_path, kind=socket.SOCK_DGRAM) as server,
        ):
            server.bind(("0.0.0.0", 5000))
            client.connect(("172.31.16.11", 5000))

            async def change() -> None:
                plain = vpc.plan
                filtered = vpc.with_acl(B, _line(100, "17", 5000, 5000), ALL_OUT)
                for turn in range(10):
                    await vpc.apply({A: (("10.0.0.0/8", "blackhole"),)}, **filtered)
                    more = (("172.31.16.0/24", "local"), (f"10.{turn}.0.0/16", "igw-1"))
                    await vpc.apply({A: (TO_INTERNET, *more)}, acls=plain.acls, subnets=plain.subnets)

            async def hear(last: int) -> None:
                while last not in came:
                    came.add(int.from_bytes(await asyncio.get_running_loop().sock_recv(server, 4), "big"))

            changing = asyncio.create_task(change())
            while not changing.done():
                client.send(sent.to_bytes(4, "big"))
                sent += 1
                await asyncio.sleep(0)  # the plans' turn
                with suppress(BlockingIOError):
                    came.add(int.from_bytes(server.recv(4), "big"))
            await changing
            client.send(sent.to_bytes(4, "big"))
            await asyncio.wait_for(hear(sent), 10)
        lost = set(range(sent)) - came
        assert len(lost) <= 40, "two for each plan"

    run(scenario)


async def is_cut_off(netns_path: str, address: str, port: int) -> bool:
    client = await connect(netns_path, address, port, SILENT_AFTER_S)
    if client is not None:
        client.close()
    return client is None


async def _from(netns_path: str, source: str, address: str, port: int) -> bool:
    """Whether a connection from this address of the namespace comes about."""
    client = socket_in(netns_path)
    with client:
        client.bind((source, 0))
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(client, (address, port)), SILENT_AFTER_S)
        except (TimeoutError, OSError):
            return False
        return True


async def _answered(client: socket.socket, server: socket.socket, text: bytes) -> str:
    """A datagram there and back; the address that the server saw."""
    loop = asyncio.get_running_loop()
    client.send(text)
    data, peer = await asyncio.wait_for(loop.sock_recvfrom(server, 100), 10)
    assert data == text
    await loop.sock_sendto(server, text, peer)
    assert await asyncio.wait_for(loop.sock_recv(client, 100), 10) == text
    return str(peer[0])
