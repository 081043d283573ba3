"""The microVM engine: one machine for each task, over kills of the agent, ends of machines and hostile guests."""

# ruff: noqa: ASYNC240  files of a test are read as they come

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.interfaces.hostnet import GuestInterface, TaskLimits
from neargate.interfaces.sandbox import (
    BindMount,
    ContainerConfig,
    ContainerState,
    EngineUnavailable,
    Exit,
    PauseConfig,
    PullRequest,
    SandboxError,
    TaskSize,
)
from neargate.sandbox.microvm import runtime
from neargate.sandbox.microvm.counters import MachineCgroups
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.vmm import Accelerator
from neargate.sandbox.pause import PAUSE_ARGS
from neargate.testing.fake_crun import oom_events
from neargate.testing.fake_guest import FakeFile
from neargate.testing.fake_guest_processes import FakeProcess, saying
from neargate.testing.fake_hostnet import FakeHostCgroups
from neargate.testing.microvm_rig import ADDRESS_MESSAGE, MicroVmRig

LOOKS = 400
LONG = ("long",)
SPEAKER = ("speaker",)
QUICK = ("quick",)


async def long(process: FakeProcess) -> int:
    await asyncio.Event().wait()
    return 0


async def speaker(process: FakeProcess) -> int:
    """Says a numbered line whenever it is told by signal 10."""
    process.trapped.add(10)
    for number in range(1000):
        await process.say(f"line {number}\n".encode())
        await process.signalled()
    return 0


@pytest.fixture
def rig(tmp_path: Path) -> MicroVmRig:
    made = MicroVmRig(tmp_path, {LONG: long, SPEAKER: speaker, QUICK: saying(b"quick\n", 3), PAUSE_ARGS: long})
    made.images.add("r/a:1")
    made.images.add("r/b:1")
    return made


async def made(
    rig: MicroVmRig, engine: MicroVmSandbox, name: str, *args: str, task_id: str = "task-1", image: str = "r/a:1"
) -> ContainerConfig:
    config = rig.config(rig.images.known[image], name, *args, task_id=task_id)
    await engine.create_container(config)
    return config


async def status(engine: MicroVmSandbox, config: ContainerConfig) -> ContainerState:
    state = await engine.get_container(config.runtime_id)
    assert state is not None
    return state


async def until(rig: MicroVmRig, is_so: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(LOOKS):
        if await is_so():
            return
        await rig.world.sleep(0.1)
    raise AssertionError("it does not happen")


async def stopped(rig: MicroVmRig, engine: MicroVmSandbox, config: ContainerConfig) -> ContainerState:
    async def is_stopped() -> bool:
        try:
            return (await status(engine, config)).status == "stopped"
        except EngineUnavailable:
            return False  # nobody knows yet

    await until(rig, is_stopped)
    return await status(engine, config)


async def logged(rig: MicroVmRig, config: ContainerConfig, text: str) -> None:
    assert config.log_path is not None
    path = Path(config.log_path)

    async def is_there() -> bool:
        return path.read_text() == text

    try:
        await until(rig, is_there)
    except AssertionError:
        assert path.read_text() == text
        raise


def test_the_containers_of_a_task_share_one_machine(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first = await made(rig, engine, "a", *LONG)
        second = await made(rig, engine, "b", *LONG, image="r/b:1")
        third = await made(rig, engine, "c", *LONG)
        other = await made(rig, engine, "x", *LONG, task_id="task-2")
        for config in (first, second, third, other):
            await engine.start_container(config.runtime_id)
        assert sorted(rig.vmm.machines) == ["task-1", "task-2"] and len(rig.vmm.made) == 2
        spec = rig.vmm.made[0]
        assert [(disk.serial, disk.read_only) for disk in spec.disks] == [
            ("image-0", True),
            ("image-1", True),
            ("disk", False),
        ]
        assert spec.disks[-1].path == "/disks/task-1.given" and spec.cgroup_path == "/test/task-1"
        guest = rig.vmm.guest("task-1")
        assert guest.has_disks and guest.netlinks == [ADDRESS_MESSAGE] and len(guest.entropy) == 64
        assert sorted(guest.containers) == sorted(config.runtime_id for config in (first, second, third))
        assert guest.complaints == []

    rig.run(story)


def test_a_machine_is_of_the_tasks_size_and_what_the_guest_needs_itself(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        size = TaskSize(cpu_units=2048, memory_mib=1024)
        config = replace(rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id="task-1"), task_size=size)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        assert rig.vmm.made[0].vcpus == 2 and rig.vmm.made[0].memory_mib > 1024
        assert rig.vmm.guest("task-1").files["/sys/fs/cgroup/task/memory.max"].content == str(1024 << 20).encode()

    rig.run(story)


def test_the_machine_goes_with_the_last_container(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first, second = await made(rig, engine, "a", *LONG), await made(rig, engine, "b", *LONG)
        for config in (first, second):
            await engine.start_container(config.runtime_id)
        await engine.delete_container(first.runtime_id)
        assert "task-1" in rig.vmm.machines and (await status(engine, second)).status == "running"
        guest = rig.vmm.guest("task-1")
        assert list(guest.containers) == [second.runtime_id] and len(guest.processes) == 1
        await engine.delete_container(second.runtime_id)
        assert rig.vmm.machines == {} and await engine.list_containers() == []
        assert list((rig.base / "records").iterdir()) == []

    rig.run(story)


def test_nothing_is_created_for_a_disk_that_was_given(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        with pytest.raises(SandboxError, match="has its disk already"):
            await made(rig, engine, "late", *LONG)
        await engine.create_container(config)  # a repeat

    rig.run(story)


def test_a_pause_container_waits_for_the_machine(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        pause = PauseConfig(
            runtime_id="task-1-pause", task_id="task-1", netns_path="/n", cgroup_path="/t/task-1/~pause"
        )
        await engine.create_pause(pause)
        await engine.start_container(pause.runtime_id)
        assert rig.vmm.machines == {}
        config = replace(
            rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id="task-1"), share_pid_with=pause.runtime_id
        )
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        guest = rig.vmm.guest("task-1")
        holder = guest.containers[pause.runtime_id].process.pid
        assert guest.containers[config.runtime_id].shares_with == holder
        await engine.kill_container(pause.runtime_id, 9)
        assert (await stopped(rig, engine, config)).exit_code == 137

    rig.run(story)


def test_what_the_host_holds_in_memory_is_in_the_guests_memory(rig: MicroVmRig) -> None:
    secret = rig.base / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o400)

    async def story(engine: MicroVmSandbox) -> None:
        mount = BindMount(source=str(secret), target="/secret", read_only=True, is_data=True)
        config = replace(rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id="task-1"), mounts=(mount,))
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        guest = rig.vmm.guest("task-1")
        spec = json.loads(guest.files[f"/run/containers/{config.runtime_id}/config.json"].content)
        [source] = [item["source"] for item in spec["mounts"] if item["destination"] == "/secret"]
        assert (guest.files[source].content, guest.files[source].mode) == (b"hunter2", 0o400)

    rig.run(story)


def test_a_runtime_that_refuses_is_told_in_the_words_of_aws(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", "no-such-program")
        good = await made(rig, engine, "b", *LONG)
        with pytest.raises(SandboxError) as failure:
            await engine.start_container(config.runtime_id)
        assert failure.value.reason.startswith("CannotStartContainerError: ResourceInitializationError:")
        assert failure.value.reason.endswith('exec: "no-such-program": executable file not found in $PATH: unknown')
        assert config.log_path is not None and Path(config.log_path).read_text() == ""
        await engine.start_container(good.runtime_id)
        await engine.delete_container(config.runtime_id)

    rig.run(story)


# -- what the host says of it


def test_machines_under_kvm_are_a_boundary_and_emulated_ones_are_none(rig: MicroVmRig) -> None:
    kinds: list[str] = []
    for rig.usable in (("kvm",), ("tcg",), ("kvm", "tcg")):

        async def story(engine: MicroVmSandbox) -> None:
            kinds.append(engine.facts.kind)

        rig.run(story)
    assert kinds == ["microvm", "emulated", "emulated"], "of a KVM that may boot nothing, the weaker is said"


@pytest.mark.parametrize(("broken", "kind"), [(frozenset(), "microvm"), (frozenset({"kvm"}), "emulated")])
def test_the_first_machine_shows_what_they_are(rig: MicroVmRig, broken: frozenset[Accelerator], kind: str) -> None:
    rig.usable, rig.vmm.refuses = ("kvm", "tcg"), broken

    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        assert engine.facts.kind == kind
        rig.vmm.refuses = frozenset({"kvm"})  # for a while it makes none: nothing is emulated instead
        other = await made(rig, engine, "b", *LONG, task_id="task-2")
        if kind == "microvm":
            with pytest.raises(SandboxError, match="no virtual machine can be made"):
                await engine.start_container(other.runtime_id)
        assert engine.facts.kind == kind

    rig.run(story)


def test_what_the_first_machine_has_shown_holds_for_the_agents_to_come_on_this_boot(rig: MicroVmRig) -> None:
    """Else the tasks of several accounts would be on a host that says it may take those of one."""
    rig.usable, rig.boot_id = ("kvm", "tcg"), "boot-1"

    async def kind() -> str:
        later = rig.agent()
        await later.start()
        await later.close()
        return later.facts.kind

    async def story(engine: MicroVmSandbox) -> None:
        assert await kind() == "emulated", "none has come up"
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        assert await kind() == "microvm"
        rig.vmm.version = "another"
        assert await kind() == "emulated", "that one may boot nothing here"
        rig.vmm.version = "fake"
        rig.usable = ("tcg",)
        assert await kind() == "emulated", "KVM is gone"
        rig.usable, rig.boot_id = ("kvm", "tcg"), "boot-2"
        assert await kind() == "emulated", "the host began anew"

    rig.run(story)


def test_that_kvm_failed_once_is_not_held_against_it(rig: MicroVmRig) -> None:
    rig.usable, rig.boot_id = ("kvm", "tcg"), "boot-1"

    async def story(_: MicroVmSandbox) -> None:
        for name, refused, accelerator in (("a", "kvm", "tcg"), ("b", "kvm", "tcg"), ("c", "", "kvm")):
            rig.vmm.refuses = frozenset({"kvm"} if refused else ())
            later = rig.agent()
            await later.start()
            config = await made(rig, later, name, *LONG, task_id=f"task-{name}")
            await later.start_container(config.runtime_id)
            assert rig.vmm.made[-1].accelerator == accelerator
            await later.delete_container(config.runtime_id)
            await later.close()
        assert later.facts.kind == "microvm"

    rig.run(story)


@pytest.mark.parametrize("content", [b"", b"kvm", b'{"boot_id": "boot-1"}'])
def test_a_file_that_says_nothing_of_it_shows_nothing(rig: MicroVmRig, content: bytes) -> None:
    rig.usable, rig.boot_id = ("kvm", "tcg"), "boot-1"
    (rig.base / "accelerator").write_bytes(content)

    async def story(engine: MicroVmSandbox) -> None:
        assert engine.facts.kind == "emulated"
        (rig.base / "accelerator.new").symlink_to("/dev/full")  # nor does one that cannot be written end anything
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        assert engine.facts.kind == "microvm"

    rig.run(story)


def test_an_emulated_machine_of_an_earlier_agent_is_no_boundary_either(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        rig.usable = ("kvm",)  # its operator allows no emulation any more
        later = rig.agent()
        await later.start()
        assert later.facts.kind == "emulated"
        await later.delete_container(config.runtime_id)
        assert later.facts.kind == "microvm"
        await later.close()

    rig.run(story)


def test_what_a_machine_takes_beside_its_task_is_told(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        size = TaskSize(cpu_units=1024, memory_mib=2048)
        config = replace(rig.config(rig.images.known["r/a:1"], "a", *LONG, task_id="task-1"), task_size=size)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        assert engine.facts.machines == 1
        await rig.vmm.end("task-1")
        await stopped(rig, engine, config)
        assert engine.facts.machines == 0
        monitor_mib = (await rig.vmm.probe()).overhead_mib
        assert engine.facts.overhead.of(2048) == rig.vmm.made[0].memory_mib - 2048 + monitor_mib
        assert (engine.facts.guest_image, engine.facts.vmm) == ("6.1 guest", "fake")

    rig.run(story)


def test_machines_of_another_guest_image_than_new_ones_get_are_told_also_by_a_later_agent(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        first = await made(rig, engine, "a", *LONG)
        await engine.start_container(first.runtime_id)
        assert engine.facts.old_machines == ()
        await engine.close()
        rig.release = "6.1 patched"
        later = rig.agent()
        assert later.facts.old_machines == (), "nothing is known before it has looked"
        await later.start()
        second = await made(rig, later, "b", *LONG, task_id="task-2")
        await later.start_container(second.runtime_id)
        assert (later.facts.guest_image, later.facts.old_machines) == ("6.1 patched", (first.task_id,))
        await later.delete_container(first.runtime_id)
        assert later.facts.old_machines == ()
        await later.close()

    rig.run(story)


# -- machines that fail


def test_a_machine_that_says_nothing_is_made_once_more(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.vmm.silent = 1
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        assert len(rig.vmm.made) == 2 and (await status(engine, config)).status == "running"
        assert any("did not come up" in note for note in rig.notes)

    rig.run(story)


def test_a_machine_that_says_nothing_twice_fails_the_start(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.vmm.silent = 2
        config = await made(rig, engine, "a", *LONG)
        with pytest.raises(SandboxError, match="did not come up"):
            await engine.start_container(config.runtime_id)
        assert len(rig.vmm.made) == 2 and rig.vmm.machines == {}
        assert (await status(engine, config)).status == "created"
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_a_monitor_that_can_never_make_it_is_not_asked_twice(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.vmm.refuses = frozenset({"tcg"})
        config = await made(rig, engine, "a", *LONG)
        with pytest.raises(SandboxError, match="no virtual machine can be made"):
            await engine.start_container(config.runtime_id)

    rig.run(story)


def test_a_way_that_is_refused_gives_way_to_the_next_and_is_not_taken_again(rig: MicroVmRig) -> None:
    rig.usable, rig.vmm.refuses = ("kvm", "tcg"), frozenset({"kvm"})

    async def story(engine: MicroVmSandbox) -> None:
        for name in ("a", "b"):
            config = await made(rig, engine, name, *LONG, task_id=f"task-{name}")
            await engine.start_container(config.runtime_id)
        assert [spec.accelerator for spec in rig.vmm.made] == ["tcg", "tcg"]
        assert len([note for note in rig.notes if "(kvm)" in note]) == 1

    rig.run(story)


def test_an_image_of_which_no_disk_can_be_made_fails_the_start_in_its_own_words(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.images.refusal = "CannotPullContainerError: no space left on device"
        config = await made(rig, engine, "a", *LONG)
        with pytest.raises(SandboxError, match="no space left on device"):
            await engine.start_container(config.runtime_id)
        assert rig.vmm.made == [] and rig.host.given == []
        rig.images.refusal = ""
        await engine.start_container(config.runtime_id)
        assert (await status(engine, config)).status == "running"

    rig.run(story)


def test_a_disk_that_is_never_given_fails_the_start_and_leaves_nothing(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.host.busy = LOOKS
        config = await made(rig, engine, "a", *LONG)
        with pytest.raises(SandboxError, match="no virtual machine can be made: the disk is still used"):
            await engine.start_container(config.runtime_id)
        assert rig.vmm.made == []
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_a_guest_that_panics_before_it_spoke_is_not_waited_for(rig: MicroVmRig) -> None:
    """Its monitor may stand still and keep the connection."""

    async def story(engine: MicroVmSandbox) -> None:
        rig.vmm.silent = 2
        config = await made(rig, engine, "a", *LONG)
        since = rig.world.monotonic()
        starting = asyncio.gather(engine.start_container(config.runtime_id), return_exceptions=True)
        for number in (1, 2):
            while len(rig.vmm.made) < number:
                await rig.world.sleep(0.1)
            await rig.world.sleep(0.5)
            rig.vmm.tell("task-1", "panicked")
        [failure] = await starting
        assert isinstance(failure, SandboxError) and "did not come up" in failure.reason
        assert rig.world.monotonic() - since < rig.knobs.microvm_hello_s
        assert rig.vmm.machines == {}

    rig.run(story)


def test_how_a_machine_ended_is_told_though_its_connection_ends_before(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        machine = rig.vmm.machines["task-1"]
        machine.pid = 0
        await machine.guest.stop()
        await rig.world.sleep(0.2)
        await rig.vmm.end("task-1", "panicked")
        state = await stopped(rig, engine, config)
        assert state.reason == "InternalError: the virtual machine of the task stopped by itself"
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_a_machine_whose_end_nobody_tells_has_ended_all_the_same(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        rig.vmm.machines["task-1"].pid = 0
        await rig.vmm.guest("task-1").stop()
        state = await stopped(rig, engine, config)
        assert state.reason == "InternalError: the virtual machine of the task ended"
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_a_disk_that_is_busy_for_a_moment_is_waited_for(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.host.busy = 3
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        assert rig.host.given == ["task-1"]

    rig.run(story)


def test_a_tap_that_its_last_machine_still_has_is_waited_for(rig: MicroVmRig, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [GuestInterface(descriptor=None, mac="02:00:00:00:00:01", messages=())] * 2
    free = rig.host.open_tap

    async def open_tap(task_id: str) -> GuestInterface:
        return taken.pop() if taken else await free(task_id)

    async def story(engine: MicroVmSandbox) -> None:
        monkeypatch.setattr(rig.host, "open_tap", open_tap)
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        assert (await status(engine, config)).status == "running" and not taken

    rig.run(story)


def test_a_machine_that_ends_ends_its_containers_once_with_a_reason(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        ran, ended = await made(rig, engine, "a", *LONG), await made(rig, engine, "b", *QUICK)
        unstarted = await made(rig, engine, "c", *LONG)
        for config in (ran, ended):
            await engine.start_container(config.runtime_id)
        await stopped(rig, engine, ended)
        told: list[Exit] = []

        async def listen() -> None:
            async for one in engine.exits():
                told.append(one)  # noqa: PERF401  it never ends

        listener = rig.world.spawn(listen(), "listener")
        await rig.world.sleep(1)
        await rig.vmm.end("task-1")
        state = await stopped(rig, engine, ran)
        await rig.world.sleep(5)
        listener.cancel()
        assert state.exit_code == 137 and state.reason is not None and "was killed" in state.reason
        assert [(one.runtime_id, one.exit_code, one.reason) for one in told] == [(ran.runtime_id, 137, state.reason)]
        assert (await status(engine, ended)).exit_code == 3
        assert await engine.oom_kills(ran.runtime_id) == 0
        with pytest.raises(SandboxError, match="was killed"):
            await engine.start_container(unstarted.runtime_id)
        for config in (ran, ended, unstarted):
            await engine.delete_container(config.runtime_id)
        assert rig.vmm.machines == {}

    rig.run(story)


def test_a_guest_that_breaks_the_protocol_is_ended(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        rig.vmm.guest("task-1").say_raw(b"\xff" * 64)
        state = await stopped(rig, engine, config)
        assert rig.vmm.machines == {} and state.exit_code == 137
        assert state.reason is not None and "protocol" in state.reason

    rig.run(story)


def test_a_connection_that_is_cut_is_made_again(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *SPEAKER)
        await engine.start_container(config.runtime_id)
        await logged(rig, config, "line 0\n")
        guest = rig.vmm.guest("task-1")
        for number in range(1, 4):
            guest.cut()
            guest.containers[config.runtime_id].process.signal(10)
            await logged(rig, config, "".join(f"line {n}\n" for n in range(number + 1)))
        assert (await status(engine, config)).status == "running" and guest.connections == 4

    rig.run(story)


def test_a_guest_that_cannot_be_asked_makes_its_containers_unknown_and_no_others(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        near = await made(rig, engine, "a", *LONG)
        far = await made(rig, engine, "b", *LONG, task_id="task-2")
        for config in (near, far):
            await engine.start_container(config.runtime_id)
        guest = rig.vmm.guest("task-1")
        guest.is_deaf = True
        guest.cut()
        await rig.world.sleep(0.5)
        seen = {state.runtime_id: state.status for state in await engine.list_containers()}
        assert seen == {near.runtime_id: "unknown", far.runtime_id: "running"}
        with pytest.raises(EngineUnavailable):
            await engine.get_container(near.runtime_id)
        guest.is_deaf = False

        async def is_back() -> bool:
            return [state.status for state in await engine.list_containers()] == ["running", "running"]

        await until(rig, is_back)

    rig.run(story)


# -- agents that are killed


def test_the_next_agent_finds_what_runs_and_loses_no_line(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *SPEAKER)
        quick = await made(rig, engine, "b", *QUICK)
        pid = await engine.start_container(config.runtime_id)
        await logged(rig, config, "line 0\n")
        await engine.start_container(quick.runtime_id)
        await stopped(rig, engine, quick)
        await engine.close()
        process = rig.vmm.guest("task-1").containers[config.runtime_id].process
        for _ in range(3):
            process.signal(10)
            await rig.world.sleep(1)
        after = rig.agent()
        await after.start()
        states = {state.runtime_id: state for state in await after.list_containers()}
        found = states[config.runtime_id]
        assert (found.status, found.pid, dict(found.labels)["suite"]) == ("running", pid, "a")
        assert (states[quick.runtime_id].status, states[quick.runtime_id].exit_code) == ("stopped", 3)
        await logged(rig, config, "line 0\nline 1\nline 2\nline 3\n")
        await after.kill_container(config.runtime_id, 9)
        assert (await stopped(rig, after, config)).exit_code == 137
        await after.close()

    rig.run(story)


def test_an_end_while_no_agent_lived_is_found(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        rig.vmm.guest("task-1").end_container(config.runtime_id, 9)
        after = rig.agent()
        await after.start()
        assert (await stopped(rig, after, config)).exit_code == 9
        await after.close()

    rig.run(story)


def test_a_machine_that_ended_while_no_agent_lived_is_found(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        await rig.vmm.destroy("task-1")
        after = rig.agent()
        await after.start()
        state = await stopped(rig, after, config)
        assert state.exit_code == 137 and state.reason is not None
        await after.delete_container(config.runtime_id)
        await after.close()

    rig.run(story)


@pytest.mark.parametrize("step", ["create", "start"])
def test_a_start_that_was_cut_short_is_done_by_the_next_agent(
    rig: MicroVmRig, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the runtime was told (`create`), or between its two commands (`start`)."""

    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *SPEAKER)
        reached = asyncio.Event()

        async def stay(*_: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(runtime, step, stay)
            starting = rig.world.spawn(engine.start_container(config.runtime_id), "starting")
            await reached.wait()
            starting.cancel()
            await engine.close()
        after = rig.agent()
        await after.start()
        assert (await status(after, config)).status == "created"
        made_before = dict(rig.vmm.guest("task-1").containers)
        assert len(made_before) == (1 if step == "start" else 0)
        await after.start_container(config.runtime_id)
        assert (await status(after, config)).status == "running"
        for runtime_id, container in made_before.items():
            assert rig.vmm.guest("task-1").containers[runtime_id] is container, "what was made is started"
        await logged(rig, config, "line 0\n")
        assert len(rig.vmm.made) == 1, "the machine is the same"
        await after.close()

    rig.run(story)


def test_a_boot_that_was_cut_short_is_begun_again(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        rig.vmm.silent = 1
        config = await made(rig, engine, "a", *LONG)
        starting = rig.world.spawn(engine.start_container(config.runtime_id), "starting")
        while not rig.vmm.machines:
            await rig.world.sleep(0.1)
        starting.cancel()
        await engine.close()
        after = rig.agent()
        await after.start()
        assert (await status(after, config)).status == "created"
        await after.start_container(config.runtime_id)
        assert len(rig.vmm.made) == 2 and (await status(after, config)).status == "running"
        assert rig.notes == [], "what is left of the first is not asked"
        await after.close()

    rig.run(story)


def test_a_run_that_the_guest_denies_is_over(rig: MicroVmRig) -> None:
    """A hostile guest: what ran a moment ago it does not know."""

    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        await engine.close()
        guest = rig.vmm.guest("task-1")
        guest.processes.clear()
        after = rig.agent()
        await after.start()
        assert (await stopped(rig, after, config)).exit_code == 137
        await after.close()

    rig.run(story)


# -- beside


def test_a_victim_of_the_memory_limit_is_counted(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        guest = rig.vmm.guest("task-1")
        guest.files["/sys/fs/cgroup/task/a/memory.events"] = oom_events(2)
        guest.end_container(config.runtime_id, 137)
        await stopped(rig, engine, config)
        assert await engine.oom_kills(config.runtime_id) == 2

    rig.run(story)


def test_a_command_past_its_time_ends_with_all_it_started(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        late = await engine.exec(config.runtime_id, "one", ("sh", "-c", "sleep 1000"), timeout_s=2)
        assert late.exit_code is None
        guest = rig.vmm.guest("task-1")
        assert guest.killed_in == {"/task/a/neargate-exec-0"}
        said = await engine.exec(config.runtime_id, "two", ("sh", "-c", "echo hello"), timeout_s=2, max_output=4)
        assert (said.exit_code, said.output) == (0, b"hell")
        missing = await engine.exec(config.runtime_id, "three", ("nothing",), timeout_s=2)
        words = b"OCI runtime exec failed: exec failed: unable to start container process:"
        assert missing.output == words + b' exec: "nothing": executable file not found in $PATH: unknown'
        assert missing.exit_code == 127
        # Only the container's own process is left.
        assert [process.exit_code for process in guest.processes.values()] == [None]

    rig.run(story)


def test_a_pulled_image_gets_its_disk_before_anybody_waits_for_it(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        image = await engine.pull_image(PullRequest(reference="r/a:1", account="1"), lambda *_: None)
        await rig.world.sleep(0.1)
        assert rig.images.disks == [image.digest]

    rig.run(story)


def test_counters_are_the_guests_and_limits_the_hosts(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        cgroups = MachineCgroups(FakeHostCgroups(), engine)
        assert await cgroups.container_stats("task-1", "a") is None
        await engine.start_container(config.runtime_id)
        guest = rig.vmm.guest("task-1")
        for name, text in (
            ("memory.current", b"4096\n"),
            ("memory.max", b"max\n"),
            ("memory.peak", b"9" * 40),
            ("cpu.stat", b"usage_usec 7\nuser_usec -3\nsystem_usec x\n"),
            ("io.stat", b"254:16 rbytes=10 wbytes=5 rios=2 wios=1 dbytes=0 dios=0\nnonsense\n"),
            ("pids.current", b"2\n"),
        ):
            guest.files[f"/sys/fs/cgroup/task/a/{name}"] = FakeFile(text, 0o444, 0, 0)
        found = await cgroups.container_stats("task-1", "a")
        assert found is not None
        assert (found.memory_usage, found.memory_max_usage, found.memory_limit, found.pids) == (4096, 4096, 0, 2)
        assert (found.cpu_total_ns, found.cpu_user_ns, found.cpu_system_ns) == (7000, 0, 0)
        assert [(io.kind, io.served_bytes) for io in found.block_io if io.kind == "Total"] == [("Total", 15)]
        assert await cgroups.container_stats("task-2", "a") is None
        await cgroups.create_task("task-1", TaskLimits(cpu_units=256, memory_mib=600))
        assert await cgroups.list_tasks() == ["task-1"]

    rig.run(story)


def test_a_container_that_is_frozen_is_thawed(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = await made(rig, engine, "a", *LONG)
        await engine.start_container(config.runtime_id)
        guest = rig.vmm.guest("task-1")
        await engine.pause_container(config.runtime_id)
        assert guest.containers[config.runtime_id].frozen
        await engine.resume_container(config.runtime_id)
        assert not guest.containers[config.runtime_id].frozen

    rig.run(story)


def test_a_restart_writes_on_where_the_log_ends(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = replace(rig.config(rig.images.known["r/a:1"], "a", *QUICK, task_id="task-1"), may_restart=True)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        for _ in range(2):
            await stopped(rig, engine, config)
            await engine.restart_container(config.runtime_id)
        await stopped(rig, engine, config)
        await logged(rig, config, "quick\nquick\nquick\n")

    rig.run(story)


def test_an_engine_that_was_not_started_does_nothing(rig: MicroVmRig) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        fresh = rig.agent()
        with pytest.raises(EngineUnavailable):
            await fresh.list_containers()

    rig.run(story)
