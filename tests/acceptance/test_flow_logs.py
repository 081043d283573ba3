"""A flow log from the call that makes it to the records that are read: what a task's group let in, and what it dropped.

Records come at the end of an interval of the clock, a minute at least: that is most of what this test takes.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .region import LiveRegion, wait_for

OPEN, SHUT = 8080, 8081
GROUP, ROLE = "/test/flow-logs", "flow-logs"
RECORDS_S = 60 + 60 + 30  # the rest of this minute, the next one, and what sending takes


@dataclass
class Logged:
    flow_log_id: str
    server: tuple[str, str]  # interface, address
    client: str  # address


@pytest.fixture
def logged(region: LiveRegion) -> Iterator[Logged]:
    """A server that lets one port in, whose interface is logged, and a client that tries this port and another."""
    iam, ec2 = region.client("iam"), region.ec2
    trust = {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
    writes = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    documents = [json.dumps({"Version": "2012-10-17", "Statement": [one]}) for one in (trust, writes)]
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=documents[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="write", PolicyDocument=documents[1])
    group = ec2.create_security_group(GroupName=uuid.uuid4().hex, Description="one port")["GroupId"]
    anybody = [{"CidrIp": "0.0.0.0/0"}]
    permission = {"IpProtocol": "tcp", "FromPort": OPEN, "ToPort": OPEN, "IpRanges": anybody}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    tasks = []
    try:
        listening = {"command": ["sh", "-c", f"while :; do echo hello | nc -l -p {OPEN}; done"], "stopTimeout": 2}
        tasks.append(region.run(region.register(listening), groups=(group,)))
        server = _interface(region, tasks[0])
        [flow_log_id] = ec2.create_flow_logs(
            ResourceType="NetworkInterface",
            ResourceIds=[server[0]],
            TrafficType="ALL",
            LogGroupName=GROUP,
            DeliverLogsPermissionArn=role,
            MaxAggregationInterval=60,
        )["FlowLogIds"]
        trying = "; ".join(f"nc -w 1 {server[1]} {port} </dev/null" for port in (OPEN, SHUT))
        calling = {"command": ["sh", "-c", f"while :; do {trying}; sleep 1; done"], "stopTimeout": 2}
        tasks.append(region.run(region.register(calling)))
        yield Logged(flow_log_id=flow_log_id, server=server, client=_interface(region, tasks[1])[1])
        ec2.delete_flow_logs(FlowLogIds=[flow_log_id])
    finally:
        for task in tasks:
            region.stop(task)
        for task in tasks:
            region.wait_status(task, "STOPPED")
        iam.delete_role_policy(RoleName=ROLE, PolicyName="write")
        iam.delete_role(RoleName=ROLE)


def _interface(region: LiveRegion, task: str) -> tuple[str, str]:
    [attachment] = region.wait_status(task, "RUNNING")["attachments"]
    details = {one["name"]: one["value"] for one in attachment["details"]}
    return details["networkInterfaceId"], details["privateIPv4Address"]


def test_what_a_group_lets_in_and_what_it_drops_is_read_in_a_log_group(region: LiveRegion, logged: Logged) -> None:
    eni, address = logged.server

    def records() -> dict[str, list[str]] | None:
        """By what was done, the words of a record of the client's calls, once there is one of each."""
        groups = region.logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
        if not groups:
            return None
        events = region.logs.filter_log_events(logGroupName=GROUP, logStreamNames=[f"{eni}-all"])["events"]
        lines = [event["message"].split(" ") for event in events]
        found = {words[12]: words for words in lines if words[3:5] == [logged.client, address]}
        return found if found.keys() >= {"ACCEPT", "REJECT"} else None

    found = wait_for("records of both kinds", records, RECORDS_S)
    for action, port in (("ACCEPT", OPEN), ("REJECT", SHUT)):
        version, account, interface, _, _, _, to, protocol, packets, size, begin, end, _, status = found[action]
        assert (version, account, interface, to, protocol, status) == ("2", "123456789012", eni, str(port), "6", "OK")
        assert int(packets) > 0 and int(size) >= 40 * int(packets) and int(begin) <= int(end)
    [shown] = region.ec2.describe_flow_logs(FlowLogIds=[logged.flow_log_id])["FlowLogs"]
    assert shown["DeliverLogsStatus"] == "SUCCESS"
