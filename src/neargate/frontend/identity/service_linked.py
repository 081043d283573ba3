"""Service-linked roles: which services have one, and what it is made of. Pure.

Only their service may change them. A principal who creates one needs no more than iam:CreateServiceLinkedRole, so
nothing here may come from the request but the suffix and the description.
"""

import json

from msgspec import Struct

from ...model.ids import Bits
from .records import Role
from .unique_ids import ROLE, unique_id


class LinkedService(Struct, frozen=True, kw_only=True):
    """`policy`: the AWS-managed policy that the role has, by name."""

    role: str
    policy: str


LINKED_SERVICES = {
    "ecs.amazonaws.com": LinkedService(role="AWSServiceRoleForECS", policy="AmazonECSServiceRolePolicy"),
    "ecs.application-autoscaling.amazonaws.com": LinkedService(
        role="AWSServiceRoleForApplicationAutoScaling_ECSService", policy="AWSApplicationAutoscalingECSServicePolicy"
    ),
}
ECS = "ecs.amazonaws.com"
ECS_DESCRIPTION = "Role to enable Amazon ECS to manage your cluster."


def linked_role(account: str, service: str, now: int, bits: Bits, description: str | None) -> Role:
    """Raises KeyError for a service that has none."""
    linked = LINKED_SERVICES[service]
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }
    return Role(
        account=account,
        name=linked.role,
        uid=unique_id(ROLE, bits),
        created=now,
        path=f"/aws-service-role/{service}/",
        attached=(f"arn:aws:iam::aws:policy/aws-service-role/{linked.policy}",),
        trust=json.dumps(trust, separators=(",", ":")),
        description=description,
    )
