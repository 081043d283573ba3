"""About a hundred small seeds: twelve hosts, a call a second, faults of all kinds; and every seed that ever failed.

A failure prints the command that replays it. `make soak` goes on without end.
"""

from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.testing.sim.batch import forked, in_children
from neargate.testing.sim.corpus import load
from neargate.testing.sim.faults import Fault
from neargate.testing.sim.run import (
    BALANCED,
    EMPTIED,
    NETWORK,
    REAL,
    REAL_TENANTS,
    SERVICES,
    SMALL,
    SPOT,
    TENANTS,
    SeedResult,
    Setting,
    run_seed,
)
from neargate.wire.shapes import Models

CORPUS = sorted((Path(__file__).parent / "seeds").glob("*.json"))
# What a batch must have met, else it proves little.
MET = ("kills", "ended-itself", "pause", "clock", "full-disk", "lost-commit", "tokens-repeated", "no-capacity")
MET += ("reboot", "death", "power-cut", "commits-lost", "up", "down", "half-open", "stall", "clock-jump")
MET += ("clocks-corrected", "tokens-at-once", "stopped-in-launch")


def told(results: list[SeedResult], flag: str = "") -> str:
    return "\n".join(f"{r.error}\n    python -m neargate.testing.sim {r.seed}{flag}" for r in results if r.error)


def batch(first: int, count: int, setting: Setting, models: Models) -> list[SeedResult]:
    seeds = [str(first + n) for n in range(count)]
    warming = partial(run_seed, str(first - 1), (), setting=replace(setting, calls=5), models=models)
    return list(in_children((partial(run_seed, seed, setting=setting, models=models) for seed in seeds), warming))


@pytest.mark.timeout(600)
def test_light_hosts(models: Models) -> None:
    results = batch(10_000, 75, SMALL, models)
    assert not told(results), told(results)
    for what in (*MET, "cut", "freeze", "hostile-frames"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(300)
def test_hosts_that_claim_what_others_run(models: Models) -> None:
    faults = [Fault(at=8 + 4 * n, kind="impostor", target=f"host-{n:02d}", duration_s=0.5) for n in range(12)]
    warming = partial(run_seed, "49999", (), setting=replace(SMALL, calls=5), models=models)
    works = (partial(run_seed, str(50_000 + n), faults, setting=SMALL, models=models) for n in range(5))
    results = list(in_children(works, warming))
    assert not told(results), told(results)
    assert sum(result.coverage.get("impostors", 0) for result in results) > 20


@pytest.mark.timeout(600)
def test_real_agents_over_fakes(models: Models) -> None:
    results = batch(20_000, 25, REAL, models)
    assert not told(results, " --real"), told(results, " --real")
    for what in ("engine", "credentials-renewed", "credentials-kept"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_spot_on_few_hosts(models: Models) -> None:
    results = batch(30_000, 20, SPOT, models)
    assert not told(results, " --spot"), told(results, " --spot")
    for what in ("interrupted", "kills", "power-cut"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_vpcs_and_what_has_a_place_in_them(models: Models) -> None:
    results = batch(40_000, 20, NETWORK, models)
    assert not told(results, " --network"), told(results, " --network")
    for what in ("kills", "gateway-available", "gateway-failed", "gateway-deleted", "addresses-given", "plans-applied"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"
    for what in ("subnets-deleted", "vpcs-deleted", "subnets-compared", "refused InsufficientAddressCapacity"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_services_converge(models: Models) -> None:
    results = batch(50_000, 20, SERVICES, models)
    assert not told(results, " --services"), told(results, " --services")
    for what in ("kills", "pause", "services-settled", "services-rolled", "services-scaled", "services-deleted"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"
    for what in ("services-stopped", "services-protected", "service-tasks", "reboot", "power-cut"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_services_behind_a_load_balancer_converge(models: Models) -> None:
    results = batch(60_000, 15, BALANCED, models)
    assert not told(results, " --balanced"), told(results, " --balanced")
    for what in ("kills", "pause", "services-moved", "services-rolled", "services-stopped", "power-cut"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_services_converge_while_hosts_are_emptied(models: Models) -> None:
    results = batch(90_000, 10, EMPTIED, models)
    assert not told(results, " --emptied"), told(results, " --emptied")
    for what in ("kills", "hosts-emptied", "hosts-resumed", "retired-alone", "retired-served", "services-settled"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_two_accounts_never_share_a_kernel(models: Models) -> None:
    results = batch(70_000, 20, TENANTS, models)
    assert not told(results, " --tenants"), told(results, " --tenants")
    for what in ("hosts-changed-account", "no-capacity", "tasks-stopped", "kills", "reboot", "power-cut"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.timeout(600)
def test_two_accounts_of_real_agents_take_turns(models: Models) -> None:
    results = batch(80_000, 10, REAL_TENANTS, models)
    assert not told(results, " --tenants --real"), told(results, " --tenants --real")
    for what in ("hosts-changed-account", "no-capacity", "kills"):
        assert sum(result.coverage.get(what, 0) for result in results) > 0, f"no seed met {what}"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_seeds_that_failed_once(path: Path, models: Models) -> None:
    failed = load(path)
    setting = SERVICES if failed.services else NETWORK if failed.network else SPOT if failed.spot else SMALL
    setting = REAL if failed.real else TENANTS if failed.tenants else setting
    result = forked(lambda: run_seed(failed.seed, failed.faults, setting=setting, models=models))
    assert result.error is None, f"again: {failed.found}"
