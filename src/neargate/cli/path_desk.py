"""What the operator's socket answers to `neargate trace-path`: by which objects a task's packet goes, or where it ends.

Asks EC2's own Describe* operations in the account's name, and then the model of AWS's rules (tracing),
which knows nothing of the rule sets on hosts: its word is what AWS documents, and tests hold the packets against it.
"""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from msgspec import Struct

from ..frontend.call import Answer as Members
from ..frontend.call import Call, Params
from ..frontend.callers.credentials import administrator
from ..frontend.operations.ec2.table import OPERATIONS
from ..frontend.services import Services
from ..model.arn import Arn
from ..model.ids import uuid4
from ..model.network import REGION_ENDPOINT_ADDRESS
from ..region import Region
from ..tracing.description import Description, described
from ..tracing.flows import Answer as Found
from ..tracing.flows import Flow, NotModelled, Step
from ..tracing.model import ask as ask_model
from .operator import OperatorDesk

Answer = dict[str, Any]
Operation = Callable[[Call, Services, Params], Awaitable[Members]]
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}
# What a region is described by: operation -> the member of its answer that lists the objects.
_LISTS = {
    "DescribeVpcs": "Vpcs",
    "DescribeSubnets": "Subnets",
    "DescribeRouteTables": "RouteTables",
    "DescribeInternetGateways": "InternetGateways",
    "DescribeEgressOnlyInternetGateways": "EgressOnlyInternetGateways",
    "DescribeNatGateways": "NatGateways",
    "DescribeAddresses": "Addresses",
    "DescribeSecurityGroups": "SecurityGroups",
    "DescribeSecurityGroupRules": "SecurityGroupRules",
    "DescribeNetworkAcls": "NetworkAcls",
    "DescribeNetworkInterfaces": "NetworkInterfaces",
    "DescribeVpcPeeringConnections": "VpcPeeringConnections",
    "DescribeVpcEndpoints": "VpcEndpoints",
    "DescribeManagedPrefixLists": "PrefixLists",
}


class PathRefused(Exception):
    """The question cannot be asked so; the message says what to write instead."""


class _Asker(Struct, frozen=True, kw_only=True):
    """EC2's operations, as the administrator of an account."""

    region: Region
    account: str

    async def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        services = self.region.services
        call = Call(
            service="ec2",
            operation=operation,
            protocol="ec2",
            region=services.region,
            principal=administrator(self.account, ""),
            request_id=uuid4(services.world.random.getrandbits),
            now=services.world.now(),
        )
        answer = await OPERATIONS[operation](call, services, params)
        assert isinstance(answer, dict), "Describe* operations answer members"
        return answer


class PathDesk:
    def __init__(self, region: Region, endpoint_port: int) -> None:
        self._region = region
        self._endpoint_port = endpoint_port

    async def trace(self, request: Answer) -> Answer:
        """`task`, `address`, `port`, `protocol` of PROTOCOLS. Raises PathRefused, TaskNotNamed."""
        task_id = await OperatorDesk(self._region).task_id(request)
        document = (await self._region.cell.explain_task(task_id))["task"]
        arn = Arn.parse(document["taskArn"])
        assert arn is not None, "a task's document has its ARN"
        description = await describe(_Asker(region=self._region, account=arn.account), self._endpoint_port)
        flow = _flow(request, _interface(document))
        if flow.sender not in {one.network_interface_id for one in description.network_interfaces}:
            raise PathRefused(f"the interface of task {task_id} is gone: a path begins at a task that runs")
        try:
            found = ask_model(description, flow)
        except NotModelled as unknown:
            raise PathRefused(f"what becomes of this packet is not known: {unknown}") from None
        return {"task": task_id, **_told(found)}


async def describe(ask: _Asker, endpoint_port: int) -> Description:
    """All that decides where the account's packets go."""
    answers: dict[str, Any] = {member: (await ask(name)).get(member, []) for name, member in _LISTS.items()}
    answers["Vpcs"] = [vpc | {"EnableDnsSupport": await _has_dns(ask, vpc["VpcId"])} for vpc in answers["Vpcs"]]
    answers["ManagedPrefixLists"] = [
        one | {"Entries": (await ask("GetManagedPrefixListEntries", PrefixListId=one["PrefixListId"]))["Entries"]}
        for one in answers.pop("PrefixLists")
    ]
    answers["RegionEndpoint"] = {"Address": REGION_ENDPOINT_ADDRESS, "Port": endpoint_port}
    return described(answers)


async def _has_dns(ask: _Asker, vpc_id: str) -> bool:
    answer = await ask("DescribeVpcAttribute", VpcId=vpc_id, Attribute="enableDnsSupport")
    return bool(answer["EnableDnsSupport"]["Value"])


def _interface(document: Answer) -> str:
    details = [one for each in document.get("attachments") or () for one in each.get("details") or ()]
    found = next((one["value"] for one in details if one["name"] == "networkInterfaceId"), None)
    if found is None:
        raise PathRefused("this task has no interface")
    return str(found)


def _flow(request: Answer, sender: str) -> Flow:
    address, protocol = str(request.get("address", "")), str(request.get("protocol") or "tcp")
    port = int(request.get("port") or 0)
    try:
        parsed = ip_address(address)
    except ValueError:
        raise PathRefused(f"{address!r} is no address; write --to ADDRESS:PORT, with numbers") from None
    if protocol not in PROTOCOLS:
        raise PathRefused(f"{protocol!r} is none of {', '.join(PROTOCOLS)}")
    if protocol != "icmp" and not 0 < port < 65536:
        raise PathRefused("write the port too: --to ADDRESS:PORT")
    number = PROTOCOLS[protocol]
    if protocol == "icmp" and parsed.version == 6:
        return Flow(sender=sender, to=str(parsed), protocol=58, icmp_type=128)
    return Flow(sender=sender, to=str(parsed), protocol=number, port=port)


def _told(found: Found) -> Answer:
    return {
        "delivered": found.delivered,
        "path": [_step(step) for step in found.path],
        "source": found.source,
        "reply": found.reply,
        "reply_path": [_step(step) for step in found.reply_path],
    }


def _step(step: Step) -> Answer:
    return {"kind": str(step.kind), "ids": list(step.object_ids), "rule": step.rule, "passed": step.passed}
