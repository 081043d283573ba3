"""docs/secrets.md, "Parameters", is true: what it tells its reader to type is typed, and prints what stands below it.

A region in memory behind real HTTP: no task runs in this part of the document.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, run, steps
from neargate.world import OsWorld

from .served import KEY, REGION, SECRET, InThread, listening, region_in_memory

ROOT = Path(__file__).parents[2]
ZONES = (("us-east-1a", "use1-az1"),)
WALK_S = 420.0  # each block starts several CLIs; a slow machine takes minutes


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    region = await region_in_memory(OsWorld(), ZONES, one_machine=True)
    async with listening(region.frontend) as port:
        yield port


@pytest.mark.timeout(480)
@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_walk_through_parameters(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "secrets.md").read_text()
    walk = steps(document.partition("## Parameters\n")[2].partition("\n## ")[0])
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "AWS_PAGER": ""}
    environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    with InThread(serving) as port:
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        printed = run(walk, tmp_path, cwd=ROOT, environment=environment, timeout_s=WALK_S, strict=False)
    assert_true(walk, printed)
    assert len(walk) == 4
