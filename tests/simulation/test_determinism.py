"""A seed means the same in every process: same digest under another hash seed."""

import os
import subprocess
import sys

import pytest


def digest_line(seed: str, hash_seed: str, *flags: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "neargate.testing.sim", seed, *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("seed", "flags"),
    [
        ("10001", ()),
        ("10002", ()),
        ("10003", ()),
        ("20001", ("--real",)),
        ("20002", ("--real",)),
        ("40001", ("--network",)),
    ],
)
def test_same_digest_in_another_process(seed: str, flags: tuple[str, ...]) -> None:
    lines = [digest_line(seed, hash_seed, *flags) for hash_seed in ("0", "4242")]
    assert "digest" in lines[0] and lines[0] == lines[1]


def test_the_digest_sees_what_happened() -> None:
    assert digest_line("10001", "0") != digest_line("10002", "0")
