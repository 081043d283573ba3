"""What the agent notes of its containers: the small decisions."""

import pytest

from neargate.agent.container_facts import end_of


@pytest.mark.parametrize(
    ("started_at", "exited_at", "finished_at"),
    [(None, 5.0, 5.0), (4.0, 5.0, 5.0), (5.0, 5.0, 5.0), (5.002, 5.0, 5.002)],
)
def test_no_container_ends_before_it_began(started_at: float | None, exited_at: float, finished_at: float) -> None:
    assert end_of(started_at, exited_at) == finished_at
