"""What Neargate is measured against: `ctr run`, `docker run` of a private dockerd, and moto's server.

Each runs apart from the machine's own services, in directories of its own, and ends with its `with` block.
"""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neargate.testing.registry import free_port

from .region import IDLE_COMMAND

READY_S = 30.0
NAMESPACE = "bench"


@dataclass(frozen=True)
class Ctr:
    """containerd's own client, on the containerd of the region under test."""

    address: str
    runtime: str
    image: str

    def _ctr(self, *arguments: str) -> list[str]:
        return ["ctr", "--address", self.address, "--namespace", NAMESPACE, *arguments]

    def pull(self) -> None:
        _run(*self._ctr("images", "pull", "--plain-http", self.image))

    def start(self, name: str) -> float:
        """Milliseconds of `ctr run -d`."""
        command = self._ctr("run", "-d", "--runc-binary", self.runtime, self.image, name, *IDLE_COMMAND)
        begun = time.perf_counter()
        _run(*command)
        return (time.perf_counter() - begun) * 1000

    def remove(self, name: str) -> None:
        _run(*self._ctr("task", "delete", "--force", name))
        _run(*self._ctr("container", "delete", name))


@dataclass(frozen=True)
class Docker:
    """A dockerd of our own, without bridge and firewall rules."""

    address: str
    image: str

    def _docker(self, *arguments: str) -> list[str]:
        return ["docker", "--host", self.address, *arguments]

    def pull(self) -> None:
        _run(*self._docker("pull", "--quiet", self.image))

    def start(self, name: str) -> float:
        """Milliseconds of `docker run -d --network none`."""
        command = self._docker("run", "-d", "--network", "none", "--name", name, self.image, *IDLE_COMMAND)
        begun = time.perf_counter()
        _run(*command)
        return (time.perf_counter() - begun) * 1000

    def remove(self, name: str) -> None:
        _run(*self._docker("rm", "--force", name))


@contextmanager
def private_docker(image: str, runtime: str) -> Iterator[Docker]:
    """`runtime` is the path of the OCI runtime that containers use."""
    base = Path(tempfile.mkdtemp(prefix="neargate-bench-docker-", dir="/var/lib"))
    address = f"unix://{base}/docker.sock"
    name = os.path.basename(runtime)
    runtimes = ["--add-runtime", f"bench={runtime}", "--default-runtime", "bench"] if name != "runc" else []
    command = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--log-level", "error"]
    command += ["--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "--pidfile", f"{base}/docker.pid"]
    command += ["--config-file", f"{base}/none.json", "-H", address, *runtimes]
    (base / "none.json").write_text("{}")
    with (base / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    docker = Docker(address, image)
    try:
        _wait(lambda: subprocess.run(docker._docker("info"), capture_output=True).returncode == 0, daemon, base / "log")
        yield docker
    finally:
        _end(daemon)
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def moto() -> Iterator[tuple[int, int]]:
    """moto's own server as its documentation starts it. Yields port and pid."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(lambda: _answers(port), server, None)
        yield port, server.pid
    finally:
        _end(server)


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/moto-api/data.json")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _wait(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path | None) -> None:
    deadline = time.monotonic() + READY_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            text = log.read_text()[-2000:] if log else ""
            raise RuntimeError(f"{process.args!r} did not come up: {text}")
        time.sleep(0.1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr or done.stdout}")
