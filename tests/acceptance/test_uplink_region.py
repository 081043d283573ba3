"""`neargate up --uplink` as an operator uses it. Of the modes only those that change nothing of the machine."""

import re
from collections.abc import Iterator

import pytest

from neargate.cli import processes
from neargate.hostnet.uplink.pasta import program

from .conftest import end_region, start_region
from .region import LiveRegion, wait_for

PASTA = re.compile(r"uplink user(?: \(auto\))?: tasks with public addresses reach out through pasta \(pid (\d+)\)")


@pytest.fixture
def none() -> Iterator[LiveRegion]:
    live = start_region("--uplink", "none", "--auth", "open")
    try:
        yield live
    finally:
        end_region(live)


def _pasta(region: LiveRegion) -> int | None:
    found = PASTA.search(region.command("status").stdout)
    return int(found[1]) if found else None


@pytest.mark.skipif(program() is None, reason="passt is not installed")
def test_a_mode_is_kept_told_and_changed(none: LiveRegion) -> None:
    assert "uplink none: tasks reach nothing beyond this machine\n" in none.command("status").stdout
    joined = none.up("--uplink", "user", check=False)
    assert "for another --uplink: neargate down" in joined.stderr
    none.command("down")
    none.up("--uplink", "auto")
    pasta = wait_for("pasta", lambda: _pasta(none))
    works = f"ok      uplink user (auto): tasks with public addresses reach out through pasta (pid {pasta})"
    wait_for("pasta works", lambda: works in none.command("doctor", check=False).stdout or None)
    agent = processes.find(none.paths.pid_file("agent"))
    assert agent is not None
    processes.kill(agent)

    def another_agent() -> bool:
        found = processes.find(none.paths.pid_file("agent"))
        return found is not None and found != agent

    wait_for("another agent", another_agent)
    assert _pasta(none) == pasta
    none.command("down")
    assert processes.start_ticks(pasta) is None
    none.up()
    assert wait_for("pasta", lambda: _pasta(none)) != pasta, "the mode of the last time"


def test_a_mode_that_is_none_is_refused(none: LiveRegion) -> None:
    none.command("down")
    refused = none.up("--uplink", "bridge", check=False)
    assert refused.returncode == 1
    assert "--uplink 'bridge': choose auto or nat or user or none" in refused.stderr
