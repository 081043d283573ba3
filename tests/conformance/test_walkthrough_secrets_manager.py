"""docs/secrets.md, "Secrets" and "KMS keys", are true: what its reader is to type prints what stands below it."""

import os
import shutil
from pathlib import Path

import pytest

from neargate.testing.walkthrough import assert_true, run, steps

from .served import KEY, REGION, SECRET, InThread
from .test_walkthrough_parameters import ROOT, WALK_S, serving


@pytest.mark.timeout(480)
@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_walk_through_secrets_and_keys(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "secrets.md").read_text()
    walk = steps(document.partition("## Secrets\n")[2].partition("\n## What sealing protects")[0])
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "AWS_PAGER": ""}
    environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    with InThread(serving) as port:
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        printed = run(walk, tmp_path, cwd=tmp_path, environment=environment, timeout_s=WALK_S, strict=False)
    assert_true(walk, printed)
    assert len(walk) == 5
