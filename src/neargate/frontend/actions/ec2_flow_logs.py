"""What EC2's operations of flow logs ask leave for. Source: as actions/ec2.py."""

from .ec2_rows import SUBNET_KEYS, create, describe, write
from .rules import Actions, Level, rule

_LOG, _VPC, _SUBNET, _INTERFACE = "vpc-flow-log/{log}", "vpc/{vpc}", "subnet/{subnet}", "network-interface/{interface}"
_KEYS = (*SUBNET_KEYS, "ec2:VpcID", "ec2:Tenancy", "ec2:NetworkInterfaceID", "ec2:Subnet")
_PASSING = rule(
    "iam:PassRole",
    Level.PERMISSIONS,
    "role/{path}",
    keys=("iam:PassedToService", "aws:ResourceTag/", "iam:ResourceTag/"),
    when="the request names the role that delivers",
)


ACTIONS: Actions = {
    "CreateFlowLogs": (
        *create("CreateFlowLogs", _LOG, _VPC, _SUBNET, _INTERFACE, keys=_KEYS),
        _PASSING,
    ),
    "DeleteFlowLogs": write("DeleteFlowLogs", _LOG),
    "DescribeFlowLogs": describe("DescribeFlowLogs"),
}
