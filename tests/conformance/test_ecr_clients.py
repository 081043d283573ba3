"""ECR's API as boto3 sees it, before a whole region with a real keeper of bytes. The sentences are AWS's."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.frontend.images.sweeping import sweep
from neargate.testing.front_door import ACCOUNT, OTHER, REGION

from .ecr_rig import (
    CONFIG,
    OCI_MANIFEST,
    Region,
    live_region,
    manifest_of,
    needs_registry,
    password,
    refused,
    sha256,
)

pytestmark = needs_registry
ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository"
LAYER = b"a layer of an image"


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with live_region() as found:
        yield found


@pytest.fixture
def ecr(region: Region) -> Iterator[Any]:
    """Without repositories before and after."""
    yield region.ecr
    for repository in region.ecr.describe_repositories()["repositories"]:
        region.ecr.delete_repository(repositoryName=repository["repositoryName"], force=True)


def not_there(name: str) -> tuple[str, str]:
    return (
        "RepositoryNotFoundException",
        f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'",
    )


def test_a_repository_from_its_making_to_its_end(region: Region, ecr: Any) -> None:
    made = ecr.create_repository(repositoryName="team/web", tags=[{"Key": "team", "Value": "a"}])["repository"]
    assert made["repositoryUri"] == f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{region.port}/team/web"
    assert (made["repositoryArn"], made["registryId"]) == (f"{ARN}/team/web", ACCOUNT)
    assert (made["imageTagMutability"], made["encryptionConfiguration"]) == ("MUTABLE", {"encryptionType": "AES256"})
    assert ecr.describe_repositories(repositoryNames=["team/web"])["repositories"] == [made]
    assert refused(ecr.create_repository, repositoryName="team/web") == (
        "RepositoryAlreadyExistsException",
        f"The repository with name 'team/web' already exists in the registry with id '{ACCOUNT}'",
    )
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "team", "Value": "a"}]
    ecr.tag_resource(resourceArn=made["repositoryArn"], tags=[{"Key": "stage", "Value": "test"}])
    ecr.untag_resource(resourceArn=made["repositoryArn"], tagKeys=["team"])
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "stage", "Value": "test"}]
    assert ecr.delete_repository(repositoryName="team/web")["repository"] == made
    for call, more in (
        (ecr.describe_repositories, {"repositoryNames": ["team/web"]}),
        (ecr.delete_repository, {"repositoryName": "team/web"}),
        (ecr.list_images, {"repositoryName": "team/web"}),
    ):
        assert refused(call, **more) == not_there("team/web")


def test_repositories_come_in_pages(ecr: Any) -> None:
    names = [f"page/{number:02d}" for number in range(5)]
    for name in reversed(names):
        ecr.create_repository(repositoryName=name)
    found = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 2})
    assert [one["repositoryName"] for part in found for one in part["repositories"]] == names
    token = ecr.describe_repositories(maxResults=2)["nextToken"]
    assert refused(ecr.list_images, repositoryName="page/00", nextToken=token)[0] == "InvalidParameterException"


@pytest.mark.parametrize("name", ["Web", "a", "a//b", "-a", "a" * 257, "a b", "web/"])
def test_names_have_a_grammar(ecr: Any, name: str) -> None:
    assert refused(ecr.create_repository, repositoryName=name)[0] == "InvalidParameterException"


def test_what_is_not_built_refuses(ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    assert (
        refused(
            ecr.create_repository,
            repositoryName="kms",
            encryptionConfiguration={"encryptionType": "KMS", "kmsKey": "k"},
        )[0]
        == "InvalidParameterException"
    )
    rule = {"destinations": [{"region": "eu-west-1", "registryId": ACCOUNT}]}
    assert refused(ecr.put_replication_configuration, replicationConfiguration={"rules": [rule]})[0] == (
        "ValidationException"
    )
    assert ecr.put_replication_configuration(replicationConfiguration={"rules": []})
    assert ecr.describe_registry()["replicationConfiguration"] == {"rules": []}
    assert refused(ecr.put_registry_scanning_configuration, scanType="ENHANCED")[0] == "InvalidParameterException"


def test_images_as_the_api_knows_them(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    manifest = manifest_of(LAYER)
    assert region.image("web", "1", LAYER).status == 201
    assert region.manifest("web", "latest", manifest).status == 201
    found = ecr.describe_images(repositoryName="web")["imageDetails"]
    assert len(found) == 1
    assert found[0]["imageDigest"] == sha256(manifest) and found[0]["imageTags"] == ["1", "latest"]
    assert found[0]["imageSizeInBytes"] == len(LAYER) + len(CONFIG)
    assert found[0]["imageManifestMediaType"] == OCI_MANIFEST
    assert ecr.list_images(repositoryName="web")["imageIds"] == [
        {"imageDigest": sha256(manifest), "imageTag": tag} for tag in ("1", "latest")
    ]
    assert ecr.list_images(repositoryName="web", filter={"tagStatus": "UNTAGGED"})["imageIds"] == []
    both = ecr.batch_get_image(repositoryName="web", imageIds=[{"imageTag": "1"}, {"imageTag": "nope"}])
    assert both["images"][0]["imageManifest"].encode() == manifest
    assert both["failures"] == [
        {
            "imageId": {"imageTag": "nope"},
            "failureCode": "ImageNotFound",
            "failureReason": "Requested image not found",
        }
    ]
    assert refused(ecr.describe_images, repositoryName="web", imageIds=[{"imageTag": "nope"}]) == (
        "ImageNotFoundException",
        "The image with imageId {imageDigest:'null', imageTag:'nope'} does not exist within the repository with name "
        f"'web' in the registry with id '{ACCOUNT}'",
    )
    assert refused(ecr.delete_repository, repositoryName="web")[0] == "RepositoryNotEmptyException"
    gone = ecr.batch_delete_image(repositoryName="web", imageIds=[{"imageTag": "1"}])
    assert gone["imageIds"] == [{"imageDigest": sha256(manifest), "imageTag": "1"}]
    assert ecr.describe_images(repositoryName="web")["imageDetails"][0]["imageTags"] == ["latest"]
    ecr.batch_delete_image(repositoryName="web", imageIds=[{"imageDigest": sha256(manifest)}])
    assert ecr.list_images(repositoryName="web")["imageIds"] == []
    assert region.ask("GET", f"web/manifests/{sha256(manifest)}").status == 404


def test_an_image_made_of_calls_alone(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="api")
    content = bytes(range(256)) * 4096
    for blob in (content, CONFIG):
        begun = ecr.initiate_layer_upload(repositoryName="api")
        size, upload = begun["partSize"], {"repositoryName": "api", "uploadId": begun["uploadId"]}
        for first in range(0, len(blob), size):
            part = blob[first : first + size]
            said = ecr.upload_layer_part(
                **upload, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part
            )
            assert said["lastByteReceived"] == first + len(part) - 1
        if blob is content:
            again = {"partFirstByte": 0, "partLastByte": 0, "layerPartBlob": b"x"}
            assert refused(ecr.upload_layer_part, **upload, **again)[0] == "InvalidLayerPartException"
            wrong = refused(ecr.complete_layer_upload, **upload, layerDigests=[sha256(b"other")])
            assert wrong[0] == "InvalidLayerException"
            begun = ecr.initiate_layer_upload(repositoryName="api")
            upload["uploadId"] = begun["uploadId"]
            for first in range(0, len(blob), size):
                part = blob[first : first + size]
                ecr.upload_layer_part(
                    **upload, partFirstByte=first, partLastByte=first + len(part) - 1, layerPartBlob=part
                )
        assert ecr.complete_layer_upload(**upload, layerDigests=[sha256(blob)])["layerDigest"] == sha256(blob)
        assert refused(ecr.complete_layer_upload, **upload, layerDigests=[sha256(blob)])[0] == "UploadNotFoundException"
    known = ecr.batch_check_layer_availability(
        repositoryName="api", layerDigests=[sha256(content), sha256(b"none"), "sha256:x"]
    )
    assert [one["layerAvailability"] for one in known["layers"]] == ["AVAILABLE", "UNAVAILABLE"]
    assert known["layers"][0]["layerSize"] == len(content)
    assert [one["failureCode"] for one in known["failures"]] == ["InvalidLayerDigest"]
    manifest = manifest_of(content).decode()
    image = ecr.put_image(repositoryName="api", imageManifest=manifest, imageTag="1")["image"]
    assert image["imageId"] == {"imageDigest": sha256(manifest.encode()), "imageTag": "1"}
    assert refused(ecr.put_image, repositoryName="api", imageManifest=manifest, imageTag="1") == (
        "ImageAlreadyExistsException",
        f"Image with digest '{sha256(manifest.encode())}' and tag '1' already exists in the repository with name "
        f"'api' in registry with id '{ACCOUNT}'",
    )
    lacking = manifest_of(b"not there").decode()
    assert refused(ecr.put_image, repositoryName="api", imageManifest=lacking)[0] == "LayersNotFoundException"
    url = ecr.get_download_url_for_layer(repositoryName="api", layerDigest=sha256(content))["downloadUrl"]
    host = f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{region.port}"
    assert url.startswith(f"http://{host}/v2/api/blobs/")
    here = url.replace(host, f"127.0.0.1:{region.port}")
    with urllib.request.urlopen(urllib.request.Request(here, headers={"host": host})) as answer:
        assert answer.read() == content
    for broken in (url[:-2], url.replace("/api/", "/other/"), url.partition("?")[0]):
        assert region.ask("GET", broken.partition(str(region.port))[2], "").status == 401
    assert refused(ecr.get_download_url_for_layer, repositoryName="api", layerDigest=sha256(b"none"))[0] == (
        "LayersNotFoundException"
    )


def test_a_tag_may_be_fixed(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    region.image("web", "1", LAYER)
    ecr.put_image_tag_mutability(repositoryName="web", imageTagMutability="IMMUTABLE")
    region.layer("web", b"another")
    other = manifest_of(b"another").decode()
    assert refused(ecr.put_image, repositoryName="web", imageManifest=other, imageTag="1") == (
        "ImageTagAlreadyExistsException",
        "The image tag '1' already exists in the 'web' repository and cannot be overwritten because the tag is "
        "immutable.",
    )
    filters = [{"filterType": "WILDCARD", "filter": "dev-*"}]
    changed = ecr.put_image_tag_mutability(
        repositoryName="web",
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )
    assert changed["imageTagMutabilityExclusionFilters"] == filters
    for content in (LAYER, b"another"):
        assert region.manifest("web", "dev-1", manifest_of(content)).status == 201
    assert region.manifest("web", "1", other.encode()).status == 400
    assert (
        refused(ecr.put_image_tag_mutability, repositoryName="web", imageTagMutability="IMMUTABLE_WITH_EXCLUSION")[0]
        == "InvalidParameterException"
    )


def test_repository_policies_and_who_is_named_in_them(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    region.other_account()
    guest = region.user("visitor", "ecr:*", account=OTHER)
    assert refused(guest.list_images, registryId=ACCOUNT, repositoryName="web")[0] == "AccessDeniedException"
    statement = {
        "Sid": "guests",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:user/visitor"},
        "Action": "ecr:ListImages",
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    ecr.set_repository_policy(repositoryName="web", policyText=text)
    assert json.loads(ecr.get_repository_policy(repositoryName="web")["policyText"]) == json.loads(text)
    assert guest.list_images(registryId=ACCOUNT, repositoryName="web")["imageIds"] == []
    assert refused(guest.describe_images, registryId=ACCOUNT, repositoryName="web")[0] == "AccessDeniedException"
    assert json.loads(ecr.delete_repository_policy(repositoryName="web")["policyText"]) == json.loads(text)
    assert refused(ecr.get_repository_policy, repositoryName="web") == (
        "RepositoryPolicyNotFoundException",
        f"Repository policy does not exist for the repository with name 'web' in the registry with id '{ACCOUNT}'",
    )
    for broken in ("{}", "no JSON", text.replace("visitor", "nobody-of-this-name")):
        assert refused(ecr.set_repository_policy, repositoryName="web", policyText=broken) == (
            "InvalidParameterException",
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'",
        )
    locking = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "ecr:Set*"}]}
    )
    assert refused(ecr.set_repository_policy, repositoryName="web", policyText=locking)[0] == (
        "InvalidParameterException"
    )
    ecr.set_repository_policy(repositoryName="web", policyText=locking, force=True)
    assert refused(ecr.set_repository_policy, repositoryName="web", policyText=text)[0] == "AccessDeniedException"
    ecr.delete_repository_policy(repositoryName="web")


def test_the_registrys_policy_denies_too(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    assert refused(ecr.get_registry_policy)[0] == "RegistryPolicyNotFoundException"
    statement = {"Effect": "Deny", "Principal": "*", "Action": "ecr:PutImage", "Resource": f"{ARN}/web"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    ecr.put_registry_policy(policyText=text)
    assert json.loads(ecr.get_registry_policy()["policyText"]) == json.loads(text)
    assert region.image("web", "1", LAYER).error[0] == "DENIED"
    ecr.delete_registry_policy()
    assert region.image("web", "1", LAYER).status == 201
    assert refused(ecr.delete_registry_policy)[0] == "RegistryPolicyNotFoundException"


def rule(priority: int, **selection: Any) -> dict[str, Any]:
    return {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}


def test_a_lifecycle_policy_is_tried_out_and_carried_out(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    for number in range(3):
        region.image("web", f"v{number}", b"layer %d" % number)
    only = rule(1, tagStatus="tagged", tagPrefixList=["v"], countType="imageCountMoreThan", countNumber=1)
    text = json.dumps({"rules": [only]})
    assert refused(ecr.get_lifecycle_policy, repositoryName="web")[0] == "LifecyclePolicyNotFoundException"
    assert refused(ecr.get_lifecycle_policy_preview, repositoryName="web")[0] == (
        "LifecyclePolicyPreviewNotFoundException"
    )
    ecr.put_lifecycle_policy(repositoryName="web", lifecyclePolicyText=text)
    assert ecr.get_lifecycle_policy(repositoryName="web")["lifecyclePolicyText"] == text
    assert ecr.start_lifecycle_policy_preview(repositoryName="web")["status"] == "IN_PROGRESS"
    preview = ecr.get_lifecycle_policy_preview(repositoryName="web")
    assert preview["status"] == "COMPLETE" and preview["summary"] == {"expiringImageTotalCount": 2}
    assert sorted(tag for one in preview["previewResults"] for tag in one["imageTags"]) == ["v0", "v1"]
    assert len(ecr.list_images(repositoryName="web")["imageIds"]) == 3, "a preview takes nothing away"
    region.thread.do(sweep(region.live.region.services.images, ACCOUNT, "web"))
    assert [one["imageTag"] for one in ecr.list_images(repositoryName="web")["imageIds"]] == ["v2"]
    assert "lastEvaluatedAt" in ecr.get_lifecycle_policy(repositoryName="web")
    assert ecr.delete_lifecycle_policy(repositoryName="web")["lifecyclePolicyText"] == text
    broken = json.dumps({"rules": [rule(1, tagStatus="tagged", countType="imageCountMoreThan", countNumber=1)]})
    code, message = refused(ecr.put_lifecycle_policy, repositoryName="web", lifecyclePolicyText=broken)
    assert code == "InvalidParameterException" and "Lifecycle policy validation failure" in message


def test_what_is_said_of_scans_and_replication(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web", imageScanningConfiguration={"scanOnPush": True})
    region.image("web", "1", LAYER)
    named = {"repositoryName": "web", "imageId": {"imageTag": "1"}}
    assert refused(ecr.start_image_scan, **named)[0] == "ValidationException"
    assert refused(ecr.describe_image_scan_findings, **named)[0] == "ScanNotFoundException"
    assert ecr.describe_image_replication_status(**named)["replicationStatuses"] == []
    found = ecr.batch_get_repository_scanning_configuration(repositoryNames=["web", "nope"])
    assert found["scanningConfigurations"][0]["scanOnPush"] is True
    assert found["failures"][0]["failureCode"] == "REPOSITORY_NOT_FOUND"
    ecr.put_image_scanning_configuration(repositoryName="web", imageScanningConfiguration={"scanOnPush": False})
    shown = ecr.describe_repositories(repositoryNames=["web"])["repositories"][0]
    assert shown["imageScanningConfiguration"] == {"scanOnPush": False}
    rules = [{"scanFrequency": "MANUAL", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=rules)
    assert ecr.get_registry_scanning_configuration()["scanningConfiguration"] == {"scanType": "BASIC", "rules": rules}
    assert ecr.get_account_setting(name="REGISTRY_POLICY_SCOPE")["value"] == "V2"
    assert ecr.put_account_setting(name="REGISTRY_POLICY_SCOPE", value="V2")["value"] == "V2"
    assert refused(ecr.put_account_setting, name="REGISTRY_POLICY_SCOPE", value="V1")[0] == "ValidationException"
    assert refused(ecr.get_account_setting, name="nope")[0] == "ValidationException"


def test_a_sessions_token_ends_with_the_session(region: Region, ecr: Any) -> None:
    ecr.create_repository(repositoryName="web")
    root = f"arn:aws:iam::{ACCOUNT}:root"
    trust = {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": ["ecr:GetAuthorizationToken", "ecr:ListImages"], "Resource": "*"}
    documents = ({"Version": "2012-10-17", "Statement": [trust]}, {"Version": "2012-10-17", "Statement": [allow]})
    arn = region.thread.do(region.live.door.role("puller", *documents))
    sts = region.client(region.root, "sts")
    given = sts.assume_role(RoleArn=arn, RoleSessionName="pulling", DurationSeconds=900)["Credentials"]
    session = region.client(region.keys(given))
    data = session.get_authorization_token()["authorizationData"][0]
    assert abs(data["expiresAt"].timestamp() - given["Expiration"].timestamp()) < 2
    token = password(session)
    assert region.ask("GET", "web/tags/list", token).status == 200
    assert region.ask("GET", "web/manifests/1", token).error[0] == "DENIED"
    narrow = json.dumps({"Version": "2012-10-17", "Statement": [allow | {"Action": "ecr:GetAuthorizationToken"}]})
    given = sts.assume_role(RoleArn=arn, RoleSessionName="pulling", Policy=narrow)["Credentials"]
    narrowed = password(region.client(region.keys(given)))
    assert "because no session policy allows" in region.ask("GET", "web/tags/list", narrowed).error[1]
    region.thread.do(_drop_role(region))
    assert region.ask("GET", "web/tags/list", token).error[0] == "DENIED"


async def _drop_role(region: Region) -> None:
    iam = region.live.door
    for operation, params in (
        ("DeleteRolePolicy", {"RoleName": "puller", "PolicyName": "p0"}),
        ("DeleteRole", {"RoleName": "puller"}),
    ):
        assert (await iam.call(region.root, "iam", operation, params)).status == 200
