"""Real packets from a task to "the internet" through `--uplink user`: pasta, which changes nothing of the host."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.hostnet import netlink
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.uplink.edge import TAP_QUEUE
from neargate.hostnet.uplink.nat import NatUplink
from neargate.hostnet.uplink.pasta import program
from neargate.testing.netlab import connect, entered, listener_in

from .uplink_lab import GATEWAY, HOST_ADDRESS, KNOBS, SERVER, WITHIN_S, UplinkLab, run, udp_in

pytestmark = [pytest.mark.root, pytest.mark.skipif(program() is None, reason="passt is not installed")]


def _tap(pid: int) -> str:
    """pasta's interface, as ip shows it."""
    held = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    with entered(f"/proc/{held}/ns/net"):
        return subprocess.run(["ip", "link", "show", "tap0"], capture_output=True, text=True, check=True).stdout


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_plain(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.state().works, lab.state()
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.footprint() == before
        status = _status(lab.state().pid)
        assert "\nUid:\t65534\t65534\t65534\t65534\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        assert "\nSeccomp:\t2\n" in status
        # What it may, it may in a namespace of its own.
        assert os.readlink(f"/proc/{lab.state().pid}/ns/user") != os.readlink("/proc/self/ns/user")
        assert f"qlen {TAP_QUEUE}" in _tap(lab.state().pid)
        await lab.network.remove_all()
        assert lab.footprint() == before
        assert lab.processes() == []

    run(tmp_path, "user", scenario, forwards=False)


def test_a_pasta_that_is_killed_is_started_again(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        first = lab.state().pid
        os.kill(first, signal.SIGKILL)

        async def another_works() -> bool:
            return lab.state().works and lab.state().pid != first

        await lab.until(another_works, "pasta was not started again")
        assert await lab.gets_out() == HOST_ADDRESS
        assert len(lab.processes()) == 1

    run(tmp_path, "user", scenario)


def test_an_agent_that_comes_after_a_killed_one_takes_it_over(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        first = lab.state().pid
        await lab.restart()
        assert (lab.state().works, lab.state().pid) == (True, first)
        assert await lab.gets_out() == HOST_ADDRESS
        # One that knows nothing of any uplink, too.
        await lab.network.close()
        lab.network = lab.another_agent()
        await lab.network.remove_all()
        assert lab.processes() == []

    run(tmp_path, "user", scenario)


def test_killed_while_pasta_starts(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.knobs = replace(lab.knobs, uplink_ready_s=0.0)
        lab.network = lab.another_agent()
        await lab.network.start()
        await lab.network.close()

        async def was_started() -> bool:
            return lab.processes() != []

        await lab.until(was_started, "nothing was started")
        lab.knobs = KNOBS
        await lab.again("user")
        assert lab.state().works
        assert len(lab.processes()) == 1
        await lab.again("none")
        assert lab.processes() == []

    run(tmp_path, "user", scenario)


def test_without_a_way_out_of_the_host_it_is_tried_again(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        with entered(lab.host), Netlink() as links:
            links.run([netlink.route_gone("0.0.0.0/0")])
        lab.knobs = replace(lab.knobs, uplink_ready_s=0.0)
        lab.network = lab.another_agent()
        await lab.start()

        async def says_why() -> bool:
            return "No external routable interface" in lab.state().why

        await lab.until(says_why, "pasta's own words are not told")
        assert await lab.gets_out() == ""
        with entered(lab.host), Netlink() as links:
            links.run([netlink.route("0.0.0.0/0", links.existing("eth0").index, via=GATEWAY)])

        async def works() -> bool:
            return lab.state().works

        await lab.until(works, "it was given up")
        assert await lab.gets_out() == HOST_ADDRESS

    run(tmp_path, "user", scenario)


def test_datagrams_and_a_port_that_is_the_hosts(tmp_path: Path) -> None:
    """Answers come back; a task's own choice of a port is never a port of the host."""

    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        loop = asyncio.get_running_loop()
        with udp_in(lab.internet, SERVER, 5353) as server, udp_in(lab.task, "0.0.0.0", 4789) as client:
            await loop.sock_sendto(client, b"ask", (SERVER, 5353))
            said, peer = await asyncio.wait_for(loop.sock_recvfrom(server, 64), WITHIN_S)
            assert said == b"ask"
            assert 32768 <= peer[1] <= 60999
            udp_in(lab.host, "0.0.0.0", 4789).close()
            await loop.sock_sendto(server, b"told", peer)
            assert (await asyncio.wait_for(loop.sock_recvfrom(client, 64), WITHIN_S))[0] == b"told"

    run(tmp_path, "user", scenario)


def test_nothing_comes_in(tmp_path: Path) -> None:
    """No port of the host leads to a task, also not one that a task's datagram has left by."""

    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        loop = asyncio.get_running_loop()
        with listener_in(lab.task, "0.0.0.0", 8080), udp_in(lab.task, "0.0.0.0", 4789) as client:
            assert await connect(lab.internet, HOST_ADDRESS, 8080, 0.5) is None
            with udp_in(lab.internet, SERVER, 5353) as server, udp_in(lab.internet, GATEWAY, 5354) as stranger:
                await loop.sock_sendto(client, b"ask", (SERVER, 5353))
                _, peer = await asyncio.wait_for(loop.sock_recvfrom(server, 64), WITHIN_S)
                await loop.sock_sendto(stranger, b"stranger", peer)
                await loop.sock_sendto(server, b"server", peer)
                said = (await asyncio.wait_for(loop.sock_recvfrom(client, 64), WITHIN_S))[0]
                assert said == b"server"

    run(tmp_path, "user", scenario)


def test_what_nat_made_is_undone_before_also_at_a_second_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        remove, tries = NatUplink.remove, []

        def fails_at_first(self: NatUplink) -> None:
            tries.append(self)
            if len(tries) == 1:
                raise OSError("busy")
            remove(self)

        with monkeypatch.context() as patch:
            patch.setattr(NatUplink, "remove", fails_at_first)
            await lab.again("user")

            async def works() -> bool:
                return lab.state().works

            await lab.until(works, "it was not tried again")
        assert lab.footprint() == before
        assert await lab.gets_out() == HOST_ADDRESS
        await lab.again("nat")
        assert lab.processes() == []
        assert await lab.gets_out() == HOST_ADDRESS

    run(tmp_path, "nat", scenario, forwards=False)
