"""kill -9 of containerd, of a shim, and of the agent: what runs goes on, what ended is found, nothing is left."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from neargate.hostnet import libc
from neargate.interfaces.sandbox import BindMount, ContainerState, EngineUnavailable, Exit, Image
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import build_image, busybox_layer

pytestmark = pytest.mark.root

LOOKS = 400


@pytest.fixture
def rig() -> Iterator[ContainerRig]:
    with closing(ContainerRig()) as rig:
        yield rig


@pytest.fixture
def reference(rig: ContainerRig) -> str:
    return rig.push("busybox", build_image([busybox_layer()]))


def read(path: str) -> str:
    return Path(path).read_text()


def shim_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def settled(engine: ContainerdSandbox, runtime_id: str) -> ContainerState | None:
    """The state once containerd answers again."""
    for _ in range(LOOKS):
        try:
            return await engine.get_container(runtime_id)
        except EngineUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("containerd does not come back")


def test_containerd_is_killed(rig: ContainerRig, reference: str) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        stays = rig.config(image, "sh", "-c", "while :; do echo x; sleep 0.02; done", name="stays")
        waits = "while ! test -e /shared/go; do sleep 0.02; done; exit 33"
        shared = (BindMount(source=rig.made("shared"), target="/shared"),)
        ends = rig.config(image, "sh", "-c", waits, name="ends", mounts=shared)
        found: dict[str, Exit] = {}

        async def collect() -> None:
            async for one in engine.exits():
                found[one.runtime_id] = one

        collector = asyncio.ensure_future(collect())
        pids = {}
        for config in (stays, ends):
            await engine.create_container(config)
            pids[config.name] = await engine.start_container(config.runtime_id)

        rig.kill_containerd()
        with pytest.raises(EngineUnavailable):
            await engine.get_container(stays.runtime_id)
        with pytest.raises(EngineUnavailable):
            await engine.create_container(rig.config(image, "true"))
        before = len(rig.log(stays))
        os.mkdir(os.path.join(rig.made("shared"), "go"))
        for _ in range(LOOKS):
            if not is_running(pids["ends"]) and len(rig.log(stays)) > before:
                break
            await asyncio.sleep(0.05)
        assert not is_running(pids["ends"]) and len(rig.log(stays)) > before
        assert found == {}
        rig.start_containerd()

        for _ in range(LOOKS):
            if ends.runtime_id in found:
                break
            await asyncio.sleep(0.05)
        assert found[ends.runtime_id].exit_code == 33
        assert stays.runtime_id not in found
        state = await settled(engine, stays.runtime_id)
        assert state is not None and (state.status, state.pid) == ("running", pids["stays"])
        # And the new subscription works.
        await engine.kill_container(stays.runtime_id, 9)
        for _ in range(LOOKS):
            if stays.runtime_id in found:
                break
            await asyncio.sleep(0.05)
        assert found[stays.runtime_id].exit_code == 137
        for config in (stays, ends):
            await engine.delete_container(config.runtime_id)
        collector.cancel()

    rig.run(story)


@pytest.mark.parametrize("while_away", [False, True], ids=["listening", "containerd-away"])
def test_a_shim_is_killed(rig: ContainerRig, reference: str, while_away: bool) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sleep", "100")
        exits = engine.exits()
        next_exit = asyncio.ensure_future(anext(exits))
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        shim = shim_of(pid)
        if while_away:
            rig.kill_containerd()
        os.kill(shim, signal.SIGKILL)
        if while_away:
            rig.start_containerd()
        ended = await asyncio.wait_for(next_exit, 20)
        assert (ended.runtime_id, ended.exit_code) == (config.runtime_id, 137)
        state = await settled(engine, config.runtime_id)
        assert state is not None and state.status == "stopped"
        await engine.kill_container(config.runtime_id, 9)
        await engine.delete_container(config.runtime_id)
        assert await engine.get_container(config.runtime_id) is None
        for _ in range(LOOKS):
            if not is_running(pid):
                break
            await asyncio.sleep(0.05)
        assert not is_running(pid)

    rig.run(story)


def test_a_new_agent_adopts(rig: ContainerRig, reference: str) -> None:
    async def first(engine: ContainerdSandbox) -> tuple[str, str, int]:
        image = await rig.pull(engine, reference)
        runs = rig.config(image, "sleep", "100", name="runs", labels=(("eni", "eni-1"), ("empty", "")))
        ended = rig.config(image, "sh", "-c", "exit 42", name="ended")
        for config in (runs, ended):
            await engine.create_container(config)
            pid = await engine.start_container(config.runtime_id)
            if config is runs:
                kept = pid
        return runs.runtime_id, ended.runtime_id, kept

    runs, ended, pid = rig.run(first)

    async def second(engine: ContainerdSandbox) -> None:
        exits = engine.exits()
        next_exit = asyncio.ensure_future(anext(exits))
        states = {state.runtime_id: state for state in await engine.list_containers()}
        for _ in range(LOOKS):
            if states[ended].status == "stopped":
                break
            await asyncio.sleep(0.05)
            states = {state.runtime_id: state for state in await engine.list_containers()}
        assert states[ended].exit_code == 42 and states[ended].exited_at is not None
        assert (states[runs].status, states[runs].pid) == ("running", pid)
        assert dict(states[runs].labels)["eni"] == "eni-1"
        await engine.kill_container(runs, 9)
        told = await asyncio.wait_for(next_exit, 20)
        while told.runtime_id != runs:
            told = await asyncio.wait_for(anext(exits), 20)
        assert told.exit_code == 137
        for runtime_id in (runs, ended):
            await engine.delete_container(runtime_id)
        assert await engine.list_containers() == []

    rig.run(second)


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.04, 0.06, 0.1, 0.2])
def test_an_agent_is_killed_while_creating(rig: ContainerRig, reference: str, after_s: float) -> None:
    """Wherever it hits: one attempt more gets the container to run, deleting takes everything away."""

    async def first(engine: ContainerdSandbox) -> Image:
        return await rig.pull(engine, reference)

    image = rig.run(first)
    repeated = rig.config(image, "sh", "-c", "echo started; sleep 100")
    abandoned = rig.config(image, "sleep", "100")
    for config in (repeated, abandoned):
        rig.killed_while_creating(config, after_s)

    async def second(engine: ContainerdSandbox) -> None:
        # The task of a killed launch is stopped: its disk must be free afterwards. Killed at a mount, before there was
        # a record, it leaves that to the disk's own deletion, which detaches what is still below it.
        was_recorded = await engine.get_container(abandoned.runtime_id) is not None
        await engine.delete_container(abandoned.runtime_id)
        left = rig.mounts_of(abandoned)
        assert not left or not was_recorded
        for mount_point in left:
            libc.umount(mount_point, libc.MNT_DETACH)
        await engine.create_container(repeated)
        pid = await engine.start_container(repeated.runtime_id)
        client = rig.client()
        assert [(task.id, task.pid) for task in client.list_tasks()] == [(repeated.runtime_id, pid)]
        client.close()
        for _ in range(LOOKS):
            if rig.log(repeated):
                break
            await asyncio.sleep(0.05)
        assert rig.log(repeated).splitlines()[0].endswith("started"), "it really ran"
        state = await engine.get_container(repeated.runtime_id)
        assert state is not None and (state.status, state.pid) == ("running", pid), "and is not taken back"
        await engine.delete_container(repeated.runtime_id)
        assert await engine.list_containers() == []

    rig.run(second)


def test_a_container_whose_creator_never_heard_of_it_is_made_anew(rig: ContainerRig, reference: str) -> None:
    """containerd is about to take it back, which it does by SIGKILL: it must not pass for one that ran."""
    client = rig.client()

    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", "echo ran; exit 5")
        make = engine._containers._engine.create_task

        def unheard(request: Any) -> None:
            make(request)
            raise EngineUnavailable("killed here")

        engine._containers._engine.create_task = unheard  # type: ignore[method-assign]
        with pytest.raises(EngineUnavailable):
            await engine.create_container(config)
        engine._containers._engine.create_task = make  # type: ignore[method-assign]
        client.kill_task(config.runtime_id, signal.SIGKILL, all_processes=False)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        for _ in range(LOOKS):
            state = await engine.get_container(config.runtime_id)
            if state is not None and state.status == "stopped":
                break
            await asyncio.sleep(0.05)
        assert state is not None and state.exit_code == 5
        await engine.delete_container(config.runtime_id)

    rig.run(story)
    client.close()


def test_a_containerd_whose_state_is_elsewhere_runs_containers(rig: ContainerRig, reference: str) -> None:
    """One that is not ours need not have its socket where its bundles are, as docker's has not."""

    async def story(engine: ContainerdSandbox) -> None:
        engine._containers._bundles = "/nowhere/bundles"
        config = rig.config(await rig.pull(engine, reference), "sleep", "100")
        for _ in range(2):
            await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        assert is_running(pid)
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_an_agent_killed_at_any_call_of_a_create(rig: ContainerRig, reference: str) -> None:
    """After every prefix of the calls of create and start, a new attempt gets the container to run, once."""
    client = rig.client()

    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, reference)
        config = rig.config(image, "sleep", "100")
        containers = engine._containers

        def fail(*_: object, **__: object) -> None:
            raise EngineUnavailable("killed here")

        for step in ("_record", "_create_task"):
            original = getattr(containers, step)
            setattr(containers, step, fail)
            with pytest.raises(EngineUnavailable):
                await engine.create_container(config)
            setattr(containers, step, original)
        await engine.create_container(config)
        assert len(client.list_tasks()) == 1
        # The answer of the runtime's create was lost, then that of the start.
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        assert await engine.start_container(config.runtime_id) == pid
        assert [task.pid for task in client.list_tasks()] == [pid]
        await engine.delete_container(config.runtime_id)
        assert client.list_tasks() == [] and client.list_containers() == []

    rig.run(story)
    client.close()


def test_what_ends_an_attempt_is_no_exit_of_the_next(rig: ContainerRig, reference: str) -> None:
    """An agent was killed before it had create's answer: what it had made is taken back by a SIGKILL, unheard."""

    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sh", "-c", "sleep 0.3; exit 33")
        exits = engine.exits()
        first = asyncio.ensure_future(anext(exits))
        for _ in range(5):
            await engine.create_container(config)
            os.unlink(engine._containers._mark(config.runtime_id))
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        assert (await asyncio.wait_for(first, 20)).exit_code == 33
        await engine.delete_container(config.runtime_id)

    rig.run(story)


def test_a_shim_that_does_not_answer_ends_no_container(rig: ContainerRig, reference: str) -> None:
    """On a machine that is too busy for two seconds containerd tells an empty state: stopped, it seems, with code 0."""

    async def story(engine: ContainerdSandbox) -> None:
        config = rig.config(await rig.pull(engine, reference), "sleep", "100")
        await engine.create_container(config)
        pid = await engine.start_container(config.runtime_id)
        os.kill(shim_of(pid), signal.SIGSTOP)
        try:
            with pytest.raises(EngineUnavailable, match="does not answer"):
                await engine.get_container(config.runtime_id)
            listed = await engine.list_containers()
        finally:
            os.kill(shim_of(pid), signal.SIGCONT)
        assert [(state.status, state.exit_code) for state in listed] == [("unknown", None)]
        state = await settled(engine, config.runtime_id)
        assert state is not None and (state.status, state.pid) == ("running", pid)
        await engine.delete_container(config.runtime_id)

    rig.run(story)
