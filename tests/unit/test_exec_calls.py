"""Calls in the name of a task's role go the way of all calls: judged by its policies as they are, and recorded."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from neargate.frontend.callers.task_roles import ECS_TASKS, AssumedTaskRoles
from neargate.frontend.executing.calls import NO_ROLE, ApiCalls, CallRefused, InsideCalls
from neargate.frontend.identity.records import Role
from neargate.interfaces.roles import TaskIdentity
from neargate.interfaces.trail import TrailQuery
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import ACCOUNT, REGION, ROOT, FrontDoor, allowing, open_front_door

TASK = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/default/{'0' * 32}"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": ECS_TASKS}, "Action": "sts:AssumeRole"}],
}
NAMES = {"logGroupName": "/exec", "logStreamName": "s"}
EVENT = {**NAMES, "logEvents": [{"timestamp": 1, "message": "said"}]}


def story(body: Callable[[FrontDoor, Callable[[str | None], ApiCalls]], Awaitable[None]]) -> None:
    async def told() -> None:
        door = await open_front_door()
        assert (await door.call(ROOT, "logs", "CreateLogGroup", {"logGroupName": "/exec"})).status == 200
        services = door.region.services
        roles = AssumedTaskRoles(door.world, services.identity, services.sessions)
        means = InsideCalls(
            world=door.world,
            knobs=DEFAULT_KNOBS,
            region=REGION,
            roles=roles,
            sessions=services.sessions,
            handle=door.region.frontend.handle,
        )

        def of(role: str | None) -> ApiCalls:
            arn = role and f"arn:aws:iam::{ACCOUNT}:role/{role}"
            identity = TaskIdentity(account=ACCOUNT, task_arn=TASK, task_role_arn=arn, execution_role_arn=None)
            return means.of_task(identity, "10.0.0.7")

        await body(door, of)

    asyncio.run(told())


def test_what_the_role_may_is_done_and_recorded_as_the_tasks() -> None:
    async def body(door: FrontDoor, of: Callable[[str | None], ApiCalls]) -> None:
        at_home = allowing("logs:CreateLogStream", "logs:PutLogEvents")
        at_home["Statement"][0]["Condition"] = {"IpAddress": {"aws:SourceIp": "10.0.0.7"}}
        await door.role("may", TRUST, at_home)
        calls = of("may")
        await calls.ask("logs", "CreateLogStream", NAMES)
        with pytest.raises(CallRefused) as again:
            await calls.ask("logs", "CreateLogStream", NAMES)
        assert (again.value.code, again.value.is_passing) == ("ResourceAlreadyExistsException", False)
        now_ms = int(door.world.now() * 1000)
        await calls.ask("logs", "PutLogEvents", {**NAMES, "logEvents": [{"timestamp": now_ms, "message": "\x1b[1m\0"}]})
        said = await door.call(ROOT, "logs", "GetLogEvents", {**NAMES, "startFromHead": True})
        assert [event["message"] for event in said.body["events"]] == ["\x1b[1m\0"]
        await door.region.trail.flush()
        page = await door.region.trail.lookup(TrailQuery(account=ACCOUNT, start_ms=0, end_ms=2**52, limit=50), None)
        first = [msgspec.json.decode(entry.document) for entry in page.entries if entry.name == "CreateLogStream"][-1]
        assert first["userIdentity"]["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/may/{'0' * 32}"
        assert (first["sourceIPAddress"], first["userAgent"]) == ("10.0.0.7", "neargate exec")

    story(body)


def test_who_may_not_is_refused() -> None:
    async def body(door: FrontDoor, of: Callable[[str | None], ApiCalls]) -> None:
        await door.role("may-not", TRUST, allowing("logs:CreateLogStream"))
        stranger = json.loads(json.dumps(TRUST).replace(ECS_TASKS, "ec2.amazonaws.com"))
        await door.role("stranger", stranger, allowing("logs:*"))
        for role, code, text in (
            ("may-not", "AccessDeniedException", "is not authorized to perform: logs:PutLogEvents"),
            ("stranger", "ClientException", "unable to assume the role"),
            ("gone", "ClientException", "unable to assume the role"),
            (None, "AccessDeniedException", NO_ROLE),
        ):
            with pytest.raises(CallRefused, match=text) as refused:
                await of(role).ask("logs", "PutLogEvents", EVENT)
            assert (refused.value.code, refused.value.is_passing) == (code, False)

    story(body)


def test_a_policy_that_is_taken_away_and_a_role_that_is_deleted_count_at_once() -> None:
    async def body(door: FrontDoor, of: Callable[[str | None], ApiCalls]) -> None:
        await door.role("may", TRUST)
        await door.allow(Role, "may", "p", allowing("logs:DescribeLogGroups"))
        calls = of("may")
        assert (await calls.ask("logs", "DescribeLogGroups", {}))["logGroups"][0]["logGroupName"] == "/exec"
        removed = await door.call(ROOT, "iam", "DeleteRolePolicy", {"RoleName": "may", "PolicyName": "p"})
        assert removed.status == 200
        with pytest.raises(CallRefused, match="not authorized"):
            await calls.ask("logs", "DescribeLogGroups", {})
        assert (await door.call(ROOT, "iam", "DeleteRole", {"RoleName": "may"})).status == 200
        with pytest.raises(CallRefused, match="security token"):
            await calls.ask("logs", "DescribeLogGroups", {})

    story(body)
