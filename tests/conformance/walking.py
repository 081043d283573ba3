"""A part of a document walked by its tests, before a region in memory behind real HTTP: no task runs in it."""

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

needs_aws_cli = pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")


@asynccontextmanager
async def _serving() -> AsyncIterator[int]:
    region = await region_in_memory(OsWorld(), ZONES, one_machine=True)
    async with listening(region.frontend) as port:
        yield port


def walk(document: str, begin: str, end: str, home: Path, *, cwd: Path) -> int:
    """Type what stands between the headings of docs/`document`, assert that it prints what stands below it.

    Returns how many blocks were typed.
    """
    text = (ROOT / "docs" / document).read_text()
    blocks = steps(text.partition(f"{begin}\n")[2].partition(f"\n{end}")[0])
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", "AWS_PAGER": ""}
    environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    with InThread(_serving) as port:
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        printed = run(blocks, home, cwd=cwd, environment=environment, timeout_s=WALK_S, strict=False)
    assert_true(blocks, printed)
    return len(blocks)
