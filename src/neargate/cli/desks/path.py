"""What the operator's socket answers to `neargate trace-path`: a task's interface, and what EC2 tells of its account.

Asks EC2's own Describe* operations in the account's name. What becomes of a packet is found out by the command itself
(path_model.py): this process, which has stepped down, can load nothing any more, and is spared the model of all rules.
"""

from typing import Any

from ...frontend.call import Call
from ...frontend.callers.credentials import administrator
from ...frontend.operations.ec2.table import OPERATIONS
from ...model.arn import Arn
from ...model.ids import uuid4
from ...region import Region
from ..admin import Handler
from .operator import OperatorDesk

Answer = dict[str, Any]
READS = frozenset(
    {
        *("DescribeVpcs", "DescribeVpcAttribute", "DescribeSubnets", "DescribeRouteTables", "DescribeInternetGateways"),
        *("DescribeEgressOnlyInternetGateways", "DescribeNatGateways", "DescribeAddresses", "DescribeSecurityGroups"),
        *("DescribeSecurityGroupRules", "DescribeNetworkAcls", "DescribeNetworkInterfaces"),
        *("DescribeVpcPeeringConnections", "DescribeVpcEndpoints", "DescribeManagedPrefixLists"),
        "GetManagedPrefixListEntries",
    }
)


class PathRefused(Exception):
    """The question cannot be asked so; the message says what to write instead."""


def handlers(region: Region, endpoint_port: int) -> dict[str, Handler]:
    desk = PathDesk(region, endpoint_port)
    return {"path-begin": desk.begin, "path-network": desk.network}


class PathDesk:
    def __init__(self, region: Region, endpoint_port: int) -> None:
        self._region = region
        self._endpoint_port = endpoint_port

    async def begin(self, request: Answer) -> Answer:
        """Of the `task`: its whole id, whose it is, its interface. Raises PathRefused, TaskNotNamed."""
        task_id = await OperatorDesk(self._region).task_id(request)
        document = (await self._region.cell.explain_task(task_id))["task"]
        arn = Arn.parse(document["taskArn"])
        assert arn is not None, "a task's document has its ARN"
        interface = _interface(document)
        return {"task": task_id, "account": arn.account, "interface": interface, "endpoint_port": self._endpoint_port}

    async def network(self, request: Answer) -> Answer:
        """What `operation`, one of READS, answers the `account` to `params`. Raises PathRefused and what EC2 does."""
        operation, params = str(request.get("operation")), request.get("params")
        if operation not in READS or not isinstance(params, dict):
            raise PathRefused(f"{operation!r} with {params!r} is not asked here")
        services = self._region.services
        call = Call(
            service="ec2",
            operation=operation,
            protocol="ec2",
            region=services.region,
            principal=administrator(str(request.get("account")), ""),
            request_id=uuid4(services.world.random.getrandbits),
            now=services.world.now(),
        )
        answer = await OPERATIONS[operation](call, services, params)
        assert isinstance(answer, dict), "these operations answer members"
        return answer


def _interface(document: Answer) -> str:
    details = [one for each in document.get("attachments") or () for one in each.get("details") or ()]
    found = next((one["value"] for one in details if one["name"] == "networkInterfaceId"), None)
    if found is None:
        raise PathRefused("this task has no interface")
    return str(found)
