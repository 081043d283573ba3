"""Without the tests' variable patience is whole; with it a part, never more."""

import pytest

from neargate.cli import patience


@pytest.mark.parametrize(("set_to", "waited_s"), [(None, 10.0), ("1", 10.0), ("0.4", 4.0), ("7", 10.0)])
def test_a_part_of_it(monkeypatch: pytest.MonkeyPatch, set_to: str | None, waited_s: float) -> None:
    monkeypatch.delenv(patience.VARIABLE, raising=False)
    if set_to is not None:
        monkeypatch.setenv(patience.VARIABLE, set_to)
    assert patience.of(10.0) == waited_s
