"""What a node's proxy did for clients, over targets that come and go and processes that begin anew."""

from neargate.frontend.balancing.traffic import TrafficSums
from neargate.model.balancing import NodeReport, NodeTraffic
from neargate.proxying.stats import Row
from neargate.proxying.traffic import Tally, grown

G = "g0"


def front(requests: int, fourth: int = 0, fifth: int = 0, current: int = 0) -> Row:
    answers = (requests - fourth - fifth, 0, fourth, fifth, 0)
    return Row(backend="l", server="FRONTEND", status="OPEN", answers=answers, requests=requests, current=current)


def server(name: str, second: int, fifth: int = 0, backend: str = G) -> Row:
    return Row(backend=backend, server=name, status="UP", answers=(second, 0, 0, fifth, 9))


def whole(errors: int) -> Row:
    return Row(backend=G, server="BACKEND", status="UP", answers=(99, 99, 99, 99, errors))


def test_targets_that_left_stay_in_the_sum_and_one_that_comes_again_counts_anew() -> None:
    tally = grown(Tally(), 7, [server("a", 5), server("b", 1), whole(2)], is_adopted=False)
    tally = grown(tally, 7, [server("b", 3), whole(3)], is_adopted=False)
    tally = grown(tally, 7, [server("a", 1), server("b", 2, 1, backend=G + "o"), whole(3)], is_adopted=False)
    assert tally.targets == {G: (5 + 3 + 1 + 2, 0, 0, 1, 3)}


def test_another_process_counts_from_nothing_and_the_sum_goes_on() -> None:
    tally = grown(Tally(), 7, [front(10, current=4), server("a", 10)], is_adopted=False)
    tally = grown(tally, 8, [front(12, current=1), server("a", 12)], is_adopted=False)
    assert tally.targets[G][0] == 22
    assert (tally.shown().requests, tally.shown().active) == (22, 1)


def test_what_an_adopted_process_counted_before_is_somebody_elses() -> None:
    tally = grown(Tally(), 7, [front(10), server("a", 10)], is_adopted=True)
    assert (tally.targets[G][0], tally.shown().requests) == (0, 0)
    tally = grown(tally, 7, [front(11), server("a", 11), server("b", 1)], is_adopted=False)
    assert (tally.targets[G][0], tally.shown().requests) == (2, 1)


def test_what_no_target_answered_the_load_balancer_did_and_it_never_goes_back() -> None:
    tally = grown(Tally(), 7, [front(10, 3, 2), server("a", 5, 1)], is_adopted=False)
    assert tally.shown().own == (0, 3, 1)
    tally = grown(tally, 7, [front(10, 3, 2), server("a", 5, 2)], is_adopted=False)  # an answer that is under way
    assert tally.shown().own == (0, 3, 1)


def test_frequent_tries_are_no_requests() -> None:
    assert grown(Tally(), 7, [server("a", 5, backend=G + "p")], is_adopted=False).targets == {}


ARN, GROUP = "lb", "group"


def report(requests: int, second: int, place: str = "p", generation: int = 1, group: str = GROUP) -> NodeReport:
    return NodeReport(
        arn=ARN,
        place=place,
        generation=generation,
        is_serving=True,
        requests=((group, (second, 0, 0, 0, 0)),),
        traffic=NodeTraffic(requests=requests, active=3),
    )


def sums_of(*reports: NodeReport) -> tuple[int, int]:
    sums = TrafficSums()
    for one in reports:
        sums.heard(one, {GROUP})
    found = sums.of(ARN)
    return found.traffic.requests, found.groups[GROUP][0]


def test_sums_of_nodes_grow_by_what_comes_on_top() -> None:
    assert sums_of(report(100, 90), report(103, 92)) == (3, 2)
    assert sums_of(report(0, 0), report(5, 5), report(0, 0, "q"), report(2, 1, "q")) == (7, 6)


def test_a_node_that_begins_anew_takes_nothing_away() -> None:
    assert sums_of(report(0, 0), report(5, 5), report(1, 1), report(2, 2)) == (7, 7)


def test_a_late_report_says_nothing() -> None:
    assert sums_of(report(0, 0), report(9, 9, generation=2), report(5, 5), report(10, 9, generation=2)) == (10, 9)


def test_groups_that_are_not_led_to_are_not_believed_and_those_that_left_are_forgotten() -> None:
    sums = TrafficSums()
    sums.heard(report(0, 0), {GROUP})
    sums.heard(report(1, 1), {GROUP})
    sums.heard(report(2, 7, group="other"), {"third"})
    assert sums.of(ARN).groups == {}
    sums.forget_others({})
    assert sums.of(ARN).traffic == NodeTraffic() and sums.active(["p"]) == 0
