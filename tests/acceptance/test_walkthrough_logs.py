"""docs/logs.md is true: events of several lines, filter patterns and a live tail, typed as they stand there."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.testing import oci_image
from neargate.testing.walkthrough import steps

from .region import LiveRegion
from .walking import document_for, first_difference, walk


@pytest.mark.timeout(420)
def test_the_walk_through_logs(region: LiveRegion, tmp_path: Path) -> None:
    oci_image.push(region.registry, "neargate/sample", "1", oci_image.sample_image())
    blocks = steps(document_for("docs/logs.md", region))
    printed = walk(blocks, region, tmp_path, strict=False)
    difference = first_difference(blocks, printed)
    assert difference is None, difference
    assert len([block for block in blocks if block.printed]) == 4
    for number, block in enumerate(blocks):
        longer = replace(block, printed=block.printed + "and more\n")
        assert first_difference([*blocks[:number], longer, *blocks[number + 1 :]], printed) is not None
