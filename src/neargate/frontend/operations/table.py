"""Every operation that this endpoint has, by service. Literal: what is not here is answered as unknown."""

from collections.abc import Mapping

from ..services import Operation
from .acm import table as acm
from .cloudtrail import table as cloudtrail
from .ec2 import table as ec2
from .ecr import table as ecr
from .ecs import table as ecs
from .elbv2 import table as elbv2
from .iam import table as iam
from .kms import table as kms
from .logs import table as logs
from .secretsmanager import table as secretsmanager
from .servicediscovery import table as servicediscovery
from .servicequotas import table as service_quotas
from .ssm import table as ssm
from .sts import table as sts

OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "acm": acm.OPERATIONS,
    "cloudtrail": cloudtrail.OPERATIONS,
    "ec2": ec2.OPERATIONS,
    "ecr": ecr.OPERATIONS,
    "ecs": ecs.OPERATIONS,
    "elbv2": elbv2.OPERATIONS,
    "iam": iam.OPERATIONS,
    "kms": kms.OPERATIONS,
    "logs": logs.OPERATIONS,
    "secretsmanager": secretsmanager.OPERATIONS,
    "service-quotas": service_quotas.OPERATIONS,
    "servicediscovery": servicediscovery.OPERATIONS,
    "ssm": ssm.OPERATIONS,
    "sts": sts.OPERATIONS,
}
