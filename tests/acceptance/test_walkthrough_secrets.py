"""docs/secrets.md, "In a task's environment", is true: it is typed in a region, and prints what stands below it."""

from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, steps

from .region import LiveRegion
from .test_host_secrets import found_in_files
from .walking import document_for, walk

HEADING = "## In a task's environment\n"


@pytest.mark.timeout(420)
def test_the_walk_of_a_secret_into_a_task(region: LiveRegion, tmp_path: Path) -> None:
    document = document_for("docs/secrets.md", region)
    blocks = steps(document.partition(HEADING)[2].partition("\n## ")[0])
    printed = walk(blocks, region, tmp_path, strict=False)
    tasks = region.ecs.list_tasks(family="desk", desiredStatus="STOPPED")["taskArns"]
    told = "".join(region.command("why", task).stdout for task in tasks)
    tops = (region.paths.databases, region.paths.agent, region.paths.logs)
    files = found_in_files(tops, ["/desk/motto", "correct-horse"])
    assert_true(blocks, printed)
    assert len(blocks) == 4
    assert len(tasks) == 2 and "GetParameters" in told
    # The search finds what is there. The motto itself is in the log, which the program wrote.
    assert files == {"/desk/motto"} and "correct-horse" not in told
