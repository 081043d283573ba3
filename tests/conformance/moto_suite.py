"""moto's own tests, from its pinned source distribution, run by a pytest of their own against a wipeable region.

Nothing of them is in this repository: the distribution is downloaded once, into pytest's cache directory.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

VERSION = "5.2.5"
ROOT = Path(__file__).parents[2]
TRIAGE = Path(__file__).with_name("moto_triage.toml")
PORT = 5000  # some of moto's tests name it
SUITE_MAX_S = 400


@dataclass(frozen=True, kw_only=True)
class Triage:
    must_pass: frozenset[str]
    reasons: dict[str, str]  # of every other test


def triage() -> Triage:
    listed = tomllib.loads(TRIAGE.read_text())
    others = [
        (test, f"{verdict}: {group['why']}")
        for verdict in ("contradicts_aws", "out_of_scope")
        for group in listed[verdict]
        for test in group["tests"]
    ]
    names = [*listed["must_pass"], *(test for test, _ in others)]
    assert len(names) == len(set(names)), "a test is listed twice"
    return Triage(must_pass=frozenset(listed["must_pass"]), reasons=dict(others))


def judged(found: dict[str, str], verdicts: Triage) -> list[str]:
    """What is wrong with a run. `found`: test -> passed, failed or skipped."""
    known = verdicts.must_pass | set(verdicts.reasons)
    wrong = [
        f"{name}: must pass, and {found[name]}"
        for name in sorted(verdicts.must_pass & set(found))
        if found[name] != "passed"
    ]
    wrong += [
        f"{name}: passes, though it is listed as {why}"
        for name, why in sorted(verdicts.reasons.items())
        if found.get(name) == "passed"
    ]
    wrong += [f"{name}: is not listed" for name in sorted(set(found) - known)]
    wrong += [f"{name}: is listed, and not in the suite" for name in sorted(known - set(found))]
    return wrong


def suite(cache_directory: Path) -> Path:
    """moto's source tree, as far as its tests. Raises RuntimeError with pip's own words."""
    target = cache_directory / f"moto-{VERSION}"
    if target.exists():
        return target
    cache_directory.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: another process may be downloading too, and what is half there must not be found.
    with tempfile.TemporaryDirectory(dir=cache_directory) as aside:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "moto"]
        found = subprocess.run(
            [*command, "--dest", aside, f"moto=={VERSION}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode != 0:
            raise RuntimeError(f"moto's tests cannot be downloaded: {found.stderr.strip()[-2000:]}")
        unpacked = Path(aside) / "unpacked"
        with tarfile.open(Path(aside) / f"moto-{VERSION}.tar.gz") as archive:
            wanted = [
                member
                for member in archive.getmembers()
                if member.name == f"moto-{VERSION}/setup.cfg" or _is_wanted(member.name.split("/"))
            ]
            archive.extractall(unpacked, members=wanted, filter="data")
        with contextlib.suppress(OSError):  # the other process was first
            (unpacked / f"moto-{VERSION}").rename(target)
    return target


def _is_wanted(parts: list[str]) -> bool:
    """The tests of ECS, and the modules beside the tests' directories."""
    return parts[1:2] == ["tests"] and (parts[2:3] == ["test_ecs"] or (len(parts) == 3 and parts[2].endswith(".py")))


@contextlib.contextmanager
def target() -> Iterator[int]:
    """A wipeable region of its own process; yields the port. Another one than PORT only while that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        is_taken = probe.connect_ex(("127.0.0.1", PORT)) == 0
    command = [sys.executable, "-m", "tests.conformance.moto_target", "--anybody-may-wipe-everything"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [*command, "--port", str(0 if is_taken else PORT)], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip().isdecimal():
                log.seek(0)
                raise RuntimeError(f"the region did not start: {log.read()[-2000:]!r}")
            yield int(line)
        finally:
            process.terminate()


def run(source: Path, port: int, results: Path) -> dict[str, str]:
    """Test -> passed, failed or skipped. Raises RuntimeError when the suite itself does not run."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_", "MOTO_"))},
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "TESTS_SKIP_REQUIRES_DOCKER": "true",
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "60", "--tb=short", "-c", "setup.cfg"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--junitxml={results}", "tests/test_ecs"],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SUITE_MAX_S,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"moto's suite does not run: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return dict(_outcome(case) for case in ElementTree.parse(results).iter("testcase"))


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    module = case.get("classname", "").rpartition("test_ecs.")[2]
    tags = {child.tag for child in case}
    found = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
    return f"{module}::{case.get('name')}", found
