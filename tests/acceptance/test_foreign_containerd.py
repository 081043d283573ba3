"""A region on a containerd that is not its own: the machine's, for one. What others keep in it stays as it was.

The test starts that containerd itself, with Debian's layout (socket in the state directory) in directories of its own.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.cli.paths import RegionPaths
from neargate.sandbox import containerd_pb2 as pb
from neargate.sandbox.containerd_client import Containerd
from neargate.testing.oci_image import sha256
from neargate.testing.registry import free_port

from .region import LiveRegion, data_directory, traces, wait_for

SOMEBODY = "somebody"
CONTENT = b"somebody else's content"
WORK = {"command": ["sh", "-c", "echo here; sleep 300"], "stopTimeout": 2}


class ForeignContainerd:
    """Its process and its directories; somebody else already keeps an image and a snapshot there."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="neargate-test-", dir="/var/lib"))
        self.state = Path(tempfile.mkdtemp(prefix="neargate-test-", dir="/run"))
        self.socket = str(self.state / "containerd.sock")
        settings = {"root": str(self.base / "root"), "state": str(self.state)}
        config = ["version = 2", 'disabled_plugins = ["io.containerd.grpc.v1.cri"]']
        config += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        config += ["[grpc]", f"address = {json.dumps(self.socket)}"]
        (self.base / "config.toml").write_text("\n".join(config) + "\n")
        self.start()

    def start(self) -> None:
        command = ["containerd", "--config", str(self.base / "config.toml")]
        with (self.base / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for("the other containerd", lambda: self.process.poll() is None and self._answers(), 30)

    def _answers(self) -> bool:
        return "Server:" in self.ctr("version", check=False)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def ctr(self, *arguments: str, check: bool = True) -> str:
        command = ["ctr", "--address", self.socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60).stdout

    def fill(self) -> None:
        client = Containerd(self.socket, SOMEBODY)
        digest = sha256(CONTENT)
        client.create_namespace()
        client.create_lease("theirs", {})
        client.write_content(ref="r", digest=digest, size=len(CONTENT), chunks=[CONTENT], labels={}, lease="theirs")
        client.put_image("somebody/image:1", pb.Descriptor(media_type="x", digest=digest, size=len(CONTENT)), {})
        client.prepare_snapshot("theirs", "", lease="theirs")
        client.close()

    def contents(self) -> dict[str, str]:
        """All that can be seen in it, by namespace."""
        seen = {"namespaces": self.ctr("namespaces", "list", "--quiet")}
        for name in seen["namespaces"].split():
            seen[f"{name} snapshots"] = self.ctr("--namespace", name, "snapshots", "list")
            for what in ("images", "content", "leases", "containers", "tasks"):
                seen[f"{name} {what}"] = self.ctr("--namespace", name, what, "list", "--quiet")
        # What takes room is gone too, not only its name.
        for kind in ("content.v1.content/blobs/sha256", "snapshotter.v1.overlayfs/snapshots"):
            seen[kind] = str(len(os.listdir(self.base / "root" / f"io.containerd.{kind}")))
        return seen

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)


@pytest.fixture
def foreign() -> Iterator[ForeignContainerd]:
    engine = ForeignContainerd()
    try:
        engine.fill()
        yield engine
    finally:
        engine.remove()


@pytest.fixture
def fresh() -> Iterator[LiveRegion]:
    data = data_directory()
    region = LiveRegion(paths=RegionPaths(data), port=free_port())
    try:
        yield region
    finally:
        region.command("down", check=False)
        shutil.rmtree(data)


def shims(foreign: ForeignContainerd) -> list[str]:
    """Processes that serve containers of this containerd."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # ended while we looked
        if foreign.socket.encode() in words and b"containerd-shim" in words[0]:
            found.append(process.name)
    return found


def test_a_region_leaves_the_machines_containerd_as_it_was(foreign: ForeignContainerd, fresh: LiveRegion) -> None:
    before, process = foreign.contents(), foreign.process.pid
    assert before["namespaces"].split() == [SOMEBODY] and "somebody/image:1" in before[f"{SOMEBODY} images"]
    fresh.up("--containerd", foreign.socket)
    fresh.push_images()
    assert fresh.output({"command": ["echo", "from the other one"]}) == ["from the other one"]
    arn = fresh.run(fresh.register({**WORK, "logConfiguration": fresh.log_config("/test/output")}))
    fresh.wait_status(arn, "RUNNING")
    assert len(foreign.ctr("namespaces", "list", "--quiet").split()) == 2 and shims(foreign)
    assert not fresh.paths.pid_file("containerd").exists()
    # The machine's may be restarted by its package manager: tasks do not notice.
    foreign.stop()
    foreign.start()
    process = foreign.process.pid
    wait_for("the task's container in it again", lambda: fresh.paths.instance in foreign.ctr("namespaces", "list"))
    assert fresh.output({"command": ["echo", "after a restart"]}) == ["after a restart"]
    [task] = fresh.ecs.describe_tasks(tasks=[arn])["tasks"]
    assert task["lastStatus"] == "RUNNING"

    fresh.command("down")
    assert foreign.process.poll() is None and foreign.process.pid == process
    assert foreign.contents() == before
    wait_for("the end of our shims", lambda: not shims(foreign))
    assert traces(fresh.paths) == []

    # And once more: nothing that was taken away is missed.
    fresh.command("up", "--background")
    assert fresh.output({"command": ["echo", "again"]}) == ["again"]
    fresh.command("down")
    assert foreign.contents() == before


def test_a_containerd_that_does_not_run_is_said_in_a_line(fresh: LiveRegion, tmp_path: Path) -> None:
    absent = str(tmp_path / "containerd.sock")
    done = fresh.command("up", "--port", str(fresh.port), "--containerd", absent, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"neargate: no containerd answers at {absent} (No such file or directory); start it, or take neargate's own: "
        "--containerd own\n"
    )
    assert not os.path.exists(fresh.paths.config)
