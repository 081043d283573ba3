"""Both ends of the link without a socket: what is said, what is repeated, what ends a session."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.link.host_identity import LINK, HostKey
from neargate.link.messages import (
    PROTOCOL,
    Challenge,
    Hello,
    HostUpdate,
    LogOpen,
    LogRefused,
    Ping,
    Pong,
    Proof,
    Report,
    ReportAck,
    RunOrder,
    StopOrder,
    VpcPush,
    VpcWithdraw,
    Welcome,
    decode_to_agent,
    decode_to_server,
    encode,
    frames,
    messages_to_agent,
)
from neargate.link.server_session import Greeted, HostChanged, Reported, ServerSession
from neargate.link.session import (
    Acknowledged,
    AgentSession,
    ApplyVpc,
    Disconnect,
    Established,
    RunTask,
    Send,
    StopTask,
    WithdrawVpc,
)
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.model.launch import ContainerLaunch, TaskLaunch, TaskReport
from neargate.model.network import Eni, VpcPlan

KNOBS = Knobs(link_ping_period_s=5, link_silence_s=20, report_resend_s=5, order_resend_s=5, hello_reports_max=3)
HOST = HostFacts(host_id="h1", boot_id="b", capacity=HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1))
PLAN = VpcPlan(vpc_id="vpc-1", generation=3, cidrs=("10.0.0.0/8",), groups=())
KEY, NONCE = HostKey(bytes(32)), bytes(range(32))
STOP = StopOrder(task_id="t1", incarnation="i", stop_code="UserInitiated", reason="bye")
LAUNCH = TaskLaunch(
    task_id="t1",
    task_arn="arn",
    incarnation="i",
    capacity_id="c",
    account="123456789012",
    region="us-east-1",
    zone="a",
    zone_id="az1",
    cluster="default",
    cluster_arn="arn",
    family="f",
    revision=1,
    group="g",
    cpu_units=256,
    memory_mib=512,
    eni=Eni(
        eni_id="eni-1",
        attachment_id="a",
        mac="0a:00:00:00:00:01",
        vpc_id="vpc-1",
        subnet_id="s",
        subnet_cidr="10.0.0.0/24",
        private_ipv4="10.0.0.4",
    ),
    containers=(ContainerLaunch(name="web", image="web", arn="arn"),),
)
RUN = encode(RunOrder(launch=LAUNCH))


def report(seq: int, task_id: str = "t1", status: str = "RUNNING") -> TaskReport:
    return TaskReport(task_id=task_id, incarnation="i", report_seq=seq, known_status=status)


def said(actions: Any) -> list[Any]:
    """The messages among an agent's actions."""
    return [decode_to_server(action.data) for action in actions if isinstance(action, Send)]


def told(actions: Any) -> list[Any]:
    """The messages among a server's actions."""
    return [decode_to_agent(action.data) for action in actions if isinstance(action, Send)]


def opened() -> AgentSession:
    session = AgentSession(KNOBS, KEY)
    session.connected(HOST, [], 0.0)
    session.received(Welcome(protocol=PROTOCOL, session="s", ping_period_s=5), 0.0)
    return session


def prove(session: ServerSession, *reports: TaskReport) -> Any:
    """The hello of a host that has its key; what the server makes of it."""
    session.received(Hello(protocol=PROTOCOL, host=HOST, reports=reports, public_key=KEY.public))
    return session.received(Proof(signature=KEY.sign(LINK, NONCE, HOST.host_id)))


def greeted() -> ServerSession:
    session = ServerSession("s", KNOBS, NONCE)
    prove(session)
    return session


# -- the agent's side


def test_a_session_begins_with_all_that_the_host_has() -> None:
    session = AgentSession(KNOBS, KEY)
    reports = [report(1, f"t{n}") for n in range(5)]
    [hello] = said(session.connected(HOST, reports, 0.0))
    assert hello.host == HOST and list(hello.reports) == reports[:3], "a frame is bounded"
    assert not session.is_open
    established, *rest = session.received(Welcome(protocol=PROTOCOL, session="s", ping_period_s=5), 0.0)
    assert established == Established(session="s") and session.is_open
    assert said(rest) == [Report(report=reports[3]), Report(report=reports[4])]


def test_reports_are_repeated_until_they_are_acknowledged_also_over_connections() -> None:
    session = opened()
    assert said(session.report(report(7), 1.0)) == [Report(report=report(7))]
    assert said(session.tick(2.0)) == []
    assert Report(report=report(7)) in said(session.tick(6.5))
    assert session.received(ReportAck(task_id="t1", report_seq=6), 7.0) == [Acknowledged(task_id="t1", report_seq=6)]
    assert session.unacknowledged == 1, "an older acknowledgement does not count"
    session.disconnected()
    assert session.report(report(8), 8.0) == []
    [hello] = said(session.connected(HOST, [], 9.0))
    assert hello.reports == (report(8),)
    session.received(Welcome(protocol=PROTOCOL, session="s2", ping_period_s=5), 9.0)
    session.received(ReportAck(task_id="t1", report_seq=8), 9.0)
    assert session.unacknowledged == 0
    assert [m for m in said(session.tick(15.0)) if isinstance(m, Report)] == []


def test_only_the_newest_report_of_a_task_is_kept() -> None:
    session = opened()
    session.report(report(2), 1.0)
    assert session.report(report(1), 1.0) == []
    assert [m for m in said(session.tick(9.0)) if isinstance(m, Report)] == [Report(report=report(2))]


def test_orders_become_actions_in_their_order() -> None:
    session = opened()
    actions = [
        *session.received(VpcPush(plan=PLAN), 1.0),
        *session.received(RunOrder(launch=LAUNCH), 1.0),
        *session.received(STOP, 1.0),
    ]
    assert actions == [ApplyVpc(plan=PLAN), RunTask(launch=LAUNCH), StopTask(order=STOP)]


def test_nothing_is_obeyed_before_the_welcome() -> None:
    session = AgentSession(KNOBS, KEY)
    session.connected(HOST, [], 0.0)
    for message in (RunOrder(launch=LAUNCH), STOP, VpcPush(plan=PLAN), ReportAck(task_id="t1", report_seq=1)):
        [action] = session.received(message, 0.0)
        assert isinstance(action, Disconnect)


@pytest.mark.parametrize(
    "message",
    [Welcome(protocol=PROTOCOL, session="again", ping_period_s=5), LogRefused(request=1, code="c", message="m")],
)
def test_what_does_not_belong_ends_the_connection(message: Any) -> None:
    [action] = opened().received(message, 0.0)
    assert isinstance(action, Disconnect)


def test_another_protocol_is_not_spoken() -> None:
    session = AgentSession(KNOBS, KEY)
    session.connected(HOST, [], 0.0)
    [action] = session.received(Welcome(protocol=PROTOCOL + 1, session="s", ping_period_s=5), 0.0)
    assert isinstance(action, Disconnect) and not session.is_open


def test_pings_keep_time_and_silence_ends_the_connection() -> None:
    session = opened()
    assert said(session.tick(4.0)) == []
    assert said(session.tick(5.0)) == [Ping(n=1)]
    session.received(Pong(n=1), 5.0)
    assert not [a for a in session.tick(25.0) if isinstance(a, Disconnect)]
    [action] = session.tick(25.1)
    assert isinstance(action, Disconnect)
    session.disconnected()
    assert session.tick(99.0) == []


def test_a_server_that_never_welcomes_is_left() -> None:
    session = AgentSession(KNOBS, KEY)
    session.connected(HOST, [], 0.0)
    assert session.tick(20.0) == []
    assert isinstance(session.tick(20.1)[0], Disconnect)


@pytest.mark.parametrize("period", [0.0, -1.0, 1e9, float("nan")])
def test_a_server_cannot_make_an_agent_ping_for_ever_or_never(period: float) -> None:
    session = AgentSession(KNOBS, KEY)
    session.connected(HOST, [], 0.0)
    session.received(Welcome(protocol=PROTOCOL, session="s", ping_period_s=period), 0.0)
    pings = [m for n in range(100) for m in said(session.tick(n / 10)) if isinstance(m, Ping)]
    assert len(pings) <= 100
    assert [m for m in said(session.tick(10.0)) if isinstance(m, Ping)] or pings


def test_a_change_of_the_host_is_told_when_connected() -> None:
    session = AgentSession(KNOBS, KEY)
    assert session.host_changed(HOST) == []
    assert said(opened().host_changed(HOST)) == [HostUpdate(host=HOST)]


# -- the server's side


def test_a_host_is_greeted_once() -> None:
    session = ServerSession("s", KNOBS, NONCE)
    assert isinstance(session.received(Ping(n=1))[0], Disconnect)
    hello = Hello(protocol=PROTOCOL, host=HOST, reports=(report(1),), public_key=KEY.public)
    assert told(session.received(hello)) == [Challenge(nonce=NONCE)]
    assert session.host_id is None, "nothing is proved"
    proof = Proof(signature=KEY.sign(LINK, NONCE, HOST.host_id))
    assert session.received(proof) == [Greeted(host=HOST, public_key=KEY.public, reports=(report(1),))]
    assert session.host_id == "h1"
    for again in (hello, proof):
        assert isinstance(session.received(again)[0], Disconnect)
    other = ServerSession("s", KNOBS, NONCE)
    assert isinstance(other.received(Hello(protocol=99, host=HOST, reports=()))[0], Disconnect)
    [welcome] = told([session.welcome()])
    assert (welcome.session, welcome.ping_period_s) == ("s", 5)


def test_orders_are_repeated_until_the_task_is_reported() -> None:
    session = greeted()
    assert told(session.run("t1", RUN, 0.0)) == [RunOrder(launch=LAUNCH)]
    assert session.run("t1", RUN, 1.0) == [], "it is in flight"
    assert session.check(4.0) == []
    assert told(session.check(5.0)) == [RunOrder(launch=LAUNCH)]
    assert session.received(Report(report=report(1))) == [Reported(report=report(1))]
    assert session.check(20.0) == []


def test_a_stop_overtakes_the_run_and_is_repeated_until_the_stop_has_begun() -> None:
    session = greeted()
    session.run("t1", RUN, 0.0)
    assert told(session.stop(STOP, 1.0)) == [STOP]
    assert session.stop(STOP, 2.0) == [] and session.run("t1", RUN, 2.0) == []
    assert told(session.check(6.0)) == [STOP], "the run order is not repeated any more"
    session.received(Report(report=report(1, status="RUNNING")))
    assert told(session.check(11.0)) == [STOP]
    session.received(Report(report=report(2, status="DEACTIVATING")))
    assert session.check(17.0) == []


def test_a_report_with_an_unknown_status_is_passed_on_and_breaks_nothing() -> None:
    session = greeted()
    session.stop(STOP, 0.0)
    assert len(session.received(Report(report=report(1, status="EXPLODED")))) == 1
    assert told(session.check(6.0)) == [STOP]


def test_room_is_what_may_still_be_in_flight() -> None:
    session = ServerSession("s", Knobs(orders_in_flight_max=2), NONCE)
    prove(session)
    session.run("t1", RUN, 0.0)
    assert session.room == 1
    session.received(Report(report=report(1)))
    assert session.room == 2


def test_a_plan_is_pushed_once_for_each_generation() -> None:
    session = greeted()
    assert told(session.push_plan(PLAN)) == [VpcPush(plan=PLAN)]
    assert session.push_plan(PLAN) == [] and session.vpcs == ("vpc-1",)
    newer = VpcPlan(vpc_id="vpc-1", generation=4, cidrs=(), groups=())
    assert told(session.push_plan(newer)) == [VpcPush(plan=newer)]
    assert session.push_plan(PLAN) == [], "never an older one after a newer one"


def test_silence_is_counted_in_checks_and_not_in_time() -> None:
    session = greeted()
    assert session.check(0.0) == []
    # The process was stopped for an hour: that is one check, not an hour of silence.
    assert session.check(3600.0) == []
    session.received(Ping(n=1))
    for n in range(1, 5):
        assert session.check(3600.0 + 5 * n) == []
    assert isinstance(session.check(3630.0)[0], Disconnect)


def test_a_host_update_may_not_name_another_host() -> None:
    session = greeted()
    assert session.received(HostUpdate(host=HOST)) == [HostChanged(host=HOST)]
    other = HostFacts(host_id="h2", boot_id="b", capacity=HOST.capacity)
    assert isinstance(session.received(HostUpdate(host=other))[0], Disconnect)
    assert isinstance(session.received(LogOpen(request=1, task_id="t", container="c"))[0], Disconnect)


# -- both together


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("report"), st.integers(0, 3)),
            st.tuples(st.just("lose"), st.just(0)),
            st.tuples(st.just("cut"), st.just(0)),
            st.tuples(st.just("tick"), st.just(0)),
        ),
        max_size=60,
    )
)
def test_whatever_is_lost_the_server_hears_the_last_report_of_each_task(steps: list[tuple[str, int]]) -> None:
    agent, now = AgentSession(KNOBS, KEY), 0.0
    newest: dict[str, int] = {}
    heard: dict[str, int] = {}
    server = _connect(agent, newest, heard, now)
    for step, task in steps:
        now += 1.0
        if step == "report":
            newest[f"t{task}"] = newest.get(f"t{task}", 0) + 1
            _deliver(agent, server, agent.report(report(newest[f"t{task}"], f"t{task}"), now), heard, now)
        elif step == "lose":
            newest["t0"] = newest.get("t0", 0) + 1
            agent.report(report(newest["t0"], "t0"), now)  # what it wanted to send is lost
        elif step == "cut":
            agent.disconnected()
            server = _connect(agent, newest, heard, now)
        else:
            _deliver(agent, server, agent.tick(now), heard, now)
    for _ in range(8):
        now += 2.0
        _deliver(agent, server, agent.tick(now), heard, now)
    assert heard == newest and agent.unacknowledged == 0


def _connect(agent: AgentSession, newest: dict[str, int], heard: dict[str, int], now: float) -> ServerSession:
    server = ServerSession("s", KNOBS, NONCE)
    known = [report(seq, task) for task, seq in newest.items()]
    _deliver(agent, server, agent.connected(HOST, known, now), heard, now)
    return server


def _deliver(agent: AgentSession, server: ServerSession, actions: Any, heard: dict[str, int], now: float) -> None:
    for message in said(actions):
        for action in server.received(message):
            answers: list[Any] = []
            reports: list[TaskReport] = []
            if isinstance(action, Greeted):
                answers.append(server.welcome())
                reports = list(action.reports)
            elif isinstance(action, Reported):
                reports = [action.report]
            elif isinstance(action, Send):
                answers.append(action)
            for item in reports:
                heard[item.task_id] = max(heard.get(item.task_id, 0), item.report_seq)
                answers.append(server.acknowledgement(item.task_id, item.report_seq))
            for answer in told(answers):
                _deliver(agent, server, agent.received(answer, now), heard, now)


def test_messages_share_frames_within_bounds_and_keep_their_order() -> None:
    sent = [ReportAck(task_id="t" * (n % 50), report_seq=n) for n in range(300)]
    joined = list(frames(map(encode, sent)))
    assert len(joined) == 5 and [message for data in joined for message in messages_to_agent(data)] == sent
    alone = list(frames([encode(sent[0])]))
    assert alone == [encode(sent[0])] and messages_to_agent(alone[0]) == [sent[0]]
    large = encode(ReportAck(task_id="x" * 200_000, report_seq=1))
    assert list(frames([large, large, encode(sent[0])])) == [large, *frames([large, encode(sent[0])])]
    assert list(frames([])) == []


def test_a_plan_is_withdrawn_from_who_has_it_and_sent_again_before_the_next_order() -> None:
    server = ServerSession("s", KNOBS, NONCE)
    agent = AgentSession(KNOBS, KEY)
    hello = agent.connected(HOST, (), 0.0, {"vpc-old": 7})
    server.received(said(hello)[0])
    server.received(Proof(signature=KEY.sign(LINK, NONCE, HOST.host_id)))
    assert server.held == {"vpc-old"} and server.vpcs == ()
    server.push_plan(PLAN)
    assert server.held == {"vpc-old", PLAN.vpc_id}
    (old,), (gone,) = server.withdraw_plan("vpc-old"), server.withdraw_plan(PLAN.vpc_id)
    assert decode_to_agent(old.data) == VpcWithdraw(vpc_id="vpc-old", generation=7)
    assert decode_to_agent(gone.data) == VpcWithdraw(vpc_id=PLAN.vpc_id, generation=PLAN.generation)
    assert not server.held and server.withdraw_plan(PLAN.vpc_id) == []
    assert len(server.push_plan(PLAN)) == 1, "the next order needs it again"
    agent.received(Welcome(protocol=PROTOCOL, session="s", ping_period_s=5), 1.0)
    assert agent.received(decode_to_agent(gone.data), 1.0) == [WithdrawVpc(vpc_id=PLAN.vpc_id, generation=3)]


def test_nothing_is_withdrawn_from_an_agent_that_does_not_know_how() -> None:
    server = ServerSession("s", KNOBS, NONCE)
    server.received(Hello(protocol=PROTOCOL, host=HOST, reports=(), public_key=KEY.public))
    server.received(Proof(signature=KEY.sign(LINK, NONCE, HOST.host_id)))
    server.push_plan(PLAN)
    assert server.withdraw_plan(PLAN.vpc_id) == [] and server.vpcs == (PLAN.vpc_id,)
