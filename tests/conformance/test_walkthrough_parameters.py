"""docs/secrets.md, "Parameters", is true: what its reader is to type is typed, and prints what stands below it."""

from pathlib import Path

import pytest

from .walking import ROOT, needs_aws_cli, walk


@pytest.mark.timeout(480)
@needs_aws_cli
def test_the_walk_through_parameters(tmp_path: Path) -> None:
    assert walk("secrets.md", "## Parameters", "## ", tmp_path, cwd=ROOT) == 4
