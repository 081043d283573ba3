"""moto's ECS tests against Neargate: each does what moto_triage.toml says that it does."""

import importlib.util
from pathlib import Path

import pytest

from . import moto_suite
from .moto_suite import Triage


@pytest.mark.timeout(moto_suite.SUITE_MAX_S + 60)
def test_each_of_motos_tests_does_what_the_triage_says(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    assert importlib.util.find_spec("moto") is not None, "moto is not installed: scripts/setup test does it"
    cache = request.config.cache
    source = moto_suite.suite(tmp_path_factory.mktemp("moto") if cache is None else Path(cache.mkdir("moto")))
    with moto_suite.target() as port:
        found = moto_suite.run(source, port, tmp_path / "results.xml")
    assert len(found) > 100
    assert moto_suite.judged(found, moto_suite.triage()) == []


def test_at_least_thirty_two_must_pass_and_every_other_has_a_reason() -> None:
    verdicts = moto_suite.triage()
    assert len(verdicts.must_pass) >= 32
    assert all(len(why) > 30 for why in verdicts.reasons.values())


def test_the_gate_says_no() -> None:
    verdicts = Triage(
        must_pass=frozenset({"a", "lost"}), reasons={"b": "out_of_scope: it is", "c": "out_of_scope: too"}
    )
    assert moto_suite.judged({"a": "failed", "b": "passed", "c": "skipped", "new": "passed"}, verdicts) == [
        "a: must pass, and failed",
        "b: passes, though it is listed as out_of_scope: it is",
        "new: is not listed",
        "lost: is listed, and not in the suite",
    ]
