"""kill -9 around a task whose containers share their processes: the process that holds them is kept, then removed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .killing import STOPPED_BY_TERM, Killing, killing_region
from .region import wait_for

OBEYS = "trap 'exit 7' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def killing() -> Iterator[Killing]:
    with killing_region() as found:
        yield found


@pytest.fixture(autouse=True)
def leave_nothing(killing: Killing) -> Iterator[None]:
    yield
    killing.stop_everything()


def start(killing: Killing) -> str:
    logs = {"logConfiguration": killing.region.log_config("/test/output")}
    first = {"command": ["sh", "-c", OBEYS], "stopTimeout": 20, **logs}
    other = {"command": ["sh", "-c", "sleep 5150 & exec sleep 5151"], "essential": False, **logs}
    return killing.region.run(killing.region.register(first, other, pidMode="task"))


def processes(task_id: str) -> dict[str, list[int]]:
    """Of the task, as this machine numbers them, by the name of their cgroup."""
    found: dict[str, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            lines = (path / "cgroup").read_text().splitlines()
        except OSError:
            continue  # it ended meanwhile
        names = {line.rpartition("/")[2] for line in lines if f"/{task_id}/" in line}
        for name in names:
            found.setdefault(name, []).append(int(path.name))
    return {name: sorted(pids) for name, pids in found.items()}


def codes(task: dict[str, Any]) -> dict[str, int | None]:
    return {container["name"]: container.get("exitCode") for container in task["containers"]}


@pytest.mark.parametrize("victim", ["agent", "containerd"])
def test_who_comes_back_finds_what_runs_and_what_ended(killing: Killing, victim: str) -> None:
    region = killing.region
    arn = start(killing)
    region.wait_status(arn, "RUNNING")
    task_id = arn.rpartition("/")[2]
    before = processes(task_id)
    assert sorted(before) == ["c0", "c1", "~pause"]
    killing.kill(victim)
    sleeps = [pid for pid in before["c1"] if Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\0005151\0"]
    os.kill(sleeps[0], signal.SIGKILL)
    task = wait_for("the exit", lambda: found if codes(found := region.task(arn))["c1"] is not None else None)
    assert codes(task) == {"c0": None, "c1": 137} and task["lastStatus"] == "RUNNING"
    wait_for("its other process to end", lambda: "c1" not in processes(task_id))
    assert processes(task_id)["~pause"] == before["~pause"]
    region.stop(arn)
    assert codes(region.wait_status(arn, "STOPPED")) == {"c0": STOPPED_BY_TERM, "c1": 137}
    killing.wait_clean()
    assert not processes(task_id)


@pytest.mark.parametrize(
    ("point", "victim"),
    [
        ("pause-started", "agent"),
        ("container-created", "agent"),
        ("pause-deleted", "agent"),
        ("pause-started", "containerd"),
    ],
)
def test_killed_at_a_point_of_a_life(killing: Killing, point: str, victim: str) -> None:
    killing.arm((point, victim))
    arn = start(killing)
    killing.region.wait_status(arn, "RUNNING")
    found = processes(arn.rpartition("/")[2])
    assert sorted(found) == ["c0", "c1", "~pause"] and len(found["~pause"]) == 2
    killing.region.stop(arn)
    task = killing.region.wait_status(arn, "STOPPED")
    assert codes(task)["c0"] == STOPPED_BY_TERM, task
    killing.wait_clean()
    assert killing.disarm() == []
    assert not processes(arn.rpartition("/")[2])
