"""README's walk with the plain aws CLI: every command of it succeeds, and the task's page is there. So with limits."""

import shutil
from pathlib import Path

import pytest

from neargate.testing.walkthrough import Step, steps

from .machines import EMULATED, MISSING, WITHOUT
from .walking import document_for, readers_region, walk

CHAPTER = "## A walk with the plain aws CLI\n"
BEFORE = Step(line=1, commands='eval "$(neargate env)"\n', printed="")


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_walk_of_the_readme(tmp_path: Path) -> None:
    with readers_region() as region:
        blocks = steps(document_for("README.md", region).partition(CHAPTER)[2].partition("\n## ")[0])
        printed = walk(blocks, region, tmp_path, strict=True)
        limits = walk([BEFORE, *steps(document_for("docs/limits.md", region))], region, tmp_path, strict=True)
    assert "ecs/cluster-read is no longer set for all accounts" in limits[1]
    assert '"Status": "APPROVED"' in limits[2]
    assert '"RUNNING"' in printed[0]
    _are_true(blocks, printed)


@pytest.mark.timeout(420)
@pytest.mark.skipif(shutil.which("curl") is None or bool(MISSING), reason=f"needs curl, {WITHOUT}")
def test_the_walk_of_the_readme_where_each_task_is_a_machine(tmp_path: Path) -> None:
    with readers_region(*EMULATED) as region:
        region.command("sample")
        blocks = steps(document_for("README.md", region).partition(CHAPTER)[2].partition("\n## ")[0])
        printed = walk(blocks, region, tmp_path, strict=True)
        assert "emulated" in region.command("hosts").stdout
    _are_true(blocks, printed)


def _are_true(blocks: list[Step], printed: list[str]) -> None:
    shown = [(block.printed, text) for block, text in zip(blocks, printed, strict=True) if block.printed]
    assert shown and all(said == text for said, text in shown)
