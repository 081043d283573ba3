"""Neighbours that remember an address elsewhere find it here as soon as it comes. Host and neighbour are namespaces."""

import re
import subprocess
from pathlib import Path

import pytest

from neargate.hostnet.namespaces import write_sysctl
from neargate.hostnet.uplink.herald import Herald
from neargate.testing.netlab import eni, entered, listener_in, reaches
from neargate.uplink.heralds import HERALDED_MAX

from .test_uplink_announced import OTHER, PUBLIC, Lan
from .test_uplink_pools6 import POOL_ANNOUNCED, TASK6, Lan6, pooled6, six
from .uplink_lab import UplinkLab, run

pytestmark = pytest.mark.root

ELSEWHERE, HERE = "0a:00:00:00:aa:aa", "0a:00:00:00:fe:01"  # another machine's; lan0's


def inside(path: str, line: str) -> str:
    with entered(path):
        return subprocess.run(line.split(), capture_output=True, text=True, check=True).stdout


def remember_elsewhere(lab: UplinkLab, address: str) -> None:
    """As of a machine that had it a moment ago: nobody is asked for a while."""
    inside(lab.second, f"ip neigh replace {address} lladdr {ELSEWHERE} dev eth0 nud reachable")


async def is_found_here(lab: UplinkLab, address: str) -> None:
    async def known() -> bool:
        return HERE in inside(lab.second, f"ip neigh show {address}")

    await lab.until(known, f"{address} is remembered elsewhere")


def test_an_address_that_was_elsewhere_is_found_at_once(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        remember_elsewhere(lab, PUBLIC)
        task = await lan.begin()
        await is_found_here(lab, PUBLIC)
        with listener_in(task, "0.0.0.0", 80):
            assert await reaches(lan.neighbour, PUBLIC, 80)
        # It went to another machine while this agent did not run, and is back.
        await lab.network.close()
        remember_elsewhere(lab, PUBLIC)
        lab.network = lab.another_agent()
        await lab.network.start()
        await is_found_here(lab, PUBLIC)
        # One that left and comes again is told of again, others are not.
        await lab.attach("b", eni(2, "sg-0open", public=OTHER))
        await lan.is_announced(PUBLIC, OTHER)
        await lab.network.detach_eni("b")
        await lan.is_announced(PUBLIC)
        remember_elsewhere(lab, OTHER)
        await lab.attach("b", eni(2, "sg-0open", public=OTHER))
        await is_found_here(lab, OTHER)

    run(tmp_path, "nat", scenario)


def test_an_address_of_ipv6_that_was_elsewhere_is_found_at_once(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab)
        remember_elsewhere(lab, TASK6)
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_ANNOUNCED))
        task = (await lab.attach("a", six(1, "sg-0six", TASK6))).netns_path
        await is_found_here(lab, TASK6)
        with listener_in(task, "::", 80):
            assert await reaches(lan.neighbour, TASK6, 80)

    run(tmp_path, "nat", scenario)


def test_the_number_of_frames_is_bounded_and_a_link_that_is_down_is_tried_again(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        Lan(lab)
        herald, wanted = Herald(), {("lan0", f"192.168.77.{number}") for number in range(100, 200)}
        with entered(lab.host):
            write_sysctl("ipv6/conf/lan0/disable_ipv6", "1")  # nothing but ours leaves by it
            lab.command("ip link set lan0 down")
            (said,) = herald.tell(wanted)
            assert said == "lan0: neighbours are not told of addresses that came here: Network is down"
            assert "gone0: " in herald.tell({("gone0", PUBLIC)})[0]
            lab.command("ip link set lan0 up")
            counts = []
            for _ in range(5):
                before = sent(lab)
                assert herald.tell(wanted) == ()
                counts.append(sent(lab) - before)
        assert counts == [HERALDED_MAX, HERALDED_MAX, HERALDED_MAX, 200 - 3 * HERALDED_MAX, 0]

    run(tmp_path, "none", scenario)


def sent(lab: UplinkLab) -> int:
    """Packets that left by lan0. Must be called in the host's namespace of the lab."""
    found = re.search(r"TX:.*\n\s*\d+\s+(\d+)", inside(lab.host, "ip -s link show lan0"))
    assert found is not None
    return int(found[1])
