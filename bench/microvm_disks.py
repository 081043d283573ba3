"""An image's read-only disk: how quickly it is made from the unpacked tree, and that it is made once.

Against `cp -a` of the same tree into the same file system, written out as well; the two take turns. The tree is in the
page cache, as it is behind a pull. Then what the making costs the first task of an image that nothing has seen before,
over the next task of the same image: the machine boots either way.
"""

import asyncio
import random
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from neargate.interfaces.sandbox import Image, PullRequest
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.image_disks import ImageDisks
from neargate.sandbox.rootfs import Views, mounted_image
from neargate.testing.machine_rig import MachineRig
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer, busybox_layer
from neargate.world import OsWorld

from . import machines
from .figures import Figure, Load, foreign_load, spread

COMMAND = "python -m bench microvm_disks"
ROUNDS, WARM_UPS, FIRSTS = 5, 1, 2
AT_ONCE = 4
_MB = 1000 * 1000
_LARGE, _LARGE_BYTES = 40, 4 << 20
_SMALL, _SMALL_BYTES = 3000, 10 << 10


def measure() -> list[Figure]:
    machines.check_guest()
    series: dict[str, list[float]] = {"disk_mb_s": [], "copy_mb_s": [], "again_ms": [], "first_s": [], "next_s": []}
    others = foreign_load()
    rig = machines.rig()
    try:
        draws = random.Random(1)
        references = [rig.containers.push(f"image-{n}", _image(draws)) for n in range(1 + FIRSTS)]
        with Load() as load:
            rig.run(lambda engine: _story(rig, engine, references, series))
    finally:
        rig.close()
    return [replace(figure, load=load.busy, command=COMMAND) for figure in _figures(series, others)]


def _image(draws: random.Random) -> BuiltImage:
    """200 MB: programs and libraries, and many small files, as interpreters bring."""
    large = [Entry(path=f"lib/{n}", content=draws.randbytes(_LARGE_BYTES)) for n in range(_LARGE)]
    small = [Entry(path=f"share/{n % 100}/{n}", content=draws.randbytes(_SMALL_BYTES)) for n in range(_SMALL)]
    return build_image([busybox_layer(), build_layer(large, compress=False), build_layer(small, compress=False)])


async def _story(
    rig: MachineRig, engine: MicroVmSandbox, references: list[str], series: dict[str, list[float]]
) -> None:
    views = Views(rig.containers.client())
    image = await engine.pull_image(PullRequest(reference=references[0], account="123456789012"), lambda *_: None)
    lowers = await asyncio.to_thread(views.lowers, image.snapshot)
    for turn in range(-WARM_UPS, ROUNDS):
        took = {
            "disk_mb_s": await _disk(rig.base / "bench-disks", views, image, series),
            "copy_mb_s": await asyncio.to_thread(_copy, lowers, rig.base),
        }
        if turn >= 0:
            for name, seconds in took.items():
                series[name].append(image.unpacked_bytes / _MB / seconds)
    for reference in references[1:]:
        for name in ("first_s", "next_s"):
            found = await engine.pull_image(PullRequest(reference=reference, account="123456789012"), lambda *_: None)
            series[name].append(await _start(rig, engine, found))


async def _disk(directory: Path, views: Views, image: Image, series: dict[str, list[float]]) -> float:
    """For some that ask at once; then once more."""
    world = OsWorld({"image-disks": 2})
    disks = ImageDisks(world, views=views, directory=str(directory))
    try:
        began = time.perf_counter()
        await asyncio.gather(*(disks.disk(image) for _ in range(AT_ONCE)))
        took = time.perf_counter() - began
        began = time.perf_counter()
        path = Path(await disks.disk(image))
        series["again_ms"].append((time.perf_counter() - began) * 1000)
        if len(list(path.parent.glob("*.erofs"))) != 1:
            raise RuntimeError("it was made more than once")
    finally:
        await asyncio.to_thread(shutil.rmtree, directory)
    return took


def _copy(lowers: tuple[str, ...], base: Path) -> float:
    target = base / "bench-copy"
    try:
        with mounted_image(lowers, str(base / "bench-tree")) as tree:
            began = time.perf_counter()
            subprocess.run(["cp", "-a", tree, target], check=True)
            subprocess.run(["sync", "-f", target], check=True)
            return time.perf_counter() - began
    finally:
        shutil.rmtree(target, ignore_errors=True)


async def _start(rig: MachineRig, engine: MicroVmSandbox, image: Image) -> float:
    """Until its first output."""
    config = rig.config(image, "echo", "here")
    assert config.log_path is not None
    log = Path(config.log_path)
    began = time.perf_counter()
    await engine.create_container(config)
    starting = asyncio.ensure_future(engine.start_container(config.runtime_id))
    await machines.until(lambda: machines.has_words(log))
    took = time.perf_counter() - began
    await starting
    await engine.delete_container(config.runtime_id)
    return took


def _figures(series: dict[str, list[float]], others: float) -> list[Figure]:
    made, copied = series["disk_mb_s"], series["copy_mb_s"]
    first, after = median(series["first_s"]), median(series["next_s"])
    return [
        Figure(
            name="microvm: disk of an image, from its tree",
            value=median(made),
            unit="MB/s",
            goal=">= 100",
            against=f"201 MB in {_LARGE} large files and {_SMALL} small ones until it is on the disk (fsync)",
            samples={"disk_mb_s": made, "again_ms": series["again_ms"]},
            notes=[
                f"others used {others:.0%} of the processors before",
                f"disk {spread(made)} MB/s, `cp -a` {spread(copied)} MB/s",
                f"{AT_ONCE} who asked at once got one; asked again {spread(series['again_ms'])} ms",
            ],
        ),
        Figure(
            name="microvm: disk of an image over a copy",
            value=median(made) / median(copied),
            unit="x",
            against=f"`cp -a` and `sync -f` of the same tree; {ROUNDS} rounds, taking turns",
            samples={"disk_mb_s": made, "copy_mb_s": copied},
        ),
        Figure(
            name="microvm: first task of an image over the next one",
            value=first / after,
            unit="x",
            against=f"a cold start of an image whose disk is there, {machines.words()}; from the end of the pull",
            samples={"first_s": series["first_s"], "next_s": series["next_s"]},
            notes=[f"first {first:.2f} s, next {after:.2f} s"],
        ),
    ]
