"""A command's score of out-of-memory kills: written to a process of its container, never to another's."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.sandbox.oom_score import make_ordinary


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    if int(Path("/proc/self/oom_score_adj").read_text()) > 1:
        pytest.skip("this session's processes are early victims themselves, and only root may change that")
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.communicate()


def score(process: "subprocess.Popen[bytes]") -> str:
    return Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip()


def test_of_a_process_in_the_containers_cgroup(process: "subprocess.Popen[bytes]") -> None:
    (path, *_) = {line.split(":", 2)[2] for line in Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()}
    make_ordinary(process.pid, path)
    assert score(process) == "1"


def test_another_process_of_that_number_keeps_its_own(process: "subprocess.Popen[bytes]") -> None:
    before = score(process)
    make_ordinary(process.pid, "/neargate-abcdef/task/web")
    assert score(process) == before


def test_one_that_has_ended_is_no_error() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    make_ordinary(ended.pid, "/")
