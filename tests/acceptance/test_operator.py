"""A simulated region as its operator meets it: twice at once, ended and by whom, hung, with its API gone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neargate.cli import processes
from neargate.model.knobs import DEFAULT_KNOBS

from .conftest import end_region
from .region import LiveRegion, traces, wait_for
from .test_down_force import damaged
from .test_up_down import new_region

UP = ("up", "--background", "--sandbox", "simulated")


@pytest.fixture
def simulated() -> Iterator[LiveRegion]:
    region = new_region()
    try:
        yield region
    finally:
        end_region(region)


def test_two_that_start_it_at_once_both_find_it_up(simulated: LiveRegion) -> None:
    with ThreadPoolExecutor(3) as threads:
        said = list(threads.map(lambda _: simulated.command(*UP, "-p", str(simulated.port)).stdout, range(3)))
    assert all("is up at" in text for text in said)
    wait_for("three hosts", lambda: simulated.command("status").stdout.count("connected") == 3)


def test_up_says_by_whom_it_was_ended(simulated: LiveRegion, tmp_path: Path) -> None:
    argv = [str(Path(sys.executable).parent / "neargate"), "up", "--sandbox", "simulated", "-p", str(simulated.port)]
    output = tmp_path / "output"
    for ended_by_down in (False, True):
        with output.open("w") as file:
            up = subprocess.Popen([*argv, "--data", str(simulated.paths.data)], stdout=file, start_new_session=True)
        wait_for("the region", lambda: "is up at" in output.read_text())
        if ended_by_down:
            simulated.command("down")
        else:
            up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0
        text = output.read_text()
        assert ("Tasks keep running" in text) is not ended_by_down
        assert ("neargate down ended the API" in text) is ended_by_down


@pytest.mark.usefixtures("impatient")
def test_after_ctrl_c_and_with_a_hung_api_it_is_said_what_runs(simulated: LiveRegion) -> None:
    simulated.command(*UP, "-p", str(simulated.port))
    server = processes.find(simulated.paths.pid_file("server"))
    agent = processes.find(simulated.paths.pid_file("agent"))
    up = processes.find(simulated.paths.up_lock)
    assert server is not None and agent is not None and up is not None
    os.kill(server.pid, signal.SIGSTOP)
    hung = simulated.command("status", check=False)
    os.kill(server.pid, signal.SIGCONT)
    assert hung.returncode == 1 and f"server (pid {server.pid}), agent (pid {agent.pid})" in hung.stderr
    assert "does not answer" in hung.stderr and "neargate up watches over it" in hung.stderr
    os.kill(up.pid, signal.SIGINT)
    assert processes.wait_gone(up, 30)
    for words in (("status",), ("why", "abc"), ("logs", "abc")):
        told = simulated.command(*words, check=False)
        assert told.returncode == 1 and f"running: agent (pid {agent.pid})" in told.stderr


@pytest.mark.usefixtures("impatient")
def test_a_region_that_cannot_start_says_why_and_the_way_out(simulated: LiveRegion) -> None:
    simulated.command(*UP, "-p", str(simulated.port))
    simulated.command("down")
    with damaged(simulated.paths.databases, "cell-0*"):
        _cannot_start(simulated)


def _cannot_start(simulated: LiveRegion) -> None:
    failed = simulated.command(*UP, check=False)
    assert failed.returncode == 1 and "the server ends each time" in failed.stderr
    assert "still running: agent" in failed.stderr and "neargate down --force" in failed.stderr
    assert "the region is down" in simulated.command("down", "--force").stdout
    assert traces(simulated.paths) == []


def test_the_processes_own_logs_are_bounded_by_up_and_by_the_agent(simulated: LiveRegion) -> None:
    simulated.command(*UP, "-p", str(simulated.port))
    up = processes.find(simulated.paths.up_lock)
    agent = processes.find(simulated.paths.pid_file("agent"))
    assert up is not None and agent is not None
    for stopped in (agent, up):  # the other one does it
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            _fills(simulated.paths.log_file("server"), f"{stopped.pid} is stopped")
        finally:
            os.kill(stopped.pid, signal.SIGCONT)


def _fills(log: Path, last: str) -> None:
    bound = DEFAULT_KNOBS.process_log_max_bytes
    with log.open("a") as file:
        file.write(f"{'x' * 99}\n" * (bound // 50) + f"{last}\n")
    wait_for("a log that is cut", lambda: log.stat().st_size < bound)
    kept = Path(f"{log}.1").read_text()
    assert bound - 100 < len(kept) <= 2 * bound
    assert f"\n{last}\n" in f"{kept}\n{log.read_text()}"
