"""docs/vpc.md is true: a VPC with public tasks and tasks behind a NAT gateway, made, walked through and deleted."""

from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, steps

from .walking import document_for, readers_region, walk


@pytest.mark.timeout(480)
def test_the_walk_through_a_vpc(tmp_path: Path) -> None:
    with readers_region() as region:
        blocks = steps(document_for("docs/vpc.md", region))
        printed = walk(blocks, region, tmp_path, strict=False)
    assert_true(blocks, printed)
    assert len(blocks) == len([block for block in blocks if block.printed]) == 10
