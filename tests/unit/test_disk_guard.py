"""Who is frozen when the disk behind all tasks runs full, when nobody is, and what the agent does about it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.disk.guard import DiskPlan, Look, Watch, decide
from neargate.interfaces.hostnet import HostError
from neargate.interfaces.sandbox import EngineUnavailable
from neargate.model.knobs import Knobs
from neargate.model.launch import AwsLogs, Dependency
from neargate.testing.agent_host import INCARNATION, TASK_ID, AgentHost, container, launch
from neargate.testing.fake_hostnet import GIB
from neargate.testing.fake_sandbox import Program
from neargate.testing.virtual_time import run_virtual

KNOBS = Knobs()
MIB = 1 << 20
A, B = "a" * 32, "b" * 32
LOGS = AwsLogs(group="/web", region="us-east-1", stream=f"p/web/{TASK_ID}")


def look(at: float, free: float, **mib: float) -> Look:
    return Look(
        at=at, free_fraction=free, allocated={name[0] * 32: int(size * MIB) for name, size in mib.items() if size}
    )


def after(*looks: Look) -> DiskPlan:
    """The plan of the last look, each having remembered those before it."""
    watch = Watch()
    for each in looks:
        plan = decide(watch, each, KNOBS)
        watch = plan.watch
    return plan


def frozen(*looks: Look) -> str | None:
    freeze = after(*looks).freeze
    return None if freeze is None else freeze.task_id


# -- taking tasks


def test_a_host_refuses_below_one_mark_and_takes_again_above_a_higher_one() -> None:
    seen = [0.5, 0.10, 0.099, 0.11, 0.119, 0.12, 0.11, 0.10, 0.05]
    looks = [look(n, free) for n, free in enumerate(seen)]
    taken = [after(*looks[: n + 1]).refusal is None for n in range(len(looks))]
    assert taken == [True, True, False, False, False, True, True, True, False]
    assert after(*looks).refusal == "only 5% of the disk is free"


def test_a_host_that_begins_between_the_marks_takes_tasks() -> None:
    assert after(look(0, 0.11)).refusal is None


@pytest.mark.parametrize(
    ("looks", "often"),
    [
        ([look(0, 0.5)], False),
        ([look(0, 0.09)], True),
        ([look(0, 0.5), look(5, 0.4)], False),  # 2 % each second: 30 % at the next ordinary look
        ([look(0, 0.5), look(5, 0.29)], True),  # below the mark before the next ordinary look
        ([look(0, 0.2), look(5, 0.5)], False),
        ([look(0, 0.5), look(0, 0.4)], False),
    ],
)
def test_it_looks_more_often_when_little_is_free_or_soon_will_be(looks: list[Look], often: bool) -> None:
    assert after(*looks).next_look_s == (KNOBS.disk_watch_period_s if often else KNOBS.host_check_period_s)


# -- whom to freeze


@pytest.mark.parametrize(
    ("looks", "victim"),
    [
        ([look(0, 0.05, a=900, b=10), look(1, 0.029, a=900, b=30)], B),  # fastest, not largest
        ([look(0, 0.05, a=10, b=10), look(1, 0.029, a=60, b=30)], A),
        ([look(0, 0.05, a=10, b=10), look(1, 0.031, a=60, b=30)], None),  # above the floor
        ([look(0, 0.029, a=500, b=10)], None),  # a first look tells nobody from the others
        ([look(0, 0.05, a=10), look(1, 0.029, a=20, b=15)], B),  # a new disk was written whole
        ([look(0, 0.05, a=10, b=20), look(1, 0.029, a=10, b=5)], None),  # something else fills the disk
        ([look(0, 0.05, a=10), look(1, 0.029, a=10.5)], None),  # everybody writes a little
        ([look(0, 0.05, a=10), look(1, 0.014, a=10.5)], A),  # and that is too much when there is nothing left
        ([look(0, 0.05, a=10), look(1, 0.014, a=10)], None),
        ([look(0, 0.05), look(1, 0.0)], None),
        # Who wrote before the window is not who writes now.
        ([look(0, 0.5, a=10), look(1, 0.2, a=900), *(look(n, 0.05, a=900, b=n) for n in range(5, 16)),
          look(16, 0.029, a=900, b=17)], B),
        # A host that slept long knows only what it saw before.
        ([look(0, 0.5, a=10, b=10), look(500, 0.02, a=10, b=90)], B),
    ],
)  # fmt: skip
def test_the_fastest_writer_is_frozen(looks: list[Look], victim: str | None) -> None:
    assert frozen(*looks) == victim


def test_the_reason_names_the_host_s_disk_and_the_task_s_writes() -> None:
    freeze = after(look(0, 0.05, a=10, b=10), look(2.5, 0.024, a=1060, b=10)).freeze
    assert freeze is not None and freeze.reason == (
        "Host disk exhausted: 2.4% of the disk behind this host's tasks was free and this task was its fastest writer "
        "(1050 MiB in the last 2.5 s)"
    )


FIRST = (look(0, 0.05, a=10, b=10), look(1, 0.029, a=60, b=30))  # the last freezes A


@pytest.mark.parametrize(
    ("later", "victim"),
    [
        ([look(2, 0.028, a=60, b=40)], None),  # the room of the first is on its way back
        ([look(2, 0.028, b=40)], B),  # it is back, and was not enough
        ([look(2, 0.028, b=30)], None),
        ([look(2, 0.014, a=60, b=40)], B),  # half of what was free is gone: it cannot be waited for
        ([look(2, 0.02, a=60, b=40), look(31.1, 0.02, a=60, b=50)], B),  # it does not come back
        ([look(2, 0.2, b=40), look(3, 0.029, b=400)], B),
        ([look(2, 0.028, a=60, b=30), look(3, 0.02, b=30.1)], None),  # what B wrote before was judged with A
    ],
)
def test_one_at_a_time(later: list[Look], victim: str | None) -> None:
    assert frozen(*FIRST) == A
    assert frozen(*FIRST, *later) == victim


def test_what_is_remembered_is_bounded() -> None:
    watch = Watch()
    for n in range(1000):
        watch = decide(watch, look(n * KNOBS.disk_watch_period_s, 0.05, a=1), KNOBS).watch
    assert len(watch.looks) <= KNOBS.disk_blame_window_s / KNOBS.disk_watch_period_s + 2


# -- the agent


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            host.sandbox.programs["web"] = Program(output=b"last words\n")
            await host.started()
            await scenario(host)

    run_virtual(whole())


def write(host: AgentHost, mib: int, task_id: str = TASK_ID) -> None:
    with (Path(host.host.disks.disks[task_id].path) / "file").open("ab") as file:
        file.truncate(file.tell() + mib * MIB)


async def run_short(host: AgentHost, mib: int = 100) -> None:
    """The disk was seen nearly full; then the task writes and it is below the floor."""
    host.host.disks.free = 0.05
    await host.clock.sleep(6)
    host.host.disks.free = 0.02
    write(host, mib)


async def running(host: AgentHost, **changes: object) -> None:
    host.server.run(launch(container(logs=LOGS, stop_timeout_s=120), **changes))
    await host.server.status(TASK_ID, "RUNNING")


def test_the_writer_is_cut_off_frozen_killed_at_once_and_the_reason_is_told(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["side"] = Program(term_exit_code=None)
        side = container("side", stop_timeout_s=120, depends_on=(Dependency(container_name="web", condition="START"),))
        host.server.run(launch(container(logs=LOGS, stop_timeout_s=120), side))
        await host.server.status(TASK_ID, "RUNNING")
        calls: list[tuple[str, bool, bool, str | None]] = []
        told = host.sandbox.kill_container

        async def kill(runtime_id: str, signal: int) -> None:
            paused = host.sandbox.containers[runtime_id].paused
            code = host.server.reports[TASK_ID].stop_code
            calls.append((f"{signal}", paused, TASK_ID in host.host.disks.cut, code))
            await told(runtime_id, signal)

        host.sandbox.kill_container = kill  # type: ignore[method-assign]  # a look at the moment of the kill
        await run_short(host)
        begun = host.clock.monotonic()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert calls == [("9", True, True, "InfrastructureHealth")] * 2
        assert host.clock.monotonic() - begun < 1, "no grace is waited for"
        assert stopped.stop_code == "InfrastructureHealth"
        assert stopped.stopped_reason is not None and stopped.stopped_reason.startswith("Host disk exhausted: 2.0% of")
        assert "(100 MiB in the last" in stopped.stopped_reason
        assert [item.exit_code for item in stopped.containers] == [137, 137]
        assert host.server.logs[TASK_ID, "web"].lines == [b"last words"]
        assert host.leftovers() == []
        assert "STOPPING" in [report.known_status for report in host.server.history]

    play(tmp_path, scenario)


def test_a_task_beside_the_writer_goes_on(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        other = launch()
        other_id = "f" * 32
        eni = replace(other.eni, private_ipv4="10.0.1.6")
        host.server.run(replace(other, task_id=other_id, eni=eni))
        await host.server.status(other_id, "RUNNING")
        await running(host)
        write(host, 5000, other_id)  # large, but long ago
        await host.clock.sleep(60)
        await run_short(host)
        await host.server.status(TASK_ID, "STOPPED")
        host.host.disks.free = 0.2
        await host.clock.sleep(60)
        assert host.server.reports[other_id].known_status == "RUNNING"
        assert host.server.hosts[-1].accepts_tasks
        host.host.disks.free = 0.02
        await host.clock.sleep(60)
        assert host.server.reports[other_id].known_status == "RUNNING", "it does not write"

    play(tmp_path, scenario)


@pytest.mark.parametrize("call", ["cut_off", "pause_container", "kill_container", "delete_disk"])
def test_a_kill_of_the_agent_leaves_no_task_frozen(tmp_path: Path, call: str) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        faults = host.host.disks.faults if call in ("cut_off", "delete_disk") else host.sandbox.faults
        faults.hang(call)
        await run_short(host)
        await host.clock.sleep(3)
        assert faults.calls[call] == 1
        host.kill()
        await host.started()
        begun = host.clock.monotonic()
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert host.clock.monotonic() - begun < 60, "the next agent gives no grace either"
        assert stopped.stop_code == "InfrastructureHealth" and stopped.containers[0].exit_code == 137
        assert host.leftovers() == []

    play(tmp_path, scenario)


@pytest.mark.parametrize("refused", ["cut_off", "pause_container"])
def test_what_cannot_be_frozen_is_killed_all_the_same(tmp_path: Path, refused: str) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        if refused == "cut_off":
            host.host.disks.faults.fail("cut_off", HostError("an old kernel"))
        else:
            host.sandbox.faults.fail("pause_container", EngineUnavailable("it restarts"))
        await run_short(host)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "InfrastructureHealth" and stopped.containers[0].exit_code == 137
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_stop_that_gives_its_writer_a_grace_loses_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.programs["web"] = Program(term_exit_code=None)
        await running(host)
        host.server.stop(TASK_ID, INCARNATION)
        await host.clock.sleep(1)
        begun = host.clock.monotonic()
        await run_short(host)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert host.clock.monotonic() - begun < 20
        assert (stopped.stop_code, stopped.stopped_reason) == ("UserInitiated", "Task stopped by user")
        assert stopped.containers[0].exit_code == 137 and host.leftovers() == []

    play(tmp_path, scenario)


def test_a_launch_that_fills_the_disk_is_stopped_in_the_middle(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        waiting = container("later", depends_on=(Dependency(container_name="web", condition="SUCCESS"),))
        host.server.run(launch(container(essential=False), waiting))
        await host.clock.sleep(5)
        assert host.sandbox.named("web").status == "running"
        await run_short(host)
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stop_code == "InfrastructureHealth" and len(host.sandbox.ever_started) == 1
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_charge_for_images_is_no_write(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        await running(host)
        host.host.disks.free = 0.05
        await host.clock.sleep(6)
        host.host.disks.free = 0.02
        await host.host.disks.reserve(TASK_ID, 5 * GIB)
        await host.clock.sleep(30)
        assert host.server.reports[TASK_ID].known_status == "RUNNING"

    play(tmp_path, scenario)


def test_the_server_hears_of_both_marks(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        disks = host.host.disks
        said: list[bool] = []
        for free in (0.5, 0.09, 0.11, 0.13, 0.11, 0.09):
            disks.free = free
            await host.clock.sleep(10)
            said.append(host.server.hosts[-1].accepts_tasks)
        assert said == [True, False, False, True, True, False]
        before = len(host.server.hosts)
        await host.clock.sleep(60)
        assert len(host.server.hosts) == before, "only what changed is told"
        host.server.drop()
        await host.server.connected()
        assert not host.server.hosts[-1].accepts_tasks, "also in the Hello of a new connection"

    play(tmp_path, scenario)
