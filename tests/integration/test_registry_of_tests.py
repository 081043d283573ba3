"""A run of tests that is killed leaves no registry: its life is bound to theirs."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import neargate

WAIT_MS = 20_000
MAKES = """
import sys, time
sys.path[:0] = [sys.argv[1]]
from neargate.testing.registry import RunningRegistry
made = RunningRegistry(sys.argv[2])
print(made._process.pid, flush=True)
time.sleep(600)
"""


def test_a_registry_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    source = str(Path(neargate.__file__).parents[1])
    maker = subprocess.Popen([sys.executable, "-c", MAKES, source, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    try:
        made = os.pidfd_open(int(maker.stdout.readline()))
    finally:
        maker.send_signal(signal.SIGKILL)
        maker.wait()
        maker.stdout.close()
    try:
        end = select.poll()
        end.register(made, select.POLLIN)
        assert end.poll(WAIT_MS), "it lives on"
    finally:
        os.close(made)
