"""A task's secrets on a host: who looks them up, where they end up and where not, and AWS's words when they fail."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.execution.exchange import Reply
from neargate.agent.execution.secret_values import of_json, printed
from neargate.agent.points import Point
from neargate.agent.task_context import LaunchFailed, Secrets, TaskContext
from neargate.link.messages import EXECUTION_ROLE, TASK_ROLE, CredentialsIssued, CredentialsRefused
from neargate.model.errors import RoleNotAssumable
from neargate.model.launch import ContainerLaunch, InjectedSecret, TaskLaunch
from neargate.testing.agent_host import INCARNATION, TASK_ID, VPC, AgentHost, container, launch
from neargate.testing.fake_region_api import FakeSecret
from neargate.testing.virtual_time import EPOCH, run_virtual

ROLE = "arn:aws:iam::123456789012:role/execution"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/app/key"
LAUNCH_POINTS = tuple(Point)[: tuple(Point).index(Point.RUNNING_SAVED) + 1]
HEAD = "ResourceInitializationError: unable to pull secrets or registry auth: "
RETRIED = HEAD + "execution resource retrieval failed: {what}: service call has been retried {times} time(s): "
ASM = RETRIED.format(what="unable to retrieve secret from asm", times=1)
SSM = RETRIED.format(what="unable to retrieve secrets from ssm", times=1)


def issued(task_id: str = TASK_ID, *, at: float = EPOCH, number: int = 1) -> CredentialsIssued:
    return CredentialsIssued(
        task_id=task_id,
        kind=EXECUTION_ROLE,
        role_arn=ROLE,
        access_key_id=f"ASIA{number:016d}",
        secret_access_key=f"secret-access-key-{number}",
        token=f"session-token-{number}",
        issued_at=at,
        expires_at=at + 3600,
    )


def with_secrets(*secrets: tuple[str, str], **changes: Any) -> ContainerLaunch:
    injected = tuple(InjectedSecret(name=name, value_from=value_from) for name, value_from in secrets)
    return container(secrets=injected, **changes)


def task(*containers: ContainerLaunch) -> TaskLaunch:
    return launch(*containers, execution_role_arn=ROLE)


def grant(host: AgentHost, task_id: str = TASK_ID) -> None:
    given = issued(task_id)
    host.server.execution[task_id] = given
    host.api.keys[given.access_key_id] = given.secret_access_key


def environment(host: AgentHost, name: str = "web") -> dict[str, str]:
    return dict(host.sandbox.named(name).config.environment)


async def until(host: AgentHost, condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await host.clock.sleep(0.1)
    raise AssertionError("it did not happen")


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            grant(host)
            host.api.parameters = {"plain": "p-value", "/app/db": "db-value", PARAMETER: "arn-value"}
            document = '{"user": "app", "port": 5432, "nested": {"b": [1, null, true], "a": "x"}}'
            host.api.secrets = {SECRET: FakeSecret(text=document, versions={"AWSPREVIOUS": "old", "v" * 32: "by-id"})}
            await host.started()
            await scenario(host)

    run_virtual(whole())


async def refused(host: AgentHost, wanted: TaskLaunch) -> str:
    host.server.run(wanted)
    report = await host.server.status(TASK_ID, "STOPPED")
    assert report.stop_code == "TaskFailedToStart" and host.sandbox.ever_started == []
    await host.clock.sleep(10)
    assert host.leftovers() == []
    assert report.stopped_reason is not None
    return report.stopped_reason


def test_secrets_are_in_the_environment_of_the_containers_that_name_them(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        web = with_secrets(
            ("PLAIN", "plain"),
            ("DB", "/app/db"),
            ("ARN", PARAMETER),
            ("ALL", SECRET),
            ("USER_NAME", f"{SECRET}:user::"),
        )
        side = with_secrets(
            ("PORT", f"{SECRET}:port::"),
            ("OLD", f"{SECRET}::AWSPREVIOUS:"),
            ("VERSION", f"{SECRET}:::{'v' * 32}"),
            ("DB", "/app/db"),
            name="side",
            environment=(("HERE", "1"),),
        )
        host.server.run(task(web, side, container("bare")))
        await host.server.status(TASK_ID, "RUNNING")
        own = environment(host)
        assert (own["PLAIN"], own["DB"], own["ARN"], own["USER_NAME"]) == ("p-value", "db-value", "arn-value", "app")
        assert own["ALL"] == host.api.secrets[SECRET].text
        other = environment(host, "side")
        assert [other[name] for name in ("PORT", "OLD", "VERSION", "DB", "HERE")] == [
            *("5432", "old", "by-id", "db-value", "1"),
        ]
        assert "PLAIN" not in other and not {"DB", "PLAIN"} & environment(host, "bare").keys()
        assert sorted(host.api.operations()) == ["GetParameters", *["GetSecretValue"] * 3], "each is asked for once"

    play(tmp_path, scenario)


def test_a_binary_secret_is_given_in_base64(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.secrets[SECRET] = FakeSecret(binary=b"\0\1\2")
        host.server.run(task(with_secrets(("A", SECRET))))
        await host.server.status(TASK_ID, "RUNNING")
        assert environment(host)["A"] == "AAEC"

    play(tmp_path, scenario)


def test_eleven_parameters_are_two_calls(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.parameters = {f"p{number}": str(number) for number in range(11)}
        host.server.run(task(with_secrets(*((f"P{number}", f"p{number}") for number in range(11)))))
        await host.server.status(TASK_ID, "RUNNING")
        assert [environment(host)[f"P{number}"] for number in range(11)] == [str(number) for number in range(11)]
        assert [len(asked["Names"]) for _, _, asked in host.api.calls] == [10, 1]

    play(tmp_path, scenario)


def test_a_hundred_secrets_are_asked_for_a_few_at_a_time(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        now, most = 0, 0
        post = host.api.post

        async def counted(task_id: str, *rest: Any) -> Any:
            nonlocal now, most
            now += 1
            most = max(most, now)
            try:
                return await post(task_id, *rest)
            finally:
                now -= 1

        host.api.post = counted  # type: ignore[method-assign, assignment]
        arns = [SECRET.replace("app/db", f"many/{number}") for number in range(100)]
        host.api.secrets = {arn: FakeSecret(text=arn) for arn in arns}
        host.server.run(task(with_secrets(*((f"S{number}", arn) for number, arn in enumerate(arns)))))
        await host.server.status(TASK_ID, "RUNNING")
        assert most == host.knobs.execution_calls_at_once
        assert [environment(host)[f"S{number}"] for number in range(100)] == arns

    play(tmp_path, scenario)


def test_a_task_without_secrets_asks_for_nothing(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(task())
        await host.server.status(TASK_ID, "RUNNING")
        assert host.server.execution_asks == [] and host.api.calls == []
        assert "secrets" not in environment(host)

    play(tmp_path, scenario)


def _content(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_values_are_kept_nowhere(tmp_path: Path) -> None:
    """Not in the agent's files, in labels, in what is reported. What a task reads of itself is the next test's."""

    async def scenario(host: AgentHost) -> None:
        host.api.parameters["plain"] = "planted-value-of-a-secret"
        host.server.run(task(with_secrets(("A", "plain"))))
        await host.server.status(TASK_ID, "RUNNING")
        assert environment(host)["A"] == "planted-value-of-a-secret"
        given = issued()
        files = _content(tmp_path)
        assert TASK_ID.encode() in files, "the search finds what is there"
        told = repr(host.server.history) + repr(host.sandbox.named("web").config.labels)
        for planted in ("planted-value-of-a-secret", given.secret_access_key, given.token):
            assert planted.encode() not in files and planted not in told
        assert "planted" not in repr(host.sandbox.named("web").config)

    play(tmp_path, scenario)


METADATA = tuple(f"/v{version}/{{}}{what}" for version in (3, 4) for what in ("", "/task", "/stats", "/task/stats"))


def test_what_a_task_reads_of_itself_shows_no_secret_and_no_execution_role(tmp_path: Path) -> None:
    """Of any of its containers, also of one that has no secrets, and after another start of the agent."""
    planted, own = "planted-value-of-a-secret", "secret-key-of-the-task-role"

    async def whole() -> None:
        async with AgentHost(tmp_path) as host:
            grant(host)
            given = issued()
            host.server.credentials[TASK_ID] = replace(
                given, kind=TASK_ROLE, role_arn=ROLE + "-of-the-task", secret_access_key=own, token="own-token"
            )
            host.api.parameters, host.api.secrets = {"plain": planted}, {SECRET: FakeSecret(text=planted)}
            agent = await host.started()
            web = with_secrets(("A", "plain"), ("B", SECRET), environment=(("C", "plain-variable"),))
            wanted = replace(task(web, container("bare")), task_role_arn=ROLE + "-of-the-task")
            host.server.run(wanted)
            await host.server.status(TASK_ID, "RUNNING")
            assert environment(host)["A"] == environment(host)["B"] == planted
            roles = environment(host)["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
            for is_second in (False, True):
                if is_second:
                    host.kill()
                    agent = await host.started()
                tokens = [host.sandbox.named(name).config.runtime_id for name in ("web", "bare")]
                paths = [path.format(token) for token in tokens for path in (*METADATA, "/v4/{}/taskWithTags")]
                said = [await agent.metadata.answer(VPC, wanted.eni.private_ipv4, path) for path in (*paths, roles)]
                assert [reply.status for reply in said] == [200] * len(said)
                text = b"\n".join(reply.body for reply in said).decode()
                assert TASK_ID in text and own in text, "the search finds what is there"
                for hidden in (planted, "plain-variable", ROLE + '"', given.secret_access_key, given.token):
                    assert hidden not in text

    run_virtual(whole())


def test_a_task_that_runs_has_left_nothing_in_the_agents_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Secrets] = []
    forget = TaskContext.forget_secrets

    def watched(context: TaskContext) -> None:
        kept.append(context.resources.secrets)
        forget(context)
        kept.append(context.resources.secrets)

    monkeypatch.setattr(TaskContext, "forget_secrets", watched)

    async def scenario(host: AgentHost) -> None:
        host.server.run(task(with_secrets(("A", "plain"))))
        await host.server.status(TASK_ID, "RUNNING")
        await host.clock.sleep(1)
        assert [item.by_container for item in kept] == [{"web": (("A", "p-value"),)}, {}]

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", LAUNCH_POINTS)
def test_a_launch_with_secrets_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        host.kill_at = point
        wanted = task(with_secrets(("A", "plain"), ("B", f"{SECRET}:user::")))
        host.server.run(wanted)
        await host.back_after_kill()
        host.server.run(wanted)
        await host.server.status(TASK_ID, "RUNNING")
        assert (environment(host)["A"], environment(host)["B"]) == ("p-value", "app")
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_a_stop_while_they_are_looked_up(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.faults.hang("post")
        names = [(f"S{number}", SECRET.replace("app/db", f"many/{number}")) for number in range(20)]
        host.server.run(task(with_secrets(("A", "plain"), *names)))
        await until(host, lambda: bool(host.api.faults.calls))
        host.server.stop(TASK_ID, INCARNATION)
        report = await host.server.status(TASK_ID, "STOPPED")
        assert report.stop_code == "UserInitiated"
        assert host.leftovers() == []

    play(tmp_path, scenario)


def test_they_are_looked_up_from_inside_the_tasks_network(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        attached: list[bool] = []
        post = host.api.post

        async def watched(task_id: str, *rest: Any) -> Any:
            attached.append(Point.ENI_ATTACHED in host.seen)
            return await post(task_id, *rest)

        host.api.post = watched  # type: ignore[method-assign, assignment]
        host.server.run(task(with_secrets(("A", "plain"))))
        await host.server.status(TASK_ID, "RUNNING")
        assert attached == [True]

    play(tmp_path, scenario)


CASES: dict[str, tuple[str, str]] = {
    "no such parameter": ("missing", f"{SSM}invalid ssm parameters: missing"),
    "no such secret": (
        SECRET.replace("app/db", "other"),
        f"{ASM}failed to fetch secret {SECRET.replace('app/db', 'other')} from secrets manager: operation error "
        "Secrets Manager: GetSecretValue, https response error StatusCode: 400, RequestID: r-1, "
        "ResourceNotFoundException: Secrets Manager can't find the specified secret.",
    ),
    "no such key": (
        f"{SECRET}:password::",
        f"{ASM}retrieved secret from Secrets Manager did not contain json key password",
    ),
    "no JSON": (
        f"{SECRET}:password:AWSPREVIOUS:",
        f"{ASM}invalid character looking for beginning of value",
    ),
    "an ARN that names no secret": (
        f"{SECRET}:key",
        f"{ASM}trying to retrieve secret with value {SECRET}:key resulted in error: an invalid ARN format for the AWS "
        "Secrets Manager secret was specified. Specify a valid ARN and try again.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_secret_that_is_not_there_fails_the_launch(tmp_path: Path, case: str) -> None:
    async def scenario(host: AgentHost) -> None:
        value_from, text = CASES[case]
        assert await refused(host, task(with_secrets(("A", value_from)))) == text

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("value_from", "operation", "head"),
    [
        ("plain", "GetParameters", f"{SSM}operation error SSM: GetParameters, "),
        (
            SECRET,
            "GetSecretValue",
            f"{ASM}failed to fetch secret {SECRET} from secrets manager: operation error Secrets Manager: "
            "GetSecretValue, ",
        ),
    ],
)
def test_a_role_that_may_not_fails_the_launch(tmp_path: Path, value_from: str, operation: str, head: str) -> None:
    denied = "User: arn:aws:sts::1:assumed-role/execution/x is not authorized to perform: it"

    async def scenario(host: AgentHost) -> None:
        host.api.refusals[operation] = (400, "AccessDeniedException", denied)
        reason = await refused(host, task(with_secrets(("A", value_from))))
        assert reason == (
            f"{head}https response error StatusCode: 400, RequestID: r-1, api error AccessDeniedException: {denied}"
        )
        assert host.api.operations() == [operation], "asking again would not help"

    play(tmp_path, scenario)


def test_a_role_that_cannot_be_assumed_fails_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        message = RoleNotAssumable(ROLE).message
        host.server.execution[TASK_ID] = CredentialsRefused(
            task_id=TASK_ID, kind=EXECUTION_ROLE, message=message, is_final=True
        )
        assert await refused(host, task(with_secrets(("A", "plain")))) == message
        assert host.api.calls == []

    play(tmp_path, scenario)


def test_what_passes_is_tried_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.cut(4)
        host.server.run(task(with_secrets(("A", "plain"))))
        await host.server.status(TASK_ID, "RUNNING")
        assert environment(host)["A"] == "p-value" and host.api.faults.calls["post"] == 5

    play(tmp_path, scenario)


def test_a_service_that_cannot_be_reached(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.cut(10)
        reason = await refused(host, task(with_secrets(("A", "plain"))))
        assert reason == (
            f"{HEAD}unable to retrieve secrets from ssm: The task cannot pull secrets from AWS Systems Manager. There "
            "is a connection issue between the task and AWS Systems Manager Parameter Store. Check your task network "
            "configuration. operation error SSM: GetParameters, exceeded maximum number of attempts, 5, https response "
            "error StatusCode: 0, RequestID: , canceled, context deadline exceeded"
        )

    play(tmp_path, scenario)


def test_a_service_that_cannot_answer_now(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.refusals["GetSecretValue"] = (503, "ServiceUnavailableException", "busy")
        reason = await refused(host, task(with_secrets(("A", SECRET))))
        assert reason.startswith(RETRIED.format(what="unable to retrieve secret from asm", times=5))
        assert host.api.operations() == ["GetSecretValue"] * 5

    play(tmp_path, scenario)


DEEP = b'{"a":' * 100_000


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"Parameters": 1}', b'{"Parameters": [{"Name": "plain"}]}', b"\xff" * 9, DEEP],
    ids=lambda body: repr(body[:40]),
)
def test_an_answer_that_is_none(tmp_path: Path, body: bytes) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.answers["GetParameters"] = body
        reason = await refused(host, task(with_secrets(("A", "plain"))))
        assert reason.endswith("deserialization failed, failed to decode response body")

    play(tmp_path, scenario)


def test_a_refusal_that_is_none(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        async def deep(*_: Any) -> Reply:
            return Reply(status=400, request_id="r-1", body=DEEP)

        host.api.post = deep  # type: ignore[method-assign]
        reason = await refused(host, task(with_secrets(("A", "plain"))))
        assert reason.endswith("api error UnknownError: ")

    play(tmp_path, scenario)


@pytest.mark.parametrize("value", ["a\0b", "x" * (128 * 1024 + 1)], ids=["NUL", "long"])
def test_a_value_that_no_process_can_have(tmp_path: Path, value: str) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.parameters["plain"] = value
        reason = await refused(host, task(with_secrets(("A", "plain"))))
        assert reason == f"{SSM}the value cannot be a process's environment variable"

    play(tmp_path, scenario)


@pytest.mark.parametrize("ahead_s", [-100_000.0, 100_000.0])
def test_a_host_whose_clock_is_wrong_signs_by_the_servers(tmp_path: Path, ahead_s: float) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.ahead_s = ahead_s
        host.server.execution[TASK_ID] = issued(at=EPOCH + ahead_s)
        host.server.run(task(with_secrets(("A", "plain"))))
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


def test_credentials_are_asked_for_until_a_server_is_there(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        given = host.server.execution.pop(TASK_ID)
        host.server.run(task(with_secrets(("A", "plain"))))
        await until(host, lambda: len(host.server.execution_asks) >= 3)
        host.server.execution[TASK_ID] = given
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


def test_a_task_roles_answer_is_not_the_execution_roles(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        given = host.server.execution.pop(TASK_ID)
        assert isinstance(given, CredentialsIssued)
        host.server.run(task(with_secrets(("A", "plain"))))
        await until(host, lambda: bool(host.server.execution_asks))
        host.server.issue(replace(given, kind="task"))
        host.server.issue(replace(given, task_id="f" * 32))
        await host.clock.sleep(1)
        assert host.api.calls == []
        host.server.issue(given)
        await host.server.status(TASK_ID, "RUNNING")

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (None, "<nil>"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-3, "-3"),
        (5432, "5432"),
        (1.5, "1.5"),
        (999999, "999999"),
        (1000000, "1e+06"),
        (-12345678.5, "-1.23456785e+07"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e400, "+Inf"),
        ([1, "a", None], "[1 a <nil>]"),
        ({"b": 1, "a": {"c": []}}, "map[a:map[c:[]] b:1]"),
    ],
)
def test_a_key_is_printed_as_the_agent_of_aws_prints_it(value: Any, text: str) -> None:
    assert printed(value) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unexpected end of JSON input"),
        ("hunter2", "invalid character looking for beginning of value"),
        ("[1]", "json: cannot unmarshal into Go value of type map[string]interface {}"),
        ('{"k":' + "[" * 600 + "]" * 600 + "}", "json key k is nested too deeply"),
        ('{"a": 1}', "retrieved secret from Secrets Manager did not contain json key k"),
        ('{"k":' * 100_000, "invalid character looking for beginning of value"),
    ],
    ids=["nothing", "text", "a list", "nested", "another key", "deep"],
)
def test_what_is_no_json_says_nothing_of_the_secret(text: str, reason: str) -> None:
    with pytest.raises(LaunchFailed) as failed:
        of_json(text, "k")
    assert failed.value.reason == f"{ASM}{reason}"
