"""docs/identity.md is true: what it tells its reader to type is typed, and prints what stands below it."""

import shutil
from pathlib import Path

import pytest

from neargate.testing.registry import free_port
from neargate.testing.walkthrough import assert_true, steps

from .walking import document_for, readers_region, walk

ISSUER_PORT = "4443"


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_walk_through_identities(tmp_path: Path) -> None:
    with readers_region() as region:
        document = document_for("docs/identity.md", region).replace(ISSUER_PORT, str(free_port()))
        blocks = steps(document)
        printed = walk(blocks, region, tmp_path, strict=False)
    assert_true(blocks, printed)
    assert len([block for block in blocks if block.printed]) >= 15
