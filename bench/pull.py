"""A cold pull against `ctr image pull` of the same registry into the same containerd, and a pull of what is there.

Each pull is of an image that nothing has seen before, of the same shape: four layers, half of them compressible. Both
end when the image is unpacked by that containerd's overlayfs snapshotter.
"""

import asyncio
import os
import random
import subprocess
import time
from contextlib import closing
from statistics import median

from neargate.interfaces.sandbox import PullRequest
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer

from .figures import Figure, Load, foreign_load, quantile, spread

COMMAND = "python -m bench pull"
ROUNDS = 7
WARM_UPS = 1
CACHED_PULLS = 200
LAYERS = 4
LAYER_BYTES = 12 * 1024 * 1024
ACCOUNT = "123456789012"
NAMESPACE = "bench"


def measure() -> list[Figure]:
    """The images are pushed before: what is measured is the way from the registry's disk to the snapshotter's."""
    draws = random.Random(1)
    with closing(ContainerRig()) as rig:
        references = [rig.push(f"cold-{n}", _image(draws)) for n in range(2 * (ROUNDS + WARM_UPS))]
        others = foreign_load()
        with Load() as load:
            series = rig.run(lambda engine: _story(rig, engine, references))
    return _figures(series, load.busy, others)


def _image(draws: random.Random) -> BuiltImage:
    """Files of a few hundred KiB, as libraries are; every second one repeats itself."""
    layers = []
    for number in range(LAYERS):
        size = 256 * 1024
        entries = [
            Entry(
                path=f"layer-{number}/file-{place}",
                content=draws.randbytes(size) if place % 2 else draws.randbytes(64) * (size // 64),
            )
            for place in range(LAYER_BYTES // size)
        ]
        layers.append(build_layer(entries))
    return build_image(layers, config={"Cmd": ["sh"]})


async def _story(rig: ContainerRig, engine: ContainerdSandbox, references: list[str]) -> dict[str, list[float]]:
    """Milliseconds by series; the two take turns, and each other time the other one begins."""
    series: dict[str, list[float]] = {"neargate": [], "ctr": [], "by digest": [], "by tag": []}
    pulled = ""
    for turn in range(WARM_UPS + ROUNDS):
        ours, theirs = references[2 * turn : 2 * turn + 2]
        order = ("neargate", "ctr") if turn % 2 else ("ctr", "neargate")
        for name in order:
            begun = time.perf_counter()
            if name == "neargate":
                image = await engine.pull_image(_request(ours), _unseen)
                pulled = f"{ours.rpartition(':')[0]}@{image.digest}"
            else:
                await asyncio.to_thread(_ctr_pull, rig.address, theirs)
            if turn >= WARM_UPS:
                series[name].append((time.perf_counter() - begun) * 1000)
    for name, reference in (("by digest", pulled), ("by tag", ours)):
        for _ in range(CACHED_PULLS):
            begun = time.perf_counter()
            await engine.pull_image(_request(reference), _unseen)
            series[name].append((time.perf_counter() - begun) * 1000)
    return series


def _request(reference: str) -> PullRequest:
    return PullRequest(reference=reference, account=ACCOUNT)


def _ctr_pull(address: str, reference: str) -> None:
    command = ["ctr", "--address", address, "--namespace", NAMESPACE, "images", "pull", "--plain-http", reference]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})


def _unseen(_done_bytes: int, _total_bytes: int) -> None:
    """Nobody watches."""


def _figures(series: dict[str, list[float]], busy: float, others: float) -> list[Figure]:
    size_mib = LAYERS * LAYER_BYTES / 1024**2
    shape = f"{LAYERS} layers, {size_mib:.0f} MiB unpacked"
    notes = [
        f"others used {others:.0%} of the processors before",
        f"neargate {spread(series['neargate'])} ms",
        f"ctr      {spread(series['ctr'])} ms",
    ]
    return [
        Figure(
            name="pull: cold, times the speed of ctr image pull",
            value=median(series["ctr"]) / median(series["neargate"]),
            unit="x",
            goal=">= 1",
            against=f"ctr image pull, same registry, containerd and unpacker; {shape}, {len(series['ctr'])} each",
            samples={name: series[name] for name in ("neargate", "ctr")},
            notes=notes,
            load=busy,
            command=COMMAND,
        ),
        Figure(
            name="pull: a cached and authorised image, p95",
            value=quantile(series["by digest"], 0.95),
            unit="ms",
            goal="<= 5",
            against="nothing; by digest, within the authorisation's life: no network is asked",
            samples={name: series[name] for name in ("by digest", "by tag")},
            notes=[f"by tag, which is looked up each time: p95 {quantile(series['by tag'], 0.95):.1f} ms"],
            load=busy,
            command=COMMAND,
        ),
    ]
