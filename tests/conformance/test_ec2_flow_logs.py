"""Flow logs as boto3 sees them: made, listed, tagged, deleted; who may; records of a host on their way to a reader."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.clusters.flow_logs import NOT_ASSUMED, NOT_HERE
from neargate.link.messages import PROTOCOL, BulkHello, FlowsAck, FlowsAppend, LogRefused
from neargate.model.capacity import HostCapacity, HostFacts, Reservation, ReservationRequest
from neargate.model.flow_logs import FlowLogBatch
from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT, Keys
from neargate.testing.gateway_rig import AgentEnd
from neargate.testing.host_proofs import key_of

from .door_clients import Door, allow, boto, document, sender

ABSENT = "0123456789abcdef0"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
DELIVERS = allow("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
DEFAULT = (
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets} "
    "${bytes} ${start} ${end} ${action} ${log-status}"
)


class Network:
    """A region with a role that delivers, and one host."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.door = Door(runner)
        self.region = self.door.door.region
        self.ec2, self.iam, self.logs = self.client("ec2"), self.client("iam"), self.client("logs")
        self.role = self.new_role("flows", DELIVERS)
        self.vpc = str(self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"])
        subnets = self.region.services.network.subnets(ACCOUNT)
        self.subnet = subnets[0].name
        room = HostCapacity(cpu_units=65536, memory_mib=65536, disk_gib=1000)
        facts = HostFacts(host_id="host-1", boot_id="boot-1", capacity=room, sandbox="simulated")
        self.capacity = self.region.capacities[subnets[0].zone]
        self.run(self.capacity.register_host(facts))

    def run(self, work: Any) -> Any:
        return self.door.run(work)

    def client(self, service: str, keys: Keys = ROOT) -> Any:
        send = sender(self.door.run, self.region.frontend, peer="192.0.2.7")
        return boto(service, keys, send, parameter_validation=False)

    def user(self, name: str, *statements: dict[str, Any]) -> Any:
        return self.client("ec2", self.door.user(name, *statements))

    def new_role(self, name: str, *statements: dict[str, Any], trust: dict[str, Any] = TRUST) -> str:
        made = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        if statements:
            self.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document(*statements))
        return str(made["Role"]["Arn"])

    def interface(self, task: str = "task-1") -> str:
        view = self.region.services.network.subnets(ACCOUNT)[0].view
        request = ReservationRequest(
            task_id=task,
            account=ACCOUNT,
            zone=view.zone,
            subnet=view,
            security_groups=(),
            assign_public_ip=False,
            cpu_units=256,
            memory_mib=512,
            disk_gib=20,
            owner=f"arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/{task}",
            attachment_id=task,
        )
        made = self.run(self.capacity.reserve(request))
        assert isinstance(made, Reservation) and made.eni is not None
        return made.eni.eni_id

    def wanted(self, **changes: Any) -> dict[str, Any]:
        given: dict[str, Any] = {
            "ResourceType": "VPC",
            "ResourceIds": [self.vpc],
            "TrafficType": "ALL",
            "LogGroupName": "/flows",
            "DeliverLogsPermissionArn": self.role,
        }
        return {name: value for name, value in (given | changes).items() if value is not None}

    def create(self, **changes: Any) -> str:
        made = self.ec2.create_flow_logs(**self.wanted(**changes))
        assert made.get("Unsuccessful", []) == []
        [flow_log_id] = made["FlowLogIds"]
        return str(flow_log_id)

    def described(self, flow_log_id: str) -> dict[str, Any]:
        [found] = self.ec2.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"]
        return dict(found)


@pytest.fixture
def network() -> Iterator[Network]:
    with asyncio.Runner() as runner:
        yield Network(runner)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


# -- making


def test_a_flow_log_is_made_described_and_deleted(network: Network) -> None:
    tags = [{"Key": "team", "Value": "net"}]
    spec = [{"ResourceType": "vpc-flow-log", "Tags": tags}]
    flow_log_id = network.create(TagSpecifications=spec)
    shown = network.described(flow_log_id)
    assert shown.pop("CreationTime") is not None
    assert shown == {
        "DeliverLogsPermissionArn": network.role,
        "DeliverLogsStatus": "SUCCESS",
        "FlowLogId": flow_log_id,
        "FlowLogStatus": "ACTIVE",
        "LogDestinationType": "cloud-watch-logs",
        "LogFormat": DEFAULT,
        "LogGroupName": "/flows",
        "MaxAggregationInterval": 600,
        "ResourceId": network.vpc,
        "Tags": tags,
        "TrafficType": "ALL",
    }
    assert network.ec2.delete_flow_logs(FlowLogIds=[flow_log_id]).get("Unsuccessful", []) == []
    assert network.ec2.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"] == []


def test_several_resources_get_one_each_and_what_is_not_there_is_told(network: Network) -> None:
    network.interface()
    made = network.ec2.create_flow_logs(
        **network.wanted(ResourceType="Subnet", ResourceIds=[network.subnet, f"subnet-{ABSENT}", "vpc-1"])
    )
    [flow_log_id] = made["FlowLogIds"]
    assert network.described(flow_log_id)["ResourceId"] == network.subnet
    assert made["Unsuccessful"] == [
        {
            "Error": {
                "Code": "InvalidSubnetID.NotFound",
                "Message": f"The subnet ID 'subnet-{ABSENT}' does not exist",
            },
            "ResourceId": f"subnet-{ABSENT}",
        },
        {
            "Error": {
                "Code": "InvalidSubnetID.NotFound",
                "Message": "The subnet ID 'vpc-1' does not exist",
            },
            "ResourceId": "vpc-1",
        },
    ]


def test_an_interface_of_a_task_can_be_logged_alone(network: Network) -> None:
    eni = network.interface()
    network.create(ResourceType="NetworkInterface", ResourceIds=[eni], TrafficType="REJECT", MaxAggregationInterval=60)
    [planned] = network.region.services.network.plan(network.vpc).flow_logs
    assert (planned.resource_id, planned.traffic, planned.interval_s) == (eni, "REJECT", 60)
    missing = network.ec2.create_flow_logs(
        **network.wanted(ResourceType="NetworkInterface", ResourceIds=[f"eni-{ABSENT}"])
    )
    [told] = missing["Unsuccessful"]
    assert told["Error"]["Code"] == "InvalidNetworkInterfaceID.NotFound" and not missing.get("FlowLogIds")


def test_hosts_hear_of_a_vpcs_flow_logs_until_they_are_deleted(network: Network) -> None:
    whole = network.create(LogFormat="${interface-id} ${tcp-flags} ${reject-reason}")
    part = network.create(ResourceType="Subnet", ResourceIds=[network.subnet], TrafficType="ACCEPT")
    other = str(network.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])
    planned = {log.flow_log_id: log for log in network.region.services.network.plan(network.vpc).flow_logs}
    assert planned.keys() == {whole, part}
    assert planned[whole].fields == ("interface-id", "tcp-flags", "reject-reason")
    assert planned[part].resource_id == network.subnet and planned[part].account == ACCOUNT
    assert network.region.services.network.plan(other).flow_logs == ()
    network.ec2.delete_flow_logs(FlowLogIds=[whole, part])
    assert network.region.services.network.plan(network.vpc).flow_logs == ()


def test_the_group_may_be_named_by_its_arn(network: Network) -> None:
    arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/flows"
    flow_log_id = network.create(LogGroupName=None, LogDestination=f"{arn}:*", LogDestinationType="cloud-watch-logs")
    shown = network.described(flow_log_id)
    assert (shown["LogDestination"], shown["LogGroupName"]) == (arn, "/flows")
    for wrong in (arn.replace(ACCOUNT, "210987654321"), arn.replace(REGION, "eu-west-1"), "arn:aws:s3:::b", "x"):
        code, _ = refused(lambda wrong=wrong: network.create(LogGroupName=None, LogDestination=wrong))
        assert code == "InvalidParameter"


def test_a_token_makes_a_repeated_call_one_call(network: Network) -> None:
    flow_log_id = network.create(ClientToken="once")
    again = network.ec2.create_flow_logs(**network.wanted(ClientToken="once"))
    assert again["FlowLogIds"] == [flow_log_id] and again["ClientToken"] == "once"
    code, _ = refused(lambda: network.create(ClientToken="once", TrafficType="REJECT"))
    assert code == "IdempotentParameterMismatch"


def test_a_second_one_of_the_same_resource_and_group_is_refused(network: Network) -> None:
    network.create()
    assert refused(network.create) == (
        "FlowLogAlreadyExists",
        "Error. There is an existing Flow Log with the same configuration and log destination.",
    )
    network.create(LogGroupName="/other")
    network.create(TrafficType="REJECT")
    assert len(network.ec2.describe_flow_logs()["FlowLogs"]) == 3


def test_a_resource_has_so_many_flow_logs_and_no_more(network: Network) -> None:
    for number in range(10):
        network.create(LogGroupName=f"/flows-{number}")
    over = network.ec2.create_flow_logs(**network.wanted(LogGroupName="/over"))
    [told] = over["Unsuccessful"]
    assert told["Error"]["Code"] == "FlowLogsLimitExceeded" and told["ResourceId"] == network.vpc


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        (
            {"LogDestinationType": "s3", "LogGroupName": None, "LogDestination": "arn:aws:s3:::bucket"},
            "UnsupportedOperation",
            "Flow logs are delivered to cloud-watch-logs only: s3 is not supported.",
        ),
        (
            {"LogDestinationType": "kinesis-data-firehose", "LogGroupName": None, "LogDestination": "arn:aws:x"},
            "UnsupportedOperation",
            "Flow logs are delivered to cloud-watch-logs only: kinesis-data-firehose is not supported.",
        ),
        (
            {"LogDestinationType": "s3", "LogGroupName": None},
            "InvalidParameter",
            "LogDestination can't be empty if LogGroupName is not provided.",
        ),
        (
            {"LogDestinationType": "s3"},
            "InvalidParameter",
            "LogDestination type must be cloud-watch-logs if LogGroupName is provided.",
        ),
        (
            {"LogDestination": "arn:aws:logs:us-east-1:123456789012:log-group:/x"},
            "InvalidParameter",
            "Please only provide LogGroupName or only provide LogDestination.",
        ),
        (
            {"DeliverLogsPermissionArn": None},
            "InvalidParameter",
            "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.",
        ),
        ({"MaxAggregationInterval": 10}, "InvalidParameter", "Invalid Flow Log Max Aggregation Interval"),
        ({"LogFormat": "${version} ${colour}"}, "InvalidParameter", "Unknown fields provided: [colour]"),
        (
            {"LogFormat": "${version} "},
            "InvalidParameterValue",
            "1 validation error detected: Value '${version} ' at 'logFormat' has an invalid format",
        ),
        ({"TrafficType": None}, "MissingParameter", "The request must contain the parameter trafficType"),
        (
            {"ResourceType": "TransitGateway", "ResourceIds": [f"tgw-{ABSENT}"]},
            "UnsupportedOperation",
            "Flow logs of resource type TransitGateway are not supported.",
        ),
        (
            {"DeliverCrossAccountRole": f"arn:aws:iam::{ACCOUNT}:role/x"},
            "UnsupportedOperation",
            "DeliverCrossAccountRole is not supported. "
            "Flow logs are delivered to log groups of their own account only.",
        ),
        (
            {"LogGroupName": "no group"},
            "InvalidParameterValue",
            "1 validation error detected: Value 'no group' at 'logGroupName' has an invalid format",
        ),
        (
            {"DeliverLogsPermissionArn": "flows"},
            "InvalidParameterValue",
            "1 validation error detected: Value 'flows' at 'deliverLogsPermissionArn' has an invalid format",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(network: Network, changes: dict[str, Any], code: str, text: str) -> None:
    assert refused(lambda: network.create(**changes)) == (code, text)
    assert network.ec2.describe_flow_logs()["FlowLogs"] == []


# -- roles and leave


def test_the_role_must_be_one_that_the_service_can_assume(network: Network) -> None:
    elsewhere = json.loads(json.dumps(TRUST).replace("vpc-flow-logs", "ecs-tasks"))
    of_tasks = network.new_role("tasks", DELIVERS, trust=elsewhere)
    for role in (of_tasks, f"arn:aws:iam::{ACCOUNT}:role/absent"):
        assert refused(lambda role=role: network.create(DeliverLogsPermissionArn=role)) == (
            "InvalidParameter",
            "Unable to assume given IAM role",
        )
    others = f"arn:aws:iam::{OTHER}:role/flows"
    code, said = refused(lambda: network.create(DeliverLogsPermissionArn=others))
    assert code == "UnauthorizedOperation" and f"iam:PassRole on resource: {others}" in said


def test_who_makes_one_may_pass_the_role_and_touch_the_resource(network: Network) -> None:
    arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
    ec2 = network.user("none", allow("ec2:CreateFlowLogs"))
    code, said = refused(lambda: ec2.create_flow_logs(**network.wanted()))
    assert code == "UnauthorizedOperation" and f"perform: iam:PassRole on resource: {network.role}" in said
    passing = allow("iam:PassRole", StringEquals={"iam:PassedToService": "vpc-flow-logs.amazonaws.com"})
    ec2 = network.user("elsewhere", passing, allow("ec2:CreateFlowLogs", resource=f"{arn}:vpc-flow-log/*"))
    code, said = refused(lambda: ec2.create_flow_logs(**network.wanted()))
    assert code == "UnauthorizedOperation" and f"ec2:CreateFlowLogs on resource: {arn}:vpc/{network.vpc}" in said
    tags = [{"ResourceType": "network-interface", "Tags": [{"Key": "kept", "Value": "yes"}]}]
    kept = network.ec2.create_network_interface(SubnetId=network.subnet, TagSpecifications=tags)["NetworkInterface"]
    denied = allow("ec2:CreateFlowLogs", StringEquals={"aws:ResourceTag/kept": "yes"}) | {"Effect": "Deny"}
    ec2 = network.user("others", passing, allow("ec2:CreateFlowLogs"), denied)
    one = network.wanted(ResourceType="NetworkInterface", ResourceIds=[kept["NetworkInterfaceId"]])
    assert refused(lambda: ec2.create_flow_logs(**one))[0] == "UnauthorizedOperation"
    ec2 = network.user("whole", passing, allow("ec2:CreateFlowLogs"))
    assert refused(lambda: ec2.create_flow_logs(**network.wanted(DryRun=True)))[0] == "DryRunOperation"
    spec = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "team", "Value": "a"}]}]
    code, said = refused(lambda: ec2.create_flow_logs(**network.wanted(TagSpecifications=spec)))
    assert code == "UnauthorizedOperation" and "ec2:CreateTags" in said
    [made] = ec2.create_flow_logs(**network.wanted())["FlowLogIds"]
    code, said = refused(lambda: ec2.delete_flow_logs(FlowLogIds=[made]))
    assert code == "UnauthorizedOperation" and f"{arn}:vpc-flow-log/{made}" in said


def test_who_may_delete_those_of_a_team_deletes_no_others(network: Network) -> None:
    spec = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "team", "Value": "a"}]}]
    mine, theirs = network.create(TagSpecifications=spec), network.create(LogGroupName="/theirs")
    ec2 = network.user("team", allow("ec2:DeleteFlowLogs", StringEquals={"aws:ResourceTag/team": "a"}))
    assert refused(lambda: ec2.delete_flow_logs(FlowLogIds=[mine, theirs]))[0] == "UnauthorizedOperation"
    ec2.delete_flow_logs(FlowLogIds=[mine])
    assert [one["FlowLogId"] for one in network.ec2.describe_flow_logs()["FlowLogs"]] == [theirs]


# -- listing, tagging, deleting


def test_filters_and_pages(network: Network) -> None:
    spec = [{"ResourceType": "vpc-flow-log", "Tags": [{"Key": "team", "Value": "a"}]}]
    whole = network.create(TagSpecifications=spec)
    part = network.create(
        ResourceType="Subnet", ResourceIds=[network.subnet], TrafficType="REJECT", LogGroupName="/part"
    )

    def found(name: str, *values: str) -> set[str]:
        filters = [{"Name": name, "Values": list(values)}]
        return {one["FlowLogId"] for one in network.ec2.describe_flow_logs(Filters=filters)["FlowLogs"]}

    assert found("deliver-log-status", "SUCCESS") == {whole, part} and found("deliver-log-status", "FAILED") == set()
    assert found("log-destination-type", "cloud-watch-logs") == {whole, part}
    assert found("log-destination-type", "s3") == set()
    assert found("flow-log-id", part) == {part} and found("log-group-name", "/fl*") == {whole}
    assert found("resource-id", network.subnet) == {part} and found("traffic-type", "ALL") == {whole}
    assert found("tag:team", "a") == {whole} and found("tag-key", "team") == {whole}
    assert refused(lambda: found("colour", "blue"))[0] == "InvalidParameterValue"
    for number in range(5):
        network.create(LogGroupName=f"/more-{number}")
    first = network.ec2.describe_flow_logs(MaxResults=5)
    rest = network.ec2.describe_flow_logs(MaxResults=5, NextToken=first["NextToken"])
    ids = [one["FlowLogId"] for one in (*first["FlowLogs"], *rest["FlowLogs"])]
    assert len(ids) == len(set(ids)) == 7 and "NextToken" not in rest


def test_tags_come_and_go(network: Network) -> None:
    flow_log_id = network.create()
    network.ec2.create_tags(Resources=[flow_log_id], Tags=[{"Key": "a", "Value": "1"}])
    assert network.described(flow_log_id)["Tags"] == [{"Key": "a", "Value": "1"}]
    network.ec2.delete_tags(Resources=[flow_log_id])
    assert network.described(flow_log_id).get("Tags", []) == []


def test_of_those_to_delete_all_must_be_there(network: Network) -> None:
    flow_log_id, absent = network.create(), f"fl-{ABSENT}"
    assert refused(lambda: network.ec2.delete_flow_logs(FlowLogIds=[flow_log_id, absent])) == (
        "InvalidFlowLogId.NotFound",
        f"These flow log ids in the input list are not found: [TotalCount: 1] {absent}",
    )
    assert refused(lambda: network.ec2.delete_flow_logs(FlowLogIds=["vpc-1"])) == (
        "InvalidParameterValue",
        "1 validation error detected: Value 'vpc-1' at 'flowLogId' has an invalid format",
    )
    assert refused(lambda: network.ec2.delete_flow_logs(FlowLogIds=[flow_log_id], DryRun=True))[0] == "DryRunOperation"
    assert network.described(flow_log_id)["FlowLogStatus"] == "ACTIVE"


def test_those_of_a_vpc_or_subnet_go_with_it(network: Network) -> None:
    vpc = str(network.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])
    subnet = str(network.ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"])
    network.create(ResourceIds=[vpc])
    network.create(ResourceType="Subnet", ResourceIds=[subnet])
    network.ec2.delete_subnet(SubnetId=subnet)
    assert [one["ResourceId"] for one in network.ec2.describe_flow_logs()["FlowLogs"]] == [vpc]
    network.ec2.delete_vpc(VpcId=vpc)
    assert network.ec2.describe_flow_logs()["FlowLogs"] == []


def test_another_accounts_flow_logs_do_not_exist(network: Network) -> None:
    flow_log_id = network.create()
    network.run(network.region.services.identity.ensure_account(OTHER, "other"))
    keys = network.run(network.door.door.key(None, account=OTHER))
    ec2 = network.client("ec2", keys)
    assert ec2.describe_flow_logs(FlowLogIds=[flow_log_id])["FlowLogs"] == []
    assert refused(lambda: ec2.delete_flow_logs(FlowLogIds=[flow_log_id]))[0] == "InvalidFlowLogId.NotFound"


def test_the_template_for_athena_is_refused(network: Network) -> None:
    wanted = {"FlowLogId": f"fl-{ABSENT}", "ConfigDeliveryS3DestinationArn": "arn:aws:s3:::b", "IntegrateServices": {}}
    code, _ = refused(lambda: network.ec2.get_flow_logs_integration_template(**wanted))
    assert code == "InvalidAction"


# -- records


class Host:
    """A host's bulk connection, as its agent has it."""

    def __init__(self, network: Network, host_id: str = "host-1") -> None:
        self._network = network
        self._pipe = AgentEnd()
        self._requests = 0
        network.run(self._begin(host_id))

    async def _begin(self, host_id: str) -> None:
        region = self._network.region
        await region.cell.host_keys.admit(host_id, key_of(host_id).public)
        self._serving = asyncio.ensure_future(region.gateway.accept_bulk(self._pipe))
        self._pipe.say(BulkHello(protocol=PROTOCOL, host_id=host_id))

    def send(self, batch: FlowLogBatch, counter: str = "process-1") -> FlowsAck | LogRefused:
        self._requests += 1
        self._pipe.say(FlowsAppend(request=self._requests, counter=counter, batch=batch))
        answer: FlowsAck | LogRefused = self._network.run(self._pipe.hear())
        assert answer.request == self._requests
        return answer


def batch(
    flow_log_id: str, eni: str, number: int = 1, *, account: str = ACCOUNT, at: float | None = None
) -> FlowLogBatch:
    second = int(at if at is not None else time.time())
    line = f"2 {account} {eni} 10.0.0.1 10.0.0.2 1000 80 6 {number} 60 {second} {second} ACCEPT OK"
    return FlowLogBatch(flow_log_id=flow_log_id, eni_id=eni, number=number, events=((second * 1000, line),))


def test_records_of_a_host_are_read_in_the_group_by_the_name_of_the_interface(network: Network) -> None:
    eni, flow_log_id, host = network.interface(), network.create(), Host(network)
    first, second = batch(flow_log_id, eni), batch(flow_log_id, eni, 2)
    assert isinstance(host.send(first), FlowsAck)
    assert isinstance(host.send(first), FlowsAck), "said again: it was stored"
    assert isinstance(host.send(second), FlowsAck)
    [stream] = network.logs.describe_log_streams(logGroupName="/flows")["logStreams"]
    assert stream["logStreamName"] == f"{eni}-all"
    events = network.logs.get_log_events(logGroupName="/flows", logStreamName=f"{eni}-all", startFromHead=True)[
        "events"
    ]
    assert [event["message"] for event in events] == [first.events[0][1], second.events[0][1]]
    assert events[0]["timestamp"] == first.events[0][0]
    assert network.described(flow_log_id)["DeliverLogsStatus"] == "SUCCESS"


def test_a_role_that_may_not_write_fails_the_delivery_until_it_may(network: Network) -> None:
    weak = network.new_role("weak", allow("logs:PutLogEvents", "logs:CreateLogStream"))
    eni, host = network.interface(), Host(network)
    flow_log_id = network.create(DeliverLogsPermissionArn=weak)
    answer = host.send(batch(flow_log_id, eni))
    assert isinstance(answer, LogRefused) and answer.code == "AccessDeniedException"
    assert (
        "perform: logs:CreateLogGroup on resource: arn:aws:logs:us-east-1:123456789012:log-group:/flows"
        in answer.message
    )
    shown = network.described(flow_log_id)
    assert (shown["DeliverLogsStatus"], shown["DeliverLogsErrorMessage"]) == ("FAILED", "Access error")
    failed = [{"Name": "deliver-log-status", "Values": ["FAILED"]}]
    assert len(network.ec2.describe_flow_logs(Filters=failed)["FlowLogs"]) == 1
    assert network.logs.describe_log_groups()["logGroups"] == []
    network.logs.create_log_group(logGroupName="/flows")
    assert isinstance(host.send(batch(flow_log_id, eni, 2)), FlowsAck)
    assert network.described(flow_log_id)["DeliverLogsStatus"] == "SUCCESS"
    network.iam.update_assume_role_policy(
        RoleName="weak", PolicyDocument=json.dumps(TRUST).replace("vpc-flow-logs", "ecs-tasks")
    )
    refusal = host.send(batch(flow_log_id, eni, 3))
    assert isinstance(refusal, LogRefused) and refusal.message == NOT_ASSUMED


def test_records_of_what_the_host_has_not_are_refused(network: Network) -> None:
    eni, flow_log_id = network.interface(), network.create()
    network.run(network.region.services.identity.ensure_account(OTHER, "other"))
    stranger, host = Host(network, "host-2"), Host(network)
    vpc = str(network.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])
    elsewhere = network.create(ResourceIds=[vpc])

    def said(who: Host, sent: FlowLogBatch) -> str:
        answer = who.send(sent)
        assert isinstance(answer, LogRefused)
        return answer.message

    assert said(stranger, batch(flow_log_id, eni)) == NOT_HERE, "another host's interface"
    assert said(host, batch(flow_log_id, f"eni-{ABSENT}")) == NOT_HERE
    assert said(host, batch(f"fl-{ABSENT}", eni)) == NOT_HERE
    assert said(host, batch(elsewhere, eni)) == NOT_HERE, "a flow log that does not cover the interface"
    assert said(host, batch(flow_log_id, eni, account=OTHER)) == "A record is of another account."
    network.ec2.delete_flow_logs(FlowLogIds=[flow_log_id])
    assert said(host, batch(flow_log_id, eni)) == NOT_HERE, "deleted"
    assert network.logs.describe_log_groups()["logGroups"] == []


def test_the_last_records_of_a_task_come_when_its_interface_is_given_back(network: Network) -> None:
    eni, flow_log_id, host = network.interface(), network.create(TrafficType="REJECT"), Host(network)
    zone = network.region.services.network.subnets(ACCOUNT)[0].zone
    network.run(network.capacity.release("task-1", zone))
    assert isinstance(host.send(batch(flow_log_id, eni)), FlowsAck)
    [stream] = network.logs.describe_log_streams(logGroupName="/flows")["logStreams"]
    assert stream["logStreamName"] == f"{eni}-reject"


def test_a_nat_gateways_interface_is_logged_by_the_host_that_has_it(network: Network) -> None:
    address = network.ec2.allocate_address()["AllocationId"]
    made = network.ec2.create_nat_gateway(SubnetId=network.subnet, AllocationId=address)["NatGateway"]
    network.run(network.region.placing.look())
    [gateway] = network.ec2.describe_nat_gateways(NatGatewayIds=[made["NatGatewayId"]])["NatGateways"]
    assert gateway["State"] == "available"
    eni = gateway["NatGatewayAddresses"][0]["NetworkInterfaceId"]
    flow_log_id = network.create(ResourceType="NetworkInterface", ResourceIds=[eni])
    assert isinstance(Host(network).send(batch(flow_log_id, eni)), FlowsAck)
    stranger = Host(network, "host-2").send(batch(flow_log_id, eni))
    assert isinstance(stranger, LogRefused) and stranger.message == NOT_HERE
