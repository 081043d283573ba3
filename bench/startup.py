"""From `neargate up` to an API that answers, against the import of botocore by the same Python.

Warm: the region was up before, its files are in the page cache, and nothing of it runs (`neargate down` before each).
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from neargate.cli.paths import RegionPaths
from neargate.cli.up import agent_connected, healthy
from neargate.testing.registry import free_port

from .figures import Figure, Load, foreign_load, spread
from .region import fresh_data, neargate

ROUNDS = 9
COMMAND = "python -m bench startup"
ALLOWANCE_S = 0.3
READY_S = 30.0


def measure() -> list[Figure]:
    paths = RegionPaths(fresh_data())
    port = free_port()
    series: dict[str, list[float]] = {"listens_s": [], "agent_connected_s": [], "botocore_s": []}
    others = foreign_load()
    try:
        with Load() as load:
            for turn in range(-1, ROUNDS):
                import_s = _import_botocore()
                listens_s, connected_s = _up(paths, port)
                neargate(paths, "down")
                if turn >= 0:
                    for key, value in zip(series, (listens_s, connected_s, import_s), strict=True):
                        series[key].append(value)
    finally:
        try:
            neargate(paths, "down")
        finally:
            shutil.rmtree(paths.data, ignore_errors=True)
    return [_figure(series, load.busy, others)]


def _environment() -> dict[str, str]:
    """As a user's shell has it: warm means that Python may keep what it compiled."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _import_botocore() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import botocore.session"], check=True, env=_environment())
    return time.perf_counter() - begun


def _up(paths: RegionPaths, port: int) -> tuple[float, float]:
    """Seconds from the start of the process until the API answers, and until a host is connected."""
    log = paths.data / "bench-up.log"
    with log.open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "neargate", "up", "--data", str(paths.data), "--port", str(port)],
            stdout=output,
            stderr=output,
            env=_environment(),
        )
        try:
            listens = _until(lambda: healthy(port), process) - begun
            connected = _until(lambda: agent_connected(paths), process) - begun
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            process.wait(20)
    return listens, connected


def _until(ready: Callable[[], bool], process: "subprocess.Popen[bytes]") -> float:
    deadline = time.perf_counter() + READY_S
    while not ready():
        if process.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError("neargate up did not come up")
        time.sleep(0.002)
    return time.perf_counter()


def _figure(series: dict[str, list[float]], busy: float, others: float) -> Figure:
    ours, theirs = median(series["listens_s"]), median(series["botocore_s"])
    shown = {name: spread([value * 1000 for value in values]) for name, values in series.items()}
    return Figure(
        name="warm `neargate up` listens, less 0.3 s",
        value=(ours - ALLOWANCE_S) / theirs,
        unit="x",
        goal="<= 1.0",
        against='`python -c "import botocore.session"` of the same Python, interleaved',
        samples=series,
        notes=[
            f"others used {others:.0%} of the processors before",
            f"API answers after {shown['listens_s']} ms, import takes {shown['botocore_s']} ms",
            f"agent with containerd connected after {shown['agent_connected_s']} ms",
        ],
        load=busy,
        command=COMMAND,
    )
