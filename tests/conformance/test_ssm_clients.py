"""Parameter Store as boto3 sees it: signed requests before a whole region in memory, with users and their policies."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.interfaces.store import Statement
from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT, FrontDoor, Keys, allowing, open_front_door

from .door_clients import boto, refused, sender

PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
PUBLIC = "/aws/service/global-infrastructure"
AL = f"arn:aws:iam::{ACCOUNT}:user/al"


class Region:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.door: FrontDoor = runner.run(open_front_door())
        self.ssm, self.kms = self.client(ROOT), self.client(ROOT, "kms")

    def client(self, keys: Keys, service: str = "ssm") -> Any:
        send = sender(self.run, self.door.region.frontend)
        return boto(service, keys, send, parameter_validation=False)

    def al(self, *documents: dict[str, Any]) -> Any:
        """boto3 as a new user with these policies."""
        return self.client(self._runner.run(self.door.user("al", *documents)))

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)


@pytest.fixture
def region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


def test_a_parameter_lives_and_dies(region: Region) -> None:
    ssm = region.ssm
    made = ssm.put_parameter(Name="/app/db/host", Value="db.internal", Type="String", Description="where")
    assert (made["Version"], made["Tier"]) == (1, "Standard")
    found = ssm.get_parameter(Name="/app/db/host")["Parameter"]
    assert found.pop("LastModifiedDate").timestamp() > 0
    assert found == {
        "Name": "/app/db/host",
        "Type": "String",
        "Value": "db.internal",
        "Version": 1,
        "ARN": f"{PARAMETER}/app/db/host",
        "DataType": "text",
    }
    assert refused(ssm.put_parameter, Name="/app/db/host", Value="x", Type="String") == (
        "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.",
    )
    assert ssm.put_parameter(Name="/app/db/host", Value="db2", Overwrite=True)["Version"] == 2
    assert ssm.get_parameter(Name=f"{PARAMETER}/app/db/host:1")["Parameter"]["Value"] == "db.internal"
    ssm.delete_parameter(Name="/app/db/host")
    assert refused(ssm.get_parameter, Name="/app/db/host")[0] == "ParameterNotFound"
    assert refused(ssm.delete_parameter, Name="/app/db/host")[0] == "ParameterNotFound"
    assert ssm.put_parameter(Name="/app/db/host", Value="again", Type="StringList")["Version"] == 1
    assert ssm.get_parameter_history(Name="/app/db/host")["Parameters"][0]["Value"] == "again"


def test_a_secure_string_is_ciphertext_until_it_is_decrypted(region: Region) -> None:
    ssm = region.ssm
    ssm.put_parameter(Name="token", Value="s3cret", Type="SecureString")
    sealed = ssm.get_parameter(Name="token")["Parameter"]["Value"]
    assert b"s3cret" not in base64.b64decode(sealed, validate=True)
    assert ssm.get_parameter(Name="token", WithDecryption=True)["Parameter"]["Value"] == "s3cret"
    shown = ssm.describe_parameters()["Parameters"][0]
    assert (shown["KeyId"], shown["Type"], shown["LastModifiedUser"]) == (
        "alias/aws/ssm",
        "SecureString",
        f"arn:aws:iam::{ACCOUNT}:user/administrator",
    )
    assert ssm.get_parameter_history(Name="token", WithDecryption=True)["Parameters"][0]["Value"] == "s3cret"
    assert ssm.get_parameters_by_path(Path="/", WithDecryption=True)["Parameters"][0]["Value"] == "s3cret"


def test_a_key_of_ones_own_needs_leave_and_goes_when_it_is_disabled(region: Region) -> None:
    ssm, arn = region.ssm, region.kms.create_key()["KeyMetadata"]["Arn"]
    key = arn.rpartition("/")[2]
    assert ssm.put_parameter(Name="/k", Value="s3cret", Type="SecureString", KeyId=key)["Version"] == 1
    assert ssm.describe_parameters()["Parameters"][0]["KeyId"] == key
    al = region.al(allowing("ssm:*"))
    assert base64.b64decode(al.get_parameter(Name="/k")["Parameter"]["Value"])
    for call, params in (
        (al.get_parameter, {"Name": "/k"}),
        (al.get_parameters, {"Names": ["/k"]}),
        (al.get_parameters_by_path, {"Path": "/"}),
        (al.get_parameter_history, {"Name": "/k"}),
    ):
        code, text = refused(call, WithDecryption=True, **params)
        assert code == "AccessDeniedException"
        assert text.startswith(f"User: {AL} is not authorized to perform: kms:Decrypt on resource: {arn} because no ")
        assert "(Service: AWSKMS; Status Code: 400; Error Code: AccessDeniedException; Request ID: " in text
    code, text = refused(al.put_parameter, Name="/k", Value="x", Overwrite=True)
    assert code == "AccessDeniedException" and "kms:Encrypt" in text, "the key stays when nobody names another"
    code, text = refused(al.put_parameter, Name="/k", Value="x", Overwrite=True, Tier="Advanced")
    assert code == "AccessDeniedException" and "kms:GenerateDataKey" in text
    region.kms.disable_key(KeyId=key)
    code, text = refused(ssm.get_parameter, Name="/k", WithDecryption=True)
    assert code == "InvalidKeyId" and text.startswith(f"{arn} is disabled. (Service: AWSKMS; Status Code: 400; ")
    code, text = refused(ssm.put_parameter, Name="/n", Value="x", Type="SecureString", KeyId="alias/none")
    assert code == "InvalidKeyId"
    assert text.startswith(f"Alias arn:aws:kms:{REGION}:{ACCOUNT}:alias/none is not found. (Service: AWSKMS; ")
    assert refused(ssm.get_parameter, Name="/n")[0] == "ParameterNotFound"


def test_what_keys_another_account_has_is_for_nobody_to_learn(region: Region) -> None:
    """One that is there, one that is disabled, one that is not: the same words, and no alias tells its key."""
    region.run(region.door.identity.ensure_account(OTHER, "other"))
    others = region.client(region.run(region.door.key(None, account=OTHER)), "kms")
    used, disabled = (others.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    others.disable_key(KeyId=disabled)
    place = f"arn:aws:kms:{REGION}:{OTHER}"
    for name, key in (("used", used), ("disabled", disabled)):
        others.create_alias(AliasName=f"alias/{name}", TargetKeyId=key)
    none = f"{place}:key/12345678-1234-1234-1234-123456789012"
    secrets = region.client(ROOT, "secretsmanager")
    for named in (used, disabled, none, *(f"{place}:alias/{name}" for name in ("used", "disabled", "none"))):
        code, text = refused(region.ssm.put_parameter, Name="/k", Value="x", Type="SecureString", KeyId=named)
        assert code == "AccessDeniedException"
        assert text.startswith(
            f"User: arn:aws:iam::{ACCOUNT}:user/administrator is not authorized to perform: kms:Encrypt on resource: "
            f"{named} because no resource-based policy allows the kms:Encrypt action (Service: AWSKMS; "
        )
        assert refused(secrets.create_secret, Name="k", SecretString="x", KmsKeyId=named) == (
            "AccessDeniedException",
            "Access to KMS is not allowed",
        )


def test_leave_to_decrypt_can_be_for_one_parameter_and_through_ssm_only(region: Region) -> None:
    arn = region.kms.create_key()["KeyMetadata"]["Arn"]
    for name in ("/a", "/b"):
        region.ssm.put_parameter(Name=name, Value=f"secret of {name}", Type="SecureString", KeyId=arn)
    decrypt = allowing("kms:Decrypt", resource=arn)
    decrypt["Statement"][0]["Condition"] = {
        "StringEquals": {
            "kms:EncryptionContext:PARAMETER_ARN": f"{PARAMETER}/a",
            "kms:ViaService": f"ssm.{REGION}.amazonaws.com",
        }
    }
    al = region.al(allowing("ssm:GetParameter"), decrypt)
    assert al.get_parameter(Name="/a", WithDecryption=True)["Parameter"]["Value"] == "secret of /a"
    assert refused(al.get_parameter, Name="/b", WithDecryption=True)[0] == "AccessDeniedException"


def test_the_default_key_is_for_everybody_who_may_read_the_parameter(region: Region) -> None:
    region.ssm.put_parameter(Name="/a", Value="s3cret", Type="SecureString")
    al = region.al(allowing("ssm:GetParameter"))
    assert al.get_parameter(Name="/a", WithDecryption=True)["Parameter"]["Value"] == "s3cret"


def test_another_row_s_ciphertext_does_not_open(region: Region) -> None:
    region.ssm.put_parameter(Name="/a", Value="of a", Type="SecureString")
    region.ssm.put_parameter(Name="/b", Value="of b", Type="SecureString")
    parameters: Any = region.door.region.services.parameters
    swap = "UPDATE ssm_versions SET sealed = (SELECT sealed FROM ssm_versions WHERE key = '/a') WHERE key = '/b'"
    region.run(parameters._store.write([Statement(swap)]))
    assert refused(region.ssm.get_parameter, Name="/b", WithDecryption=True)[0] == "InvalidKeyId"


def test_versions_labels_and_selectors(region: Region) -> None:
    ssm = region.ssm
    for value in ("one", "two", "three"):
        ssm.put_parameter(Name="/app/x", Value=value, Type="String", Overwrite=True)
    assert ssm.label_parameter_version(Name="/app/x", ParameterVersion=2, Labels=["prod", "9bad"]) | {
        "ResponseMetadata": {}
    } == {"InvalidLabels": ["9bad"], "ParameterVersion": 2, "ResponseMetadata": {}}
    assert ssm.label_parameter_version(Name="/app/x", Labels=["test"])["ParameterVersion"] == 3
    for selector, value in (("1", "one"), ("2", "two"), ("prod", "two"), ("test", "three")):
        found = ssm.get_parameter(Name=f"/app/x:{selector}")["Parameter"]
        assert (found["Value"], found["Selector"], found["Name"]) == (value, f":{selector}", "/app/x")
    assert refused(ssm.get_parameter, Name="/app/x:4") == (
        "ParameterVersionNotFound",
        "Systems Manager could not find version 4 of /app/x. Verify the version and try again.",
    )
    assert refused(ssm.get_parameter, Name="/app/x:none")[0] == "ParameterVersionNotFound"
    assert refused(ssm.get_parameter, Name="/app/x:1:2")[0] == "ParameterNotFound"
    history = ssm.get_parameter_history(Name="/app/x")["Parameters"]
    assert [(one["Version"], one["Value"], one["Labels"]) for one in history] == [
        (1, "one", []),
        (2, "two", ["prod"]),
        (3, "three", ["test"]),
    ]
    pages = ssm.get_paginator("get_parameter_history").paginate(Name="/app/x", PaginationConfig={"PageSize": 2})
    assert [[one["Version"] for one in page["Parameters"]] for page in pages] == [[1, 2], [3]]
    by_label = ssm.get_parameters_by_path(Path="/app", ParameterFilters=[{"Key": "Label", "Values": ["prod"]}])
    assert [one["Value"] for one in by_label["Parameters"]] == ["two"]
    gone = ssm.unlabel_parameter_version(Name="/app/x", ParameterVersion=2, Labels=["prod", "test"])
    assert (gone["RemovedLabels"], gone["InvalidLabels"]) == (["prod"], ["test"])
    assert refused(ssm.label_parameter_version, Name="/none", Labels=["x"])[0] == "ParameterNotFound"


def test_several_at_once(region: Region) -> None:
    ssm = region.ssm
    for name in ("/a", "b"):
        ssm.put_parameter(Name=name, Value=f"of {name}", Type="String")
    found = ssm.get_parameters(Names=["b", "/none", "/a:1", "/a:7", f"{PARAMETER}/a", "b"])
    assert [(one["Name"], one["Value"]) for one in found["Parameters"]] == [
        ("b", "of b"),
        ("/a", "of /a"),
        ("/a", "of /a"),
    ]
    assert found["InvalidParameters"] == ["/none", "/a:7"]
    elsewhere = f"arn:aws:ssm:eu-west-1:{ACCOUNT}:parameter/a"
    assert ssm.get_parameters(Names=[elsewhere])["InvalidParameters"] == [elsewhere]
    code, text = refused(ssm.get_parameters, Names=[f"arn:aws:ssm:{REGION}:{OTHER}:parameter/a"])
    assert code == "AccessDeniedException" and "because no resource-based policy allows" in text
    code, text = refused(ssm.get_parameters, Names=["x"] * 11)
    assert code == "ValidationException" and "at 'names' failed to satisfy constraint: Member must have length" in text
    gone = ssm.delete_parameters(Names=["b", "/none", "/a"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["b", "/a"], ["/none"])


def test_paths_and_pages(region: Region) -> None:
    ssm = region.ssm
    names = ["top", "/app/one", "/app/two", "/app/deep/three", "/application", *(f"/many/p{n:02}" for n in range(12))]
    for name in names:
        ssm.put_parameter(Name=name, Value="v", Type="StringList" if "two" in name else "String")

    def below(path: str, **more: Any) -> list[str]:
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, **more)
        return [one["Name"] for page in pages for one in page["Parameters"]]

    assert below("/app") == below("/app/") == ["/app/one", "/app/two"]
    assert below("/app", Recursive=True) == ["/app/deep/three", "/app/one", "/app/two"]
    assert below("/") == ["/application", "top"]
    assert sorted(below("/", Recursive=True)) == sorted(names)
    assert below("/app", ParameterFilters=[{"Key": "Type", "Values": ["StringList"]}]) == ["/app/two"]
    first = ssm.get_parameters_by_path(Path="/many", MaxResults=5)
    assert len(first["Parameters"]) == 5
    assert refused(ssm.get_parameters_by_path, Path="/many", NextToken="bad")[0] == "InvalidNextToken"
    assert refused(ssm.describe_parameters, NextToken=first["NextToken"])[0] == "InvalidNextToken"
    assert below("/many", PaginationConfig={"PageSize": 5}) == names[5:]
    assert refused(ssm.get_parameters_by_path, Path="many")[0] == "ValidationException"
    pages = ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 4})
    assert sorted(one["Name"] for page in pages for one in page["Parameters"]) == sorted(names)
    found = ssm.describe_parameters(
        ParameterFilters=[
            {"Key": "Path", "Option": "Recursive", "Values": ["/app"]},
            {"Key": "Name", "Values": ["/app/one"]},
        ]
    )
    assert [one["Name"] for one in found["Parameters"]] == ["/app/one"]
    assert ssm.describe_parameters(Shared=True)["Parameters"] == []


def test_tags(region: Region) -> None:
    ssm, named = region.ssm, {"ResourceType": "Parameter", "ResourceId": "/a"}
    ssm.put_parameter(Name="/a", Value="v", Type="String", Tags=[{"Key": "team", "Value": "red"}])
    ssm.add_tags_to_resource(**named, Tags=[{"Key": "env", "Value": "x"}, {"Key": "team", "Value": "blue"}])
    ssm.remove_tags_from_resource(**named, TagKeys=["env", "none"])
    assert ssm.list_tags_for_resource(**named)["TagList"] == [{"Key": "team", "Value": "blue"}]
    found = ssm.describe_parameters(ParameterFilters=[{"Key": "tag:team", "Values": ["blue"]}])
    assert [one["Name"] for one in found["Parameters"]] == ["/a"]
    code, text = refused(ssm.put_parameter, Name="/a", Value="w", Overwrite=True, Tags=[{"Key": "a", "Value": "b"}])
    assert code == "ValidationException" and text.startswith(
        "Invalid request: tags and overwrite can't be used together"
    )
    assert refused(ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="/none")[0] == "InvalidResourceId"
    assert refused(ssm.list_tags_for_resource, ResourceType="Document", ResourceId="/a")[0] == "InvalidResourceType"
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    assert refused(ssm.add_tags_to_resource, **named, Tags=many)[0] == "TooManyTagsError"


def test_public_parameters(region: Region) -> None:
    found = region.ssm.get_parameter(Name=f"{PUBLIC}/regions/{REGION}")["Parameter"]
    assert (found["Value"], found["ARN"]) == (REGION, f"arn:aws:ssm:{REGION}::parameter{PUBLIC}/regions/{REGION}")
    zones = region.ssm.get_parameters_by_path(Path=f"{PUBLIC}/regions/{REGION}/availability-zones")["Parameters"]
    assert [one["Value"] for one in zones] == ["use1-az1", "use1-az2"]
    ami = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    assert refused(region.ssm.get_parameter, Name=ami)[0] == "ParameterNotFound"
    assert refused(region.ssm.put_parameter, Name=f"{PUBLIC}/x", Value="v", Type="String") == (
        "AccessDeniedException",
        f"No access to reserved parameter name: {PUBLIC}/x.",
    )
    assert refused(region.ssm.delete_parameter, Name=f"{PUBLIC}/regions/{REGION}")[0] == "ParameterNotFound"
    al = region.al(allowing("ssm:GetParameter*", resource=f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/*"))
    assert refused(al.get_parameter, Name=f"{PUBLIC}/regions/{REGION}")[0] == "AccessDeniedException"


def test_leave_is_for_parameters_and_paths(region: Region) -> None:
    for name in ("/mine/a", "/mine/b", "/theirs/a"):
        region.ssm.put_parameter(Name=name, Value="v", Type="String")
    mine = allowing("ssm:*", resource=[f"{PARAMETER}/mine/*", f"{PARAMETER}/mine"])
    deep = allowing("ssm:GetParametersByPath", effect="Deny")
    deep["Statement"][0]["Condition"] = {"StringEquals": {"ssm:Recursive": "true"}}
    fixed = allowing("ssm:PutParameter", effect="Deny")
    fixed["Statement"][0]["Condition"] = {"StringEquals": {"ssm:Overwrite": "true"}}
    al = region.al(mine, deep, fixed)
    assert al.get_parameter(Name="/mine/a:1")["Parameter"]["Value"] == "v"
    assert len(al.get_parameters_by_path(Path="/mine")["Parameters"]) == 2
    whole = f"User: {AL} is not authorized to perform: "
    no_policy = "because no identity-based policy allows the {} action"
    assert refused(al.get_parameter, Name="/theirs/a") == (
        "AccessDeniedException",
        f"{whole}ssm:GetParameter on resource: {PARAMETER}/theirs/a {no_policy.format('ssm:GetParameter')}",
    )
    assert refused(al.get_parameter, Name="/theirs/none")[0] == "AccessDeniedException", "nobody learns what is there"
    assert refused(al.get_parameters, Names=["/mine/a", "/theirs/a"])[0] == "AccessDeniedException"
    assert refused(al.delete_parameters, Names=["/mine/a", "/theirs/a"])[0] == "AccessDeniedException"
    for path in ("/", "/theirs", "/min"):
        assert refused(al.get_parameters_by_path, Path=path)[0] == "AccessDeniedException"
    assert "explicit deny" in refused(al.get_parameters_by_path, Path="/mine", Recursive=True)[1]
    assert "explicit deny" in refused(al.put_parameter, Name="/mine/a", Value="w", Overwrite=True)[1]
    assert al.put_parameter(Name="/mine/c", Value="w", Type="String")["Version"] == 1
    assert refused(al.describe_parameters) == (
        "AccessDeniedException",
        f"{whole}ssm:DescribeParameters on resource: arn:aws:ssm:{REGION}:{ACCOUNT}:* "
        f"{no_policy.format('ssm:DescribeParameters')}",
    )
    assert len(region.ssm.describe_parameters()["Parameters"]) == 4


def test_leave_by_tags(region: Region) -> None:
    for name, team in (("/a", "red"), ("/b", "blue")):
        region.ssm.put_parameter(Name=name, Value="v", Type="String", Tags=[{"Key": "team", "Value": team}])
    own = allowing("ssm:GetParameter*", "ssm:DeleteParameter")
    own["Statement"][0]["Condition"] = {"StringEquals": {"aws:ResourceTag/team": "red"}}
    making = allowing("ssm:PutParameter", "ssm:AddTagsToResource")
    making["Statement"][0]["Condition"] = {"StringEquals": {"aws:RequestTag/team": "red"}}
    al = region.al(own, making)
    assert al.get_parameter(Name="/a")["Parameter"]["Value"] == "v"
    assert refused(al.get_parameter, Name="/b")[0] == "AccessDeniedException"
    assert refused(al.put_parameter, Name="/c", Value="v", Type="String")[0] == "AccessDeniedException"
    red, blue = [{"Key": "team", "Value": "red"}], [{"Key": "team", "Value": "blue"}]
    assert refused(al.put_parameter, Name="/c", Value="v", Type="String", Tags=blue)[0] == "AccessDeniedException"
    assert al.put_parameter(Name="/c", Value="v", Type="String", Tags=red)["Version"] == 1
    assert refused(al.add_tags_to_resource, ResourceType="Parameter", ResourceId="/c", Tags=blue)[0] == (
        "AccessDeniedException"
    )
    al.delete_parameter(Name="/c")


def test_accounts_are_apart(region: Region) -> None:
    region.run(region.door.identity.ensure_account(OTHER, "other"))
    other = region.client(region.run(region.door.key(None, account=OTHER)))
    region.ssm.put_parameter(Name="/a", Value="s3cret", Type="SecureString")
    assert refused(other.get_parameter, Name="/a")[0] == "ParameterNotFound"
    assert refused(other.get_parameter, Name=f"{PARAMETER}/a", WithDecryption=True)[0] == "AccessDeniedException"
    assert other.describe_parameters()["Parameters"] == []
    assert other.put_parameter(Name="/a", Value="theirs", Type="String")["Version"] == 1
    assert region.ssm.get_parameter(Name="/a", WithDecryption=True)["Parameter"]["Value"] == "s3cret"


def test_the_record_names_parameters_and_hides_values(region: Region) -> None:
    region.ssm.put_parameter(Name="/app/token", Value="s3cret-value", Type="SecureString", Description="d3scribed")
    region.ssm.get_parameter(Name="/app/token", WithDecryption=True)
    refused(region.ssm.put_parameter, Name="/app/token", Value="s3cret-value", AllowedPattern="s3cret-value")
    refused(region.ssm.put_parameter, Name="/app/n", Value="s3cret-value", AllowedPattern="^[0-9]s3cret", Type="String")
    region.run(region.door.region.services.trail.flush())
    events = region.client(ROOT, "cloudtrail").lookup_events()["Events"]
    documents = [
        json.loads(event["CloudTrailEvent"]) for event in events if event["EventSource"] == "ssm.amazonaws.com"
    ]
    assert len(documents) == 4
    assert not any("s3cret" in json.dumps(one) or "d3scribed" in json.dumps(one) for one in documents)
    made = documents[-1]
    assert made["requestParameters"]["name"] == "/app/token"
    assert made["requestParameters"]["value"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert {"accountId": ACCOUNT, "type": "AWS::SSM::Parameter", "ARN": f"{PARAMETER}/app/token"} in made["resources"]


def test_other_operations_of_systems_manager_are_unknown(region: Region) -> None:
    for call in (region.ssm.describe_instance_information, region.ssm.list_documents, region.ssm.get_inventory):
        assert refused(call)[0] == "UnknownOperationException"


def test_a_secret_is_read_by_its_reference(region: Region) -> None:
    secrets = region.client(ROOT, "secretsmanager")
    made = secrets.create_secret(Name="app/db", SecretString="one")
    secrets.put_secret_value(SecretId="app/db", SecretString="two")
    name = "/aws/reference/secretsmanager/app/db"
    found = region.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Version"], found["ARN"], found["Name"]) == ("two", 0, made["ARN"], name)
    assert json.loads(found["SourceResult"])["VersionStages"] == ["AWSCURRENT"]
    for selector in (made["VersionId"], "AWSPREVIOUS"):
        older = region.ssm.get_parameters(Names=[f"{name}:{selector}"], WithDecryption=True)["Parameters"]
        assert [one["Value"] for one in older] == ["one"]
    assert refused(region.ssm.get_parameter, Name=name) == (
        "ValidationException",
        "WithDecryption flag must be True for retrieving a Secret Manager secret.",
    )
    missing = f"{name}-none"
    assert refused(region.ssm.get_parameter, Name=missing, WithDecryption=True)[0] == "ParameterNotFound"
    assert region.ssm.get_parameter(Name=f"{PARAMETER}{name}", WithDecryption=True)["Parameter"]["Value"] == "two"
    elsewhere = f"{PARAMETER}{name}".replace(REGION, "eu-west-1")
    assert refused(region.ssm.get_parameter, Name=elsewhere, WithDecryption=True)[0] == "ParameterNotFound"
    asked = region.ssm.get_parameters(Names=[name, missing], WithDecryption=True)
    assert (len(asked["Parameters"]), asked["InvalidParameters"]) == (1, [missing])
    secrets.create_secret(Name="gone", SecretString="x")
    secrets.delete_secret(SecretId="gone")
    code, text = refused(region.ssm.get_parameter, Name=name.replace("app/db", "gone"), WithDecryption=True)
    assert code == "ValidationException" and "marked for deletion" in text
    al = region.al(allowing("ssm:*"))
    code, text = refused(al.get_parameter, Name=name, WithDecryption=True)
    assert code == "AccessDeniedException" and "secretsmanager:GetSecretValue" in text
    assert refused(region.ssm.put_parameter, Name=name, Value="x", Type="String")[0] == "AccessDeniedException"
