"""Real packets: a task that fills the table of flows begins no more, and the others of its VPC go on to connect."""

import socket
import time

import pytest

from neargate.hostnet.conntrack import Conntrack
from neargate.model.network import SecurityGroup
from neargate.testing.netlab import NetLab, connect, echo, eni, entered, is_cut_off, listener_in, plan, reaches, rule
from neargate.vpc.table import FLOWS_PER_S

from .own_network import Run

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
FLOODED, SMALL_TABLE = 3000, 4000


def _flood(netns_path: str, address: str, count: int) -> float:
    """Each datagram is a flow of its own. Seconds that it took."""
    with entered(netns_path):
        senders = [socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)]
        senders += [socket.socket(senders[0].family, socket.SOCK_DGRAM) for _ in range(count // 50_000)]
    begun = time.monotonic()
    for number in range(count):
        senders[number // 50_000].sendto(b"x", (address, 10_000 + number % 50_000))
    took = time.monotonic() - begun
    for sender in senders:
        sender.close()
    return took


def _router_flows(lab: NetLab) -> Conntrack:
    with entered(lab.router()):
        return Conntrack()


def test_the_kernel_is_asked_how_full_its_table_is(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a = await lab.attach("a", eni(1, "sg-0open", ipv6=True))
        await lab.attach("b", eni(2, "sg-0open", ipv6=True))
        flows = _router_flows(lab)
        empty, room = flows.fill()
        assert empty == 0 and room > 1000
        _flood(a.netns_path, "172.31.1.2", 300)
        _flood(a.netns_path, "2001:db8::2", 300)
        assert flows.fill() == (600, room) and flows.count() == 600
        for most, least in ((10_000, 600), (100, 100)):
            table = _router_flows(lab)
            some = table.sample(most)
            assert least <= len(some) <= 600 and {flow.source.version for flow in some} == {4, 6}
            table.close()
        await lab.network.relieve_flows()
        assert await reaches(a.netns_path, "172.31.1.2", 9) is False, "nothing listens"
        flows.close()

    run(scenario)


@pytest.mark.parametrize("address", ["172.31.1.2", "2001:db8::2"])
def test_one_that_floods_leaves_the_others_room(run: Run, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        wide = address != "172.31.1.2"
        a = await lab.attach("a", eni(1, "sg-0open", ipv6=wide))
        b = await lab.attach("b", eni(2, "sg-0open", ipv6=wide, public=lab.public(5)))
        c = await lab.attach("c", eni(3, "sg-0open", ipv6=wide))
        other = "2001:db8::3" if wide else "172.31.1.3"
        flows = _router_flows(lab)
        real = Conntrack.fill
        monkeypatch.setattr(Conntrack, "fill", lambda table: (real(table)[0], SMALL_TABLE))
        with listener_in(b.netns_path, "::", 80) as web, listener_in(c.netns_path, "::", 80):
            before = await connect(a.netns_path, address, 80)
            assert before is not None
            accepted, _ = web.accept()
            await lab.network.relieve_flows()
            assert await reaches(a.netns_path, other, 80), "there is room"
            _flood(a.netns_path, address, FLOODED)
            for _ in range(2):
                await lab.network.relieve_flows()
                assert await is_cut_off(a.netns_path, other, 80)
                assert await reaches(b.netns_path, other, 80)
                assert await reaches(c.netns_path, address, 80)
                assert await reaches(None, lab.public(5), 80), "also from outside"
                assert await echo(before, accepted, b"still here") == b"still here"
            # A change of groups or plans lets nobody back in; room does.
            await lab.network.apply_vpc(plan(2, OPEN))
            assert await is_cut_off(a.netns_path, other, 80)
            flows.cut("2001:db8::1" if wide else "172.31.1.1")
            await lab.network.relieve_flows()
            assert await reaches(a.netns_path, other, 80)
            before.close()
            accepted.close()
        flows.close()

    run(scenario)


def test_flows_that_others_bring_count_for_who_has_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a = await lab.attach("a", eni(1, "sg-0open", public=lab.public(5)))
        b = await lab.attach("b", eni(2, "sg-0open", public=lab.public(6)))
        real = Conntrack.fill
        monkeypatch.setattr(Conntrack, "fill", lambda table: (real(table)[0], SMALL_TABLE))
        with listener_in(a.netns_path, "0.0.0.0", 80), listener_in(b.netns_path, "0.0.0.0", 80):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with sender:
                for number in range(FLOODED):
                    sender.sendto(b"x", (lab.public(5), 10_000 + number))
            await lab.network.relieve_flows()
            assert await is_cut_off(None, lab.public(5), 80)
            assert await reaches(None, lab.public(6), 80)
            assert await is_cut_off(a.netns_path, "172.31.1.2", 80)
            assert await reaches(b.netns_path, "172.31.1.1", 80), "it is the sender's"

    run(scenario)


def test_nobody_fills_the_table_between_two_looks(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a, b = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", eni(2, "sg-0open"))
        await lab.attach("c", eni(3, "sg-0open"))
        took = _flood(a.netns_path, "172.31.1.2", 3 * FLOWS_PER_S)
        flows = _router_flows(lab)
        count, _ = flows.fill()
        flows.close()
        # On a machine so busy that this takes seconds all of them may: then it shows nothing, and is no fault.
        assert FLOWS_PER_S <= count <= FLOWS_PER_S * (1.1 + took)
        with listener_in(b.netns_path, "0.0.0.0", 80):
            assert await reaches(str(lab.directory / "netns" / "task-c"), "172.31.1.2", 80)

    run(scenario)
