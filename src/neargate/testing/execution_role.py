"""Roles for tests' tasks: the execution role as AWS's console makes it with an account's first task, and task roles.

Invariant: making one twice changes nothing.
"""

import json
from typing import Any

from ..frontend.identity import holders, roles
from ..frontend.identity.book import AccountBook
from ..frontend.identity.records import Role
from ..frontend.identity.registry import Change, IdentityRegistry
from ..world import World

EXECUTION_ROLE = "ecsTaskExecutionRole"
EXECUTION_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
TASKS_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


async def make_execution_role(identity: IdentityRegistry, world: World, account: str) -> None:
    await make_task_role(identity, world, account, EXECUTION_ROLE)
    await identity.change(account, lambda book: holders.attach(book, Role, EXECUTION_ROLE, EXECUTION_POLICY))


async def let_read_parameters(identity: IdentityRegistry, account: str) -> None:
    """The execution role may look up every parameter: the managed policy gives none."""
    statement = {"Effect": "Allow", "Action": ["ssm:GetParameters", "kms:Decrypt"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await identity.change(account, lambda book: holders.put_inline(book, Role, EXECUTION_ROLE, "read", document))


async def make_task_role(identity: IdentityRegistry, world: World, account: str, name: str) -> None:
    """It may do nothing."""
    now, bits = int(world.now()), world.random.getrandbits

    def made(book: AccountBook) -> Change[Any]:
        if book.holds(Role, name):
            return Change(result=None)
        return roles.create_role(
            book,
            name,
            path="/",
            trust=json.dumps(TASKS_TRUST),
            description=None,
            max_session_s=None,
            boundary=None,
            tags=None,
            now=now,
            bits=bits,
        )

    await identity.change(account, made)
