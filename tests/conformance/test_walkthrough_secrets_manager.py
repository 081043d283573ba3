"""docs/secrets.md, "Secrets" and "KMS keys", are true: what its reader is to type prints what stands below it."""

from pathlib import Path

import pytest

from .walking import needs_aws_cli, walk


@pytest.mark.timeout(480)
@needs_aws_cli
def test_the_walk_through_secrets_and_keys(tmp_path: Path) -> None:
    assert walk("secrets.md", "## Secrets", "## What sealing protects", tmp_path, cwd=tmp_path) == 5
