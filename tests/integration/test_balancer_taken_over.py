"""A node's proxy that somebody else commands: what it can do to the host and to other nodes. Its user is all it has."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neargate.testing.balancer_lab import ENI, BalancerLab

from .balancer_rig import Rig
from .test_balancers import Scenario, run

pytestmark = pytest.mark.root
__all__ = ["run"]
_TREE = "i=0; while [ $i -lt 1500 ] && mkdir d && cd d; do i=$((i + 1)); done; exec head -c 200M /dev/zero > fill"


@pytest.fixture
def lab() -> Iterator[BalancerLab]:
    made = BalancerLab(targets=1)
    try:
        yield made
    finally:
        made.close()


def as_proxy(lab: BalancerLab) -> list[str]:
    user = os.stat(f"{lab.proxies.directory(ENI)}/sockets")
    return ["setpriv", f"--reuid={user.st_uid}", f"--regid={user.st_gid}", "--clear-groups"]


def test_what_it_makes_in_its_directory_fills_nobody_elses_and_can_be_removed(lab: BalancerLab) -> None:
    files = {"haproxy.cfg": "global\n"}
    lab.proxies.write(ENI, files)
    home = Path(lab.proxies.directory(ENI))
    free = os.statvfs(home).f_bfree
    subprocess.run([*as_proxy(lab), "sh", "-c", _TREE], cwd=home / "sockets", check=False, capture_output=True)
    assert list((home / "sockets").iterdir()) != []
    assert free - os.statvfs(home).f_bfree < 256  # blocks of a page
    lab.proxies.write(ENI, files)
    lab.proxies.end(ENI)
    assert not home.exists()


def test_whatever_runs_as_a_node_s_user_ends_with_the_node(lab: BalancerLab) -> None:
    lab.proxies.write(ENI, {"haproxy.cfg": "global\n"})
    hidden = subprocess.Popen([*as_proxy(lab), "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        assert hidden.stdout is not None and hidden.stdout.readline() == b"\n"
        lab.proxies.end(ENI)
        assert hidden.wait(timeout=10) == -9
    finally:
        hidden.kill()
        hidden.communicate()


def bounds_of(pid: int) -> dict[str, str]:
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[0] for line in limits}


def test_it_has_bounds_of_processes_and_of_its_log(run: Callable[[Scenario], None]) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.apply()
        found = [bounds_of(pid) for pid in [*rig.lab.masters(), *rig.lab.workers()]]
        assert [one["Max file size"] for one in found] == [str(2 << 20)] * 2
        assert found[1]["Max processes"] == "0"  # of the worker, which reads what clients send

    run(scenario)
