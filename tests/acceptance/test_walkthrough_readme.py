"""README's walk with the plain aws CLI: every command of it succeeds, and the task's page is there."""

import shutil
from pathlib import Path

import pytest

from neargate.testing.walkthrough import steps

from .walking import document_for, readers_region, walk

CHAPTER = "## A walk with the plain aws CLI\n"


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_walk_of_the_readme(tmp_path: Path) -> None:
    with readers_region() as region:
        blocks = steps(document_for("README.md", region).partition(CHAPTER)[2].partition("\n## ")[0])
        printed = walk(blocks, region, tmp_path, strict=True)
    assert '"RUNNING"' in printed[0]
    shown = [(block.printed, text) for block, text in zip(blocks, printed, strict=True) if block.printed]
    assert shown and all(said == text for said, text in shown)
