"""CloudTrail as boto3 and the aws CLI see it: a region in memory behind real HTTP, and its own calls looked up."""

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.interfaces.trail import TrailQuery
from neargate.region import Region
from neargate.world import OsWorld

from .served import ACCOUNT, KEY, REGION, SECRET, InThread, listening, region_in_memory

ZONES = (("us-east-1a", "use1-az1"),)
ENVIRONMENT_SECRET = "planted-in-the-environment"


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, Region]]:
    world = OsWorld()
    region = await region_in_memory(world, ZONES)
    region.start_loops(world)
    async with listening(region.frontend) as port:
        yield port, region


@dataclass(frozen=True, kw_only=True)
class Rig:
    server: InThread[tuple[int, Region]]
    region: Region
    endpoint: str

    def client(self, service: str, secret: str = SECRET) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=secret,
            config=Config(retries={"mode": "standard", "max_attempts": 8}, user_agent_extra="conformance/1"),
        )

    def flush(self) -> None:
        """What was called before can be found."""
        self.server.do(self.region.trail.flush())

    def everything(self) -> str:
        """All documents, the operator's too."""
        wanted = TrailQuery(account=None, limit=100_000, management_only=False, oldest_first=True)
        return "\n".join(entry.document for entry in self.server.do(self.region.trail.lookup(wanted, None)).entries)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    server = InThread(serving)
    with server as (port, region):
        made = Rig(server=server, region=region, endpoint=f"http://127.0.0.1:{port}")
        ecs = made.client("ecs")
        ecs.create_cluster(clusterName="web", tags=[{"key": "team", "value": "a"}])
        ecs.register_task_definition(
            family="web",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {"name": "c", "image": "busybox", "environment": [{"name": "TOKEN", "value": ENVIRONMENT_SECRET}]}
            ],
        )
        for _ in range(4):
            ecs.list_clusters()
        with pytest.raises(ClientError):
            ecs.stop_task(cluster="web", task="0" * 32)
        with pytest.raises(ClientError):
            made.client("ecs", secret="planted-wrong-secret").list_clusters()
        made.flush()
        yield made


def lookup(rig: Rig, key: str, value: str, **more: Any) -> list[dict[str, Any]]:
    answer = rig.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}], **more
    )
    found: list[dict[str, Any]] = answer["Events"]
    return found


def test_who_made_a_cluster(rig: Rig) -> None:
    (event,) = lookup(rig, "EventName", "CreateCluster")
    assert event["Username"] == "administrator" and event["ReadOnly"] == "false" and event["AccessKeyId"] == KEY
    assert event["EventSource"] == "ecs.amazonaws.com"
    assert abs(datetime.now(UTC) - event["EventTime"]) < timedelta(minutes=10)
    arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/web"
    assert {"ResourceType": "AWS::ECS::Cluster", "ResourceName": arn} in event["Resources"]
    record = json.loads(event["CloudTrailEvent"])
    assert record["eventID"] == event["EventId"] and record["sourceIPAddress"] == "127.0.0.1"
    assert "conformance/1" in record["userAgent"]
    assert record["requestParameters"] == {"clusterName": "web", "tags": [{"key": "team", "value": "a"}]}
    assert record["responseElements"]["cluster"]["clusterArn"] == arn
    assert lookup(rig, "EventId", event["EventId"]) == [event]


def test_resources_refusals_and_pages(rig: Rig) -> None:
    assert {event["EventName"] for event in lookup(rig, "ResourceName", "0" * 32)} == {"StopTask"}
    (stopped,) = lookup(rig, "EventName", "StopTask")
    assert json.loads(stopped["CloudTrailEvent"])["errorCode"] == "InvalidParameterException"
    assert len(lookup(rig, "EventName", "ListClusters")) == 4  # the one with a wrong signature is the operator's
    pages = (
        rig.client("cloudtrail")
        .get_paginator("lookup_events")
        .paginate(
            LookupAttributes=[{"AttributeKey": "EventSource", "AttributeValue": "ecs.amazonaws.com"}],
            PaginationConfig={"PageSize": 2},
        )
    )
    names = [event["EventName"] for page in pages for event in page["Events"]]
    assert names == ["StopTask", *["ListClusters"] * 4, "RegisterTaskDefinition", "CreateCluster"]
    ago = datetime.now(UTC) - timedelta(hours=1)
    assert lookup(rig, "EventName", "CreateCluster", EndTime=ago) == []


def test_sdks_made_from_smithy_models_name_the_service_without_its_namespace(rig: Rig) -> None:
    """Go, JavaScript, Rust and Kotlin send `CloudTrail_20131101.LookupEvents`, boto3 and Java's first a longer name."""
    client = rig.client("cloudtrail")

    def rename(request: Any, **_: Any) -> None:
        request.headers.replace_header("X-Amz-Target", "CloudTrail_20131101.LookupEvents")

    client.meta.events.register("before-sign.cloudtrail.LookupEvents", rename)
    answer = client.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateCluster"}])
    assert len(answer["Events"]) == 1


def test_no_secret_was_written_down(rig: Rig) -> None:
    rig.flush()
    text = rig.everything()
    assert text.count('"eventName":"ListClusters"') == 5
    for secret in (SECRET, ENVIRONMENT_SECRET, "planted-wrong-secret", "Signature="):
        assert secret not in text


def error_of(rig: Rig, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        rig.client("cloudtrail").lookup_events(**params)
    return str(caught.value.response["Error"]["Code"])


def test_lookups_that_are_wrong(rig: Rig) -> None:
    two = [{"AttributeKey": "EventName", "AttributeValue": name} for name in ("RunTask", "StopTask")]
    assert error_of(rig, LookupAttributes=two) == "InvalidLookupAttributesException"
    assert error_of(rig, NextToken="x") == "InvalidNextTokenException"
    assert error_of(rig, MaxResults=51) == "InvalidMaxResultsException"
    now = datetime.now(UTC)
    assert error_of(rig, StartTime=now, EndTime=now - timedelta(days=1)) == "InvalidTimeRangeException"
    token = rig.client("cloudtrail").lookup_events(MaxResults=1)["NextToken"]
    assert error_of(rig, NextToken=token, LookupAttributes=two[:1]) == "InvalidNextTokenException"
    assert error_of(rig, EndTime=now, NextToken=token) == "InvalidNextTokenException"


def test_trails_are_not_pretended(rig: Rig) -> None:
    for call in (rig.client("cloudtrail").describe_trails, rig.client("cloudtrail").list_trails):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


@pytest.mark.skipif(shutil.which("aws") is None, reason="the aws CLI is not installed")
def test_the_aws_command_reads_it(rig: Rig) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    environment |= {"AWS_DEFAULT_REGION": REGION, "AWS_PAGER": ""}
    attribute = "AttributeKey=EventName,AttributeValue=RegisterTaskDefinition"
    command = ["aws", "--endpoint-url", rig.endpoint, "--output", "json", "cloudtrail", "lookup-events"]
    done = subprocess.run(
        [*command, "--lookup-attributes", attribute], env=environment, capture_output=True, timeout=60, check=True
    )
    (event,) = json.loads(done.stdout)["Events"]
    assert event["Username"] == "administrator"
    assert "HIDDEN_DUE_TO_SECURITY_REASONS" in event["CloudTrailEvent"]
