"""Walks through a document: a region as its reader has it, every block typed, what it prints beside what it should."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neargate.testing import oci_image
from neargate.testing.walkthrough import Step, run

from .conftest import end_region, start_region
from .region import LiveRegion

ROOT = Path(__file__).parents[2]
WALK_S = 360.0


@contextmanager
def readers_region() -> Iterator[LiveRegion]:
    """The sample's image is there, nothing else was done yet."""
    live = start_region()
    try:
        oci_image.push(live.registry, "neargate/sample", "1", oci_image.sample_image())
        yield live
    finally:
        end_region(live)


def document_for(name: str, region: LiveRegion) -> str:
    """A document of the repository, with this region's ports in the place of the usual ones."""
    text = (ROOT / name).read_text()
    registry = region.registry.rpartition(":")[2]
    return text.replace("127.0.0.1:4566", f"127.0.0.1:{region.port}").replace("127.0.0.1:4567", f"127.0.0.1:{registry}")


def walk(steps: list[Step], region: LiveRegion, home: Path, *, strict: bool) -> list[str]:
    """What each step printed to somebody who has nothing of AWS's set, as if the data directory were the usual one."""
    data = str(region.paths.data)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "NEARGATE_DATA": data,
    }
    printed = run(steps, home, cwd=ROOT, environment=environment, timeout_s=WALK_S, strict=strict)
    return [text.replace(f" --data {data}", "").replace(data, "/var/lib/neargate") for text in printed]
