"""docs/load-balancers.md, the walk: v1 behind an internet-facing load balancer, v2 under load, v3 that rolls back."""

from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, steps

from .region import LiveRegion
from .walking import document_for, walk


@pytest.mark.timeout(420)
def test_the_walk_of_a_load_balancer(sampled_region: LiveRegion, tmp_path: Path) -> None:
    document = document_for("docs/load-balancers.md", sampled_region)
    document = document.replace("elb.localhost:4566", f"elb.localhost:{sampled_region.port}")
    blocks = steps(document.partition("\n## What it is")[0])
    printed = walk(blocks, sampled_region, tmp_path, strict=False)
    assert_true(blocks, printed)
    assert len([block for block in blocks if block.printed]) == 7
