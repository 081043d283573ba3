"""A shim that waits for the next task: real shims beside a private containerd, killed and left at every moment."""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, SandboxError
from neargate.model.knobs import Knobs
from neargate.sandbox import shim_process
from neargate.sandbox.containerd_process import ContainerdInstance
from neargate.sandbox.engine import ContainerdSandbox, end_shims
from neargate.sandbox.shim_process import NoShim
from neargate.testing.container_rig import ContainerRig

pytestmark = pytest.mark.root

LOOKS = 400
SOON = Knobs(pull_retry_base_s=0.01, warm_shim_pause_s=0.01)
ENDS_WITH_7 = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"
NEVER = Knobs(pull_retry_base_s=0.01, warm_shim_pause_s=3600.0)


def processes(rig: ContainerRig) -> dict[int, list[bytes]]:
    """Command lines of this rig's shims and of what starts and ends them, by pid."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"containerd-shim-runc-v2") and words[1:3] == [b"-namespace", rig.namespace.encode()]:
            found[int(process.name)] = words
    return found


def shims(rig: ContainerRig) -> dict[str, int]:
    """The shims of this rig: pid by the name each was started with."""
    lines = processes(rig).items()
    return {line[line.index(b"-id") + 1].decode(): pid for pid, line in lines if line[-2] not in (b"start", b"delete")}


def has_socket(rig: ContainerRig, group: str) -> bool:
    """Looks where the shim program puts that of a group."""
    name = hashlib.sha256(f"{rig.address}/{rig.namespace}/{group}".encode()).hexdigest()
    return os.path.exists(f"/run/containerd/s/{name}")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def left(rig: ContainerRig, part: str) -> list[str]:
    path = os.path.join(rig.run_dir, part)
    return os.listdir(path) if os.path.isdir(path) else []


async def until_ready(engine: ContainerdSandbox) -> None:
    for _ in range(LOOKS):
        if engine.warm_shims.ready:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("no shim was started")


async def until_shims(rig: ContainerRig, count: int) -> dict[str, int]:
    for _ in range(LOOKS):
        if len(found := shims(rig)) == count:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{count} shims wanted: {shims(rig)}")


async def until_ended(rig: ContainerRig) -> None:
    """Also the program that was about to start one."""
    for _ in range(LOOKS):
        if not processes(rig):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"still there: {processes(rig)}")


async def until_said(rig: ContainerRig, config: ContainerConfig, words: str) -> None:
    for _ in range(LOOKS):
        if words in rig.log(config):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(rig.log(config))


async def until_left(rig: ContainerRig, part: str, count: int) -> None:
    for _ in range(LOOKS):
        if len(left(rig, part)) == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{count} wanted: {left(rig, part)}")


def test_the_first_container_takes_it_and_the_task_keeps_it(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        await until_ready(engine)
        (waiting,) = shims(rig).values()
        first = rig.config(image, "sleep", "100")
        second = rig.config(image, "sh", "-c", ENDS_WITH_7, task_id=first.task_id)
        other = rig.config(image, "sleep", "100")
        await engine.create_container(first)
        first_pid = await engine.start_container(first.runtime_id)
        assert parent(first_pid) == waiting
        await until_ready(engine)
        await until_left(rig, "shims", 1)  # that of the next task; the first one's is containerd's now
        assert left(rig, "told") == []
        exits = engine.exits()
        next_exit = asyncio.ensure_future(anext(exits))
        await engine.create_container(second)
        assert parent(await engine.start_container(second.runtime_id)) == waiting
        await until_said(rig, second, "ready")
        await engine.kill_container(second.runtime_id, signal.SIGTERM)
        ended = await asyncio.wait_for(next_exit, 20)
        assert (ended.runtime_id, ended.exit_code) == (second.runtime_id, 7)
        assert parent(first_pid) == waiting
        await engine.create_container(other)
        other_pid = await engine.start_container(other.runtime_id)
        assert parent(other_pid) != waiting, "two tasks shared a shim"
        assert {score(waiting), score(parent(other_pid))} == {min(score(rig.containerd.pid) + 1, 1000)}
        for config in (second, first):
            await engine.kill_container(config.runtime_id, signal.SIGKILL)
            await engine.delete_container(config.runtime_id)
        assert waiting not in (await until_shims(rig, 2)).values(), "it ends with its task"
        assert parent(other_pid) != waiting
        await engine.kill_container(other.runtime_id, signal.SIGKILL)
        await engine.delete_container(other.runtime_id)
        await engine.close()
        await until_shims(rig, 0)
        assert left(rig, "shims") == []

    rig.run(story, knobs=SOON, keeps_shims=True)


def test_a_create_that_fails_takes_its_shim_along(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        await until_ready(engine)
        (waiting,) = shims(rig)
        config = rig.config(image, "no-such-program")
        with pytest.raises(SandboxError, match="executable file not found"):
            await engine.create_container(config)
        await until_ready(engine)
        await until_left(rig, "shims", 1)
        assert waiting not in await until_shims(rig, 1)
        await engine.delete_container(config.runtime_id)

    rig.run(story, knobs=SOON, keeps_shims=True)


def test_one_that_was_killed_while_it_waited_is_no_loss(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        await until_ready(engine)
        ((name, pid),) = shims(rig).items()
        assert has_socket(rig, name)
        os.kill(pid, signal.SIGKILL)
        await until_shims(rig, 0)
        config = rig.config(image, "sleep", "100")
        await engine.create_container(config)
        assert parent(await engine.start_container(config.runtime_id)) in shims(rig).values()
        await engine.kill_container(config.runtime_id, signal.SIGKILL)
        await engine.delete_container(config.runtime_id)
        assert not has_socket(rig, name)

    rig.run(story, knobs=SOON, keeps_shims=True)


def test_containerd_comes_back_to_a_container_in_such_a_shim(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        await until_ready(engine)
        config = rig.config(image, "sh", "-c", "exec sleep 100")
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        exits = engine.exits()
        next_exit = asyncio.ensure_future(anext(exits))
        rig.kill_containerd()
        rig.start_containerd()
        os.kill(pid, signal.SIGKILL)
        ended = await asyncio.wait_for(next_exit, 20)
        assert (ended.runtime_id, ended.exit_code) == (config.runtime_id, 137)
        await engine.delete_container(config.runtime_id)
        assert await engine.list_containers() == []

    rig.run(story, knobs=SOON, keeps_shims=True)


def test_what_a_killed_agent_left_is_ended_and_what_runs_is_not(rig: ContainerRig, reference: str) -> None:
    """Left: one that waits, one that a container has and that was not let go, one of which only a directory is."""
    left_dir = os.path.join(rig.run_dir, "shims")

    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        await until_ready(engine)
        config = rig.config(image, "sleep", "100")
        engine.warm_shims._knobs = NEVER  # nothing is tidied up behind the create
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        assert len(left(rig, "shims")) == 1 and len(left(rig, "told")) == 1
        shim_process.start(rig.instance_of_containerd, rig.namespace, "ab12", os.path.join(left_dir, "ab12"))
        os.makedirs(os.path.join(left_dir, "half"))
        assert len(await until_shims(rig, 2)) == 2
        end_shims(rig.run_dir)
        assert left(rig, "shims") == []
        assert list((await until_shims(rig, 1)).values()) == [parent(pid)]
        end_shims(rig.run_dir)
        await engine.kill_container(config.runtime_id, signal.SIGKILL)
        await engine.delete_container(config.runtime_id)
        await until_shims(rig, 0)

    rig.run(story, knobs=SOON, keeps_shims=True)


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.02, 0.04, 0.5])
def test_an_agent_is_killed_while_it_starts_one(rig: ContainerRig, after_s: float) -> None:
    path = os.path.join(rig.run_dir, "shims", "ef56")
    arguments = (rig.instance_of_containerd, rig.namespace, "ef56", path)
    agent = multiprocessing.get_context("spawn").Process(target=shim_process.start, args=arguments)
    agent.start()

    async def story() -> None:
        await until_left(rig, "shims", 1)
        agent.join(after_s)
        agent.kill()
        agent.join()
        end_shims(rig.run_dir)
        assert left(rig, "shims") == []
        await until_ended(rig)
        assert not has_socket(rig, "ef56")

    asyncio.run(story())


def test_a_new_agent_ends_what_waited_for_the_old_one(rig: ContainerRig) -> None:
    path = os.path.join(rig.run_dir, "shims", "cd34")
    shim_process.start(rig.instance_of_containerd, rig.namespace, "cd34", path)

    async def story(_: ContainerdSandbox) -> None:
        await until_shims(rig, 0)
        assert left(rig, "shims") == []

    rig.run(story, knobs=NEVER, keeps_shims=True)


# -------------------------------------------------------------------- the front


@pytest.fixture
def own(tmp_path: Path) -> ContainerdInstance:
    return ContainerdInstance(data_dir=str(tmp_path / "data"), run_dir=str(tmp_path / "run"))


@pytest.fixture
def bundle(own: ContainerdInstance, tmp_path: Path) -> Path:
    """A container's bundle; the shim program says what it was called with."""
    own.write_config()
    program = tmp_path / "bin" / "containerd-shim-runc-v2"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "the shim $*"\n')
    program.chmod(0o755)
    bundle = tmp_path / "bundles" / "c1"
    bundle.mkdir(parents=True)
    return bundle


def call(own: ContainerdInstance, bundle: Path, *words: str) -> tuple[str, str]:
    environment = {"PATH": f"{bundle.parent.parent / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run([own.front_path, *words], cwd=bundle, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    return done.stdout, done.stderr


def test_the_front_tells_the_address_of_the_shim_that_waits(own: ContainerdInstance, bundle: Path) -> None:
    os.makedirs(own.told_dir)
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind(path := str(bundle.parent / "there"))
        Path(own.told_dir, "c1").write_text(f"unix://{path}\n")
        assert call(own, bundle, "-namespace", "n", "-id", "c1", "start") == (f"unix://{path}", "")
    assert (bundle / "address").read_text() == f"unix://{path}"


def test_the_front_does_not_tell_an_address_that_is_gone(own: ContainerdInstance, bundle: Path) -> None:
    os.makedirs(own.told_dir)
    Path(own.told_dir, "c1").write_text("unix:///run/there\n")
    assert call(own, bundle, "-id", "c1", "start") == ("the shim -id c1 start\n", "")
    assert not (bundle / "address").exists()


def test_the_front_is_the_shim_program_for_everything_else(own: ContainerdInstance, bundle: Path) -> None:
    assert call(own, bundle, "-id", "c1", "start") == ("the shim -id c1 start\n", "")
    os.makedirs(own.told_dir)
    Path(own.told_dir, "c1").write_text("unix:///run/there\n")
    assert call(own, bundle, "-id", "c1", "delete") == ("the shim -id c1 delete\n", "")
    assert call(own, bundle, "-v") == ("the shim -v\n", "")
    assert not (bundle / "address").exists()


@pytest.mark.parametrize("says", ["echo unix:///run/there; exit 1", "echo something else"])
def test_a_start_that_fails_leaves_nothing(
    own: ContainerdInstance, bundle: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    program = bundle.parent.parent / "bin" / "containerd-shim-runc-v2"
    program.write_text(f"#!/bin/sh\n{says}\n")
    monkeypatch.setattr(shim_process, "_containerd_pid", lambda _address: os.getpid())
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(shim_process, "_environment", lambda _pid: dict(os.environ))
    Path(f"{own.address}.ttrpc").touch()
    shims_dir = Path(own.run_dir, "shims")
    with pytest.raises(NoShim, match=r"start: '(unix|something)"):
        shim_process.start(own, "n", "ab12", str(shims_dir / "ab12"))
    assert list(shims_dir.iterdir()) == []


def test_one_that_cannot_be_removed_does_not_keep_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def end(directory: str) -> None:
        ended.append(os.path.basename(directory))
        if ended[-1] == "a":
            raise OSError("busy")

    for name in ("shims/a", "shims/b", "told"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(shim_process, "end", end)
    with pytest.raises(OSError, match="busy"):
        shim_process.end_all(str(tmp_path / "shims"), str(tmp_path / "told"))
    assert ended == ["a", "b"] and not (tmp_path / "told").exists()
