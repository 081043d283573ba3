"""What Terraform's AWS provider (5.100) calls in a resource's life, in its order, and what it relies on in the answers.

Create, read back (with tags), change, delete, look for it once more: by the error code of the last look it knows that a
resource is gone. A region in memory behind real HTTP; each test has names of its own.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.world import OsWorld

from .served import ACCOUNT, KEY, REGION, SECRET, InThread, listening, region_in_memory

ZONES = (("us-east-1a", "use1-az1"),)
TAGS = [{"Key": "team", "Value": "x"}, {"Key": "env", "Value": "y"}]
ECS_TAGS = [{"key": tag["Key"], "value": tag["Value"]} for tag in TAGS]
EXECUTION_POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
ANYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


class Clients:
    def __init__(self, port: int) -> None:
        self._port = port
        self.iam, self.sts, self.ecs, self.ec2, self.logs = map(self._client, ("iam", "sts", "ecs", "ec2", "logs"))
        self.ssm = self._client("ssm")
        self.kms, self.secrets = self._client("kms"), self._client("secretsmanager")
        self.ecr = self._client("ecr")

    def _client(self, service: str) -> Any:
        session: Any = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION)
        endpoint, config = f"http://127.0.0.1:{self._port}", Config(retries={"mode": "standard"})
        return session.client(service, endpoint_url=endpoint, config=config)


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    region = await region_in_memory(OsWorld(), ZONES, one_machine=True)
    async with listening(region.frontend) as port:
        yield port


@pytest.fixture
def fresh() -> Iterator[Clients]:
    """A region in which nobody has made anything."""
    with InThread(serving) as port:
        yield Clients(port)


@pytest.fixture(scope="module")
def aws() -> Iterator[Clients]:
    with InThread(serving) as port:
        yield Clients(port)


def code_of(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def trust(principal: dict[str, Any]) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def allowing(action: str) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})


def by_key(tags: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(tags, key=lambda tag: next(iter(tag.values())))


def test_an_execution_role_is_made_in_a_fresh_account_and_taken_away_again(fresh: Clients) -> None:
    iam, name = fresh.iam, "ecsTaskExecutionRole"
    assert fresh.sts.get_caller_identity()["Account"] == ACCOUNT  # the provider's start
    assert iam.list_roles()["Roles"] == []
    document = trust({"Service": "ecs-tasks.amazonaws.com"})
    iam.create_role(
        RoleName=name, Path="/", AssumeRolePolicyDocument=json.dumps(document), MaxSessionDuration=3600, Tags=TAGS
    )
    assert (
        code_of(iam.create_role, RoleName=name, AssumeRolePolicyDocument=json.dumps(document)) == "EntityAlreadyExists"
    )
    role = iam.get_role(RoleName=name)["Role"]
    assert role["AssumeRolePolicyDocument"] == document and by_key(role["Tags"]) == by_key(TAGS)
    assert (role["MaxSessionDuration"], role["Path"]) == (3600, "/")

    iam.attach_role_policy(RoleName=name, PolicyArn=EXECUTION_POLICY)
    iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=allowing("logs:*"))
    shown = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert shown == [{"PolicyName": "AmazonECSTaskExecutionRolePolicy", "PolicyArn": EXECUTION_POLICY}]
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["inline"]

    assert code_of(iam.delete_role, RoleName=name) == "DeleteConflict"
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    iam.detach_role_policy(RoleName=name, PolicyArn=EXECUTION_POLICY)
    assert code_of(iam.detach_role_policy, RoleName=name, PolicyArn=EXECUTION_POLICY) == "NoSuchEntity"
    iam.delete_role_policy(RoleName=name, PolicyName="inline")
    assert code_of(iam.get_role_policy, RoleName=name, PolicyName="inline") == "NoSuchEntity"
    iam.delete_role(RoleName=name)
    assert code_of(iam.get_role, RoleName=name) == "NoSuchEntity"


def test_ecss_own_role_is_made_before_the_cluster_or_with_it(fresh: Clients) -> None:
    iam, name = fresh.iam, "AWSServiceRoleForECS"
    assert code_of(iam.get_role, RoleName=name) == "NoSuchEntity"
    iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
    iam.tag_role(RoleName=name, Tags=TAGS)  # CreateServiceLinkedRole takes none
    assert by_key(iam.get_role(RoleName=name)["Role"]["Tags"]) == by_key(TAGS)
    role_id = iam.get_role(RoleName=name)["Role"]["RoleId"]
    fresh.ecs.create_cluster(clusterName="first")
    assert iam.get_role(RoleName=name)["Role"]["RoleId"] == role_id

    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    told = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)
    (usage,) = told["Reason"]["RoleUsageList"]
    assert (told["Status"], usage["Resources"]) == ("FAILED", fresh.ecs.list_clusters()["clusterArns"])
    assert iam.get_role(RoleName=name)["Role"]["RoleId"] == role_id
    fresh.ecs.delete_cluster(cluster="first")
    task = iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    fresh.ecs.create_cluster(clusterName="second")
    assert iam.get_role(RoleName=name)["Role"]["RoleId"] != role_id
    assert code_of(iam.create_service_linked_role, AWSServiceName="ecs.amazonaws.com") == "InvalidInput"


def test_a_policys_change_is_a_version_and_the_oldest_makes_room(aws: Clients) -> None:
    iam = aws.iam
    arn = iam.create_policy(PolicyName="mine", Path="/", PolicyDocument=allowing("s3:0"), Tags=TAGS)["Policy"]["Arn"]
    for number in range(1, 7):
        versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
        if len(versions) == 5:
            oldest = min((one for one in versions if not one["IsDefaultVersion"]), key=lambda one: one["CreateDate"])
            refused = code_of(iam.create_policy_version, PolicyArn=arn, PolicyDocument=allowing("s3:no"))
            assert refused == "LimitExceeded"
            iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=allowing(f"s3:{number}"), SetAsDefault=True)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert policy["DefaultVersionId"] == "v7" and by_key(policy["Tags"]) == by_key(TAGS)
    version = iam.get_policy_version(PolicyArn=arn, VersionId="v7")["PolicyVersion"]
    assert version["Document"] == json.loads(allowing("s3:6"))
    for one in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not one["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=one["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    assert code_of(iam.get_policy, PolicyArn=arn) == "NoSuchEntity"


def test_an_instance_profile_and_a_provider(aws: Clients) -> None:
    iam = aws.iam
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust({"Service": "ec2.amazonaws.com"})))
    iam.create_instance_profile(InstanceProfileName="p", Path="/", Tags=TAGS)
    iam.get_waiter("instance_profile_exists").wait(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    profile = iam.get_instance_profile(InstanceProfileName="p")["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == ["r"] and by_key(profile["Tags"]) == by_key(TAGS)
    assert code_of(iam.delete_role, RoleName="r") == "DeleteConflict"
    iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    iam.delete_instance_profile(InstanceProfileName="p")
    assert code_of(iam.get_instance_profile, InstanceProfileName="p") == "NoSuchEntity"

    print_of = "6938fd4d98bab03faadb97b34396831e3780aea1"
    given = {"Url": "https://ci.example.com", "ClientIDList": ["a"], "ThumbprintList": [print_of], "Tags": TAGS}
    arn = iam.create_open_id_connect_provider(**given)["OpenIDConnectProviderArn"]
    assert code_of(iam.create_open_id_connect_provider, **given) == "EntityAlreadyExists"
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (provider["Url"], provider["ClientIDList"], provider["ThumbprintList"]) == (
        "ci.example.com",
        ["b"],
        [print_of],
    )
    assert by_key(provider["Tags"]) == by_key(TAGS)
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert code_of(iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn) == "NoSuchEntity"


def test_a_cluster_is_gone_when_it_is_inactive_or_missing(aws: Clients) -> None:
    ecs, include = aws.ecs, ["TAGS", "CONFIGURATIONS", "SETTINGS"]
    arn = ecs.create_cluster(clusterName="tf", tags=ECS_TAGS)["cluster"]["clusterArn"]
    [cluster] = ecs.describe_clusters(clusters=[arn], include=include)["clusters"]
    assert cluster["status"] == "ACTIVE" and by_key(cluster["tags"]) == by_key(ECS_TAGS)
    assert cluster["settings"] == [{"name": "containerInsights", "value": "disabled"}]
    ecs.delete_cluster(cluster=arn)
    assert ecs.describe_clusters(clusters=[arn], include=include)["clusters"][0]["status"] == "INACTIVE"
    missing = ecs.describe_clusters(clusters=["never"], include=include)
    assert (missing["clusters"], missing["failures"][0]["reason"]) == ([], "MISSING")
    assert code_of(ecs.delete_cluster, cluster="never") == "ClusterNotFoundException"


def test_a_definition_reads_back_as_it_was_written_with_awss_defaults(aws: Clients) -> None:
    """The provider compares containers after leaving out what AWS fills in: these members, with these values."""
    ecs = aws.ecs
    container = {"name": "web", "image": "web:1", "portMappings": [{"containerPort": 80}]}
    given = {"family": "tf", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "tags": ECS_TAGS}
    made = ecs.register_task_definition(**given, cpu="256", memory="512", containerDefinitions=[container])
    arn = made["taskDefinition"]["taskDefinitionArn"]
    read = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
    assert by_key(read["tags"]) == by_key(ECS_TAGS)
    empty: dict[str, Any] = {name: [] for name in ("environment", "mountPoints", "volumesFrom", "systemControls")}
    ports = [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]
    assert read["taskDefinition"]["containerDefinitions"] == [
        {**container, "portMappings": ports, "cpu": 0, "essential": True, **empty}
    ]
    ecs.deregister_task_definition(taskDefinition=arn)
    assert ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["status"] == "INACTIVE"
    assert code_of(ecs.describe_task_definition, taskDefinition="never:1") == "ClientException"


def test_a_security_group_loses_its_default_rule_and_is_found_by_id(aws: Clients) -> None:
    ec2 = aws.ec2
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    tagged = [{"ResourceType": "security-group", "Tags": TAGS}]
    named = {"GroupName": "tf", "Description": "Managed by Terraform", "VpcId": vpc}
    group = ec2.create_security_group(**named, TagSpecifications=tagged)["GroupId"]
    assert code_of(ec2.create_security_group, **named) == "InvalidGroup.Duplicate"
    ec2.get_waiter("security_group_exists").wait(GroupIds=[group])
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[ANYWHERE])
    web = {
        "IpProtocol": "tcp",
        "FromPort": 80,
        "ToPort": 80,
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "d"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[web])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[ANYWHERE])
    [read] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert by_key(read["Tags"]) == by_key(TAGS) and read["IpPermissionsEgress"][0]["IpProtocol"] == "-1"
    assert [(one["FromPort"], one["IpRanges"]) for one in read["IpPermissions"]] == [(80, web["IpRanges"])]
    assert (
        code_of(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[web])
        == "InvalidPermission.Duplicate"
    )

    other = ec2.create_security_group(**named | {"GroupName": "other"})["GroupId"]
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    [rule] = ec2.authorize_security_group_ingress(GroupId=other, IpPermissions=[pair])["SecurityGroupRules"]
    assert code_of(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    ids = [rule["SecurityGroupRuleId"]]
    ec2.revoke_security_group_ingress(GroupId=other, SecurityGroupRuleIds=ids)
    gone = code_of(ec2.describe_security_group_rules, SecurityGroupRuleIds=ids)
    assert gone == "InvalidSecurityGroupRuleId.NotFound"
    ec2.delete_security_group(GroupId=group)
    assert code_of(ec2.describe_security_groups, GroupIds=[group]) == "InvalidGroup.NotFound"


def test_a_log_group(aws: Clients) -> None:
    """`aws_cloudwatch_log_group` with retention and tags: made, read, changed, read, deleted."""
    logs = aws.logs
    logs.create_log_group(logGroupName="/tf", tags={"team": "x"})
    assert code_of(logs.create_log_group, logGroupName="/tf") == "ResourceAlreadyExistsException"
    logs.put_retention_policy(logGroupName="/tf", retentionInDays=7)
    [group] = logs.describe_log_groups(logGroupNamePrefix="/tf")["logGroups"]
    assert (group["retentionInDays"], group["metricFilterCount"]) == (7, 0)
    arn = group["arn"].removesuffix(":*")
    assert arn == group["logGroupArn"]
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "x"}
    logs.untag_resource(resourceArn=arn, tagKeys=["team"])
    logs.tag_resource(resourceArn=arn, tags={"stage": "test", "cost": ""})
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"stage": "test", "cost": ""}
    logs.delete_retention_policy(logGroupName="/tf")
    [group] = logs.describe_log_groups(logGroupNamePrefix="/tf")["logGroups"]
    assert "retentionInDays" not in group
    logs.delete_log_group(logGroupName="/tf")
    assert logs.describe_log_groups(logGroupNamePrefix="/tf")["logGroups"] == []
    assert code_of(logs.delete_log_group, logGroupName="/tf") == "ResourceNotFoundException"
    assert code_of(logs.list_tags_for_resource, resourceArn=arn) == "ResourceNotFoundException"


def test_a_parameter(aws: Clients) -> None:
    """`aws_ssm_parameter`: made, read with its metadata and tags, changed (without what did not change), deleted."""
    ssm, wanted = aws.ssm, {"Name": "/tf/token", "Type": "SecureString", "AllowedPattern": "", "Overwrite": False}
    ssm.put_parameter(**wanted, Value="one", Description="d", KeyId="alias/aws/ssm", Tier="Standard", Tags=TAGS)
    assert code_of(ssm.put_parameter, **wanted, Value="one") == "ParameterAlreadyExists"

    def read() -> tuple[Any, Any]:
        parameter = ssm.get_parameter(Name="/tf/token", WithDecryption=True)["Parameter"]
        named = [{"Key": "Name", "Option": "Equals", "Values": ["/tf/token"]}]
        [detail] = ssm.describe_parameters(ParameterFilters=named)["Parameters"]
        return parameter, detail

    parameter, detail = read()
    arn = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/tf/token"
    assert (parameter["ARN"], parameter["Value"], parameter["Version"]) == (arn, "one", 1)
    named = ("KeyId", "Tier", "DataType", "Description")
    assert [detail[name] for name in named] == ["alias/aws/ssm", "Standard", "text", "d"]
    assert "AllowedPattern" not in detail
    tagged = {"ResourceType": "Parameter", "ResourceId": "/tf/token"}
    assert ssm.list_tags_for_resource(**tagged)["TagList"] == TAGS
    ssm.put_parameter(**wanted | {"Overwrite": True}, Value="two", Tier="Standard")
    parameter, detail = read()
    assert (parameter["Value"], parameter["Version"], parameter["Type"]) == ("two", 2, "SecureString")
    assert [detail[name] for name in named] == ["alias/aws/ssm", "Standard", "text", "d"]
    ssm.remove_tags_from_resource(**tagged, TagKeys=["env"])
    ssm.add_tags_to_resource(**tagged, Tags=[{"Key": "team", "Value": "z"}])
    assert ssm.list_tags_for_resource(**tagged)["TagList"] == [{"Key": "team", "Value": "z"}]
    ssm.delete_parameter(Name="/tf/token")
    assert code_of(ssm.get_parameter, Name="/tf/token", WithDecryption=True) == "ParameterNotFound"
    assert code_of(ssm.delete_parameter, Name="/tf/token") == "ParameterNotFound"


def test_a_repository_with_its_policies(aws: Clients) -> None:
    """aws_ecr_repository, aws_ecr_lifecycle_policy, aws_ecr_repository_policy, aws_ecr_authorization_token."""
    ecr, name = aws.ecr, "terraform/app"
    made = ecr.create_repository(
        repositoryName=name,
        imageTagMutability="MUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
        encryptionConfiguration={"encryptionType": "AES256"},
        tags=TAGS,
    )["repository"]
    read = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    assert read == made and read["imageScanningConfiguration"] == {"scanOnPush": True}
    assert read["encryptionConfiguration"] == {"encryptionType": "AES256"}
    assert by_key(ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]) == by_key(TAGS)
    ecr.put_image_tag_mutability(repositoryName=name, registryId=ACCOUNT, imageTagMutability="IMMUTABLE")
    ecr.put_image_scanning_configuration(
        repositoryName=name, registryId=ACCOUNT, imageScanningConfiguration={"scanOnPush": False}
    )
    ecr.tag_resource(resourceArn=made["repositoryArn"], tags=[{"Key": "team", "Value": "z"}])
    ecr.untag_resource(resourceArn=made["repositoryArn"], tagKeys=["env"])
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "team", "Value": "z"}]
    assert ecr.describe_repositories(repositoryNames=[name])["repositories"][0]["imageTagMutability"] == "IMMUTABLE"

    selection = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}
    text = json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
    assert code_of(ecr.get_lifecycle_policy, repositoryName=name) == "LifecyclePolicyNotFoundException"
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=text)
    assert json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]) == json.loads(text)
    ecr.delete_lifecycle_policy(repositoryName=name, registryId=ACCOUNT)
    assert code_of(ecr.get_lifecycle_policy, repositoryName=name) == "LifecyclePolicyNotFoundException"

    statement = {"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}
    policy = json.dumps({"Version": "2008-10-17", "Statement": [statement]})
    ecr.set_repository_policy(repositoryName=name, policyText=policy)
    assert json.loads(ecr.get_repository_policy(repositoryName=name)["policyText"]) == json.loads(policy)
    ecr.delete_repository_policy(repositoryName=name, registryId=ACCOUNT)
    assert code_of(ecr.get_repository_policy, repositoryName=name) == "RepositoryPolicyNotFoundException"

    data = ecr.get_authorization_token()["authorizationData"][0]
    assert data["proxyEndpoint"].removeprefix("http://") == made["repositoryUri"].partition("/")[0]
    ecr.delete_repository(repositoryName=name, registryId=ACCOUNT, force=False)
    assert code_of(ecr.describe_repositories, repositoryNames=[name]) == "RepositoryNotFoundException"
    assert code_of(ecr.delete_repository, repositoryName=name) == "RepositoryNotFoundException"


def test_a_key_and_its_alias(aws: Clients) -> None:
    """`aws_kms_key` and `aws_kms_alias`: a deleted key is one that waits for its deletion, an alias is not listed."""
    kms, tags = aws.kms, [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in TAGS]
    made = kms.create_key(
        BypassPolicyLockoutSafetyCheck=False,
        CustomerMasterKeySpec="SYMMETRIC_DEFAULT",
        KeyUsage="ENCRYPT_DECRYPT",
        Description="d",
        MultiRegion=False,
        Tags=tags,
    )["KeyMetadata"]
    key = made["KeyId"]
    found = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert found == made and found["KeyState"] == "Enabled" and found["Origin"] == "AWS_KMS"
    policy = json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])
    assert policy["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    assert kms.list_resource_tags(KeyId=key)["Tags"] == sorted(tags, key=lambda tag: tag["TagKey"])
    kms.put_key_policy(
        KeyId=key,
        PolicyName="default",
        Policy=json.dumps(policy | {"Id": "mine"}),
        BypassPolicyLockoutSafetyCheck=False,
    )
    assert json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Id"] == "mine"
    kms.update_key_description(KeyId=key, Description="e")
    kms.untag_resource(KeyId=key, TagKeys=["env"])
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "team", "TagValue": "z"}])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "team", "TagValue": "z"}]

    def alias() -> Any:
        pages = kms.get_paginator("list_aliases").paginate()
        listed = [one for page in pages for one in page["Aliases"] if one["AliasName"] == "alias/tf"]
        return listed[0] if listed else None

    assert alias() is None
    kms.create_alias(AliasName="alias/tf", TargetKeyId=key)
    assert alias()["TargetKeyId"] == key and alias()["AliasArn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/tf"
    kms.delete_alias(AliasName="alias/tf")
    assert alias() is None
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=30)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert code_of(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=30) == "KMSInvalidStateException"


def test_a_secret_and_its_version(aws: Clients) -> None:
    """`aws_secretsmanager_secret`, `_policy` and `_version`: gone is what has a date of deletion, or is not found."""
    sm, token = aws.secrets, "0123456789abcdef0123456789abcdef"
    made = sm.create_secret(
        Name="tf/db", ClientRequestToken=token, Description="d", ForceOverwriteReplicaSecret=False, Tags=TAGS
    )
    arn = made["ARN"]
    found = sm.describe_secret(SecretId=arn)
    assert (found["Name"], found["Description"], found["Tags"]) == ("tf/db", "d", TAGS)
    assert "DeletedDate" not in found and "KmsKeyId" not in found and not found.get("ReplicationStatus")
    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId=arn)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    sm.put_resource_policy(SecretId=arn, ResourcePolicy=json.dumps(policy), BlockPublicPolicy=False)
    assert json.loads(sm.get_resource_policy(SecretId=arn)["ResourcePolicy"]) == policy
    sm.delete_resource_policy(SecretId=arn)
    version = sm.put_secret_value(SecretId=arn, ClientRequestToken=token[::-1], SecretString="one")["VersionId"]
    read = sm.get_secret_value(SecretId=arn, VersionId=version)
    assert (read["SecretString"], read["VersionStages"], version) == ("one", ["AWSCURRENT"], token[::-1])
    second = sm.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString="two")["VersionId"]
    assert sm.get_secret_value(SecretId=arn, VersionId=version)["VersionStages"] == ["AWSPREVIOUS"]
    # A version is destroyed by taking its labels, but for the current one's.
    sm.update_secret_version_stage(SecretId=arn, RemoveFromVersionId=version, VersionStage="AWSPREVIOUS")
    assert sm.describe_secret(SecretId=arn)["VersionIdsToStages"] == {second: ["AWSCURRENT"]}
    sm.update_secret(SecretId=arn, ClientRequestToken=token[:30] + "zz", Description="e")
    sm.untag_resource(SecretId=arn, TagKeys=["env"])
    sm.tag_resource(SecretId=arn, Tags=[{"Key": "team", "Value": "z"}])
    found = sm.describe_secret(SecretId=arn)
    assert (found["Description"], found["Tags"]) == ("e", [{"Key": "team", "Value": "z"}])
    sm.delete_secret(SecretId=arn, RecoveryWindowInDays=30)
    assert sm.describe_secret(SecretId=arn)["DeletedDate"]
    assert code_of(sm.get_secret_value, SecretId=arn, VersionId=second) == "InvalidRequestException"
    sm.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    assert code_of(sm.describe_secret, SecretId=arn) == "ResourceNotFoundException"
