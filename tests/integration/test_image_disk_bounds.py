"""What makes an image's disk is held: by rights, by bounds, by its parent's life. No image is needed for that."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.interfaces.sandbox import Image, SandboxError
from neargate.model.knobs import Knobs
from neargate.sandbox.microvm import packing
from neargate.sandbox.microvm.image_disks import ImageDisks, open_shared
from neargate.sandbox.microvm.packing import Bounds, CannotPack, pack
from neargate.sandbox.rootfs import Views
from neargate.world import OsWorld

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("mkfs.erofs") is None, reason="needs mkfs.erofs of erofs-utils"),
]

MIB = 1 << 20
WIDE = Bounds(size_bytes=64 * MIB, memory_bytes=1024 * MIB, seconds=60.0)
LOOKS, LOOK_S = 1000, 0.02
SHORT = Knobs(image_free_low_fraction=1.1, image_free_goal_fraction=1.1, image_spared_s=0.0)
FULL = "CannotPullContainerError: failed to unpack image on snapshotter overlayfs: "


class OneLayer(Views):
    """An image of the one directory."""

    def __init__(self, layer: Path) -> None:
        self.layer = layer

    def lowers(self, chain_id: str) -> tuple[str, ...]:
        return (str(self.layer),)


def image_of(number: int, size: int = 4096) -> Image:
    digest = f"sha256:{number:064x}"
    return Image(
        reference="r",
        digest=digest,
        index_digest=None,
        config_digest=digest,
        snapshot=digest,
        unpacked_bytes=size,
        compressed_bytes=size,
    )


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    (tmp_path / "layer" / "bin").mkdir(parents=True)
    (tmp_path / "layer" / "bin" / "tool").write_bytes(b"tool")
    return tmp_path / "layer"


def disks_of(layer: Path, knobs: Knobs | None = None) -> ImageDisks:
    directory = str(layer.parent / "disks")
    return ImageDisks(OsWorld({"image-disks": 2}), views=OneLayer(layer), directory=directory, knobs=knobs or Knobs())


def packed(tree: Path, bounds: Bounds = WIDE) -> int:
    """The disk's size."""
    with open(tree.parent / "target", "w+b") as target:
        pack(str(tree), target.fileno(), bytes(16), bounds)
        return os.fstat(target.fileno()).st_size


@contextmanager
def in_place_of_mkfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Iterator[None]:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mkfs.erofs").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "mkfs.erofs").chmod(0o755)
    (tmp_path / "told").touch(0o666)
    (tmp_path / "told").chmod(0o666)
    for directory in (tmp_path, *list(tmp_path.parents)[:-1]):
        directory.chmod(directory.stat().st_mode | 0o011)
    monkeypatch.setattr(packing, "_PATH", f"{programs}:{packing._PATH}")
    yield


def test_a_file_larger_than_the_image_said_ends_it(layer: Path) -> None:
    os.truncate(layer / "bin" / "tool", 1 << 40)
    with pytest.raises(CannotPack, match="its files take more than the 16 MiB that a disk of its size may take"):
        packed(layer, replace(WIDE, size_bytes=16 * MIB))
    assert os.stat(layer.parent / "target").st_size <= 16 * MIB
    os.truncate(layer / "bin" / "tool", 15 * MIB)
    assert packed(layer, replace(WIDE, size_bytes=16 * MIB)) > 15 * MIB


def test_a_tree_of_too_many_files_for_its_memory_ends_it(layer: Path) -> None:
    for number in range(3000):
        (layer / f"f{number}").touch()
    with pytest.raises(CannotPack, match="more files than fit into the memory for making its disk"):
        packed(layer, replace(WIDE, memory_bytes=20 * MIB))


def test_a_tree_that_is_too_deep_is_refused_and_a_deep_one_is_not(layer: Path) -> None:
    def deepen(levels: int) -> None:
        here = os.open(layer, os.O_PATH)
        for _ in range(levels):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_PATH, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)

    def clear() -> None:
        subprocess.run(["rm", "-rf", str(layer / "d")], check=True, timeout=60)

    deepen(1500)
    assert packed(layer) > 0
    clear()
    deepen(2100)
    with pytest.raises(CannotPack, match="it is too deep, or"):
        packed(layer)
    clear()


def test_a_name_of_the_full_length_is_refused_and_not_cut(layer: Path) -> None:
    (layer / ("n" * 255)).touch()
    with pytest.raises(CannotPack, match=r"mkfs\.erofs ended with 1"):
        packed(layer)


def test_links_of_the_image_lead_nowhere(layer: Path, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "large").write_bytes(b"x" * 8 * MIB)
    (layer / "etc").symlink_to(tmp_path / "host")
    (layer / "file").symlink_to(tmp_path / "host" / "large")
    assert packed(layer) < MIB


def test_it_has_one_right_and_no_network(layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"(cat /proc/self/status /proc/self/limits; ls /proc/self/fd; cat /proc/net/dev) > {tmp_path}/told; exit 7"
    with in_place_of_mkfs(tmp_path, monkeypatch, script), pytest.raises(CannotPack, match=r"mkfs\.erofs ended with 7"):
        packed(layer)
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    status = {words[0]: words[1:] for words in told if len(words) > 1}
    assert (
        status["Uid:"] == status["Gid:"] == ["65534"] * 4 and status["Groups:"] == [] if "Groups:" in status else True
    )
    for kind in ("CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"):
        assert int(status[kind][0], 16) == 1 << 2, f"{kind} more than CAP_DAC_READ_SEARCH"
    assert status["NoNewPrivs:"] == ["1"]
    assert ["Max", "file", "size", str(64 * MIB), str(64 * MIB), "bytes"] in told
    assert ["Max", "address", "space", str(1024 * MIB), str(1024 * MIB), "bytes"] in told
    assert {words[0] for words in told if words and words[0].endswith(":") and len(words) == 17} == {"lo:"}
    assert os.stat(tmp_path / "target").st_uid == 0, "it is root's again, whatever became of it"


def test_one_that_takes_too_long_is_ended(layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"echo $$ > {tmp_path}/told; exec sleep 1000"
    too_long = pytest.raises(CannotPack, match="its disk was not made within 1 seconds")
    with in_place_of_mkfs(tmp_path, monkeypatch, script), too_long:
        packed(layer, replace(WIDE, seconds=1.0))
    assert not Path(f"/proc/{(tmp_path / 'told').read_text().strip()}").exists()


def test_what_it_says_is_held_within_a_bound_and_obeyed_by_no_terminal(
    tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says the names of an image, as many as there are, and a name may be anything."""
    held: list[int] = []
    seen = packing._why

    def why(status: int, said: bytes, tree: str, bounds: Bounds) -> str:
        held.append(len(said))
        return seen(status, said, tree, bounds)

    monkeypatch.setattr(packing, "_why", why)
    script = "head -c 30000000 /dev/zero | tr '\\0' x >&2; exit 3"
    with in_place_of_mkfs(tmp_path, monkeypatch, script), pytest.raises(CannotPack, match=r"ended with 3: \.\.\.x"):
        packed(layer)
    assert held == [64 * 1024]
    script = r"""printf '\033[2J\007bad \342\200\256name\302\205\r\n' >&2; exit 1"""
    (tmp_path / "programs" / "mkfs.erofs").write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(CannotPack, match=r"^mkfs.erofs ended with 1: \[2J bad name$"):
        packed(layer)


DIES = """
import asyncio, sys
from pathlib import Path
from neargate.sandbox.microvm import packing
sys.path.insert(0, sys.argv[1])
from tests.integration.test_image_disk_bounds import disks_of, image_of
packing._PATH = sys.argv[3] + ":" + packing._PATH
asyncio.run(disks_of(Path(sys.argv[2])).disk(image_of(1)))
"""


def test_a_kill_in_the_middle_leaves_nothing_that_the_next_does_not_take_away(
    layer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"echo half > $(eval echo \\$$(($# - 1))); echo $$ > {tmp_path}/told; exec sleep 1000"
    root = str(Path(__file__).parents[2])
    with in_place_of_mkfs(tmp_path, monkeypatch, script):
        agent = subprocess.Popen([sys.executable, "-c", DIES, root, str(layer), str(tmp_path / "programs")])
        try:
            until(lambda: (tmp_path / "told").read_text().endswith("\n"))
        finally:
            agent.send_signal(signal.SIGKILL)
            agent.wait()
    maker = Path(f"/proc/{(tmp_path / 'told').read_text().strip()}")
    until(lambda: not maker.exists() or "State:\tZ" in (maker / "status").read_text())
    assert os.listdir(tmp_path / "disks") == ["mounts"], "what was half written has no name"
    assert f"{tmp_path}/disks/mounts" in Path("/proc/self/mountinfo").read_text()
    monkeypatch.undo()
    path = asyncio.run(disks_of(layer).disk(image_of(1)))
    assert sorted(os.listdir(tmp_path / "disks")) == ["mounts", os.path.basename(path)]
    assert os.listdir(tmp_path / "disks" / "mounts") == []
    assert f"{tmp_path}/disks/mounts" not in Path("/proc/self/mountinfo").read_text()


def until(holds: Callable[[], bool]) -> None:
    for _ in range(LOOKS):
        if holds():
            return
        time.sleep(LOOK_S)
    raise AssertionError("it does not come about")


def test_a_disk_that_does_not_fit_is_refused_before_it_is_begun(layer: Path) -> None:
    disks = disks_of(layer, Knobs(pull_free_fraction=0.0))
    found = os.statvfs(layer)
    with pytest.raises(SandboxError) as caught:
        asyncio.run(disks.disk(image_of(1, size=found.f_bavail * found.f_frsize + 4096)))
    assert caught.value.reason.startswith(FULL) and caught.value.reason.endswith("bytes: no space left on device")
    assert os.listdir(layer.parent / "disks") == ["mounts"]


def test_those_that_fit_only_alone_are_not_made_together(layer: Path) -> None:
    found = os.statvfs(layer)
    large = found.f_bavail * found.f_frsize * 2 // 3

    async def story() -> list[object]:
        disks = disks_of(layer, Knobs(pull_free_fraction=0.0))
        return await asyncio.gather(*(disks.disk(image_of(n, large)) for n in (1, 2)), return_exceptions=True)

    refused = [one for one in asyncio.run(story()) if isinstance(one, SandboxError)]
    assert len(refused) == 1 and "no space left on device" in refused[0].reason


def test_a_failure_is_told_to_all_and_the_next_who_asks_begins_anew(layer: Path) -> None:
    (layer / ("n" * 255)).touch()

    disks = disks_of(layer)

    async def story() -> list[object]:
        return await asyncio.gather(*(disks.disk(image_of(1)) for _ in range(3)), return_exceptions=True)

    told = asyncio.run(story())
    assert all(isinstance(one, SandboxError) and one.reason.startswith(FULL) for one in told)
    assert str(layer.parent) not in str(told[0]), "no path of the host"
    (layer / ("n" * 255)).unlink()
    assert all(isinstance(one, str) and os.path.exists(one) for one in asyncio.run(story()))


def test_the_least_recently_used_go_and_none_that_somebody_reads(layer: Path) -> None:
    disks = disks_of(layer, SHORT)
    paths = {n: asyncio.run(disks.disk(image_of(n))) for n in range(1, 6)}
    for n, age in ((1, 50), (2, 90), (3, 70), (4, 60), (5, 80)):
        os.utime(paths[n], (time.time() - age, time.time() - age))
    asyncio.run(disks.disk(image_of(4)))  # used a moment ago
    short = disks_of(layer, replace(SHORT, image_spared_s=30.0))
    spared = frozenset({image_of(3).digest})
    with open(open_shared(paths[5]), "rb") as reader:
        # Whoever inherits the descriptor has the lock.
        machine = subprocess.Popen(["sleep", "1000"], pass_fds=(reader.fileno(),))
    try:
        assert asyncio.run(short.collect(spared)) == (image_of(2).digest, image_of(1).digest)
        left = [os.path.basename(paths[n]) for n in (3, 4, 5)]
        assert sorted(os.listdir(layer.parent / "disks")) == sorted(["mounts", *left])
    finally:
        machine.kill()
        machine.wait()
    assert asyncio.run(short.collect(spared)) == (image_of(5).digest,)
    assert os.path.exists(asyncio.run(disks.disk(image_of(1)))), "it is made again"
    plenty = disks_of(layer, Knobs(image_free_low_fraction=0.0, image_spared_s=0.0))
    assert asyncio.run(plenty.collect(frozenset())) == ()
