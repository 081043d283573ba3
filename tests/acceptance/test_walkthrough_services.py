"""docs/services.md, the walk: a service made, scaled, rolled, failed, rolled back and deleted, as it is typed."""

from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, steps

from .region import LiveRegion
from .walking import document_for, walk


@pytest.mark.timeout(420)
def test_the_walk_of_a_service(sampled_region: LiveRegion, tmp_path: Path) -> None:
    document = document_for("docs/services.md", sampled_region)
    blocks = steps(document.partition("\n## How the scheduler decides")[0])
    printed = walk(blocks, sampled_region, tmp_path, strict=False)
    assert_true(blocks, printed)
    assert len([block for block in blocks if block.printed]) == 5
