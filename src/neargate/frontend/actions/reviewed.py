"""All reviewed tables by signing name. An operation that is in none of them is answered by nobody: authorize raises."""

from collections.abc import Mapping

from . import (
    acm,
    cloudtrail,
    ec2,
    ecr,
    ecs,
    elbv2,
    iam,
    kms,
    logs,
    secretsmanager,
    servicediscovery,
    servicequotas,
    ssm,
    sts,
)
from .rules import Actions

REVIEWED: Mapping[str, Actions] = {
    "acm": acm.ACTIONS,
    "cloudtrail": cloudtrail.ACTIONS,
    "ec2": ec2.ACTIONS,
    "ecr": ecr.ACTIONS,
    "ecs": ecs.ACTIONS,
    "elasticloadbalancing": elbv2.ACTIONS,
    "iam": iam.ACTIONS,
    "kms": kms.ACTIONS,
    "logs": logs.ACTIONS,
    "secretsmanager": secretsmanager.ACTIONS,
    "servicediscovery": servicediscovery.ACTIONS,
    "servicequotas": servicequotas.ACTIONS,
    "ssm": ssm.ACTIONS,
    "sts": sts.ACTIONS,
}
