"""What a task's image is asked for with: the secret of its container, a token of its role, or nothing of its own."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.points import Point
from neargate.interfaces.sandbox import PullRequest, SandboxError
from neargate.link.messages import EXECUTION_ROLE, CredentialsIssued
from neargate.model.launch import ContainerLaunch, TaskLaunch
from neargate.testing.agent_host import IMAGE, INCARNATION, TASK_ID, AgentHost, container, launch
from neargate.testing.fake_region_api import FakeSecret
from neargate.testing.virtual_time import EPOCH, run_virtual

ROLE = "arn:aws:iam::123456789012:role/execution"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:registry-AbCdEf"
OWN_IMAGE = "123456789012.dkr.ecr.us-east-1.localhost:4566/team/web:1"
HEAD = "ResourceInitializationError: unable to pull secrets or registry auth: "
RETRIED = HEAD + "execution resource retrieval failed: {what}: service call has been retried {times} time(s): "
ASM = RETRIED.format(what="unable to retrieve secret from asm", times=1)
ECR = RETRIED.format(what="unable to retrieve ecr registry auth", times=1)


def grant(host: AgentHost, task_id: str) -> None:
    given = CredentialsIssued(
        task_id=task_id,
        kind=EXECUTION_ROLE,
        role_arn=ROLE,
        access_key_id=f"ASIA{task_id[:16]}",
        secret_access_key=f"secret-of-{task_id}",
        token="token",
        issued_at=EPOCH,
        expires_at=EPOCH + 100_000,
    )
    host.server.execution[task_id] = given
    host.api.keys[given.access_key_id] = given.secret_access_key


def play(root: Path, scenario: Callable[[AgentHost], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            grant(host, TASK_ID)
            host.sandbox.add_image(OWN_IMAGE, command=("/bin/web",))
            host.api.secrets = {SECRET: FakeSecret(text=json.dumps({"username": "u", "password": "p"}))}
            await host.started()
            await scenario(host)

    run_virtual(whole())


def task(*containers: ContainerLaunch, number: int = 0, role: str | None = ROLE, account: str = "") -> TaskLaunch:
    plain = launch(*containers, execution_role_arn=role)
    if account:
        plain = replace(plain, account=account)
    if not number:
        return plain
    eni = replace(plain.eni, private_ipv4=f"10.0.1.{5 + number}", eni_id=f"eni-{number:017d}")
    return replace(plain, task_id=f"{number:032d}", eni=eni)


async def pulled(host: AgentHost, wanted: TaskLaunch) -> PullRequest:
    """The task runs; its last pull."""
    grant(host, wanted.task_id)
    host.server.run(wanted)
    await host.server.status(wanted.task_id, "RUNNING")
    return host.sandbox.pulls[-1]


async def refused(host: AgentHost, wanted: TaskLaunch) -> str:
    host.server.run(wanted)
    report = await host.server.status(wanted.task_id, "STOPPED")
    assert report.stop_code == "TaskFailedToStart" and host.sandbox.pulls == []
    await host.clock.sleep(10)
    assert host.leftovers() == []
    return report.stopped_reason or ""


def test_a_container_without_any_asks_as_before(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        request = await pulled(host, task())
        assert (request.username, request.password, request.endpoint) == (None, None, None)
        assert host.api.calls == [] and host.server.execution_asks == []

    play(tmp_path, scenario)


def test_repository_credentials_are_the_secrets(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        private = container(repository_credentials=SECRET)
        request = await pulled(host, task(private, container("open"), replace(private, name="same")))
        assert host.api.operations() == ["GetSecretValue"]
        assert len(host.sandbox.pulls) == 2, "one with, one without"
        logins = {(item.username, item.password) for item in host.sandbox.pulls}
        assert logins == {("u", "p"), (None, None)} and request.endpoint is None
        assert "'p'" not in repr(host.sandbox.pulls)

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "text", ["", "p", "[]", '{"username": "u"}', '{"username": "u", "password": 1}', '{"password": "p"}']
)
def test_a_secret_that_holds_no_password(tmp_path: Path, text: str) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.secrets[SECRET] = FakeSecret(text=text)
        reason = await refused(host, task(container(repository_credentials=SECRET)))
        assert reason == f"{ASM}the secret {SECRET} does not hold the keys username and password"

    play(tmp_path, scenario)


def test_a_secret_that_the_role_may_not_read(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.refusals["GetSecretValue"] = (400, "AccessDeniedException", "not authorized")
        reason = await refused(host, task(container(repository_credentials=SECRET)))
        assert reason.startswith(f"{ASM}failed to fetch secret {SECRET} from secrets manager: ")
        assert reason.endswith("api error AccessDeniedException: not authorized")

    play(tmp_path, scenario)


def test_the_regions_own_registry_is_asked_at_its_endpoint_with_a_token(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        request = await pulled(host, task(container(image=OWN_IMAGE)))
        assert (request.username, request.password) == ("AWS", "token-1")
        assert request.endpoint is not None
        assert (request.endpoint.address, request.endpoint.port) == ("169.254.170.10", 4566)
        assert request.netns_path is not None
        assert await request.netns_path() == f"/fake/netns/{TASK_ID}"

    play(tmp_path, scenario)


def test_another_registry_is_asked_in_the_tasks_network_where_that_leads_there(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        for image in ("near.example/web:1", "far.example/web:1"):
            host.sandbox.add_image(image, command=("/bin/web",))
        assert (await pulled(host, task(container(image="near.example/web:1")))).netns_path is None
        far = task(container(image="far.example/web:1"), number=1)
        request = await pulled(host, far)
        assert request.endpoint is None and request.netns_path is not None
        assert await request.netns_path() == f"/fake/netns/{far.task_id}"

    play(tmp_path, scenario)


def test_a_token_is_the_accounts_and_the_roles_for_a_while(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        web = container(image=OWN_IMAGE)
        first = await pulled(host, task(web))
        assert (await pulled(host, task(web, number=1))).password == first.password
        assert host.server.execution_asks == [TASK_ID], "what is known costs a launch nothing"
        other_role = await pulled(host, task(web, number=2, role=f"{ROLE}2"))
        other_account = await pulled(host, task(web, number=3, account="210987654321"))
        assert len({first.password, other_role.password, other_account.password}) == 3
        await host.clock.sleep(host.knobs.registry_token_keep_s)
        assert (await pulled(host, task(web, number=4))).password == "token-4"

    play(tmp_path, scenario)


def test_a_token_that_is_no_longer_good_is_replaced_once(tmp_path: Path) -> None:
    refusal = SandboxError("CannotPullContainerError: 403 Forbidden")

    async def scenario(host: AgentHost) -> None:
        web = container(image=OWN_IMAGE)
        await pulled(host, task(web))
        host.sandbox.faults.fail("pull_image", refusal)
        request = await pulled(host, task(web, number=1))
        assert (request.password, host.api.tokens) == ("token-2", ["token-1", "token-2"])
        host.sandbox.faults.fail("pull_image", refusal, times=2)
        grant(host, "2" * 32)
        host.server.run(replace(task(web, number=2), task_id="2" * 32))
        report = await host.server.status("2" * 32, "STOPPED")
        assert report.stopped_reason == refusal.reason and len(host.api.tokens) == 3
        host.sandbox.faults.fail("pull_image", refusal)
        host.server.run(task(container(repository_credentials=SECRET), number=3))
        grant(host, f"{3:032d}")
        report = await host.server.status(f"{3:032d}", "STOPPED")
        assert report.stopped_reason == refusal.reason, "what was just got is not asked for again"

    play(tmp_path, scenario)


def test_an_image_of_another_region_gets_no_token(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        for image in (
            OWN_IMAGE.replace("us-east-1", "eu-west-1"),
            OWN_IMAGE.replace("localhost:4566", "amazonaws.com"),
        ):
            host.sandbox.add_image(image, command=("/bin/web",))
        request = await pulled(host, task(container(image=OWN_IMAGE.replace("us-east-1", "eu-west-1"))))
        assert request.endpoint is None and request.password is None
        aws = await pulled(host, task(container(image=OWN_IMAGE.replace("localhost:4566", "amazonaws.com")), number=1))
        assert aws.endpoint is None and aws.password is None and host.api.calls == []

    play(tmp_path, scenario)


def test_without_an_execution_role_there_is_no_token(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        reason = await refused(host, task(container(image=OWN_IMAGE), role=None))
        assert reason == "Fargate requires task definition to have execution role ARN to support ECR images."

    play(tmp_path, scenario)


def test_a_role_that_may_have_no_token(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.refusals["GetAuthorizationToken"] = (400, "AccessDeniedException", "not authorized")
        assert await refused(host, task(container(image=OWN_IMAGE))) == (
            f"{ECR}operation error ECR: GetAuthorizationToken, https response error StatusCode: 400, RequestID: r-1, "
            "api error AccessDeniedException: not authorized"
        )

    play(tmp_path, scenario)


def test_a_region_that_cannot_be_reached_for_a_token(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.cut(9)
        assert await refused(host, task(container(image=OWN_IMAGE))) == (
            f"{HEAD}The task cannot pull registry auth from Amazon ECR: There is a connection issue between the task "
            "and Amazon ECR. Check your task network configuration. operation error ECR: GetAuthorizationToken, "
            "exceeded maximum number of attempts, 3, https response error StatusCode: 0, RequestID: , canceled, "
            "context deadline exceeded"
        )

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"authorizationData": []}', b'{"authorizationData": [{"authorizationToken": "?"}]}']
)
def test_an_answer_without_a_token(tmp_path: Path, body: bytes) -> None:
    async def scenario(host: AgentHost) -> None:
        host.api.answers["GetAuthorizationToken"] = body
        assert (await refused(host, task(container(image=OWN_IMAGE)))).startswith(ECR)

    play(tmp_path, scenario)


def test_the_same_image_pinned_to_two_digests_is_two(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        pins = [f"sha256:{letter * 64}" for letter in "ab"]
        for pin in pins:
            host.sandbox.add_image(f"{IMAGE}@{pin}", command=("/bin/web",))
        host.server.run(
            task(*(container(name, image_pin=pin) for name, pin in zip(("web", "side"), pins, strict=True)))
        )
        await host.server.status(TASK_ID, "RUNNING")
        assert [item.reference for item in host.sandbox.pulls] == [f"{IMAGE}@{pin}" for pin in pins]
        assert [host.sandbox.named(name).config.image.reference for name in ("web", "side")] == [
            f"{IMAGE}@{pin}" for pin in pins
        ]

    play(tmp_path, scenario)


@pytest.mark.parametrize("point", tuple(Point)[: tuple(Point).index(Point.RUNNING_SAVED) + 1])
def test_a_launch_with_logins_survives_a_kill_at(tmp_path: Path, point: Point) -> None:
    async def scenario(host: AgentHost) -> None:
        wanted = task(container(image=OWN_IMAGE), container("side", image=IMAGE, repository_credentials=SECRET))
        host.kill_at = point
        host.server.run(wanted)
        await host.back_after_kill()
        host.server.run(wanted)
        await host.server.status(TASK_ID, "RUNNING")
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        await host.clock.sleep(10)
        assert host.leftovers() == []

    play(tmp_path, scenario)
