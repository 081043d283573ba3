"""docs/cloudmap.md is true: a namespace, tasks with names, a service, discovery, health: typed as they stand there."""

from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, steps

from .region import LiveRegion
from .walking import document_for, walk


@pytest.mark.timeout(420)
def test_the_walk_through_cloud_map(sampled_region: LiveRegion, tmp_path: Path) -> None:
    blocks = steps(document_for("docs/cloudmap.md", sampled_region))
    printed = walk(blocks, sampled_region, tmp_path, strict=False)
    assert_true(blocks, printed)
    assert len([block for block in blocks if block.printed]) == 5
