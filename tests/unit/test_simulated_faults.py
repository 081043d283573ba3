"""What the simulator may ask of a region while faults last."""

import pytest

from neargate.testing.sim.faults import Fault, noticed_from
from neargate.testing.sim.region import SERVER

HOST, OTHER = "host-00", "host-01"
DEAF = Fault(at=20.0, kind="down", target=HOST, duration_s=40.0)


def _fault(at: float, kind: str, target: str = HOST, duration_s: float = 5.0) -> Fault:
    return Fault(at=at, kind=kind, target=target, duration_s=duration_s)


@pytest.mark.parametrize("kind", ["up", "freeze", "half-open"])
def test_where_the_server_hears_nothing_either_its_silence_counts(kind: str) -> None:
    assert noticed_from(DEAF, [DEAF, _fault(30.0, kind), _fault(25.0, kind)]) == 30.0


@pytest.mark.parametrize("target", [SERVER, HOST])
def test_who_stood_still_begins_to_count_when_it_runs_again(target: str) -> None:
    assert noticed_from(DEAF, [DEAF, _fault(30.0, "pause", target)]) == 35.0


@pytest.mark.parametrize(
    "other", [_fault(30.0, "half-open", OTHER), _fault(30.0, "pause", OTHER), _fault(30.0, "cut"), _fault(10.0, "up")]
)
def test_what_keeps_nobody_from_hearing_in_that_time_is_no_reason_to_wait(other: Fault) -> None:
    assert noticed_from(DEAF, [other, DEAF]) == 20.0


def test_what_comes_after_it_is_no_reason_to_wait() -> None:
    assert noticed_from(DEAF, [DEAF, _fault(61.0, "half-open"), _fault(58.0, "pause")]) == 20.0
