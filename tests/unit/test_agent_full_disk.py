"""A disk that takes nothing more: what must be durable waits for it, and the agent goes on with what it has."""

import asyncio
import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neargate.agent.local_state import LocalState
from neargate.agent.logs.files import Ask, keep_event_start, open_log, scan
from neargate.model.launch import HealthCheck, RestartPolicy
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch, play
from neargate.testing.virtual_time import VirtualWorld, run_virtual

LARGE = "x" * 100_000
FULL = OSError(errno.ENOSPC, "No space left on device")


@contextmanager
def full(state: LocalState) -> Iterator[None]:
    """The file may not grow: SQLite says of it what it says of a full disk."""
    database = state._open()
    database.execute("PRAGMA max_page_count = 1")  # the least that it may have is what it has
    try:
        yield
    finally:
        database.execute("PRAGMA max_page_count = 1000000")


@contextmanager
def read_only(state: LocalState) -> Iterator[None]:
    """As a file system that has met an error."""
    state._open().execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        state._open().execute("PRAGMA query_only = OFF")


def test_what_cannot_be_written_waits_and_what_comes_after_it_waits_behind(tmp_path: Path) -> None:
    async def story() -> None:
        state = LocalState(VirtualWorld(), tmp_path / "agent.db")
        await state.load()
        with full(state):
            saves = [asyncio.ensure_future(state.set_boot_id(text)) for text in (LARGE, "small")]
            await asyncio.sleep(300)
            assert not any(save.done() for save in saves)
        await asyncio.gather(*saves)
        assert (await state.load()).boot_id == "small"
        await state.close()

    run_virtual(story())


def test_a_file_that_cannot_be_made_is_made_when_there_is_room(tmp_path: Path) -> None:
    async def story() -> None:
        in_the_way = tmp_path / "state"
        in_the_way.touch()
        state = LocalState(VirtualWorld(), in_the_way / "agent.db")
        loading = asyncio.ensure_future(state.load())
        await asyncio.sleep(60)
        assert not loading.done()
        in_the_way.unlink()
        assert (await loading).records == ()
        await state.close()

    run_virtual(story())


def test_a_fault_of_ours_is_not_repeated(tmp_path: Path) -> None:
    async def story() -> None:
        state = LocalState(VirtualWorld(), tmp_path / "agent.db")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await state._do(lambda db: db.execute("DELETE FROM elsewhere"))
        await state.set_boot_id("boot")
        assert (await state.load()).boot_id == "boot"
        await state.close()

    run_virtual(story())


def test_tasks_go_on_while_nothing_can_be_recorded_and_a_stop_is_obeyed_when_it_can(tmp_path: Path) -> None:
    async def story() -> None:
        async with AgentHost(tmp_path) as host:
            state = (await host.started())._state
            host.server.run(launch())
            await host.server.status(TASK_ID, "RUNNING")
            with read_only(state):
                host.server.stop(TASK_ID, INCARNATION)
                await host.clock.sleep(120)
                assert host.sandbox.named("web").status == "running"
                assert not host.world.is_dead and host.world.failures == []
            await host.server.status(TASK_ID, "STOPPED")
            assert host.leftovers() == []

    run_virtual(story())


def test_a_container_that_cannot_begin_again_for_want_of_room_has_ended(tmp_path: Path) -> None:
    policy = RestartPolicy(attempt_period_s=60)

    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container(restart_policy=policy)))
        await host.server.status(TASK_ID, "RUNNING")
        await host.clock.sleep(61)
        host.sandbox.faults.fail("restart_container", FULL)
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 3)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        [web] = stopped.containers
        assert web.exit_code == 3 and web.reason is not None
        assert web.reason.endswith("No space left on device")

    play(tmp_path, scenario)


def test_a_health_check_that_finds_no_room_says_nothing_of_the_container(tmp_path: Path) -> None:
    check = HealthCheck(command=("CMD", "true"), interval_s=5, retries=1)

    async def scenario(host: AgentHost) -> None:
        host.sandbox.faults.fail("exec", FULL, times=3)
        host.server.run(launch(container(health_check=check)))
        await host.server.status(TASK_ID, "RUNNING")
        await host.clock.sleep(12)
        assert host.server.reports[TASK_ID].containers[0].health_status == "UNKNOWN"

    play(tmp_path, scenario)


def test_images_that_cannot_be_removed_now_are_looked_at_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.faults.fail("collect_images", OSError(errno.EIO, "Input/output error"))
        await host.clock.sleep(3 * host.knobs.image_look_period_s)
        assert not host.world.is_dead and host.world.failures == []
        host.server.run(launch())
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


def test_one_log_that_cannot_be_read_is_not_the_others_end(tmp_path: Path) -> None:
    good = open_log(tmp_path / "task" / "good")
    os.write(good, b"line\n")
    folder = os.open(tmp_path, os.O_RDONLY)  # reading it fails, whoever asks
    asks = [Ask(descriptor=one, read_at=0, read_max=100, unless_size=-1, punch=(0, 4096)) for one in (folder, good)]
    asks[1] = Ask(descriptor=good, read_at=0, read_max=100, unless_size=-1)
    assert [answer.data for answer in scan(asks, 1000)] == [b"", b"line\n"]
    os.close(good)
    os.close(folder)


def test_what_is_kept_beside_a_log_already_needs_no_room(tmp_path: Path) -> None:
    path = tmp_path / "task" / "web"
    os.close(open_log(path))
    keep_event_start(path, "^at ")
    [folder] = [entry for entry in path.parent.iterdir() if entry.is_dir()]
    (folder / folder.name).symlink_to("/dev/full")
    keep_event_start(path, "^at ")
    with pytest.raises(OSError, match="No space left"):
        keep_event_start(path, "^on ")
