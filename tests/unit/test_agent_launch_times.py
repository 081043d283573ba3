"""The chain of steps that a launch waited for, and the list of steps itself."""

from neargate.agent.hooks import STEPS
from neargate.agent.launch_times import Span, longest_way

AFTER = {
    "disk": (),
    "image": (),
    "etc": ("disk",),
    "network": (),
    "create": ("image", "etc"),
    "start": ("create", "network"),
}


def span(begun: float, ended: float) -> Span:
    return Span(begun=begun, ended=ended)


def test_the_chain_follows_what_ended_last() -> None:
    spans = {
        "disk": span(0, 0.004),
        "image": span(0, 0.003),
        "etc": span(0.005, 0.006),
        "network": span(0, 0.020),
        "create": span(0.006, 0.050),
        "start": span(0.050, 0.060),
    }
    assert longest_way(spans, AFTER) == {"disk": 4.0, "etc": 1.0, "create": 44.0, "start": 10.0}


def test_a_slow_neighbour_is_the_chain() -> None:
    spans = {name: span(0, 0.001) for name in AFTER} | {"network": span(0, 0.5), "start": span(0.5, 0.6)}
    assert longest_way(spans, AFTER) == {"network": 500.0, "start": 100.0}


def test_of_equal_ends_the_later_step_is_taken() -> None:
    assert list(longest_way({name: span(1, 1) for name in AFTER}, AFTER)) == ["disk", "etc", "create", "start"]


def test_a_step_waits_only_for_steps_above_it() -> None:
    above: set[str] = set()
    for step in STEPS:
        assert set(step.after) <= above, f"{step.hook.name} waits for what comes later, or for nobody"
        above.add(step.hook.name)


def test_the_first_create_waits_for_everything_that_a_container_is_made_of() -> None:
    after = {step.hook.name: step.after for step in STEPS}

    def before(name: str) -> set[str]:
        return set(after[name]).union(*(before(needed) for needed in after[name]))

    assert {"cgroup", "namespace", "disk", "image", "volumes", "etc-files", "pause"} <= before("first-containers")
    assert before("containers") == set(after) - {"containers"}, "nothing of an image runs before all is there"
