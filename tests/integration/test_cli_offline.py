"""What commands say while no server runs or answers, and how they take wrong use. Real sockets and processes."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import admin, entry, locks, offline, processes
from neargate.cli import config as configs
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.down import down
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import NoServer, Problem
from neargate.cli.processes import Running
from neargate.cli.up import up

TASK = {
    "id": "0123abcd",
    "definition": "web:1",
    "status": "RUNNING",
    "address": "172.31.0.5",
    "stop_code": None,
    "stopped_reason": None,
    "containers": [{"name": "web", "status": "STOPPED", "exit_code": 7, "reason": None}],
}


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegionPaths:
    """A region that was started once; this process stands for its agent."""
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: self.data / "run"))
    found = RegionPaths(tmp_path)
    found.server_run.mkdir(parents=True)
    configs.save(found, RegionConfig())
    return found


def runs(paths: RegionPaths, name: str) -> None:
    processes.remember(paths.pid_file(name), Running(os.getpid(), processes.start_ticks(os.getpid()) or 0))


@contextmanager
def answering(path: Path, answer: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The agent's desk, as another process serves it; what it was asked."""
    asked: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    up = threading.Event()

    async def handler(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return answer

    async def serve() -> None:
        async with await admin.serve(path, {"tasks": handler}):
            up.set()
            await ended.wait()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(10)
    try:
        yield asked
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


@pytest.mark.parametrize("words", [["status"], ["why", "0123"], ["logs", "0123"]])
def test_without_a_server_its_agent_is_asked(paths: RegionPaths, words: list[str]) -> None:
    runs(paths, "agent")
    answer = {"ready": True, "count": 12, "tasks": [TASK]}
    with answering(paths.agent_socket, answer) as asked, pytest.raises(Problem) as problem:
        commands.run([*words, "--data", str(paths.data)])
    first, *lines = str(problem.value).splitlines()
    assert "does not run; start it with: neargate up" in first
    assert f"  running: agent (pid {os.getpid()})" in lines
    assert any("holds 12 tasks" in line for line in lines) and "    ... and 11 more" in lines
    assert "    0123abcd  web:1  RUNNING  172.31.0.5  (web ended with 7)" in lines
    assert "neargate down --force" in lines[-1] and asked[0]["task"] == "".join(words[1:])


def test_where_up_watches_nobody_is_told_to_type_it_again(paths: RegionPaths) -> None:
    runs(paths, "agent")
    lock = locks.take(paths.up_lock)
    assert lock is not None
    try:
        with pytest.raises(Problem) as problem:
            commands.run(["status", "--data", str(paths.data)])
    finally:
        os.close(lock)
    text = str(problem.value)
    assert "neargate up starts it again in a moment (its log: " in text and "neargate up watches over it" in text
    assert f"neargate up{paths.as_option}" not in text and f"neargate down{paths.as_option}" in text


def test_with_nothing_running_it_says_nothing_more(paths: RegionPaths) -> None:
    assert offline.account(paths) == "  running: nothing"
    runs(paths, "agent")
    assert "the agent holds" not in offline.account(paths)
    with answering(paths.agent_socket, {"ready": False}):
        assert "still looks for the tasks" in offline.account(paths)


def test_a_server_that_listens_and_does_not_answer_is_named(paths: RegionPaths) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(paths.admin_socket))
        silent.listen()
        with pytest.raises(NoServer, match=r"does not answer .its log: .*server.log.; end it with: neargate down"):
            admin.ask(paths, "status", timeout_s=0.1)
    for answer in (b"", b"half", b"[]\n"):
        with _answers_once(paths.admin_socket, answer), pytest.raises(NoServer, match="does not answer"):
            admin.ask(paths, "status", timeout_s=5)


@contextmanager
def _answers_once(path: Path, answer: bytes) -> Iterator[None]:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


def test_a_region_that_was_never_started_is_said_by_every_command(tmp_path: Path) -> None:
    place = tmp_path / "nothing"
    for words in (["status"], ["why", "x"], ["logs", "x"], ["env"], ["sample"], ["aws", "--data", str(place), "s3"]):
        data = [] if words[0] == "aws" else ["--data", str(place)]
        with pytest.raises(Problem, match=f"no region under {place}; start one with: neargate up"):
            commands.run([*words, *data])
    assert commands.run(["down", "--data", str(place)]) == 0


def test_a_second_down_and_an_up_meanwhile_are_told_who_is_at_it(paths: RegionPaths) -> None:
    lock = locks.take(paths.down_lock)
    assert lock is not None
    paths.down_lock.write_text(json.dumps(None))
    with pytest.raises(Problem, match="another neargate down takes this region down already"):
        down(paths, print)
    with pytest.raises(Problem, match="neargate down takes this region down; try again"):
        up(paths, RegionConfig(), print)
    os.close(lock)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["why"], "arguments are required: TASK|SERVICE|LOAD-BALANCER|TARGET-GROUP; see: neargate why --help"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["up", "--port", "x"], "invalid int value: 'x'; see: neargate up --help"),
        (["up", "--back"], "unrecognized arguments: --back"),
        (["logs", "x", "-n", "0"], "'0' is not a number from 1 to 10000"),
        (["status", "--data", ""], "--data is empty"),
        (["--data", "/d", "agent"], "write it as: neargate agent --data /d"),
        (["up", "-d", "--data", "/proc/x", "--sandbox", "simulated"], "the data directory /proc/x cannot be made"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", "neargate", *words], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2) and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_aws_and_sample_say_that_the_api_does_not_run(paths: RegionPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neargate.cli.environment.run_aws", lambda _paths, _words: 255)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        configs.save(paths, RegionConfig(port=nobody.getsockname()[1]))
        with pytest.raises(Problem, match="the API does not run or does not answer; start it with: neargate up"):
            commands.run(["aws", "--data", str(paths.data), "ecs", "list-clusters"])
        with pytest.raises(NoServer, match="does not run; start it with: neargate up"):
            commands.run(["sample", "--data", str(paths.data)])


def test_env_of_a_region_that_is_down_says_so_beside_its_lines(
    paths: RegionPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.administrator.write_text('{"access_key_id": "AKIA1", "secret_access_key": "s"}')
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        configs.save(paths, RegionConfig(port=port))
        assert commands.run(["env", "--data", str(paths.data)]) == 0
    said = capsys.readouterr()
    assert f"export AWS_ENDPOINT_URL=http://127.0.0.1:{port}" in said.out
    assert f"nothing answers at http://127.0.0.1:{port} now" in said.err and "neargate up --data" in said.err
    assert "neargate:" not in said.out


def test_what_the_system_refuses_is_one_line_with_the_file() -> None:
    def refused(_words: Sequence[str]) -> int:
        raise PermissionError(13, "Permission denied", "/d/up.lock")

    def full(_words: Sequence[str]) -> int:
        raise OSError(28, "No space left on device", "/d/region.new")

    for run, said in ((refused, "up.lock is not open to this user; run as root"), (full, "region.new: No space left")):
        with pytest.raises(Problem, match=said):
            entry._told(run, [])


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "neargate", "doctor"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.returncode == 141 and done.stderr == b""
