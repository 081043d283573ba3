"""The last words of a command on a terminal are heard, though the runtime between them ends with its last child.

In the runtime's place stands a program that does what crun 1.8.1 does: it starts the command on a terminal of its own,
writes its pid, comes to look late, and copies what the terminal holds only as long as it has a child.
"""

import os
import pty
import sys
from pathlib import Path

import pytest

from neargate.sandbox.microvm import runtime

pytestmark = pytest.mark.skipif(not os.access(runtime.BUSYBOX, os.X_OK), reason=f"needs {runtime.BUSYBOX}")
LATE = """
import os, pty, select, signal, sys, time
pid, inner = pty.fork()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", sys.argv[2]])
open(sys.argv[1], "w").write(str(pid))
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it is over before anybody looks
code = 255
while True:
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1]) if ended[0] == pid else code
    except ChildProcessError:
        os._exit(code)
    if select.select([inner], [], [], 0.01)[0]:
        try:
            os.write(1, os.read(inner, 4096))
        except OSError:
            pass  # all was read
"""


def heard(words: tuple[str, ...]) -> tuple[bytes, int]:
    """What a program says on its terminal until nobody has that any more, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], words)
    said = b""
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:
            break
    os.close(terminal)
    return said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def late(tmp_path: Path, command: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", LATE, str(tmp_path / "pid"), command)


def test_a_command_that_is_over_at_once_is_heard_with_its_exit_code(tmp_path: Path) -> None:
    words = late(tmp_path, "echo all of it; exit 7")
    assert heard(words) == (b"", 7), "what is lost without"
    assert heard(runtime.lingering(str(tmp_path / "pid"), words)) == (b"all of it\r\r\n", 7)


def test_a_runtime_that_fails_before_it_starts_anything_is_not_outlived(tmp_path: Path) -> None:
    """Its words and its code are its own; who waits for the terminal's end does not wait for the other."""
    words = runtime.lingering(str(tmp_path / "pid"), ("/bin/sh", "-c", "echo no such command; exit 1"))
    assert heard(words) == (b"no such command\r\n", 1)
