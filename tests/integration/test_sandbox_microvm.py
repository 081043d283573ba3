"""The microVM engine keeps the promises of the sandbox seam with real guests, emulated; and what only machines do."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from neargate.interfaces.sandbox import BindMount, ContainerConfig, Image, PullRequest, Sandbox, SandboxError
from neargate.sandbox.microvm.counters import read_counters
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import ACCOUNT, SandboxSuite

from .engine_waits import stopped

LOOKS = 400
NO_IMAGE = Image(
    reference="",
    digest="",
    index_digest=None,
    config_digest="",
    snapshot="",
    unpacked_bytes=0,
    compressed_bytes=0,
)
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]


@pytest.fixture(scope="module")
def rig() -> Iterator[MachineRig]:
    made = MachineRig()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def reference(rig: MachineRig) -> str:
    return rig.containers.push("busybox", build_image([busybox_layer()]))


class TestMicroVmSandbox(SandboxSuite):
    rig: ClassVar[MachineRig]
    reference = ""

    @pytest.fixture(autouse=True)
    @classmethod
    def _machine(cls, rig: MachineRig, reference: str) -> None:
        cls.rig, cls.reference = rig, reference

    def play(self, story: Callable[[Sandbox], Awaitable[None]]) -> None:
        async def life(engine: Sandbox) -> None:
            await story(engine)

        self.rig.run(life)

    def config(self, image: Image, name: str, program: str) -> ContainerConfig:
        return self.rig.config(image, "sh", "-c", program, name=name, labels=(("suite", name),))

    async def pause(self) -> None:
        await asyncio.sleep(0.05)


async def pulled(engine: MicroVmSandbox, reference: str) -> Image:
    return await engine.pull_image(PullRequest(reference=reference, account=ACCOUNT), lambda *_: None)


def inside(rig: MachineRig, reference: str, script: str, task_id: str = "", **fields: Any) -> str:
    """What a shell script prints in a container made with these fields."""
    said: list[str] = []

    async def story(engine: MicroVmSandbox) -> None:
        config = rig.config(await pulled(engine, reference), "sh", "-c", script, task_id=task_id, **fields)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        state = await stopped(engine, config.runtime_id)
        await engine.delete_container(config.runtime_id)
        said.append(rig.log(config))
        assert state.exit_code == 0, said

    rig.run(story)
    return said[0]


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if is_so():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it does not happen")


def test_it_is_another_kernel_in_a_network_of_its_own(rig: MachineRig, reference: str) -> None:
    said = inside(rig, reference, "uname -r; ls /sys/class/net; cat /proc/self/cgroup; hostname; id -u")
    kernel, *rest = said.splitlines()
    assert kernel != os.uname().release
    assert rest == ["eth0", "lo", "0::/", "ip-10-0-0-1", "0"]


def test_the_hosts_files_for_it_are_there_and_what_it_writes_stays_on_its_disk(
    rig: MachineRig, reference: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o400)
    disk = Path(rig.config(NO_IMAGE, task_id="task-files").disk_path)
    (disk / "volumes").mkdir()
    (disk / "volumes" / "seeded").write_text("seed")
    mounts = (
        BindMount(source=str(disk / "volumes"), target="/data"),
        BindMount(source=str(secret), target="/run/secret", read_only=True, is_data=True, is_private=True),
    )
    script = (
        "cat /data/seeded /run/secret; echo; stat -c %a.%u /run/secret; echo x > /data/new; cat /data/new; touch /top"
    )
    said = inside(rig, reference, script, task_id="task-files", mounts=mounts)
    assert said.splitlines() == ["seedhunter2", "400.0", "x"]


def test_a_container_on_a_terminal_has_one(rig: MachineRig, reference: str) -> None:
    said = inside(rig, reference, "tty; stty size", terminal=True)
    assert said.splitlines()[0].startswith("/dev/pts/") or said.startswith("/dev/console")


def test_an_init_process_is_the_first(rig: MachineRig, reference: str) -> None:
    assert inside(rig, reference, "cat /proc/1/comm", init_process=True).strip() != "sh"


def test_the_kernels_victim_is_told_of(rig: MachineRig, reference: str) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        image = await pulled(engine, reference)
        hungry = ("dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
        config = rig.config(image, *hungry, memory_limit_bytes=64 << 20)
        near = rig.config(image, "sleep", "1000", name="near", task_id=config.task_id)
        for one in (config, near):
            await engine.create_container(one)
        for one in (near, config):
            await engine.start_container(one.runtime_id)
        assert (await stopped(engine, config.runtime_id)).exit_code == 137
        assert await engine.oom_kills(config.runtime_id) == 1
        assert await engine.oom_kills(near.runtime_id) == 0
        guest = engine.guest_of(config.task_id)
        assert guest is not None
        counters = await read_counters(guest, "/sys/fs/cgroup/task/near")
        assert counters is not None and counters.memory_usage > 0 and counters.pids == 1
        whole = await read_counters(guest, "/sys/fs/cgroup/task")
        assert whole is not None and whole.memory_limit == config.task_size.memory_mib << 20
        for one in (config, near):
            await engine.delete_container(one.runtime_id)

    rig.run(story)


def test_a_command_past_its_time_ends_with_all_it_started(rig: MachineRig, reference: str) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        config = rig.config(await pulled(engine, reference), "sleep", "1000")
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        script = ("sh", "-c", "sleep 2000 & setsid sleep 2000 & sleep 2000")
        late = await engine.exec(config.runtime_id, "late", script, timeout_s=1)
        assert late.exit_code is None
        left = await engine.exec(config.runtime_id, "left", ("sh", "-c", "ps | grep '[s]leep 2000'"), timeout_s=20)
        assert (left.exit_code, left.output) == (1, b"")
        missing = await engine.exec(config.runtime_id, "missing", ("no-such-program",), timeout_s=20)
        assert missing.exit_code == 127 and b"no-such-program" in missing.output
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_the_next_agent_finds_what_runs_and_no_line_is_lost(rig: MachineRig, reference: str) -> None:
    script = "n=0; while :; do echo line $n; n=$((n+1)); sleep 0.02; done"
    made: list[ContainerConfig] = []

    async def first(engine: MicroVmSandbox) -> None:
        config = rig.config(await pulled(engine, reference), "sh", "-c", script)
        made.append(config)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        await until(lambda: "line 20\n" in rig.log(config))

    async def second(engine: MicroVmSandbox) -> None:
        [state] = [one for one in await engine.list_containers() if one.runtime_id == made[0].runtime_id]
        assert state.status == "running"
        after = rig.log(made[0]).count("\n") + 20
        await until(lambda: f"line {after}\n" in rig.log(made[0]))
        await engine.kill_container(made[0].runtime_id, 9)
        await stopped(engine, made[0].runtime_id)
        await engine.delete_container(made[0].runtime_id)

    rig.run(first)
    rig.run(second)
    lines = rig.log(made[0]).splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]


def test_a_monitor_that_is_killed_ends_its_containers_with_a_reason(rig: MachineRig, reference: str) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        image = await pulled(engine, reference)
        config = rig.config(image, "sleep", "1000")
        safe = rig.config(image, "sleep", "1000")
        for one in (config, safe):
            await engine.create_container(one)
            await engine.start_container(one.runtime_id)
        exits = engine.exits()
        told = asyncio.ensure_future(anext(exits))
        pids = await rig.monitor_pids()
        os.kill(pids[config.task_id], signal.SIGKILL)
        state = await stopped(engine, config.runtime_id)
        assert state.exit_code == 137 and state.reason is not None and "virtual machine" in state.reason
        assert (await told).runtime_id == config.runtime_id
        other = await engine.get_container(safe.runtime_id)
        assert other is not None and other.status == "running"
        for one in (config, safe):
            await engine.delete_container(one.runtime_id)
        assert config.task_id not in await rig.monitor_pids()

    rig.run(story)


def test_a_container_that_cannot_start_says_why_in_the_words_of_aws(rig: MachineRig, reference: str) -> None:
    async def story(engine: MicroVmSandbox) -> None:
        image = await pulled(engine, reference)
        config = rig.config(image, "no-such-program")
        good = rig.config(image, "sleep", "1000", name="good", task_id=config.task_id)
        for one in (config, good):
            await engine.create_container(one)
        with pytest.raises(SandboxError) as failure:
            await engine.start_container(config.runtime_id)
        assert 'exec: "no-such-program": executable file not found in $PATH' in failure.value.reason
        await engine.start_container(good.runtime_id)
        for one in (config, good):
            await engine.delete_container(one.runtime_id)
        assert rig.log(config) == ""

    rig.run(story)
