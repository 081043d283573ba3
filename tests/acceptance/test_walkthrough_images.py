"""docs/images.md is true: what it tells its reader to type is typed, with real tools, and prints what it says."""

import shutil
from pathlib import Path

import pytest

from neargate.testing.walkthrough import steps

from .walking import document_for, first_difference, readers_region, walk


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_the_walk_through_images(tmp_path: Path) -> None:
    with readers_region() as region:
        blocks = steps(document_for("docs/images.md", region).replace("localhost:4566", f"localhost:{region.port}"))
        printed = walk(blocks, region, tmp_path, strict=False)
    difference = first_difference(blocks, printed)
    assert difference is None, difference
    assert len([block for block in blocks if block.printed]) >= 7
