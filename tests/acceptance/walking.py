"""Walks through a document: a region as its reader has it, every block typed, what it prints beside what it should."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from neargate.testing.walkthrough import Step, run

from .conftest import end_region, start_region
from .machines import SLOWER
from .region import LiveRegion

ROOT = Path(__file__).parents[2]
WALK_S = 360.0 * SLOWER


@contextmanager
def readers_region(*options: str) -> Iterator[LiveRegion]:
    """The sample's image and role are there, nothing else was done yet."""
    live = start_region(*options)
    try:
        live.leave_sample()
        yield live
    finally:
        end_region(live)


def document_for(name: str, region: LiveRegion) -> str:
    """A document of the repository, with this region's ports in the place of the usual ones."""
    text = (ROOT / name).read_text()
    for host in ("127.0.0.1", "123456789012.dkr.ecr.us-east-1.localhost"):
        text = text.replace(f"{host}:4566", f"{host}:{region.port}")
    return text


def walk(
    steps: list[Step], region: LiveRegion, home: Path, *, strict: bool, more: Mapping[str, str] | None = None
) -> list[str]:
    """What each step printed to somebody who has nothing of AWS's set, as if the data directory were the usual one.

    `more`: what of the environment else is set.
    """
    data = str(region.paths.data)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "NEARGATE_DATA": data,
        **(more or {}),
    }
    printed = run(steps, home, cwd=ROOT, environment=environment, timeout_s=WALK_S, strict=strict)
    return [text.replace(f" --data {data}", "").replace(data, "/var/lib/neargate") for text in printed]
