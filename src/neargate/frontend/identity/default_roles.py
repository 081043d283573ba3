"""The role that an account has from the start: ecsTaskExecutionRole, as AWS's console makes it with the first task.

Its owner may change or delete it like any other; it is not made a second time.
"""

import json

from ...model.ids import Bits
from .records import Role
from .unique_ids import ROLE, unique_id

EXECUTION_ROLE = "ecsTaskExecutionRole"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def execution_role(account: str, now: int, bits: Bits) -> Role:
    return Role(
        account=account,
        name=EXECUTION_ROLE,
        uid=unique_id(ROLE, bits),
        created=now,
        attached=("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy",),
        trust=json.dumps(_TRUST, separators=(",", ":")),
        description="Allows ECS tasks to call AWS services on your behalf.",
    )
