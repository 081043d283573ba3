"""Terminals in real containers: who they run as, what is held back, and that nothing of them is left behind."""

import asyncio
import os
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import ContainerConfig, EngineUnavailable, SandboxError, Terminal
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig

pytestmark = pytest.mark.root

LOOKS = 400


async def started(rig: ContainerRig, engine: ContainerdSandbox, reference: str, **fields: object) -> ContainerConfig:
    config = rig.config(await rig.pull(engine, reference), "sleep", "1000", **fields)
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    return config


async def all_of(terminal: Terminal) -> bytes:
    said = b""
    while part := await terminal.read():
        said += part
    return said


async def until_said(terminal: Terminal, text: bytes) -> None:
    said = b""
    while text not in said:
        part = await terminal.read()
        assert part, said
        said += part


def marked(exec_id: str) -> list[int]:
    """Processes of a terminal, by the mark that they inherit."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if f"NEARGATE_EXEC={exec_id}".encode() in Path("/proc", pid, "environ").read_bytes().split(b"\0"):
                found.append(int(pid))
        except OSError:
            continue  # it ended meanwhile
    return found


async def until_marked(exec_id: str, count: int) -> None:
    for _ in range(LOOKS):
        if len(marked(exec_id)) == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{len(marked(exec_id))} processes of {exec_id}, not {count}")


def test_it_runs_as_root_on_a_root_that_nobody_can_write(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = await started(
            rig, engine, reference, user="1000:1000", readonly_root=True, environment=(("GREETING", "hello"),)
        )
        script = "id -u; id -g; tty; echo $GREETING; grep CapEff /proc/self/status; touch /x; exit 5"
        terminal = await engine.open_terminal(config.runtime_id, "who", ("sh", "-c", script))
        said = (await all_of(terminal)).decode().replace("\r", "").splitlines()
        assert await terminal.wait() == 5
        await terminal.close()
        assert said[:2] == ["0", "0"] and said[2].startswith("/dev/pts/") and said[3] == "hello"
        assert int(said[4].split()[1], 16) & 1, "root's capabilities, as a container has them: CAP_CHOWN is one"
        assert "Read-only file system" in said[5]
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_what_it_started_ends_with_it_and_nothing_else_does(rig: ContainerRig, reference: str) -> None:
    """In its session or out of it; of another terminal and of the container itself nothing is touched."""
    script = (
        "sleep 7001 & (trap '' HUP TERM; setsid sleep 7002) & sh -c 'sleep 7003 & exec sleep 7004' & sleep 1; exit 3"
    )

    async def story(engine: ContainerdSandbox) -> None:
        config = await started(rig, engine, reference)
        other = await engine.open_terminal(config.runtime_id, "other", ("sleep", "1000"))
        terminal = await engine.open_terminal(config.runtime_id, "parent", ("sh", "-c", script))
        await all_of(terminal)
        assert await terminal.wait() == 3
        assert marked("parent") == []
        await terminal.close()
        closed = await engine.open_terminal(config.runtime_id, "closed", ("sh", "-c", "sleep 7005 & sleep 7006"))
        await until_marked("closed", 2)
        await closed.close()
        assert marked("closed") == [] and len(marked("other")) == 1
        state = await engine.get_container(config.runtime_id)
        assert state is not None and state.status == "running"
        await other.close()
        assert os.listdir(os.path.join(rig.run_dir, "terminals")) == []
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_who_does_not_read_holds_the_command_back(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = await started(rig, engine, reference)
        script = "i=0; while [ $i -lt 40000 ]; do echo line $i; i=$((i+1)); done; echo done > /dev/shm/said"
        terminal = await engine.open_terminal(config.runtime_id, "chatty", ("sh", "-c", script))
        await until_marked("chatty", 1)
        await asyncio.sleep(1.0)
        assert len(marked("chatty")) == 1, "it waits for its reader"
        said = (await all_of(terminal)).replace(b"\r", b"").splitlines()
        assert said == [b"line %d" % number for number in range(40000)]
        assert await terminal.wait() == 0
        await terminal.close()
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_a_command_that_does_not_read_holds_its_writer_back(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = await started(rig, engine, reference)
        raw = "stty raw -echo; echo ready; sleep 1; head -c 1000000 | wc -c"
        terminal = await engine.open_terminal(config.runtime_id, "paste", ("sh", "-c", raw))
        await until_said(terminal, b"ready")
        writing = asyncio.ensure_future(terminal.write(b"x" * 1_000_000))
        await until_said(terminal, b"1000000")
        await writing
        assert await terminal.wait() == 0
        await terminal.close()
        deaf = "stty raw -echo; echo ready; sleep 1000"  # before it is raw, a terminal drops what nobody reads
        waits = await engine.open_terminal(config.runtime_id, "deaf", ("sh", "-c", deaf))
        await until_said(waits, b"ready")
        writing = asyncio.ensure_future(waits.write(b"x" * 1_000_000))
        await asyncio.sleep(0.5)
        assert not writing.done()
        await waits.close()
        await writing
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_the_next_agent_ends_what_one_left(rig: ContainerRig, reference: str) -> None:
    left: list[str] = []

    async def first(engine: ContainerdSandbox) -> None:
        config = await started(rig, engine, reference)
        left.append(config.runtime_id)
        await engine.open_terminal(config.runtime_id, "left", ("sh", "-c", "sleep 7007 & sleep 7008"))
        await until_marked("left", 2)

    async def second(engine: ContainerdSandbox) -> None:
        """The engine was started, which is when an agent's own remains go."""
        assert marked("left") == []
        assert os.listdir(os.path.join(rig.run_dir, "terminals")) == []
        state = await engine.get_container(left[0])
        assert state is not None and state.status == "running"
        with pytest.raises(SandboxError):
            await engine.open_terminal("no-such-container", "none", ("sh",))
        again = await engine.open_terminal(left[0], "left", ("true",))
        assert await again.wait() == 0
        await again.close()
        await engine.delete_container(left[0])

    rig.run(first)
    assert len(marked("left")) == 2
    rig.run(second)


def test_an_engine_that_is_away_ends_it_later(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = await started(rig, engine, reference)
        terminal = await engine.open_terminal(config.runtime_id, "away", ("sh", "-c", "sleep 7009 & sleep 7010"))
        await until_marked("away", 2)
        rig.kill_containerd()
        try:
            with pytest.raises(EngineUnavailable):
                await terminal.close()
        finally:
            rig.start_containerd()
        await terminal.close()
        assert marked("away") == [] and os.listdir(os.path.join(rig.run_dir, "terminals")) == []
        await engine.delete_container(config.runtime_id)

    rig.run(story)
