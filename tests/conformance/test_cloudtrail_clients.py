"""CloudTrail as boto3 and the aws CLI see it: a region in memory behind real HTTP, and its own calls looked up."""

import asyncio
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.frontend.asgi import AsgiApp
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.http_protocol import bounded_protocol
from neargate.interfaces.trail import TrailQuery
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryStores
from neargate.wire.shapes import Models
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"),)
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ENVIRONMENT_SECRET = "planted-in-the-environment"


class Server:
    """The region in a thread of its own, since boto3 blocks."""

    def __init__(self) -> None:
        self._ready: queue.Queue[int | BaseException] = queue.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._region: Region | None = None
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._main, name="region")

    def start(self) -> int:
        self._thread.start()
        answer = self._ready.get(timeout=30)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def flush(self) -> None:
        """What was called before can be found."""
        assert self._loop is not None and self._region is not None
        asyncio.run_coroutine_threadsafe(self._region.trail.flush(), self._loop).result(30)

    def everything(self) -> str:
        """All documents, the operator's too."""
        assert self._loop is not None and self._region is not None
        wanted = TrailQuery(account=None, limit=100_000, management_only=False, oldest_first=True)
        page = asyncio.run_coroutine_threadsafe(self._region.trail.lookup(wanted, None), self._loop).result(30)
        return "\n".join(entry.document for entry in page.entries)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._ready.put(error)
            raise

    async def _serve(self) -> None:
        world, self._loop = OsWorld(), asyncio.get_running_loop()
        region = self._region = await open_region(
            world,
            MemoryStores(world, DEFAULT_KNOBS),
            RegionPlan(region=REGION, account=ACCOUNT, zones=ZONES, public_pool="198.18.0.0/24", one_machine=False),
            models=Models(),
            credentials=Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET),
            envelope=Envelope(bytes(32), world),
            knobs=DEFAULT_KNOBS,
        )
        region.start_loops(world)
        app = AsgiApp(frontend=region.frontend, world=world, knobs=DEFAULT_KNOBS)
        settings = uvicorn.Config(
            app, log_config=None, lifespan="off", http=bounded_protocol(DEFAULT_KNOBS, region.frontend.handle)
        )
        self._server = uvicorn.Server(settings)
        listener = socket.create_server(("127.0.0.1", 0))
        self._ready.put(listener.getsockname()[1])
        await self._server.serve(sockets=[listener])


@dataclass(frozen=True, kw_only=True)
class Rig:
    server: Server
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


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    server = Server()
    made = Rig(server=server, endpoint=f"http://127.0.0.1:{server.start()}")
    try:
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
        server.flush()
        yield made
    finally:
        server.stop()


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
    rig.server.flush()
    text = rig.server.everything()
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
