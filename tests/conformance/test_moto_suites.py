"""moto's tests of the services that are here, against Neargate: each does what its suite's triage file says of it."""

import importlib.util
from pathlib import Path

import pytest

from . import moto_suite
from .moto_suite import (
    ACM,
    ACM_MENDED,
    CLOUD_MAP,
    ECS,
    ECS_MENDED,
    ELB,
    ELB_MENDED,
    SUITES,
    VPC,
    VPC_MENDED,
    Suite,
    Triage,
)


@pytest.mark.timeout(moto_suite.SUITE_MAX_S + 60)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_each_of_motos_tests_does_what_the_triage_says(
    suite: Suite, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    assert importlib.util.find_spec("moto") is not None, "moto is not installed: scripts/setup test does it"
    cache = request.config.cache
    tree = moto_suite.source(tmp_path_factory.mktemp("moto") if cache is None else Path(cache.mkdir("moto")))
    with moto_suite.target() as port:
        found = moto_suite.run(suite, tree, port, tmp_path / "results.xml")
    assert len(found) >= len(moto_suite.triage(suite).must_pass) > 0 and (suite.mends or len(found) > 40)
    assert moto_suite.judged(found, moto_suite.triage(suite)) == []


@pytest.mark.parametrize(
    ("suite", "least"),
    [
        *((ECS, 40), (ECS_MENDED, 11), (VPC, 201), (VPC_MENDED, 26), (CLOUD_MAP, 14), (ACM, 8), (ACM_MENDED, 15)),
        *((ELB, 11), (ELB_MENDED, 111)),
    ],
)
def test_enough_must_pass_and_every_other_has_a_reason(suite: Suite, least: int) -> None:
    verdicts = moto_suite.triage(suite)
    assert len(verdicts.must_pass) >= least
    assert all(len(why) > 30 for why in (*verdicts.reasons.values(), *verdicts.either_way.values()))


@pytest.mark.parametrize(("suite", "mended"), [(ECS, ECS_MENDED), (VPC, VPC_MENDED), (ELB, ELB_MENDED)])
def test_only_what_does_not_pass_as_it_comes_is_mended(suite: Suite, mended: Suite) -> None:
    as_they_come = moto_suite.triage(suite)
    assert moto_suite.triage(mended).must_pass <= set(as_they_come.reasons)


def test_the_gate_says_no() -> None:
    verdicts = Triage(
        must_pass=frozenset({"a", "lost"}),
        reasons={"b": "out_of_scope: it is", "c": "out_of_scope: too"},
        either_way={"d": "either_way: chance", "e": "either_way: chance"},
    )
    found = {"a": "failed", "b": "passed", "c": "skipped", "d": "failed", "e": "passed", "new": "passed"}
    assert moto_suite.judged(found, verdicts) == [
        "a: must pass, and failed",
        "b: passes, though it is listed as out_of_scope: it is",
        "new: is not listed",
        "lost: is listed, and not in the suite",
    ]
