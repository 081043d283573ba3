"""docs/identity.md is true: what it tells its reader to type is typed, and prints what stands below it."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.testing.registry import free_port
from neargate.testing.walkthrough import steps

from .walking import document_for, first_difference, readers_region, walk

ISSUER_PORT = "4443"


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_walk_through_identities(tmp_path: Path) -> None:
    with readers_region() as region:
        document = document_for("docs/identity.md", region).replace(ISSUER_PORT, str(free_port()))
        blocks = steps(document)
        printed = walk(blocks, region, tmp_path, strict=False)
    difference = first_difference(blocks, printed)
    assert difference is None, difference
    assert len([block for block in blocks if block.printed]) >= 15
    for number, block in enumerate(blocks):
        longer = replace(block, printed=block.printed + "and more\n")
        assert first_difference([*blocks[:number], longer, *blocks[number + 1 :]], printed) is not None
