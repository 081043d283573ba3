"""docs/images.md is true: what it tells its reader to type is typed, with real tools, and prints what it says."""

import shutil
from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, steps

from .region import LiveRegion
from .walking import document_for, walk


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman")
def test_the_walk_through_images(sampled_region: LiveRegion, tmp_path: Path) -> None:
    region = sampled_region
    own = tmp_path / "storage.conf"  # the machine's own images stay apart
    own.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/images"\n')
    blocks = steps(document_for("docs/images.md", region).replace("localhost:4566", f"localhost:{region.port}"))
    try:
        printed = walk(blocks, region, tmp_path, strict=False, more={"CONTAINERS_STORAGE_CONF": str(own)})
    finally:
        for family in ("steady", "moving"):
            for task in region.ecs.list_tasks(family=family)["taskArns"]:
                region.stop(task)
                region.wait_status(task, "STOPPED")
    assert_true(blocks, printed)
    assert len([block for block in blocks if block.printed]) >= 7
