"""`down --force`: the way out when no server can be asked. Tasks end as by StopTask; the server hears of it later."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neargate.agent.standing_order import StandingOrder
from neargate.cli import processes

from .conftest import end_region
from .region import LiveRegion, traces
from .test_up_down import WAIT, new_region, pids

pytestmark = pytest.mark.usefixtures("impatient")
REASON = "Stopped by the operator of the machine (neargate down --force)."


@pytest.fixture
def fresh() -> Iterator[LiveRegion]:
    region = new_region()
    try:
        region.up()
        region.push_images()
        yield region
    finally:
        end_region(region)


def running(region: LiveRegion) -> str:
    arn = region.run(region.register(WAIT))
    region.wait_status(arn, "RUNNING")
    return arn


def kill(region: LiveRegion, *names: str) -> None:
    """SIGKILL; `up` first, or it would start again what is killed next."""
    for path in [region.paths.up_lock, *(region.paths.pid_file(name) for name in names)]:
        found = processes.find(path)
        if found is not None:
            os.kill(found.pid, signal.SIGKILL)
            assert processes.wait_gone(found, 10)


@contextmanager
def damaged(directory: Path, pattern: str) -> Iterator[None]:
    """Files that nothing can be read from; whole again afterwards, as from a backup."""
    kept = {path: (path.read_bytes(), path.stat()) for path in directory.glob(pattern)}
    assert kept
    for path in kept:
        path.write_bytes(b"damaged" * 1000)
    try:
        yield
    finally:
        for path in directory.glob(pattern):
            path.unlink()
        for path, (content, facts) in kept.items():
            path.write_bytes(content)
            os.chown(path, facts.st_uid, facts.st_gid)


def told(region: LiveRegion, arn: str, exit_code: int | None) -> None:
    """After the server came back; and the region works."""
    region.up()
    task = region.wait_status(arn, "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", REASON)
    assert task["containers"][0].get("exitCode") == exit_code
    running(region)


def test_a_region_whose_server_cannot_start_is_taken_down(fresh: LiveRegion) -> None:
    arn = running(fresh)
    kill(fresh, "server")
    with damaged(fresh.paths.databases, "cell-0*"):
        gave_up = fresh.command("down", check=False)
        assert gave_up.returncode == 1 and "neargate down --force" in gave_up.stderr
        assert set(pids(fresh)) >= {"agent", "containerd"}, "absence of a server is never an order"
        said = fresh.command("down", "--force").stdout
    assert "stopping 1 task without the API" in said and "the region is down" in said
    assert traces(fresh.paths) == []
    told(fresh, arn, exit_code=3)


def test_an_agent_that_hangs_or_is_dead_is_no_obstacle(fresh: LiveRegion) -> None:
    arn = running(fresh)
    kill(fresh, "server", "containerd")
    hanging = pids(fresh)["agent"]
    os.kill(hanging, signal.SIGSTOP)
    said = fresh.command("down", "--force").stdout
    assert f"agent (pid {hanging}) does not answer" in said
    assert traces(fresh.paths) == []
    told(fresh, arn, exit_code=3)
    kill(fresh, "server", "agent", "containerd", "images")
    assert "stopping 1 task without the API" in fresh.command("down", "--force").stdout
    assert traces(fresh.paths) == []


def test_where_no_agent_can_live_tasks_are_killed_and_it_is_said(fresh: LiveRegion) -> None:
    arn = running(fresh)
    kill(fresh, "server", "agent")
    with damaged(fresh.paths.agent, "agent.db*"):
        said = fresh.command("down", "--force").stdout
        assert "killed instead" in said and "the region is down" in said
        assert traces(fresh.paths) == []
    told(fresh, arn, exit_code=None)


def test_the_order_outlives_the_command_that_gave_it(fresh: LiveRegion) -> None:
    """Killed right after it had written the order down: the next agent obeys, whoever starts it."""
    arn = running(fresh)
    kill(fresh, "server", "agent")
    StandingOrder(fresh.paths.agent).give(REASON)
    told(fresh, arn, exit_code=3)


def test_where_not_even_the_engine_can_live_nothing_is_left_either(fresh: LiveRegion) -> None:
    arn = running(fresh)
    kill(fresh, "server", "agent", "containerd")
    with damaged(fresh.paths.containerd, "**/io.containerd.metadata.v1.bolt/meta.db"):
        said = fresh.command("down", "--force").stdout
        assert "containers are ended without it" in said and "the region is down" in said
        assert traces(fresh.paths) == []
    told(fresh, arn, exit_code=None)
