"""docs/secrets.md, "In a task's environment", is true: it is typed in a region, and prints what stands below it."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.testing.walkthrough import steps

from .walking import document_for, first_difference, readers_region, walk

HEADING = "## In a task's environment\n"


@pytest.mark.timeout(420)
def test_the_walk_of_a_secret_into_a_task(tmp_path: Path) -> None:
    with readers_region() as region:
        document = document_for("docs/secrets.md", region)
        blocks = steps(document.partition(HEADING)[2].partition("\n## ")[0])
        printed = walk(blocks, region, tmp_path, strict=False)
        tasks = region.ecs.list_tasks(desiredStatus="STOPPED")["taskArns"]
        told = "".join(region.command("why", task).stdout for task in tasks)
        tops = (region.paths.databases, region.paths.agent, region.paths.logs)
        files = b"".join(path.read_bytes() for top in tops for path in sorted(top.rglob("*")) if path.is_file())
    difference = first_difference(blocks, printed)
    assert difference is None, difference
    assert len(blocks) == 4
    for number, block in enumerate(blocks):
        longer = replace(block, printed=block.printed + "and more\n")
        assert first_difference([*blocks[:number], longer, *blocks[number + 1 :]], printed) is not None
    assert len(tasks) == 2 and "GetParameters" in told
    assert b"/desk/motto" in files, "the search finds what is there"
    # The motto is in the log, which the program wrote.
    assert "correct-horse" not in told and b"correct-horse" not in files
