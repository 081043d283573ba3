"""Who may do what, as boto3 sees it: users, roles and sessions with policies before a whole region in memory.

The sentences are AWS's, to the letter.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from neargate.model.capacity import HostCapacity, HostFacts
from neargate.testing.front_door import ACCOUNT, REGION, ROOT, ZONES, FrontDoor, Keys, open_front_door

from .door_clients import allow, boto, sender

ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
IAM = f"arn:aws:iam::{ACCOUNT}"
AL = f"User: {IAM}:user/al"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ADDRESS = "192.0.2.7"
ECS_TASKS = {"Service": "ecs-tasks.amazonaws.com"}


class Region:
    """One region, and boto3 as whoever holds some keys."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.door: FrontDoor = runner.run(open_front_door())
        runner.run(self._add_host())
        self.ecs, self.ec2, self.iam, self.sts = (self.client(ROOT, name) for name in ("ecs", "ec2", "iam", "sts"))
        self.ecs.create_cluster(tags=[{"key": "stage", "value": "test"}])
        self.register(self.ecs)

    async def _add_host(self) -> None:
        zone = ZONES[0][0]
        capacity = self.door.region.capacities[zone]
        room = HostCapacity(cpu_units=16384, memory_mib=65536, disk_gib=1000)
        await capacity.register_host(HostFacts(host_id="h", boot_id="b", capacity=room, sandbox="simulated", zone=zone))
        await capacity.host_seen("h", True)

    def client(self, keys: Keys, service: str) -> Any:
        send = sender(self._runner.run, self.door.region.frontend, peer=ADDRESS)
        return boto(service, keys, send)

    def al(self, *statements: dict[str, Any], boundary: str | None = None, service: str = "ecs") -> Any:
        """boto3 as a new user of this name."""
        self.iam.create_user(UserName="al", **({"PermissionsBoundary": boundary} if boundary else {}))
        if statements:
            self.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(*statements))
        key = self.iam.create_access_key(UserName="al")["AccessKey"]
        self.al_keys = Keys(key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        return self.client(self.al_keys, service)

    def register(self, ecs: Any, **changes: Any) -> Any:
        return ecs.register_task_definition(
            **{
                "family": "web",
                "networkMode": "awsvpc",
                "requiresCompatibilities": ["FARGATE"],
                "cpu": "256",
                "memory": "512",
                "containerDefinitions": [{"name": "web", "image": "web:1"}],
            }
            | changes
        )["taskDefinition"]

    def run(self, ecs: Any, **changes: Any) -> Any:
        subnets = [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]
        network = {"awsvpcConfiguration": {"subnets": subnets}}
        given = {"taskDefinition": "web:1", "launchType": "FARGATE", "networkConfiguration": network}
        answer = ecs.run_task(**given | changes)
        assert not answer["failures"]
        return answer["tasks"][0]

    @property
    def tasks(self) -> list[str]:
        arns: list[str] = self.ecs.list_tasks()["taskArns"]
        return arns


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def deny(*actions: str, resource: Any = "*", **condition: Any) -> dict[str, Any]:
    return allow(*actions, resource=resource, **condition) | {"Effect": "Deny"}


def refused(call: Any, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def sentence(action: str, resource: str, why: str | None = None, who: str = AL) -> str:
    why = why or f"because no identity-based policy allows the {action} action"
    return f"{who} is not authorized to perform: {action} on resource: {resource} {why}"


def denied(action: str, resource: str, why: str | None = None, who: str = AL) -> tuple[str, int, str]:
    return "AccessDeniedException", 400, sentence(action, resource, why, who)


@pytest.fixture
def region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


RUN_RESOURCE = f"{ECS}:task-definition/web:1"


def test_who_may_read_can_describe_but_not_run(region: Region) -> None:
    task = region.run(region.ecs)["taskArn"]
    al = region.al()
    region.iam.attach_user_policy(UserName="al", PolicyArn=READ_ONLY)
    assert al.describe_clusters()["clusters"][0]["clusterName"] == "default"
    assert al.list_tasks()["taskArns"] == [task]
    assert al.describe_tasks(tasks=[task])["tasks"][0]["taskArn"] == task
    assert al.describe_task_definition(taskDefinition="web")["taskDefinition"]["family"] == "web"
    assert refused(lambda: region.run(al)) == denied("ecs:RunTask", RUN_RESOURCE)
    assert refused(al.stop_task, task=task) == denied("ecs:StopTask", task)
    assert refused(al.create_cluster, clusterName="x") == denied("ecs:CreateCluster", f"{ECS}:cluster/x")
    assert region.tasks == [task]


def test_what_is_not_there_is_denied_in_the_same_words(region: Region) -> None:
    al = region.al()
    assert refused(al.run_task, taskDefinition="ghost:7") == denied("ecs:RunTask", f"{ECS}:task-definition/ghost:7")
    assert refused(al.run_task, taskDefinition="ghost") == denied("ecs:RunTask", f"{ECS}:task-definition/ghost:*")
    assert refused(al.run_task, taskDefinition="web") == denied("ecs:RunTask", RUN_RESOURCE)
    assert refused(al.delete_cluster, cluster="ghost") == denied("ecs:DeleteCluster", f"{ECS}:cluster/ghost")
    ghost = f"{ECS}:task/ghost/{'0' * 32}"
    assert refused(al.stop_task, cluster="ghost", task=ghost) == denied("ecs:StopTask", ghost)


def test_each_protocol_refuses_as_its_service_does(region: Region) -> None:
    region.al()
    ec2, iam, logs = (region.client(region.al_keys, name) for name in ("ec2", "iam", "logs"))
    code, status, message = refused(ec2.describe_vpcs)
    assert (code, status) == ("UnauthorizedOperation", 403)
    assert message == "You are not authorized to perform this operation. " + sentence("ec2:DescribeVpcs", "*")
    assert refused(ec2.describe_vpcs, DryRun=True)[0] == "UnauthorizedOperation"
    assert refused(iam.get_user, UserName="al") == (
        "AccessDenied",
        403,
        sentence("iam:GetUser", "user al"),
    )
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g:log-stream:"
    assert refused(logs.create_log_group, logGroupName="g") == denied("logs:CreateLogGroup", group)


def test_an_explicit_deny_wins_and_says_so(region: Region) -> None:
    al = region.al(
        allow("ecs:*"), deny("ecs:RunTask", ArnEquals={"ecs:cluster": f"{ECS}:cluster/default"}), allow("ec2:*")
    )
    why = "with an explicit deny in an identity-based policy"
    assert refused(lambda: region.run(al)) == denied("ecs:RunTask", RUN_RESOURCE, why)
    al.create_cluster(clusterName="blue")
    assert region.run(al, cluster="blue")["clusterArn"] == f"{ECS}:cluster/blue"


def test_a_boundary_limits_what_policies_allow(region: Region) -> None:
    al = region.al(allow("ecs:*"), boundary=READ_ONLY)
    why = "because no permissions boundary allows the ecs:RunTask action"
    assert al.list_clusters()["clusterArns"] == [f"{ECS}:cluster/default"]
    assert refused(lambda: region.run(al)) == denied("ecs:RunTask", RUN_RESOURCE, why)


def test_a_session_policy_narrows_the_role(region: Region) -> None:
    region.al(allow("sts:AssumeRole"))
    trust = policy({"Effect": "Allow", "Principal": {"AWS": f"{IAM}:root"}, "Action": "sts:AssumeRole"})
    role = region.iam.create_role(RoleName="runner", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    region.iam.put_role_policy(RoleName="runner", PolicyName="all", PolicyDocument=policy(allow("ecs:*")))
    sts = region.client(region.al_keys, "sts")

    def session(**limits: Any) -> Any:
        made = sts.assume_role(RoleArn=role, RoleSessionName="ci", **limits)["Credentials"]
        keys = Keys(key=made["AccessKeyId"], secret=made["SecretAccessKey"], token=made["SessionToken"])
        return region.client(keys, "ecs")

    whole, narrow = session(), session(Policy=policy(allow("ecs:Describe*", "ecs:List*")))
    task = region.run(whole)["taskArn"]
    assert narrow.describe_tasks(tasks=[task])["tasks"][0]["taskArn"] == task
    who = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/runner/ci"
    why = "because no session policy allows the ecs:RunTask action"
    assert refused(lambda: region.run(narrow)) == denied("ecs:RunTask", RUN_RESOURCE, why, who)


def test_one_task_that_may_not_be_seen_refuses_the_whole_description(region: Region) -> None:
    seen, hidden = (region.run(region.ecs, tags=[{"key": "team", "value": name}])["taskArn"] for name in ("a", "b"))
    al = region.al(allow("ecs:DescribeTasks", StringEquals={"aws:ResourceTag/Team": "a"}))
    assert [task["taskArn"] for task in al.describe_tasks(tasks=[seen])["tasks"]] == [seen]
    assert refused(al.describe_tasks, tasks=[seen, hidden]) == denied("ecs:DescribeTasks", hidden)
    missing = f"{ECS}:task/default/{'0' * 32}"
    assert refused(al.describe_tasks, tasks=[missing]) == denied("ecs:DescribeTasks", missing)


def test_tags_of_what_is_there_decide(region: Region) -> None:
    al = region.al(
        allow("ecs:DeleteCluster", "ecs:StopTask", StringEquals={"ecs:ResourceTag/stage": "test"}),
        allow("ecs:RunTask", StringEquals={"aws:ResourceTag/stage": "test"}),
    )
    region.ecs.create_cluster(clusterName="live", tags=[{"key": "stage", "value": "live"}])
    assert refused(al.delete_cluster, cluster="live") == denied("ecs:DeleteCluster", f"{ECS}:cluster/live")
    task = region.run(region.ecs, tags=[{"key": "stage", "value": "test"}])["taskArn"]
    assert al.stop_task(task=task)["task"]["desiredStatus"] == "STOPPED"
    assert refused(lambda: region.run(al)) == denied("ecs:RunTask", RUN_RESOURCE)
    region.register(region.ecs, tags=[{"key": "stage", "value": "test"}])
    assert region.run(al, taskDefinition="web:2")["lastStatus"] == "PROVISIONING"


def test_tags_of_the_request_decide_and_need_leave_of_their_own(region: Region) -> None:
    team = {"StringEquals": {"aws:RequestTag/team": "a"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    al = region.al(allow("ecs:RunTask", **team))
    tags = [{"key": "team", "value": "a"}]
    assert refused(lambda: region.run(al)) == denied("ecs:RunTask", RUN_RESOURCE)
    assert refused(lambda: region.run(al, tags=[*tags, {"key": "x"}])) == denied("ecs:RunTask", RUN_RESOURCE)
    assert refused(lambda: region.run(al, tags=tags)) == denied("ecs:TagResource", f"{ECS}:task/default/*")
    tagging = allow("ecs:TagResource", StringEquals={"ecs:CreateAction": "RunTask"})
    region.iam.put_user_policy(UserName="al", PolicyName="tags", PolicyDocument=policy(tagging))
    assert region.run(al, tags=tags)["tags"] == tags
    assert refused(al.create_cluster, clusterName="x", tags=tags)[2].startswith(f"{AL} is not authorized")


def test_of_two_tags_that_differ_in_case_neither_is_the_one_that_a_policy_names(region: Region) -> None:
    al = region.al(allow("ecs:CreateCluster", "ecs:TagResource", StringEquals={"aws:RequestTag/team": "a"}))
    twins = [{"key": "team", "value": "b"}, {"key": "TEAM", "value": "a"}]
    for tags in (twins, twins[::-1]):
        told = denied("ecs:CreateCluster", f"{ECS}:cluster/x")
        assert refused(al.create_cluster, clusterName="x", tags=tags) == told
    al.create_cluster(clusterName="x", tags=twins[1:])


def test_sizes_are_compared_whatever_the_request_calls_them(region: Region) -> None:
    small = {"NumericLessThanEquals": {"ecs:task-cpu": "256", "ecs:task-memory": "512"}}
    al = region.al(allow("ecs:RegisterTaskDefinition", **small))
    resource = f"{ECS}:task-definition/web:*"
    large = denied("ecs:RegisterTaskDefinition", resource)
    assert refused(lambda: region.register(al, cpu="4 vCPU", memory="30 GB")) == large
    assert refused(lambda: region.register(al, cpu="512", memory="1024")) == large
    assert region.register(al, cpu=".25 vCPU", memory="0.5GB")["revision"] == 2


def test_a_role_is_passed_when_it_is_registered_and_when_it_runs(region: Region) -> None:
    execution = f"{IAM}:role/ecsTaskExecutionRole"
    trust = {"Effect": "Allow", "Principal": ECS_TASKS, "Action": "sts:AssumeRole"}
    region.iam.create_role(RoleName="ecsTaskExecutionRole", AssumeRolePolicyDocument=policy(trust))
    al = region.al(allow("ecs:*"))
    passing = denied("iam:PassRole", execution)
    assert refused(lambda: region.register(al, executionRoleArn=execution)) == passing
    region.register(region.ecs, executionRoleArn="ecsTaskExecutionRole")
    assert refused(lambda: region.run(al, taskDefinition="web:2")) == passing
    assert refused(lambda: region.run(al, overrides={"taskRoleArn": execution})) == passing
    to_ec2 = allow("iam:PassRole", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    region.iam.put_user_policy(UserName="al", PolicyName="pass", PolicyDocument=policy(to_ec2))
    assert refused(lambda: region.run(al, taskDefinition="web:2")) == passing
    to_ecs = allow("iam:PassRole", resource=execution, StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"})
    region.iam.put_user_policy(UserName="al", PolicyName="pass", PolicyDocument=policy(to_ecs))
    assert region.run(al, taskDefinition="web:2")["taskDefinitionArn"] == f"{ECS}:task-definition/web:2"
    assert region.register(al, executionRoleArn=execution, taskRoleArn=execution)["revision"] == 3
    other = f"{IAM}:role/other"
    assert refused(lambda: region.run(al, overrides={"taskRoleArn": other})) == denied("iam:PassRole", other)


def test_ecs_must_be_able_to_assume_the_role(region: Region) -> None:
    """AWS finds out at the launch, and says the same of a role that is not there."""
    not_ecs = policy({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
    region.iam.create_role(RoleName="machine", AssumeRolePolicyDocument=not_ecs)
    elsewhere = {"StringEquals": {"aws:SourceAccount": "210987654321"}}
    for_another = policy(
        {"Effect": "Allow", "Principal": ECS_TASKS, "Action": "sts:AssumeRole", "Condition": elsewhere}
    )
    region.iam.create_role(RoleName="elsewhere", AssumeRolePolicyDocument=for_another)
    for name in ("machine", "elsewhere", "ghost"):
        arn = f"{IAM}:role/{name}"
        assert region.register(region.ecs, taskRoleArn=arn)["taskRoleArn"] == arn
        for given in ({"taskDefinition": "web"}, {"overrides": {"executionRoleArn": arn}}):
            assert refused(lambda given=given: region.run(region.ecs, **given)) == (
                "ClientException",
                400,
                f"ECS was unable to assume the role '{arn}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role.",
            )
    assert not region.tasks
    here = {"ArnLike": {"aws:SourceArn": f"{ECS}:*"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}}
    trust = policy({"Effect": "Allow", "Principal": ECS_TASKS, "Action": "sts:AssumeRole", "Condition": here})
    region.iam.create_role(RoleName="ghost", AssumeRolePolicyDocument=trust)
    assert region.run(region.ecs, taskDefinition="web")["lastStatus"] == "PROVISIONING"


def test_a_security_group_is_asked_for_by_its_own_arn_however_it_is_named(region: Region) -> None:
    made = region.ec2.create_security_group(GroupName="kept", Description="x")["GroupId"]
    kept = deny("ec2:DeleteSecurityGroup", resource=f"{EC2}:security-group/{made}")
    ec2 = region.al(allow("ec2:*"), kept, service="ec2")
    for named, shown in (({"GroupId": made}, made), ({"GroupName": "kept"}, "*")):
        why = "with an explicit deny in an identity-based policy"
        told = sentence("ec2:DeleteSecurityGroup", f"{EC2}:security-group/{shown}", why)
        expected = ("UnauthorizedOperation", 403, f"You are not authorized to perform this operation. {told}")
        assert refused(ec2.delete_security_group, **named) == expected
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "team", "Value": "a"}]}]
    other = ec2.create_security_group(GroupName="mine", Description="x", TagSpecifications=tags)["GroupId"]
    tagged = allow("ec2:DeleteSecurityGroup", StringEquals={"ec2:ResourceTag/team": "a"})
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=policy(tagged))
    assert refused(ec2.delete_security_group, GroupId=made)[0] == "UnauthorizedOperation"
    ec2.delete_security_group(GroupId=other)


def test_a_group_is_made_in_a_vpc_and_both_are_asked_for(region: Region) -> None:
    vpc = f"{EC2}:vpc/{region.ec2.describe_vpcs()['Vpcs'][0]['VpcId']}"
    ec2 = region.al(allow("ec2:CreateSecurityGroup", resource=vpc), service="ec2")
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": "team", "Value": "a"}]}]
    wanted = {"GroupName": "g", "Description": "x"}

    def answer(action: str, resource: str) -> tuple[str, int, str]:
        told = sentence(action, resource)
        return "UnauthorizedOperation", 403, f"You are not authorized to perform this operation. {told}"

    anything = f"{EC2}:security-group/*"
    assert refused(ec2.create_security_group, **wanted) == answer("ec2:CreateSecurityGroup", anything)
    # The VPC is not what the tags are for: a condition on them must not be asked of it.
    groups = allow("ec2:CreateSecurityGroup", resource=anything, StringEquals={"aws:RequestTag/team": "a"})
    own = policy(allow("ec2:CreateSecurityGroup", resource=vpc, Null={"aws:RequestTag/team": "true"}), groups)
    region.iam.put_user_policy(UserName="al", PolicyName="own", PolicyDocument=own)
    assert refused(ec2.create_security_group, **wanted) == answer("ec2:CreateSecurityGroup", anything)
    tagged = wanted | {"TagSpecifications": tags}
    assert refused(ec2.create_security_group, **tagged) == answer("ec2:CreateTags", anything)
    tagging = policy(allow("ec2:CreateTags", StringEquals={"ec2:CreateAction": "CreateSecurityGroup"}))
    region.iam.put_user_policy(UserName="al", PolicyName="tags", PolicyDocument=tagging)
    assert refused(ec2.create_security_group, DryRun=True, **tagged)[0] == "DryRunOperation"
    assert ec2.create_security_group(**tagged)["Tags"] == tags[0]["Tags"]


def test_streams_have_the_tags_of_their_group(region: Region) -> None:
    region.al(allow("logs:*", StringEquals={"aws:ResourceTag/team": "a"}))
    root, al = region.client(ROOT, "logs"), region.client(region.al_keys, "logs")
    for name in ("a", "b"):
        root.create_log_group(logGroupName=name, tags={"team": name})
    al.create_log_stream(logGroupName="a", logStreamName="s")
    assert [stream["logStreamName"] for stream in al.describe_log_streams(logGroupName="a")["logStreams"]] == ["s"]
    stream = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:b:log-stream:s"
    assert refused(al.create_log_stream, logGroupName="b", logStreamName="s") == denied("logs:CreateLogStream", stream)
    ghost = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:ghost:log-stream:"
    assert refused(al.describe_log_streams, logGroupName="ghost") == denied("logs:DescribeLogStreams", ghost)


@pytest.mark.parametrize("arn", ["aws-cn:iam::123456789012", "aws:iam:us-east-1:123456789012", "aws:iam::SOMEBODY"])
def test_an_arn_that_belongs_to_nobody_is_refused_in_words(region: Region, arn: str) -> None:
    """What callers name is no bug of an operation: the rows' forms hold only what operations make of it."""
    strange = f"arn:{arn}:policy/strange"
    assert refused(region.iam.get_policy, PolicyArn=strange)[:2] == ("NoSuchEntity", 404)
    simulated = {"PolicySourceArn": f"arn:{arn}:role/strange", "ActionNames": ["ecs:RunTask"]}
    assert refused(region.iam.simulate_principal_policy, **simulated)[1] < 500


def test_where_and_when_a_request_comes_from_decide(region: Region) -> None:
    al = region.al(
        allow("ecs:ListClusters", DateLessThan={"aws:CurrentTime": "2001-01-01T00:00:00Z"}),
        allow("ecs:ListTaskDefinitions", StringEquals={"aws:RequestedRegion": REGION}),
        allow("ecs:ListTasks", StringEquals={"aws:PrincipalTag/team": "a"}),
        allow("ecs:DescribeClusters", IpAddress={"aws:SourceIp": f"{ADDRESS}/32"}),
        allow("ecs:DescribeTaskDefinition", NotIpAddress={"aws:SourceIp": f"{ADDRESS}/32"}),
        allow("ecs:ListTaskDefinitionFamilies", Bool={"aws:MultiFactorAuthPresent": "true"}),
    )
    assert refused(al.list_clusters) == denied("ecs:ListClusters", "*")
    assert al.list_task_definitions()["taskDefinitionArns"] == [RUN_RESOURCE]
    assert al.describe_clusters()["clusters"]
    elsewhere = refused(al.describe_task_definition, taskDefinition="web")
    assert elsewhere == denied("ecs:DescribeTaskDefinition", "*")
    assert refused(al.list_tasks) == denied("ecs:ListTasks", "*")
    region.iam.tag_user(UserName="al", Tags=[{"Key": "team", "Value": "a"}])
    assert al.list_tasks()["taskArns"] == []
    assert refused(al.list_task_definition_families) == denied("ecs:ListTaskDefinitionFamilies", "*")
