"""From a plan and what a proxy says it has: commands, verdicts, reports. A real proxy: integration tests."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from neargate.model.balancing import (
    BalancerPlan,
    FixedResponse,
    Forward,
    HealthCheck,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    PlannedRule,
    PlannedTarget,
    WeightedGroup,
)
from neargate.proxying import changes, configuration, names, reports, stats
from neargate.proxying.configuration import Place
from neargate.proxying.stats import Known, Row
from neargate.proxying.traffic import Tally

CHECK = HealthCheck(interval_s=10, unhealthy=2, healthy=3)
NODE = PlannedNode(place="p", eni_id="eni-1", zone="a", private_ipv4="10.0.0.4")
ONE = PlannedTarget(ip="10.0.1.1", port=80, zone="a")
TWO = PlannedTarget(ip="10.0.2.2", port=80, zone="b")
GROUP = PlannedGroup(arn="group", protocol="HTTP", check=CHECK, targets=(ONE,))
PLACE = Place(directory="/run/x")
MAIN = names.backend("group")
S1, S2 = names.server(GROUP, ONE), names.server(GROUP, TWO)


def plan(group: PlannedGroup = GROUP, **changed: object) -> BalancerPlan:
    listener = PlannedListener(arn="l", port=80, protocol="HTTP", default=Forward(groups=(WeightedGroup(arn="group"),)))
    made = BalancerPlan(
        arn="lb",
        vpc_id="v",
        name="n",
        kind="application",
        generation=1,
        nodes=(NODE, replace(NODE, place="q", zone="b")),
        listeners=(listener,),
        groups=(group,),
    )
    return replace(made, **changed)


def row(server: str, status: str, *, backend: str = MAIN, **more: object) -> Row:
    return replace(Row(backend=backend, server=server, status=status), **more)


def settled(*servers: str) -> list[Row]:
    return [row(name, "UP", backend=MAIN + suffix) for name in servers for suffix in ("", names.OPEN)]


def commands(wanted: BalancerPlan, rows: Sequence[Row], known: dict[str, Known] | None = None) -> list[str]:
    healthy = {one.server: Known(state="healthy") for one in rows}
    found = changes.commands(wanted, NODE, changes.seen(rows), healthy if known is None else known)
    return [command for batch in found for command in batch]


def test_a_target_that_comes_needs_no_other_process() -> None:
    before, after = plan(), plan(replace(GROUP, targets=(ONE, TWO)))
    shape = configuration.files(before, NODE, PLACE).shape
    assert configuration.files(after, NODE, PLACE).shape == shape
    found = commands(after, settled(S1))
    assert [word for word in found if S1 in word] == []
    assert found[0].startswith(
        f"add server {MAIN}/{S2} 10.0.2.2:80 pool-purge-delay 10s pool-max-conn -1 check inter 10000 rise 3 fall 2"
    )
    # In this order alone it is asked only after its first pass.
    start = [f"enable server {MAIN}/{S2}", f"set server {MAIN}/{S2} health down", f"enable health {MAIN}/{S2}"]
    assert found[1:4] == start
    assert any(word.startswith(f"add server {MAIN}{names.PROBE}/{S2} ") and "inter 500" in word for word in found)


@pytest.mark.parametrize(
    "change",
    [
        {"listeners": ()},
        {"attributes": (("idle_timeout.timeout_seconds", "5"),)},
        {"groups": (replace(GROUP, check=replace(CHECK, path="/other")),)},
        {"groups": (replace(GROUP, slow_start_s=30),)},
    ],
)
def test_anything_but_targets_needs_another_process(change: dict[str, object]) -> None:
    shape = configuration.files(plan(replace(GROUP, targets=(TWO,))), NODE, PLACE).shape
    assert configuration.files(plan(**change), NODE, PLACE).shape != shape


def test_a_body_that_changes_needs_another_process() -> None:
    def shape(body: str) -> str:
        listener = PlannedListener(arn="l", port=80, protocol="HTTP", default=FixedResponse(code=200, body=body))
        return configuration.files(plan(listeners=(listener,)), NODE, PLACE).shape

    assert shape("one") != shape("two")


def test_who_has_what_is_planned_is_told_nothing() -> None:
    assert commands(plan(), settled(S1)) == []


def test_a_target_that_drains_gets_nothing_new_and_keeps_what_it_has() -> None:
    draining = plan(replace(GROUP, targets=(replace(ONE, is_draining=True),)))
    busy = [row(S1, "UP", current=2), row(S1, "UP", backend=MAIN + names.OPEN)]
    found = commands(draining, busy)
    assert found[0] == f"set server {MAIN}/{S1} state maint"
    assert not any(word in (f"del server {MAIN}/{S1}", f"shutdown sessions server {MAIN}/{S1}") for word in found)


def test_a_target_is_deleted_when_nothing_is_in_flight() -> None:
    draining = plan(replace(GROUP, targets=(replace(ONE, is_draining=True),)))
    assert commands(draining, [row(S1, "MAINT")]) == [f"set server {MAIN}/{S1} state maint", f"del server {MAIN}/{S1}"]


def test_what_is_left_when_the_delay_is_over_ends() -> None:
    gone = plan(replace(GROUP, targets=()))
    assert commands(gone, [row(S1, "MAINT", current=1)]) == [f"shutdown sessions server {MAIN}/{S1}"]


def test_connections_of_a_network_load_balancer_stay_when_the_delay_is_over() -> None:
    tcp = PlannedGroup(arn="group", protocol="TCP", check=HealthCheck(protocol="TCP"))
    gone = plan(tcp, kind="network")
    assert commands(gone, [row(S1, "UP", current=1)]) == [f"set server {MAIN}/{S1} state drain"]
    ends = plan(replace(tcp, ends_on_deregistration=True), kind="network")
    assert commands(ends, [row(S1, "DRAIN", current=1)]) == [f"shutdown sessions server {MAIN}/{S1}"]


def test_a_target_that_comes_back_while_it_drains_begins_anew() -> None:
    found = commands(plan(), [row(S1, "MAINT", current=1), row(S1, "MAINT", backend=MAIN + names.OPEN)], {})
    assert found[:2] == [f"set server {MAIN}/{S1} state ready", f"set server {MAIN}/{S1} health down"]


def test_targets_of_other_zones_are_asked_only_across_zones() -> None:
    both = replace(
        GROUP, targets=(ONE, TWO, replace(TWO, ip="10.9.9.9", zone="c"), replace(TWO, ip="9.9.9.9", zone=None))
    )
    assert [one.ip for one in names.live(plan(both), NODE, both)] == ["10.0.1.1", "10.0.2.2", "9.9.9.9"]
    apart = replace(both, cross_zone=False)
    assert [one.ip for one in names.live(plan(apart), NODE, apart)] == ["10.0.1.1", "9.9.9.9"]


# -- verdicts


def judged(
    known: Known | None, status: str, check: str = "", code: str = "", *, at: float = 100.0, **more: object
) -> Known:
    return stats.judged(known, row(S1, status, check=check, code=code, **more), None, CHECK, at)


FRESH = Known(state="initial", since=100.0)


def test_a_fresh_target_is_initial_until_it_had_time_to_fail() -> None:
    assert judged(FRESH, "DOWN", "L7STS", "500", at=119.0) == FRESH
    failed = judged(FRESH, "DOWN", "L7STS", "500", at=120.0)
    assert (failed.state, failed.reason) == ("unhealthy", "Target.ResponseCodeMismatch")
    assert failed.detail == "Health checks failed with these codes: [500]"


def test_one_pass_of_the_frequent_tries_makes_a_fresh_target_healthy() -> None:
    probe = row(S1, "UP", check="L7OK", backend=MAIN + names.PROBE)
    assert stats.judged(FRESH, row(S1, "DOWN", check="INI"), probe, CHECK, 101.0).state == "healthy"
    assert commands(plan(), [row(S1, "DOWN"), probe], {S1: Known(state="healthy")})[0].startswith("add server")
    assert f"set server {MAIN}/{S1} health up" in commands(
        plan(), [row(S1, "DOWN"), probe], {S1: Known(state="healthy")}
    )


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ("L4TOUT", "Target.Timeout"),
        ("L7TOUT", "Target.Timeout"),
        ("L4CON", "Target.FailedHealthChecks"),
        ("L7RSP", "Target.FailedHealthChecks"),
        ("* L7TOUT", "Target.Timeout"),
    ],
)
def test_why_a_target_is_unhealthy_is_said_in_the_words_of_aws(check: str, reason: str) -> None:
    assert judged(Known(state="healthy"), "DOWN", check).reason == reason


def test_a_connection_that_a_nodes_kernel_gave_up_timed_out() -> None:
    assert judged(Known(state="healthy"), "DOWN", "L4CON", check_ms=3070).reason == "Target.Timeout"
    assert judged(Known(state="healthy"), "DOWN", "L4CON", check_ms=3).reason == "Target.FailedHealthChecks"


def test_on_its_way_up_a_target_is_unhealthy_for_the_reason_of_before() -> None:
    before = Known(state="unhealthy", reason="Target.Timeout", detail="Request timed out")
    assert judged(before, "DOWN 1/3", "L7OK") == before


def test_who_finds_a_process_knows_old_failures_from_fresh_targets() -> None:
    assert judged(None, "DOWN", "L4CON", since_s=500).state == "unhealthy"
    assert judged(None, "DOWN", "L4CON", since_s=3).state == "initial"
    assert judged(None, "UP", "L7OK").state == "healthy"


def test_verdicts_are_known_over_the_end_of_a_process() -> None:
    known = {S1: Known(state="healthy")}
    assert reports.known_now(plan(), NODE, {}, known, 5.0, is_adopted=False) == known
    up = changes.state_file(plan(), NODE, known).splitlines()[2].split()
    down = changes.state_file(plan(), NODE, {}).splitlines()[2].split()
    assert (up[1], up[3], up[5]) == (MAIN, S1, "2") and down[5] == "0"
    assert len(up) == len(changes.state_file(plan(), NODE, {}).splitlines()[1].split()) - 1


def test_what_drains_is_counted_in_every_process_that_still_has_connections() -> None:
    draining = plan(replace(GROUP, targets=(replace(ONE, is_draining=True),)))
    processes = [changes.seen([row(S1, "MAINT", current=2)]), changes.seen([row(S1, "UP", current=3)])]
    told = reports.report(draining, NODE, {}, processes, Tally(), "")
    (verdict,) = told.groups[0].targets
    assert (verdict.state, verdict.in_flight, told.is_serving) == ("draining", 5, True)


def test_statistics_are_read_by_the_names_of_their_columns() -> None:
    heading = "# pxname,svname,scur,status,lastchg,check_status,check_code,"
    heading += "hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,econ,wretr,wredis,"
    lines = [
        "l,FRONTEND,1,OPEN,,,,1,,,,,,,",
        f"g,{S1},2,DOWN,7,L7STS,500,3,0,0,4,5,1,1,",
        "g,BACKEND,0,UP,7,,,3,0,0,4,5,1,1,",
    ]
    front, server, whole = stats.rows("\n".join([heading, *lines, ""]))
    assert (server.current, server.code, server.since_s, server.retried) == (2, "500", 7, 2)
    assert (front.server, front.answers, whole.answers) == ("FRONTEND", (1, 0, 0, 0, 0), (3, 0, 0, 4, 5))
    with pytest.raises(ValueError, match="no statistics"):
        stats.rows("Unknown command")


def test_processes_that_were_replaced_are_known_by_their_heading() -> None:
    told = "#<PID> <type>\n7 master 1\n# workers\n9 worker 0 0d\n"
    told += "# old workers\n8 worker 1 0d\n6 worker 2 0d\n# programs\n5 worker 0\n"
    assert stats.replaced(told) == [8, 6]
    assert stats.replaced("") == []


def test_only_an_access_log_that_is_wanted_is_in_the_configuration() -> None:
    def text(logged: str) -> str:
        listener = PlannedListener(
            arn="l",
            port=80,
            protocol="HTTP",
            default=Forward(groups=(WeightedGroup(arn=GROUP.arn),)),
            rules=(PlannedRule(priority=9, conditions=(), action=FixedResponse(code=200)),),
        )
        wanted = plan(listeners=(listener,), access_log=logged)
        return configuration.files(wanted, NODE, PLACE).content[configuration.MAIN]

    plain, logged = text(""), text("access-1")
    for word in ("log ", "log-format", "capture", "logurilen", "txn.rule"):
        assert word not in plain and word in logged
    assert "set-var(txn.rule) str(0:forward)" in logged and "set-var(txn.rule) str(9:fixed-response)" in logged
    assert all(len(line) < 2048 and line.count("'") % 2 == 0 for line in logged.splitlines())


def test_a_proxy_that_complains_without_an_end_fills_no_log() -> None:
    long, many = (changes.complaints(f"no such server\n{rest}") for rest in ("x" * 100_000, "y\n" * 1000))
    assert (long[0], many[0]) == ("no such server", "no such server")
    assert len(many) <= 10 and max(map(len, long)) <= 200


def test_nobody_reads_for_long_what_a_proxy_tells() -> None:
    heading = "# pxname,svname,status,check_status,check_code"
    with pytest.raises(ValueError, match="too many"):
        stats.rows(f"{heading}\n" + "b,s,UP,,\n" * 200_000)
    assert len(stats.rows(f"{heading}\n" + "b,s,UP,,\n" * 100_000)) == 100_000  # a plan has as many
    workers = "".join(f"{pid} worker\n" for pid in range(1, 200_000))
    assert len(stats.replaced(f"# old workers\n{workers}")) == 64
    with pytest.raises(ValueError, match="no information"):
        stats.info("x: y\n" * 100_000 + "Pid: 1\ndescription: shape-x\n")
