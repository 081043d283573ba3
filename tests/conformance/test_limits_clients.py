"""Limits as boto3 meets them: its retry modes back off and succeed, and Service Quotas answers what holds.

A region in memory behind real HTTP.
"""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.frontend.limits.registry import ALL_ACCOUNTS
from neargate.frontend.limits.token_bucket import Rate
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import Region
from neargate.world import OsWorld

from .served import ACCOUNT, KEY, REGION, SECRET, InThread, listening, region_in_memory

ZONES = (("us-east-1a", "use1-az1"),)
ECS, EC2, STS = "ecs/cluster-read", "ec2/read", "sts/calls"


class Server(InThread[int]):
    """The region with one host, in a thread of its own."""

    region: Region

    def __init__(self) -> None:
        super().__init__(self._serving)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[int]:
        self.region = region = await region_in_memory(OsWorld(), ZONES, one_machine=True)
        host = HostCapacity(cpu_units=3072, memory_mib=16384, disk_gib=100)
        capacity = region.capacities[ZONES[0][0]]
        await capacity.register_host(
            HostFacts(host_id="h1", boot_id="b", capacity=host, sandbox="simulated", zone=ZONES[0][0])
        )
        await capacity.host_seen("h1", True)
        async with listening(region.frontend) as port:
            yield port


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Server, int]]:
    made = Server()
    with made as port:
        yield made, port


@contextmanager
def limited(server: Server, key: str, value: float | Rate) -> Iterator[None]:
    """While inside, this holds for the account."""
    quotas = server.region.quotas
    change = quotas.set_rate(ACCOUNT, key, value) if isinstance(value, Rate) else quotas.set_value(ACCOUNT, key, value)
    server.do(change)
    try:
        yield
    finally:
        server.do(quotas.reset(ACCOUNT, key))


def client(port: int, service: str, **retries: Any) -> Any:
    session: Any = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
    settings = Config(retries=retries or {"max_attempts": 0}, read_timeout=30)
    return session.client(service, endpoint_url=f"http://127.0.0.1:{port}", config=settings)


CALLS = [
    ("ecs", "list_clusters", ECS, 400, "ThrottlingException", "Rate exceeded"),
    ("ec2", "describe_vpcs", EC2, 503, "RequestLimitExceeded", "Request limit exceeded."),
    ("sts", "get_caller_identity", STS, 400, "Throttling", "Rate exceeded"),
]


@pytest.mark.parametrize(("service", "method", "bucket", "status", "code", "message"), CALLS)
def test_without_retries_the_client_sees_the_refusal(
    server: tuple[Server, int], service: str, method: str, bucket: str, status: int, code: str, message: str
) -> None:
    made = client(server[1], service)
    with limited(server[0], bucket, Rate(1, 0.001)):
        getattr(made, method)()
        with pytest.raises(ClientError) as refused:
            getattr(made, method)()
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["Error"]["Message"] == message
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize(("service", "method", "bucket"), [call[:3] for call in CALLS])
@pytest.mark.parametrize("mode", ["standard", "legacy", "adaptive"])
def test_the_sdks_own_retries_back_off_and_succeed(
    server: tuple[Server, int], service: str, method: str, bucket: str, mode: str
) -> None:
    """A bucket that gives a token each quarter of a second, and six calls on end: all are answered, some late."""
    made = client(server[1], service, mode=mode, total_max_attempts=10)
    attempts = []
    made.meta.events.register(f"before-send.{service}.*", lambda **_: attempts.append(1))
    with limited(server[0], bucket, Rate(2, 4)):
        answers = [getattr(made, method)() for _ in range(6)]
    assert [answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers] == [200] * 6
    retried = sum(answer["ResponseMetadata"]["RetryAttempts"] for answer in answers)
    assert retried == len(attempts) - 6
    assert retried > 0, "the client was never throttled"


def test_service_quotas_say_what_holds(server: tuple[Server, int]) -> None:
    region, quotas = server[0].region, client(server[1], "service-quotas")
    services = {item["ServiceCode"] for item in quotas.list_services()["Services"]}
    assert services == {"AWSCloudMap", "ec2", "ecs", "elasticloadbalancing", "fargate", "iam", "logs", "vpc"}

    clusters = {"ServiceCode": "ecs", "QuotaCode": "L-21C621EB"}
    found = quotas.get_service_quota(**clusters)["Quota"]
    assert (found["Value"], found["Adjustable"], found["GlobalQuota"]) == (10_000, True, False)
    assert found["QuotaArn"] == f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:ecs/L-21C621EB"
    assert found["QuotaName"] == "Clusters per account"
    server[0].do(region.quotas.set_value(ALL_ACCOUNTS, "ecs/L-21C621EB", 7))
    try:
        assert quotas.get_service_quota(**clusters)["Quota"]["Value"] == 7
        assert quotas.get_aws_default_service_quota(**clusters)["Quota"]["Value"] == 10_000
    finally:
        server[0].do(region.quotas.reset(ALL_ACCOUNTS, "ecs/L-21C621EB"))

    pages = list(
        quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ecs", PaginationConfig={"PageSize": 3})
    )
    codes = [quota["QuotaCode"] for page in pages for quota in page["Quotas"]]
    defaults = quotas.list_aws_default_service_quotas(ServiceCode="ecs")["Quotas"]
    assert len(pages) > 1 and codes == [quota["QuotaCode"] for quota in defaults] and "L-9EF96962" in codes
    only = quotas.list_service_quotas(ServiceCode="ecs", QuotaCode="L-9EF96962")["Quotas"]
    assert [quota["QuotaCode"] for quota in only] == ["L-9EF96962"]


def test_vcpus_are_what_the_hosts_have_until_the_operator_says_otherwise(server: tuple[Server, int]) -> None:
    quotas = client(server[1], "service-quotas")
    vcpus = {"ServiceCode": "fargate", "QuotaCode": "L-3032A538"}
    offered = 3 * DEFAULT_KNOBS.cpu_overcommit
    assert quotas.get_service_quota(**vcpus)["Quota"]["Value"] == offered
    assert quotas.get_aws_default_service_quota(**vcpus)["Quota"]["Value"] == 6
    with limited(server[0], "fargate/L-3032A538", 2):
        assert quotas.get_service_quota(**vcpus)["Quota"]["Value"] == 2


def test_an_increase_waits_for_the_operator(server: tuple[Server, int]) -> None:
    region, quotas = server[0].region, client(server[1], "service-quotas")
    services_per_cluster = {"ServiceCode": "ecs", "QuotaCode": "L-9EF96962"}
    asked = quotas.request_service_quota_increase(**services_per_cluster, DesiredValue=6000)["RequestedQuota"]
    assert (asked["Status"], asked["DesiredValue"]) == ("PENDING", 6000)
    with pytest.raises(ClientError) as refused:
        quotas.request_service_quota_increase(**services_per_cluster, DesiredValue=7000)
    assert refused.value.response["Error"]["Code"] == "ResourceAlreadyExistsException"

    server[0].do(region.quotas.set_value(ACCOUNT, "ecs/L-9EF96962", 6000))
    shown = quotas.get_requested_service_quota_change(RequestId=asked["Id"])["RequestedQuota"]
    assert shown["Status"] == "APPROVED" and shown["Requester"].startswith("arn:aws:iam::")
    history = quotas.list_requested_service_quota_change_history(ServiceCode="ecs", Status="APPROVED")
    assert [item["Id"] for item in history["RequestedQuotas"]] == [asked["Id"]]
    of_quota = quotas.list_requested_service_quota_change_history_by_quota(**services_per_cluster)
    assert [item["Id"] for item in of_quota["RequestedQuotas"]] == [asked["Id"]]
    assert quotas.list_requested_service_quota_change_history(Status="PENDING")["RequestedQuotas"] == []


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("get_service_quota", {"ServiceCode": "ecs", "QuotaCode": "L-00000000"}, "NoSuchResourceException"),
        ("get_service_quota", {"ServiceCode": "nosuch", "QuotaCode": "L-21C621EB"}, "NoSuchResourceException"),
        ("list_service_quotas", {"ServiceCode": "nosuch"}, "NoSuchResourceException"),
        ("list_service_quotas", {"ServiceCode": "ecs", "NextToken": "AAAA"}, "InvalidPaginationTokenException"),
        ("get_requested_service_quota_change", {"RequestId": "nosuch"}, "NoSuchResourceException"),
        (
            "request_service_quota_increase",
            {"ServiceCode": "ecs", "QuotaCode": "L-21C621EB", "DesiredValue": 10_000.0},
            "IllegalArgumentException",
        ),
        (
            "request_service_quota_increase",
            {"ServiceCode": "ecs", "QuotaCode": "L-A04A77EF", "DesiredValue": 6.0},
            "IllegalArgumentException",
        ),
    ],
)
def test_what_cannot_be_is_refused(server: tuple[Server, int], method: str, params: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(server[1], "service-quotas"), method)(**params)
    assert refused.value.response["Error"]["Code"] == code


class Launcher:
    """Runs tasks of a quarter vCPU and stops them; nobody executes them."""

    def __init__(self, port: int) -> None:
        self.ecs = client(port, "ecs")
        self.ec2 = client(port, "ec2")
        self.network = {"subnets": [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]}
        self.ecs.create_cluster(clusterName="limits")
        self.ecs.register_task_definition(
            family="quarter",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "c", "image": "registry.example/c:1"}],
        )

    def run(self, count: int, **network: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.ecs.run_task(
            cluster="limits",
            taskDefinition="quarter",
            launchType="FARGATE",
            count=count,
            networkConfiguration={"awsvpcConfiguration": {**self.network, **network}},
        )
        return answer


def test_launches_over_fargates_bucket_are_refused_whole(server: tuple[Server, int]) -> None:
    launcher = Launcher(server[1])
    with limited(server[0], "fargate/launch-on-demand", Rate(12, 0.001)):
        assert len(launcher.run(10)["tasks"]) == 10
        with pytest.raises(ClientError) as refused:
            launcher.run(3)
        assert refused.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
        assert len(launcher.run(2)["tasks"]) == 2, "the refusal took nothing"


def test_vcpus_over_the_quota_are_failures_of_an_answer_that_is_fine(server: tuple[Server, int]) -> None:
    launcher = Launcher(server[1])
    held = server[0].region.capacities[ZONES[0][0]].cpu_units_held(ACCOUNT)
    with limited(server[0], "fargate/L-3032A538", held / 1024 + 2), ThreadPoolExecutor(5) as threads:
        answers = list(threads.map(lambda _: launcher.run(10), range(5)))
        assert sum(len(answer["tasks"]) for answer in answers) == 8, "two vCPUs, however many ask at once"
        reasons = {failure["reason"] for answer in answers for failure in answer["failures"]}
        assert reasons == {"You've reached the limit on the number of vCPUs you can run concurrently"}
        assert sum(len(answer["failures"]) for answer in answers) == 42
        assert {answer["ResponseMetadata"]["HTTPStatusCode"] for answer in answers} == {200}


def test_counts_of_things_hold_for_the_account(server: tuple[Server, int]) -> None:
    launcher = Launcher(server[1])
    clusters = len(launcher.ecs.list_clusters()["clusterArns"])
    with limited(server[0], "ecs/L-21C621EB", clusters), pytest.raises(ClientError, match="number of clusters"):
        launcher.ecs.create_cluster(clusterName="one-too-many")
    launcher.ecs.create_cluster(clusterName="one-more")

    [vpc] = launcher.ec2.describe_vpcs()["Vpcs"]
    made = [
        launcher.ec2.create_security_group(GroupName=f"limits-{n}", Description="d", VpcId=vpc["VpcId"])["GroupId"]
        for n in range(2)
    ]
    with limited(server[0], "vpc/L-E79EC296", 3), pytest.raises(ClientError, match="SecurityGroupLimitExceeded"):
        launcher.ec2.create_security_group(GroupName="limits-3", Description="d", VpcId=vpc["VpcId"])
    with limited(server[0], "vpc/L-2AFB9258", 1), pytest.raises(ClientError, match="at most 1 items"):
        launcher.run(1, securityGroups=made)
    ports = [{"IpProtocol": "tcp", "FromPort": n, "ToPort": n, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]} for n in (1, 2)]
    with (
        limited(server[0], "vpc/L-0EA8095F", 1),
        pytest.raises(ClientError, match="RulesPerSecurityGroupLimitExceeded"),
    ):
        launcher.ec2.authorize_security_group_ingress(GroupId=made[0], IpPermissions=ports)
    launcher.ec2.authorize_security_group_ingress(GroupId=made[0], IpPermissions=ports)
