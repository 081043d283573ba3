"""Files of containers on a host: where they lie, who may read them, what counts them, and that kills leave nothing."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.arrivals.messages import problem
from neargate.agent.given_files import secret_files_mib
from neargate.agent.points import Point
from neargate.interfaces.hostnet import HostError
from neargate.interfaces.sandbox import BindMount
from neargate.link.messages import RunOrder
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.launch import ContainerLaunch, InjectedSecret, InlineFile, RestartPolicy, TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch
from neargate.testing.virtual_time import run_virtual

from .test_agent_secrets import LAUNCH_POINTS, ROLE, environment, grant

INI = "[app]\nname = käse\n"
VALUE = "planted-value-of-a-secret"
STOP_POINTS = tuple(Point)[tuple(Point).index(Point.EXIT_SEEN) :]


def with_files(name: str = "web") -> ContainerLaunch:
    return container(
        name,
        files=(InlineFile(path="/etc/app.ini", text=INI),),
        secrets=(
            InjectedSecret(name="KEY", value_from="key", file_paths=("/run/secrets/key", "/run/secrets/again")),
            InjectedSecret(name="PLAIN", value_from="plain"),
        ),
    )


def wanted(*containers: ContainerLaunch) -> TaskLaunch:
    return launch(*(containers or (with_files(),)), execution_role_arn=ROLE)


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            grant(host)
            host.api.parameters = {"key": VALUE, "plain": "plain-value"}
            await host.started()
            await scenario(host)

    run_virtual(whole())


def given(host: AgentHost, name: str = "web") -> dict[str, BindMount]:
    """The container's files by their paths in it."""
    return {mount.target: mount for mount in host.sandbox.named(name).config.mounts if mount.is_data}


def read(mount: BindMount) -> tuple[str, int]:
    return Path(mount.source).read_text(), os.stat(mount.source).st_mode & 0o7777


def in_memory(host: AgentHost, mount: BindMount) -> bool:
    return Path(mount.source).is_relative_to(host.root / "memory" / TASK_ID)


async def stop_and_check(host: AgentHost) -> None:
    host.server.stop(TASK_ID, INCARNATION)
    await host.server.status(TASK_ID, "STOPPED")
    await host.clock.sleep(10)
    assert host.leftovers() == []
    assert VALUE.encode() not in b"".join(path.read_bytes() for path in host.root.rglob("*") if path.is_file())


def test_what_a_container_is_given(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(wanted(with_files(), container("bare")))
        await host.server.status(TASK_ID, "RUNNING")
        files = given(host)
        assert {path: (*read(file), file.is_private) for path, file in files.items()} == {
            "/etc/app.ini": (INI, 0o644, False),
            "/run/secrets/key": (VALUE, 0o400, True),
            "/run/secrets/again": (VALUE, 0o400, True),
        }
        assert all(file.read_only for file in files.values()) and given(host, "bare") == {}
        assert [in_memory(host, files[path]) for path in files] == [False, True, True]
        assert environment(host)["PLAIN"] == "plain-value" and "KEY" not in environment(host)
        assert VALUE not in environment(host).values()
        await stop_and_check(host)

    play(tmp_path, scenario)


def test_each_container_has_its_own(tmp_path: Path) -> None:
    """Another user's, perhaps: one file cannot be two users' own."""

    async def scenario(host: AgentHost) -> None:
        host.server.run(wanted(with_files(), with_files("side")))
        await host.server.status(TASK_ID, "RUNNING")
        sources = [file.source for name in ("web", "side") for file in given(host, name).values()]
        assert len(set(sources)) == 6
        await stop_and_check(host)

    play(tmp_path, scenario)


def test_a_value_is_nowhere_but_in_memory(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(wanted())
        await host.server.status(TASK_ID, "RUNNING")
        holding = [path for path in host.root.rglob("*") if path.is_file() and VALUE.encode() in path.read_bytes()]
        assert {path.parent for path in holding} == {host.root / "memory" / TASK_ID}
        assert VALUE not in repr(host.server.history) + repr(host.sandbox.named("web").config)
        assert (host.root / "memory" / TASK_ID).stat().st_mode & 0o077 == 0
        await stop_and_check(host)

    play(tmp_path, scenario)


def test_the_memory_of_secrets_is_the_tasks(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(wanted())
        await host.server.status(TASK_ID, "RUNNING")
        assert host.host.cgroups.tasks[TASK_ID].memory_mib == 511 and host.host.disks.memory_mib == {TASK_ID: 1}
        await stop_and_check(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize(("count", "held_mib"), [(0, 0), (1, 1), (16, 1), (17, 2)])
def test_how_much_is_held(count: int, held_mib: int) -> None:
    paths = tuple(f"/run/{number}" for number in range(count))
    task = wanted(container(secrets=(InjectedSecret(name="A", value_from="a", file_paths=paths),)))
    assert secret_files_mib(task, DEFAULT_KNOBS.secret_file_max_bytes) == held_mib


def test_a_task_with_plain_files_alone_holds_no_memory(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container(files=(InlineFile(path="/a", text=""),))))
        await host.server.status(TASK_ID, "RUNNING")
        assert host.host.cgroups.tasks[TASK_ID].memory_mib == 512 and host.host.disks.memory_mib == {}
        assert read(given(host)["/a"]) == ("", 0o644) and host.api.calls == []
        await stop_and_check(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_a_launch_with_files_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill_at = point
        host.server.run(wanted())
        await host.back_after_kill()
        host.server.run(wanted())
        await host.server.status(TASK_ID, "RUNNING")
        assert {path: read(file)[0] for path, file in given(host).items()} == {
            "/etc/app.ini": INI,
            "/run/secrets/key": VALUE,
            "/run/secrets/again": VALUE,
        }
        await stop_and_check(host)

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", STOP_POINTS)
def test_a_stop_with_files_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(wanted())
        await host.server.status(TASK_ID, "RUNNING")
        host.kill_at = point
        host.server.stop(TASK_ID, INCARNATION)
        if point is not Point.KILL_SENT:  # the container ends at its SIGTERM
            await host.back_after_kill()
        await stop_and_check(host)

    play(tmp_path, scenario)


def test_what_was_being_written_when_the_agent_was_killed_is_written_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill_at = Point.SECRETS_HELD
        host.server.run(wanted())
        await host.until_dead()
        memory = host.root / "memory" / TASK_ID
        memory.mkdir(parents=True)
        (memory / ".0-1").write_text("half")
        await host.back_after_kill()
        await host.server.status(TASK_ID, "RUNNING")
        assert read(given(host)["/run/secrets/key"]) == (VALUE, 0o400)
        await stop_and_check(host)

    play(tmp_path, scenario)


def test_a_container_that_begins_again_and_an_adopted_one_have_theirs(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        policy = RestartPolicy(attempt_period_s=60)
        host.server.run(wanted(replace(with_files(), restart_policy=policy)))
        await host.server.status(TASK_ID, "RUNNING")
        host.kill()
        await host.started()
        await host.clock.sleep(100)
        before = given(host)
        host.sandbox.end(host.sandbox.named("web").config.runtime_id, 1)
        await host.clock.sleep(10)
        assert host.sandbox.named("web").status == "running" and given(host) == before
        assert read(before["/run/secrets/key"]) == (VALUE, 0o400)
        await stop_and_check(host)

    play(tmp_path, scenario)


def test_a_value_that_is_too_long_and_a_host_without_memory_fail_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.parameters["key"] = VALUE * 4096
        host.server.run(wanted())
        report = await host.server.status(TASK_ID, "STOPPED")
        assert report.stop_code == "TaskFailedToStart"
        assert report.stopped_reason == (
            "ResourceInitializationError: the value of secret KEY is larger than a file may be (65536 bytes)"
        )
        await host.clock.sleep(10)
        assert host.leftovers() == []
        host.host.disks.faults.fail("hold_in_memory", HostError("no memory"))
        other = replace(wanted(), task_id="f" * 32)
        grant(host, other.task_id)
        host.server.run(other)
        report = await host.server.status(other.task_id, "STOPPED")
        assert report.stopped_reason == "ResourceInitializationError: no memory"

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"files": (InlineFile(path="/proc/self/x", text=""),)}, "a path must be"),
        ({"files": (InlineFile(path="/a/../b", text=""),)}, "a path must be"),
        ({"files": (InlineFile(path="/a", text="x" * 65537),)}, "larger than a definition"),
        ({"secrets": (InjectedSecret(name="A", value_from="a", file_paths=("/a", "/a/b")),)}, "the same path"),
        (
            {"secrets": (InjectedSecret(name="A", value_from="a", file_paths=tuple(f"/{n}" for n in range(33))),)},
            "more than 32 files",
        ),
    ],
)
def test_what_no_honest_server_would_send(changes: dict[str, Any], sentence: str) -> None:
    assert problem(RunOrder(launch=wanted())) is None
    found = problem(RunOrder(launch=wanted(container(**changes))))
    assert found is not None and sentence in found
