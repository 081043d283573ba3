"""A number that was found is another process's by the time of the signal: that one hears nothing."""

import os
import signal
from collections.abc import Iterator

import pytest

from neargate.cli import processes
from neargate.cli.processes import Running
from neargate.hostnet.process_signals import send
from neargate.hostnet.uplink import pasta


@pytest.fixture
def stranger() -> Iterator[int]:
    """A child of ours that lives; it must live on."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
    yield pid
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0) == (pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG) == (0, 0)


def test_who_is_not_meant_once_it_is_held_hears_nothing(stranger: int) -> None:
    assert not send(stranger, signal.SIGTERM, lambda _pid: False)
    assert is_alive(stranger)


def test_who_is_meant_is_told(stranger: int) -> None:
    assert send(stranger, signal.SIGSTOP, lambda pid: pid == stranger)
    assert os.waitpid(stranger, os.WUNTRACED)[0] == stranger


def test_a_number_that_nobody_has_is_told_nothing() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert not send(pid, signal.SIGTERM, lambda _pid: True)


def test_a_process_is_known_by_its_beginning_too(stranger: int) -> None:
    began = processes.start_ticks(stranger)
    assert began is not None
    former = Running(stranger, began - 1)
    assert not processes.tell(former, signal.SIGTERM) and processes.stop(former, timeout_s=5)
    assert is_alive(stranger)


def test_what_carries_packets_is_killed_by_its_beginning(stranger: int) -> None:
    began = pasta._start_ticks(stranger)
    assert began is not None
    pasta._kill(stranger, began - 1)
    assert is_alive(stranger)
