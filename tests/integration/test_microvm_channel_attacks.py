"""Root of a real guest against the channel to its host: only its own task ends, with a reason, and nobody waits for it.

What a hostile guest may say, frame by frame, is in tests/unit/test_microvm_hostile_guests.py; here its port is really
taken out of its first process, while a neighbour goes on.
"""

import asyncio
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from neargate.interfaces.sandbox import (
    ContainerConfig,
    ContainerState,
    EngineUnavailable,
    PullRequest,
)
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.errors import GuestGone
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import ACCOUNT

from . import guest_root
from .engine_waits import LOOK_S, LOOKS

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]
ANSWER_S = 15.0  # an honest emulated guest is far below
PROGRAM = "/run/channel_attack"
BROKE = "InternalError: the virtual machine broke its protocol"
ENDED = "InternalError: the virtual machine of the task"
# What root does, and how the reason begins that its task then shows.
ATTACKS = {"garbage": BROKE, "flood": BROKE, "forge": BROKE, "half": ENDED}


@pytest.fixture(scope="module")
def rig() -> Iterator[MachineRig]:
    made = MachineRig(replace(DEFAULT_KNOBS, microvm_answer_s=ANSWER_S))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def reference(rig: MachineRig) -> str:
    return rig.containers.push("busybox", build_image([busybox_layer()]))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = tmp_path_factory.mktemp("channel_attack")
    return guest_root.compiled(directory, "channel_attack")


async def task(engine: MicroVmSandbox, rig: MachineRig, reference: str) -> ContainerConfig:
    image = await engine.pull_image(PullRequest(reference=reference, account=ACCOUNT), lambda *_: None)
    config = rig.config(image, "sleep", "1000")
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    return config


async def attack(engine: MicroVmSandbox, config: ContainerConfig, program: bytes, kind: str) -> None:
    guest = engine.guest_of(config.task_id)
    assert guest is not None
    await guest.file(PROGRAM, program, mode=0o700)
    try:
        process = await guest.run((PROGRAM, kind))
    except GuestGone:
        return  # it was quicker than the word that it runs
    assert process.pid is not None


async def ended(engine: MicroVmSandbox, config: ContainerConfig) -> ContainerState:
    """Meanwhile it is neither running nor stopped to anybody."""
    for _ in range(LOOKS):
        try:
            state = await engine.get_container(config.runtime_id)
        except EngineUnavailable:
            state = None
        if state is not None and state.status == "stopped":
            return state
        await asyncio.sleep(LOOK_S)
    raise AssertionError(f"{config.runtime_id} does not end")


async def goes_on(engine: MicroVmSandbox, config: ContainerConfig) -> bool:
    """Not only is it said to run: it answers."""
    answer = await engine.exec(config.runtime_id, "asked", ("echo", "here"), timeout_s=60)
    state = await engine.get_container(config.runtime_id)
    return answer.output == b"here\n" and state is not None and state.status == "running"


@pytest.mark.parametrize(("kind", "reason"), ATTACKS.items(), ids=ATTACKS)
def test_a_root_that_speaks_for_its_guest_ends_its_own_task_alone(
    rig: MachineRig, reference: str, program: bytes, kind: str, reason: str
) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        hostile, neighbour = await task(engine, rig, reference), await task(engine, rig, reference)
        before = await rig.monitor_pids()
        await attack(engine, hostile, program, kind)
        state = await ended(engine, hostile)
        assert state.exit_code == 137 and state.reason is not None and state.reason.startswith(reason), state
        assert await goes_on(engine, neighbour)
        await engine.delete_container(hostile.runtime_id)
        after = await rig.monitor_pids()
        assert hostile.task_id not in after and after[neighbour.task_id] == before[neighbour.task_id]
        await engine.delete_container(neighbour.runtime_id)

    rig.run(story)


def test_a_guest_that_stands_still_is_ended_when_it_owes_an_answer(
    rig: MachineRig, reference: str, program: bytes
) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        hostile, neighbour = await task(engine, rig, reference), await task(engine, rig, reference)
        await attack(engine, hostile, program, "stall")
        assert await goes_on(engine, neighbour)
        late = await engine.exec(hostile.runtime_id, "late", ("true",), timeout_s=60)
        assert late.exit_code == 137, "it ended with its machine"
        state = await ended(engine, hostile)
        assert state.exit_code == 137 and state.reason is not None
        assert state.reason.startswith(f"{BROKE}: The guest did not "), state
        assert await goes_on(engine, neighbour)
        for config in (hostile, neighbour):
            await engine.delete_container(config.runtime_id)

    rig.run(story)
