"""kill -9 of each process of a real region while real tasks run, start and stop: nothing lost, doubled or left."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .killing import STOPPED_BY_TERM, TOLD_TO_EXIT, Killing, killing_region
from .region import insist, wait_for


@pytest.fixture(scope="module")
def killing() -> Iterator[Killing]:
    with killing_region() as found:
        yield found


@pytest.fixture(autouse=True)
def leave_nothing(killing: Killing) -> Iterator[None]:
    """A test that failed must not fail the next ones."""
    yield
    killing.stop_everything()


@pytest.mark.parametrize("victim", ["agent", "containerd", "server", "up"])
def test_a_running_task_does_not_notice(killing: Killing, victim: str) -> None:
    """Its process goes on, its log goes on, and its exit is known afterwards."""
    stays, leaves = killing.count(), killing.count()
    for counter in (stays, leaves):
        killing.region.wait_status(counter.arn, "RUNNING")
    pid, counted = stays.pid(), stays.has_counted(0)
    leaving = leaves.pid()
    killing.kill(victim)
    os.kill(leaving, signal.SIGUSR1)
    if victim == "up":
        killing.region.up()
        assert "taken over, still running: server, containerd, images, agent" in _last_up(killing)
    task = leaves.stopped(TOLD_TO_EXIT)
    assert task["stopCode"] == "EssentialContainerExited"
    stays.has_counted(counted)
    assert stays.pid() == pid
    assert killing.region.task(stays.arn)["lastStatus"] == "RUNNING"
    killing.region.stop(stays.arn)
    assert stays.stopped(STOPPED_BY_TERM)["stopCode"] == "UserInitiated"
    killing.wait_clean()


def _last_up(killing: Killing) -> str:
    return killing.region.paths.log_file("up").read_text().rpartition("Neargate region")[2]


def test_calls_are_accepted_while_the_agent_is_away(killing: Killing) -> None:
    region = killing.region
    stopping = killing.count()
    region.wait_status(stopping.arn, "RUNNING")
    killing.kill("up")
    killing.kill("agent")
    region.stop(stopping.arn)
    started = killing.count()
    assert region.task(stopping.arn)["desiredStatus"] == "STOPPED"
    counted = stopping.pid()
    assert region.task(started.arn)["lastStatus"] in ("PROVISIONING", "PENDING")
    assert stopping.pid() == counted, "nobody was there who could have stopped it"
    region.up()
    stopping.stopped(STOPPED_BY_TERM)
    region.wait_status(started.arn, "RUNNING")
    region.stop(started.arn)
    started.stopped(STOPPED_BY_TERM)
    killing.wait_clean()


def test_what_the_killed_server_acknowledged_exists_once(killing: Killing) -> None:
    """RunTask and StopTask go on while the server dies under them. The caller repeats with the same token."""
    region = killing.region
    obeys = "trap 'exit 0' TERM; while :; do sleep 0.1; done"  # once it has come so far
    definition = region.register({"command": ["sh", "-c", obeys], "stopTimeout": 2})
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(region.run, definition, startedBy="kill-test") for _ in range(8)]
        wait_for("some answers", lambda: sum(call.done() for call in calls) >= 2)
        killing.kill("server")
        acknowledged = sorted(call.result() for call in calls)
        listed = insist(lambda: region.ecs.list_tasks(startedBy="kill-test"))["taskArns"]
        assert sorted(listed) == acknowledged
        stops = [callers.submit(region.stop, arn) for arn in acknowledged]
        wait_for("a stop", lambda: sum(stop.done() for stop in stops) >= 1)
        killing.kill("server")
        for stop in stops:
            stop.result()
    for arn in acknowledged:
        region.wait_status(arn, "STOPPED")
    killing.wait_clean()


POINTS = [
    ("accepted", "agent"),
    ("eni-attached", "agent"),
    ("disk-made", "agent"),
    ("container-created", "agent"),
    ("container-started", "agent"),
    ("exit-seen", "agent"),
    ("term-sent", "agent"),
    ("disk-deleted", "agent"),
    ("stopped-saved", "agent"),
    ("container-created", "containerd"),
    ("container-started", "containerd"),
    ("term-sent", "containerd"),
    ("containers-stopped", "containerd"),
    ("accepted", "server"),
    ("running-saved", "server"),
    ("exit-saved", "server"),
    ("stopped-saved", "server"),
]


@pytest.mark.parametrize(("point", "victim"), POINTS)
def test_killed_at_a_point_of_a_life(killing: Killing, point: str, victim: str) -> None:
    killing.arm((point, victim))
    killing.live_and_obey()
    killing.wait_clean()
    assert not killing.disarm(), f"{point} was not reached"


@pytest.mark.parametrize(
    ("point", "victim"), [("container-started", "agent"), ("exit-saved", "agent"), ("container-created", "containerd")]
)
def test_killed_while_containers_start_and_end_in_order(killing: Killing, point: str, victim: str) -> None:
    """Twice: the second time while the next agent takes over."""
    killing.arm((point, victim), (point, victim))
    killing.live_in_order()
    killing.wait_clean()
    assert not killing.disarm(), f"{point} was not reached twice"


def test_killed_between_sigterm_and_sigkill(killing: Killing) -> None:
    killing.arm(("term-sent", "agent"), ("kill-sent", "agent"))
    killing.live_and_resist()
    killing.wait_clean()
    assert not killing.disarm(), "SIGKILL was not sent"
