"""Accounts never see each other: every operation is asked by one account for what is another's.

Each identifier of the first account is put into each member of each request of the second, and must be answered as one
that does not exist anywhere. A new operation is swept as soon as it is in the table. Nothing of the first account may
change, and no identifier of its may be in any answer.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from neargate.agent.simulated import SimulatedFleet, SimulatedTimes
from neargate.cli.desks.account import AccountDesk
from neargate.frontend.call import Call
from neargate.frontend.callers.credentials import administrator
from neargate.frontend.operations.table import OPERATIONS
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.errors import AwsError
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.quotas import NAMESPACES_PER_REGION
from neargate.testing.examples import minimal
from neargate.testing.front_door import ACCOUNT, MODELS, OTHER, REGION, ROOT, FrontDoor, open_front_door
from neargate.wire.shapes import Member, ServiceModel
from neargate.wire.violations import constraints

NOWHERE = "999999999999"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
RUN = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecs:*", "Resource": "*"}]})
DEFINITION: dict[str, Any] = {
    "family": "zebra",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/zebra",
    "containerDefinitions": [
        {
            "name": "zebra",
            "image": "zebra",
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "zebra", "awslogs-region": REGION, "awslogs-stream-prefix": "zebra"},
            },
        }
    ],
}
# Of EC2's identifiers.
KINDS = (
    *("vpc", "subnet", "sg", "sgr", "eni", "dopt", "rtb", "rtbassoc", "acl", "aclassoc", "igw", "eigw", "nat"),
    *("eipalloc", "pcx", "pl", "vpce", "vpc-cidr-assoc", "fl", "scr", "vgw", "cgw"),
)

# What is told about other accounts on AWS, too.
EXCEPT = {
    ("sts", "GetAccessKeyInfo", "AccessKeyId"): "whose a key is, AWS tells everybody who has its id",
    ("iam", "CreateAccountAlias", "AccountAlias"): "aliases are unique among all accounts",
    ("secretsmanager", "GetRandomPassword", "ExcludeCharacters"): "a password is random, and nobody's",
}
MAKING = ("Create", "Put", "Register")
TAGS = {"tags", "Tags", "TagSpecifications"}  # words of the caller's own, which name nothing
# Requests that get further than the smallest valid one.
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("ecs", "RunTask"): {"taskDefinition": "own:1", "launchType": "FARGATE"},
    ("ecs", "ExecuteCommand"): {"task": "0" * 32},
    ("ecs", "StopTask"): {"task": "0" * 32},
    ("ecs", "DescribeTasks"): {"tasks": ["0" * 32]},
    ("logs", "GetLogEvents"): {"logGroupName": "own"},
    ("logs", "FilterLogEvents"): {"logGroupName": "own"},
    ("logs", "DescribeLogStreams"): {"logGroupName": "own"},
    ("ec2", "CreateSecurityGroup"): {"GroupName": "own", "Description": "own"},
    ("sts", "AssumeRole"): {"RoleArn": f"arn:aws:iam::{OTHER}:role/own", "RoleSessionName": "me"},
}
_RANDOM = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?<=-)[A-Za-z0-9]{6}(?='[,}])"
    r"|[0-9a-z]{32}-[0-9a-z]{8}|(?:ns|srv)-[0-9a-z]{16}"
    r"|[A-Za-z0-9+/]{40,}=*|[0-9a-f]{17,32}|[A-Z0-9]{16,21}|PackedPolicySize': [0-9]+|[0-9]{10,}(?:\.[0-9]+)?"
)


def host() -> HostFacts:
    room = HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=10_000)
    return HostFacts(host_id="h-1", boot_id="b", capacity=room, sandbox="simulated", zone=None)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(2000):
        if await is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come")


class Sweep:
    """The second account's administrator, who tries. `owned`: what the first has."""

    def __init__(self, door: FrontDoor) -> None:
        self.door = door
        self.owned: list[str] = []
        self.told: list[Any] = []  # to the first account, when its things were made
        self.found: list[str] = []
        self.asked = 0

    async def furnish(self) -> None:
        """One of each thing for the first account."""
        await self._identities()
        await self._network()
        await self._keys_and_secrets()
        await self._names()
        await self._load_balancer()
        await self._task()
        self._collect(await self.first_sees())

    async def _made(self, service: str, operation: str, params: dict[str, Any] | None = None, **more: Any) -> Any:
        """What the first account's request was answered."""
        answer = await self.door.call(ROOT, service, operation, (params or {}) | more)
        assert answer.status == 200, (operation, answer)
        self.told.append(answer.body)
        return answer.body

    async def _identities(self) -> None:
        await self._made("iam", "CreateRole", RoleName="zebra", AssumeRolePolicyDocument=TRUST)
        await self._made("iam", "CreateUser", UserName="zebra")
        await self._made("iam", "CreateGroup", GroupName="zebra")
        await self._made("iam", "CreateAccessKey", UserName="zebra")
        await self._made("iam", "CreatePolicy", PolicyName="zebra", PolicyDocument=RUN)
        await self._made("iam", "CreateInstanceProfile", InstanceProfileName="zebra")
        await self._made("iam", "CreateAccountAlias", AccountAlias="zebra")
        provider = {"Url": "https://zebra.example", "ThumbprintList.member.1": "0" * 40}
        await self._made("iam", "CreateOpenIDConnectProvider", provider)

    async def _network(self) -> None:
        await self._made("ec2", "CreateSecurityGroup", GroupName="zebra", GroupDescription="zebra")
        vpc = (await self._made("ec2", "CreateVpc", CidrBlock="10.0.0.0/16"))["vpc"]["vpcId"]
        default = (await self._made("ec2", "DescribeSubnets"))["subnetSet"][0]
        await self._made("ec2", "CreateInternetGateway")
        await self._made("ec2", "CreateEgressOnlyInternetGateway", VpcId=vpc)
        vgw = (await self._made("ec2", "CreateVpnGateway", Type="ipsec.1"))["vpnGateway"]["vpnGatewayId"]
        await self._made("ec2", "AttachVpnGateway", VpcId=vpc, VpnGatewayId=vgw)
        await self._made("ec2", "CreateCustomerGateway", Type="ipsec.1", IpAddress="192.0.2.9")
        await self._made("ec2", "CreateVpcPeeringConnection", VpcId=vpc, PeerVpcId=default["vpcId"])
        await self._made("ec2", "CreateManagedPrefixList", PrefixListName="zebra", MaxEntries="1", AddressFamily="IPv4")
        await self._made("ec2", "CreateVpcEndpoint", VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3")
        await self._made("ec2", "AllocateAddress")
        await self._made("ec2", "CreateNatGateway", SubnetId=default["subnetId"], ConnectivityType="private")
        await self._made("ec2", "CreateNetworkInterface", SubnetId=default["subnetId"])
        kept = {"Cidr": default["cidrBlock"].replace("/20", "/28"), "ReservationType": "explicit"}
        await self._made("ec2", "CreateSubnetCidrReservation", kept, SubnetId=default["subnetId"])
        trust = TRUST.replace("ecs-tasks", "vpc-flow-logs")
        role = await self._made("iam", "CreateRole", RoleName="zebra-flows", AssumeRolePolicyDocument=trust)
        logged = {"ResourceType": "VPC", "ResourceId.1": vpc, "TrafficType": "ALL", "LogGroupName": "zebra"}
        await self._made("ec2", "CreateFlowLogs", logged, DeliverLogsPermissionArn=role["Role"]["Arn"])

    async def _keys_and_secrets(self) -> None:
        await self._made("secretsmanager", "CreateSecret", Name="zebra", SecretString="zebra")
        key = (await self._made("kms", "CreateKey"))["KeyMetadata"]["KeyId"]
        await self._made("kms", "CreateAlias", AliasName="alias/zebra", TargetKeyId=key)

    async def _names(self) -> None:
        made = await self._made("servicediscovery", "CreateHttpNamespace", Name="zebra")
        operation = (await self._made("servicediscovery", "GetOperation", made))["Operation"]
        namespace = operation["Targets"]["NAMESPACE"]
        service = (await self._made("servicediscovery", "CreateService", Name="zebra", NamespaceId=namespace))[
            "Service"
        ]
        instance = {"ServiceId": service["Id"], "InstanceId": "zebra", "Attributes": {"zebra": "zebra"}}
        await self._made("servicediscovery", "RegisterInstance", instance)

    async def _load_balancer(self) -> None:
        subnets = (await self._made("ec2", "DescribeSubnets"))["subnetSet"]
        named = {f"Subnets.member.{n}": one["subnetId"] for n, one in enumerate(subnets[:2], 1)}
        balancer = (await self._made("elbv2", "CreateLoadBalancer", named, Name="zebra"))["LoadBalancers"][0]
        group = {"TargetType": "ip", "Protocol": "HTTP", "Port": "80", "VpcId": subnets[0]["vpcId"]}
        made = (await self._made("elbv2", "CreateTargetGroup", group, Name="zebra"))["TargetGroups"][0]
        forward = {
            "DefaultActions.member.1.Type": "forward",
            "DefaultActions.member.1.TargetGroupArn": made["TargetGroupArn"],
        }
        listener = {"LoadBalancerArn": balancer["LoadBalancerArn"], "Protocol": "HTTP", "Port": "80"}
        await self._made("elbv2", "CreateListener", listener | forward)

    async def _task(self) -> None:
        """Returns when it runs."""
        await self._made("logs", "CreateLogGroup", logGroupName="zebra")
        await self._made("logs", "CreateLogStream", logGroupName="zebra", logStreamName="zebra")
        await self._made("ecs", "CreateCluster", clusterName="zebra")
        await self._made("ecs", "RegisterTaskDefinition", DEFINITION)
        subnet = (await self._made("ec2", "DescribeSubnets"))["subnetSet"][0]["subnetId"]
        network = {"awsvpcConfiguration": {"subnets": [subnet]}}
        run = {"cluster": "zebra", "taskDefinition": "zebra", "launchType": "FARGATE", "networkConfiguration": network}
        await self._made("ecs", "CreateService", run | {"serviceName": "zebra", "desiredCount": 0})
        ran = await self._made("ecs", "RunTask", run)
        assert not ran["failures"], ran
        task = ran["tasks"][0]["taskArn"]

        async def runs() -> bool:
            said = await self.door.call(ROOT, "ecs", "DescribeTasks", cluster="zebra", tasks=[task])
            return bool(said.body["tasks"][0]["lastStatus"] == "RUNNING")

        await eventually(runs)

    def _collect(self, seen: str) -> None:
        """Every identifier in what the first account sees of itself."""
        text = json.dumps(self.told) + seen
        ids = set(re.findall(rf"\b(?:{'|'.join(KINDS)})-0[0-9a-f]{{16}}\b", text))
        assert {one.rpartition("-0")[0] for one in ids} == set(KINDS)
        ids |= set(re.findall(r"\bA(?:IDA|ROA|GPA|NPA|IPA|KIA)[A-Z0-9]{16,17}\b", text))
        ids |= set(re.findall(r"key/([0-9a-f-]{36})", text))
        ids |= set(re.findall(r"\b(?:ns|srv)-[0-9a-z]{16}\b", text))
        ids |= set(re.findall(r"\b[0-9a-z]{32}-[0-9a-z]{8}\b", text))
        ids |= set(re.findall(rf"arn:aws:kms:{REGION}:{ACCOUNT}:[a-z0-9/-]+", text))
        ids |= set(re.findall(rf"arn:aws:[a-z]+:[a-z0-9-]*:{ACCOUNT}:[A-Za-z0-9/:._*-]*zebra[A-Za-z0-9/:._-]*", text))
        tasks = set(re.findall(r"task/zebra/([0-9a-f]{32})", text))
        assert tasks and len(ids) > 20, ids
        names = {"zebra", "zebra:1", "https://zebra.example", ACCOUNT}
        self.secrets = sorted(tasks | {one for one in ids if not one.startswith("arn:")})
        self.owned = sorted(ids | tasks | names)

    async def first_sees(self) -> str:
        """All that the listing operations tell the first account."""
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("ec2", "DescribeVpcs", {}),
            ("ec2", "DescribeSubnets", {}),
            ("ec2", "DescribeSecurityGroups", {}),
            ("ec2", "DescribeSecurityGroupRules", {}),
            ("ec2", "DescribeNetworkInterfaces", {}),
            ("ec2", "DescribeRouteTables", {}),
            ("ec2", "DescribeNetworkAcls", {}),
            ("ec2", "DescribeInternetGateways", {}),
            ("ec2", "DescribeEgressOnlyInternetGateways", {}),
            ("ec2", "DescribeVpnGateways", {}),
            ("ec2", "DescribeCustomerGateways", {}),
            ("ec2", "DescribeNatGateways", {}),
            ("ec2", "DescribeAddresses", {}),
            ("ec2", "DescribeVpcPeeringConnections", {}),
            ("ec2", "DescribeVpcEndpoints", {}),
            ("ec2", "DescribeManagedPrefixLists", {}),
            ("ec2", "DescribeDhcpOptions", {}),
            ("ec2", "DescribeFlowLogs", {}),
            ("elbv2", "DescribeLoadBalancers", {}),
            ("elbv2", "DescribeTargetGroups", {}),
            ("iam", "GetAccountAuthorizationDetails", {}),
            ("iam", "ListAccountAliases", {}),
            ("iam", "ListOpenIDConnectProviders", {}),
            ("iam", "ListInstanceProfiles", {}),
            ("iam", "ListAccessKeys", {"UserName": "zebra"}),
            ("ecs", "ListClusters", {}),
            ("ecs", "DescribeClusters", {"clusters": ["zebra"]}),
            ("ecs", "ListTaskDefinitions", {}),
            ("ecs", "ListTasks", {"cluster": "zebra"}),
            ("kms", "ListAliases", {}),
            ("kms", "ListKeys", {}),
            ("logs", "DescribeLogGroups", {}),
            ("logs", "DescribeLogStreams", {"logGroupName": "zebra"}),
            ("secretsmanager", "ListSecrets", {}),
            ("servicediscovery", "ListNamespaces", {}),
            ("servicediscovery", "ListOperations", {}),
            ("servicediscovery", "ListServices", {}),
            ("ecs", "DescribeServices", {"cluster": "zebra", "services": ["zebra"]}),
        ]
        seen = []
        for service, operation, params in asked:
            said = await self.door.call(ROOT, service, operation, params)
            assert said.status == 200, (operation, said)
            seen.append({name: value for name, value in said.body.items() if name != "requestId"})
        return json.dumps(seen)

    async def whole(self) -> None:
        """What makes things comes last: afterwards the second account has things of the same names."""
        pairs = [(service, operation) for service in OPERATIONS for operation in OPERATIONS[service]]
        for service, operation in sorted(pairs, key=lambda pair: (pair[1].startswith(MAKING), pair)):
            await self._operation(service, MODELS.service(service), operation)

    async def _operation(self, service: str, model: ServiceModel, operation: str) -> None:
        described = model.operation(operation)
        assert described is not None
        if described.input is None:
            self._look_for_secrets(operation, "", await self._ask(service, operation, {}))
            return
        shape = model.shape(described.input)
        base = minimal(model, shape) | REQUESTS.get((service, operation), {})
        for name, member in shape.members.items():
            if (service, operation, name) in EXCEPT or name in TAGS:
                continue
            for value in self.owned:
                given = [_filled(model, member, one) for one in (_twin(value, 1), value, _twin(value, 2))]
                if any(one is None for one in given):
                    continue
                # The first makes what the request makes apart from the value, so that the other two meet the same.
                _, mine, missing = [
                    _plain(await self._ask(service, operation, base | {name: one}), value) for one in given
                ]
                self.asked += 1
                if mine != missing:
                    self.found.append(f"{service} {operation} {name}={value}:\n  {mine[:400]}\n  {missing[:400]}")
                self._look_for_secrets(operation, value, mine)

    async def _ask(self, service: str, operation: str, params: dict[str, Any]) -> str:
        model = MODELS.service(service)
        call = Call(
            service=model.metadata.signing_name,
            operation=operation,
            protocol=model.metadata.protocol,
            region=REGION,
            principal=administrator(OTHER, "AKIAOTHER"),
            request_id="request",
            now=self.door.world.now(),
        )
        try:
            answer = await OPERATIONS[service][operation](call, self.door.region.services, params)
        except AwsError as error:
            return f"{error.code}: {error.message} {error.fields}"
        return answer.decode() if isinstance(answer, bytes) else repr(answer)

    def _look_for_secrets(self, operation: str, value: str, answer: str) -> None:
        self.found += [
            f"{operation} shows {secret}" for secret in self.secrets if secret not in value and secret in answer
        ]


def _twin(value: str, number: int) -> str:
    """Of the same form, and nobody's."""
    if value == ACCOUNT:
        return NOWHERE[:-1] + str(number)
    if "zebra" in value:
        return value.replace("zebra", f"zebr{number}")
    # Digits that end every random identifier: changed where they stand, its form stays.
    kept, last = value[:-3], value[-3:]
    letters = "0123456789abcdef" if value[-1] in "0123456789abcdef" else "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    return kept + "".join(letters[(letters.find(char) + number) % len(letters)] for char in last)


def _filled(model: ServiceModel, member: Member, value: str) -> Any:
    """The member made of the value; None where it takes no such text."""
    shape = model.shape(member.shape)
    if shape.type == "list":
        assert shape.element is not None
        inner = _filled(model, shape.element, value)
        return None if inner is None else [inner]
    if shape.type == "structure":
        for name, part in shape.members.items():
            inner = _filled(model, part, value)
            if inner is not None:
                return minimal(model, shape) | {name: inner}
        return None
    if shape.type != "string" or shape.enum or constraints(shape, value):
        return None
    return value


def _plain(answer: str, value: str) -> str:
    """Without the value itself and without what is random in every answer."""
    for one in (value, _twin(value, 1), _twin(value, 2)):
        answer = answer.replace(one, "<it>")
    return _RANDOM.sub("#", answer.replace("zebr1", "zebra").replace("zebr2", "zebra"))


@pytest.mark.filterwarnings("error")
def test_what_is_anothers_is_as_if_it_were_not(tmp_path: Path) -> None:
    async def story() -> None:
        door = await open_front_door()
        socket_path = str(tmp_path / "link.sock")
        times = SimulatedTimes(attach_s=0.01, start_s=0.01, run_s=600.0, stop_s=0.01)
        fleet = SimulatedFleet(door.world, [host()], socket_path=socket_path, knobs=DEFAULT_KNOBS, times=times)
        async with door.region.gateway.listening(socket_path):
            machines = asyncio.ensure_future(fleet.run())
            try:
                await sweep(door)
            finally:
                machines.cancel()
                await asyncio.gather(machines, return_exceptions=True)

    async def sweep(door: FrontDoor) -> None:
        managers = list(door.region.capacities.values())

        async def connected() -> bool:
            return any(one["connected"] for one in await managers[0].hosts())

        await eventually(connected)
        await AccountDesk(door.region).create({"name": "second", "id": OTHER})
        await door.region.quotas.set_value(OTHER, NAMESPACES_PER_REGION.key, 10_000)  # it makes one of each name
        work = Sweep(door)
        await work.furnish()
        before = await work.first_sees()
        await work.whole()
        assert not work.found, f"{len(work.found)} of {work.asked}:\n" + "\n".join(work.found[:40])
        assert work.asked > 10_000
        assert await work.first_sees() == before

    asyncio.run(story())
