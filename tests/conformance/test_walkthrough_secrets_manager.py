"""docs/secrets.md, "Secrets" and "KMS keys", are true: what its reader is to type prints what stands below it."""

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.testing.walkthrough import run, steps

from .served import KEY, REGION, SECRET, InThread
from .test_walkthrough_parameters import ROOT, WALK_S, first_difference, serving


@pytest.mark.timeout(240)
@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_walk_through_secrets_and_keys(tmp_path: Path) -> None:
    document = (ROOT / "docs" / "secrets.md").read_text()
    walk = steps(document.partition("## Secrets\n")[2].partition("\n## What sealing protects")[0])
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "AWS_PAGER": ""}
    environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION}
    with InThread(serving) as port:
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        printed = run(walk, tmp_path, cwd=tmp_path, environment=environment, timeout_s=WALK_S, strict=False)
    difference = first_difference(walk, printed)
    assert difference is None, difference
    assert len(walk) == 5
    for number, step in enumerate(walk):
        longer = replace(step, printed=step.printed + "and more\n")
        assert first_difference([*walk[:number], longer, *walk[number + 1 :]], printed) is not None
