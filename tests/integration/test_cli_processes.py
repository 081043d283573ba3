"""Finding processes again, locks of processes, and how fast one that dies is started again. Real processes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.cli import locks, processes
from neargate.cli.problems import Problem
from neargate.cli.processes import Program, Running
from neargate.cli.supervisor import FREE_RESTARTS, RESTART_MAX_S, RESTART_MIN_S, Child, Supervisor, restart_delay_s


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Program]:
    """A program whose command line nobody else has; whatever runs of it is ended."""
    script = f"import time; time.sleep(60)  # {tmp_path}"
    program = Program(
        name="sleeper",
        argv=(sys.executable, "-c", script),
        environment={},
        log_file=tmp_path / "log",
        pid_file=tmp_path / "sleeper.pid",
    )
    yield program
    while (running := processes.find_program(program)) is not None:
        processes.stop(running, timeout_s=5)


def settled(program: Program) -> Running:
    """Started, and past the moment between fork and exec."""
    running = processes.spawn(program)
    wanted = b"".join(word.encode() + b"\0" for word in program.argv)
    while Path(f"/proc/{running.pid}/cmdline").read_bytes() != wanted:
        assert running.alive
    return running


def test_a_process_is_found_by_its_pid_file_and_without_one_by_its_command_line(sleeper: Program) -> None:
    assert processes.find_program(sleeper) is None
    running = settled(sleeper)
    assert processes.find_program(sleeper) == running
    sleeper.pid_file.unlink()
    assert processes.find(sleeper.pid_file) is None
    assert processes.find_program(sleeper) == running
    assert processes.find(sleeper.pid_file) == running, "the pid file is made good"
    assert processes.find_program(replace(sleeper, argv=(*sleeper.argv, "more"), pid_file=Path("/nonexistent"))) is None


def test_several_are_found_at_once_each_its_own_and_the_oldest_of_twins(sleeper: Program, tmp_path: Path) -> None:
    other = replace(sleeper, name="other", argv=(*sleeper.argv, "other"), pid_file=tmp_path / "other.pid")
    absent = replace(sleeper, name="absent", argv=(*sleeper.argv, "absent"), pid_file=tmp_path / "absent.pid")
    first = settled(sleeper)
    twin = settled(sleeper)
    while twin.start_ticks == first.start_ticks:  # a tick is 10 ms
        processes.stop(twin, timeout_s=5)
        twin = settled(sleeper)
    second = settled(other)
    try:
        sleeper.pid_file.unlink()
        found = processes.find_programs([sleeper, other, absent])
        assert found == {"sleeper": first, "other": second}
        assert twin != first
    finally:
        for running in (twin, second):
            processes.stop(running, timeout_s=5)


def test_a_pid_that_was_given_to_somebody_else_is_not_the_process(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    ticks = processes.start_ticks(os.getpid())
    assert ticks is not None
    file.write_text(f"{os.getpid()} {ticks}\n")
    assert processes.find(file) == Running(os.getpid(), ticks)
    for text in (f"{os.getpid()} {ticks - 1}", "", "nonsense", f"{os.getpid()}"):
        file.write_text(text)
        assert processes.find(file) is None


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_container_that_calls_itself_the_agent_is_not_adopted(sleeper: Program) -> None:
    """Its processes are seen in the machine's /proc under whatever name they choose."""
    twin = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", *sleeper.argv])
    try:
        wanted = b"".join(word.encode() + b"\0" for word in sleeper.argv)
        while not any(_command(path) == wanted for path in Path("/proc").glob("[0-9]*")):
            assert twin.poll() is None
        assert processes.find_program(sleeper) is None
    finally:
        twin.kill()
        twin.wait()


def _command(path: Path) -> bytes:
    try:
        return (path / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_lock_is_seen_without_being_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not locks.is_taken(path)
    held = locks.take(path)
    assert held is not None
    for _ in range(3):
        assert locks.is_taken(path) and locks.take(path) is None
    os.close(os.open(path, os.O_RDONLY))  # closing another descriptor frees a POSIX lock, but not this one
    assert locks.is_taken(path)
    os.close(held)
    assert not locks.is_taken(path)


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        f"from neargate.cli import locks; from pathlib import Path; locks.take(Path({str(path)!r})); "
        "print('held', flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert locks.is_taken(path)
        holder.kill()
        holder.wait()
        assert not locks.is_taken(path)


def test_a_second_claim_names_the_first(tmp_path: Path, sleeper: Program) -> None:
    pid_file = tmp_path / "agent.pid"
    held = locks.take(pid_file.with_suffix(".lock"))
    assert held is not None
    running = settled(sleeper)
    processes.remember(pid_file, running)
    with pytest.raises(Problem, match=f"the agent already runs .pid {running.pid}."):
        processes.claim(pid_file, "the agent")
    os.close(held)
    processes.claim(pid_file, "the agent")
    found = processes.find(pid_file)
    assert found is not None and found.pid == os.getpid()


def test_what_dies_is_started_again(sleeper: Program) -> None:
    said: list[str] = []
    supervisor = Supervisor([Child(sleeper)], said.append)
    supervisor.adopt()
    supervisor.start()
    [child] = supervisor.children
    first = child.running
    assert first is not None and not child.adopted
    os.kill(first.pid, 9)
    while child.running in (None, first):
        supervisor.look()
    assert child.running is not None and child.running.pid != first.pid
    assert len(said) == 1 and "sleeper ended" in said[0]
    another = Supervisor([Child(sleeper)], said.append)
    another.adopt()
    assert another.children[0].running == child.running and another.children[0].adopted


def test_waiting_grows_with_early_deaths_and_is_bounded() -> None:
    delays = [restart_delay_s(deaths) for deaths in range(100)]
    assert delays[: FREE_RESTARTS + 1] == [RESTART_MIN_S] * (FREE_RESTARTS + 1)
    assert delays == sorted(delays) and delays[-1] == RESTART_MAX_S
