"""A monitor whose first thread ended alone: to the kernel it is a zombie that cannot be collected, and it runs."""

import os
import subprocess
import sys
from pathlib import Path

from neargate.sandbox.microvm import cgroup

PROGRAM = """
import ctypes, threading
threading.Thread(target=threading.Event().wait).start()
print("begun", flush=True)
ctypes.CDLL(None).syscall(60, 0)
"""


def test_what_runs_without_its_first_thread_is_seen_and_killed(tmp_path: Path) -> None:
    place = tmp_path / "task" / "machine"
    place.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").touch()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as monitor:
        try:
            assert monitor.stdout is not None and monitor.stdout.readline() == b"begun\n"
            while _state(monitor.pid) != "Z":
                os.sched_yield()
            (place / "cgroup.procs").write_text(f"{monitor.pid}\n")
            assert os.waitid(os.P_PID, monitor.pid, os.WEXITED | os.WNOHANG) is None
            assert cgroup.kill(tmp_path, "/task") == {monitor.pid}
        finally:
            monitor.kill()
        assert monitor.wait() == -9
        assert cgroup.processes(tmp_path, "/task") == set()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
