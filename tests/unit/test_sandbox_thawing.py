"""A SIGKILL thaws what is frozen: runtimes do that themselves, and may still call it paused a moment later."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from neargate.sandbox.containerd_client import Containerd, EngineError
from neargate.sandbox.containers import Containers

PAUSED = 4


class FrozenTask:
    """containerd as it was seen with a container that a SIGKILL has just thawed: paused, it says, and cannot resume."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal
        self.killed: list[int] = []

    def get_container(self, runtime_id: str) -> None:
        del runtime_id

    def kill_task(self, runtime_id: str, signal: int, *, all_processes: bool) -> None:
        del runtime_id, all_processes
        self.killed.append(signal)

    def get_task(self, runtime_id: str) -> Any:
        del runtime_id
        return SimpleNamespace(status=PAUSED)

    def resume_task(self, runtime_id: str) -> None:
        del runtime_id
        raise EngineError("UNKNOWN", self.refusal)


def containers(engine: FrozenTask) -> Containers:
    return Containers(
        cast(Containerd, engine),
        host=cast(Any, None),
        runtime="crun",
        stdin_dir="/nowhere",
        bundles="/nowhere",
        pause_root="/nowhere",
    )


def test_a_container_that_the_runtime_thawed_itself_is_killed() -> None:
    engine = FrozenTask("OCI runtime resume failed: container not paused: unknown")
    containers(engine).kill("c1", 9)
    assert engine.killed == [9]


def test_one_that_stays_frozen_is_told() -> None:
    with pytest.raises(EngineError):
        containers(FrozenTask("OCI runtime resume failed: freezer: no such file")).kill("c1", 9)
