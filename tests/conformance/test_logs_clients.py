"""CloudWatch Logs through boto3 and the aws CLI, unmodified, over a real HTTP server on a loopback port."""

import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.frontend.app import FrontEnd
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.operations.logs.table import OPERATIONS
from neargate.frontend.services import Services
from neargate.interfaces.roles import LogTarget
from neargate.logs.store import Logs
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryStores
from neargate.wire.shapes import Models
from neargate.world import OsWorld

from .served import ACCOUNT, KEY, REGION, SECRET, InThread, listening


class LogsServer(InThread[str]):
    """A front end with the log operations only, in a thread of its own. Its context's value is the endpoint."""

    logs: Logs

    def __init__(self) -> None:
        super().__init__(self._serving)
        self.url = ""

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        world = OsWorld()
        self.logs = await Logs.open(world, MemoryStores(world, DEFAULT_KNOBS), DEFAULT_KNOBS, REGION)
        services = Services(
            world=world,
            region=REGION,
            zones=(),
            cells={},
            capacities={},
            identity=cast(Any, None),
            sessions=cast(Any, None),
            network=cast(Any, None),
            task_definitions=cast(Any, None),
            logs=self.logs,
        )
        frontend = FrontEnd(
            world=world,
            region=REGION,
            knobs=DEFAULT_KNOBS,
            models=Models(),
            services=services,
            operations={"logs": OPERATIONS},
            credentials=Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET),
        )
        async with listening(frontend) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self.url

    def append(self, stream: str, lines: list[str]) -> None:
        """As an agent does it, from this thread."""
        self.do(self._append(stream, lines))

    async def _append(self, stream: str, lines: list[str]) -> None:
        target = LogTarget(account=ACCOUNT, region=REGION, group="/ecs/web", stream=stream, create_group=True)
        opened = await self.logs.open_source(target, "task/web")
        body = "\n".join(lines).encode()
        runs = [(int(time.time() * 1000), len(lines))]
        start = opened.offset
        await self.logs.append(opened.stream_key, "task/web", start, start + len(body) + 1, runs, body)


@pytest.fixture(scope="module")
def server() -> Iterator[LogsServer]:
    running = LogsServer()
    with running:
        yield running


@pytest.fixture(scope="module")
def client(server: LogsServer) -> Any:
    return boto(server)


def boto(server: LogsServer, **config: Any) -> Any:
    return boto3.client(
        "logs",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(retries={"max_attempts": 0}, **config),
    )


def error_of(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_the_life_of_a_group_through_boto3(client: Any) -> None:
    client.create_log_group(logGroupName="/life", tags={"team": "a"})
    client.create_log_stream(logGroupName="/life", logStreamName="s")
    now = int(time.time() * 1000)
    put = client.put_log_events(
        logGroupName="/life",
        logStreamName="s",
        logEvents=[{"timestamp": now, "message": "grüße"}, {"timestamp": now + 1, "message": "b\nc"}],
        sequenceToken="anything",
    )
    assert put["nextSequenceToken"].isdigit()
    got = client.get_log_events(logGroupName="/life", logStreamName="s", startFromHead=True)
    assert [(event["timestamp"], event["message"]) for event in got["events"]] == [(now, "grüße"), (now + 1, "b\nc")]
    same = client.get_log_events(logGroupIdentifier="/life", logStreamName="s", nextToken=got["nextForwardToken"])
    assert (same["events"], same["nextForwardToken"]) == ([], got["nextForwardToken"])
    group = client.describe_log_groups(logGroupNamePrefix="/life")["logGroups"][0]
    assert group["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/life:*"
    by_arn = client.describe_log_streams(logGroupIdentifier=group["logGroupArn"])["logStreams"]
    assert (by_arn[0]["firstEventTimestamp"], by_arn[0]["lastEventTimestamp"]) == (now, now + 1)
    found = client.filter_log_events(logGroupName="/life", filterPattern="c")
    assert [event["message"] for event in found["events"]] == ["b\nc"]
    client.delete_log_stream(logGroupName="/life", logStreamName="s")
    client.delete_log_group(logGroupName="/life")
    assert client.describe_log_groups(logGroupNamePrefix="/life")["logGroups"] == []


def test_boto3s_paginators_reach_the_end(client: Any) -> None:
    client.create_log_group(logGroupName="/pages")
    for number in range(7):
        client.create_log_stream(logGroupName="/pages", logStreamName=f"s{number}")
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": str(number)} for number in range(25)]
    client.put_log_events(logGroupName="/pages", logStreamName="s1", logEvents=events)
    streams = client.get_paginator("describe_log_streams").paginate(
        logGroupName="/pages", PaginationConfig={"PageSize": 3}
    )
    assert [stream["logStreamName"] for page in streams for stream in page["logStreams"]] == [
        f"s{number}" for number in range(7)
    ]
    pages = client.get_paginator("filter_log_events").paginate(logGroupName="/pages", PaginationConfig={"PageSize": 4})
    assert [event["message"] for page in pages for event in page["events"]] == [str(number) for number in range(25)]
    groups = client.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 1})
    assert "/pages" in [group["logGroupName"] for page in groups for group in page["logGroups"]]


def test_errors_have_awss_codes_and_texts(client: Any) -> None:
    client.create_log_group(logGroupName="/errors")
    missing_group = ("ResourceNotFoundException", "The specified log group does not exist.")
    missing_stream = ("ResourceNotFoundException", "The specified log stream does not exist.")
    assert error_of(client.describe_log_streams, logGroupName="/none") == missing_group
    assert error_of(client.filter_log_events, logGroupName="/none") == missing_group
    assert error_of(client.get_log_events, logGroupName="/errors", logStreamName="x") == missing_stream
    client.create_log_stream(logGroupName="/errors", logStreamName="y")
    for named in (["x"], ["y", "x"]):  # one that is missing fails them all
        assert error_of(client.filter_log_events, logGroupName="/errors", logStreamNames=named) == missing_stream
    assert client.filter_log_events(logGroupName="/errors", logStreamNames=["y", "y"])["events"] == []
    assert error_of(client.create_log_group, logGroupName="/errors") == (
        "ResourceAlreadyExistsException",
        "The specified log group already exists",
    )
    other = f"arn:aws:logs:{REGION}:999999999999:log-group:/errors"
    assert error_of(client.describe_log_streams, logGroupIdentifier=other) == missing_group
    code, text = error_of(client.create_log_group, logGroupName="with space")
    assert code == "InvalidParameterException"
    assert text == (
        "1 validation error detected: Value 'with space' at 'logGroupName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+"
    )


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("describe_log_streams", {"logGroupName": "/bad", "orderBy": "LastEventTime", "logStreamNamePrefix": "a"}),
        ("describe_log_streams", {"logGroupName": "/bad", "logGroupIdentifier": "/bad"}),
        ("describe_log_streams", {}),
        ("describe_log_streams", {"logGroupIdentifier": "arn:aws:s3:::bucket"}),
        ("describe_log_streams", {"logGroupName": "/bad", "nextToken": "made up"}),
        ("describe_log_groups", {"logGroupNamePrefix": "a", "logGroupNamePattern": "b"}),
        ("describe_log_groups", {"logGroupNamePrefix": "a", "logGroupIdentifiers": ["b"]}),
        ("describe_log_groups", {"nextToken": "made up"}),
        ("filter_log_events", {"logGroupName": "/bad", "filterPattern": "{ $.a }"}),
        ("filter_log_events", {"logGroupName": "/bad", "logStreamNames": ["a"], "logStreamNamePrefix": "b"}),
        ("filter_log_events", {"logGroupName": "/bad", "nextToken": "made up"}),
        ("get_log_events", {"logGroupName": "/bad", "logStreamName": "s", "nextToken": "f/1"}),
        ("create_log_group", {"logGroupName": "/kms", "kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1"}),
        ("create_log_group", {"logGroupName": "/class", "logGroupClass": "INFREQUENT_ACCESS"}),
        ("create_log_group", {"logGroupName": "/kept", "deletionProtectionEnabled": True}),
        ("create_log_group", {"logGroupName": "/tags", "tags": {"aws:x": "y"}}),
        ("create_log_group", {"logGroupName": "aws/ecs"}),
    ],
)
def test_what_is_wrong_or_not_built_is_refused(client: Any, operation: str, params: dict[str, Any]) -> None:
    names = [group["logGroupName"] for group in client.describe_log_groups()["logGroups"]]
    if "/bad" not in names:
        client.create_log_group(logGroupName="/bad")
        client.create_log_stream(logGroupName="/bad", logStreamName="s")
        names.append("/bad")
    code, text = error_of(getattr(client, operation), **params)
    assert code == "InvalidParameterException", text
    assert sorted(names) == [group["logGroupName"] for group in client.describe_log_groups()["logGroups"]]


def test_retention_has_awss_days(client: Any) -> None:
    client.create_log_group(logGroupName="/days")
    client.put_retention_policy(logGroupName="/days", retentionInDays=3653)
    code, text = error_of(client.put_retention_policy, logGroupName="/days", retentionInDays=2)
    assert code == "InvalidParameterException"
    assert text.startswith("1 validation error detected: Value '2' at 'retentionInDays' failed to satisfy constraint")
    [group] = client.describe_log_groups(logGroupNamePrefix="/days")["logGroups"]
    assert group["retentionInDays"] == 3653
    missing = ("ResourceNotFoundException", "The specified log group does not exist.")
    assert error_of(client.put_retention_policy, logGroupName="/none", retentionInDays=1) == missing
    assert error_of(client.delete_retention_policy, logGroupName="/none") == missing


def test_tags_by_either_name(client: Any) -> None:
    client.create_log_group(logGroupName="/tagged", tags={"a": "1"})
    [group] = client.describe_log_groups(logGroupNamePrefix="/tagged")["logGroups"]
    arn = group["logGroupArn"]
    client.tag_log_group(logGroupName="/tagged", tags={"b": "2"})
    client.tag_resource(resourceArn=arn, tags={"a": "3"})
    assert client.list_tags_log_group(logGroupName="/tagged")["tags"] == {"a": "3", "b": "2"}
    client.untag_log_group(logGroupName="/tagged", tags=["b", "unknown"])
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "3"}
    full = {str(number): "" for number in range(50)}
    assert error_of(client.tag_resource, resourceArn=arn, tags=full)[0] == "TooManyTagsException"
    assert error_of(client.tag_resource, resourceArn=arn, tags={"aws:x": ""})[0] == "InvalidParameterException"
    for wrong in ("tagged", "arn:aws:s3:::tagged", arn.replace("log-group:", "destination:")):
        assert error_of(client.list_tags_for_resource, resourceArn=wrong)[0] == "InvalidParameterException"
    other = arn.replace(ACCOUNT, "999999999999")
    assert error_of(client.tag_resource, resourceArn=other, tags={"c": ""})[0] == "ResourceNotFoundException"
    assert client.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "3"}


def test_filters_are_tried_but_never_kept(client: Any) -> None:
    client.create_log_group(logGroupName="/filters")
    messages = ['{"a": 1}', '{"a": 2}', "text"]
    found = client.test_metric_filter(filterPattern="{ $.a = 2 }", logEventMessages=messages)["matches"]
    assert found == [{"eventNumber": 2, "eventMessage": '{"a": 2}', "extractedValues": {"$.a": "2"}}]
    metric = {"metricName": "m", "metricNamespace": "n", "metricValue": "1"}
    named = {"logGroupName": "/filters", "filterName": "f"}
    put = {**named, "filterPattern": ""}
    assert error_of(client.put_metric_filter, **put, metricTransformations=[metric])[0] == "InvalidOperationException"
    assert error_of(client.put_subscription_filter, **put, destinationArn="arn:x")[0] == "InvalidOperationException"
    assert client.describe_metric_filters(logGroupName="/filters")["metricFilters"] == []
    assert client.describe_subscription_filters(logGroupName="/filters")["subscriptionFilters"] == []
    for delete in (client.delete_metric_filter, client.delete_subscription_filter):
        assert error_of(delete, **named)[0] == "ResourceNotFoundException"


def tailing(server: LogsServer) -> Any:
    """boto3 that does not put `stream-` before the name of the endpoint, which is a number here."""
    return boto(server, inject_host_prefix=False, read_timeout=30)


def arn_of(group: str) -> str:
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"


def test_a_live_tail_shows_what_comes_after_it_began(server: LogsServer, client: Any) -> None:
    server.append("ecs/live/1", ["before"])
    tail = tailing(server).start_live_tail(
        logGroupIdentifiers=[arn_of("/ecs/web")], logStreamNamePrefixes=["ecs/live/"], logEventFilterPattern="-noise"
    )
    events = iter(tail["responseStream"])
    start = next(events)["sessionStart"]
    assert start["logGroupIdentifiers"] == [arn_of("/ecs/web")]
    assert start["logEventFilterPattern"] == "-noise"
    server.append("ecs/live/1", ["one", "noise", "two"])
    server.append("ecs/other", ["not asked for"])
    seen: list[dict[str, Any]] = []
    while len(seen) < 2:
        update = next(events)["sessionUpdate"]
        assert update["sessionMetadata"] == {"sampled": False}
        seen += update["sessionResults"]
    assert [event["message"] for event in seen] == ["one", "two"]
    assert {event["logStreamName"] for event in seen} == {"ecs/live/1"}
    assert {event["logGroupIdentifier"] for event in seen} == {f"{ACCOUNT}:/ecs/web"}
    tail["responseStream"].close()


def test_an_account_has_fifteen_live_tails_and_gets_them_back(server: LogsServer, client: Any) -> None:
    client.create_log_group(logGroupName="/many")
    call = tailing(server).start_live_tail
    open_ones = [call(logGroupIdentifiers=[arn_of("/many")])["responseStream"] for _ in range(15)]
    assert error_of(call, logGroupIdentifiers=[arn_of("/many")])[0] == "LimitExceededException"
    for stream in open_ones:
        stream.close()
    for _ in range(100):  # the server sees each of them hang up
        try:
            call(logGroupIdentifiers=[arn_of("/many")])["responseStream"].close()
            return
        except ClientError:
            time.sleep(0.1)
    raise AssertionError("no tail was given back")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"logGroupIdentifiers": ["/tail"]}, "InvalidParameterException"),
        ({"logGroupIdentifiers": [arn_of("/tail") + ":*"]}, "InvalidParameterException"),
        ({"logGroupIdentifiers": [arn_of("/none")]}, "ResourceNotFoundException"),
        ({"logEventFilterPattern": "{ $.a }"}, "InvalidParameterException"),
        ({"logStreamNames": ["a"], "logStreamNamePrefixes": ["b"]}, "InvalidParameterException"),
        (
            {"logGroupIdentifiers": [arn_of("/tail"), arn_of("/tail2")], "logStreamNames": ["a"]},
            "InvalidParameterException",
        ),
    ],
)
def test_a_live_tail_of_nothing_is_refused(server: LogsServer, client: Any, params: Any, code: str) -> None:
    if not client.describe_log_groups(logGroupNamePrefix="/tail")["logGroups"]:
        client.create_log_group(logGroupName="/tail")
        client.create_log_group(logGroupName="/tail2")
    given = {"logGroupIdentifiers": [arn_of("/tail")], **params}
    assert error_of(tailing(server).start_live_tail, **given)[0] == code


def aws_programs() -> list[str]:
    """The aws CLIs of this machine: Debian's (v2) and PyPI's (v1)."""
    beside = str(Path(sys.executable).parent / "aws")
    return [path for path in ("/usr/bin/aws", beside) if os.access(path, os.X_OK)]


def cli_environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize("program", aws_programs())
def test_the_aws_cli_reads_what_a_container_wrote(server: LogsServer, program: str, tmp_path: Path) -> None:
    stream = f"ecs/web/{tmp_path.name}"
    server.append(stream, ["one", "two"])
    arguments = ["get-log-events", "--log-group-name", "/ecs/web", "--log-stream-name", stream, "--start-from-head"]
    done = subprocess.run(
        [program, "--endpoint-url", server.url, "logs", *arguments, "--query", "events[].message", "--output", "text"],
        env=cli_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["one", "two"], "")


def test_the_aws_cli_tails_live(server: LogsServer, tmp_path: Path) -> None:
    program = str(Path(sys.executable).parent / "aws")
    if not os.access(program, os.X_OK):
        pytest.skip("the aws CLI of PyPI is not installed")
    stream = f"ecs/live/{tmp_path.name}"
    server.append(stream, ["before"])
    arguments = [program, "--endpoint-url", server.url, "logs", "start-live-tail"]
    arguments += ["--log-group-identifiers", arn_of("/ecs/web"), "--log-stream-names", stream]
    environment = cli_environment(tmp_path) | {"AWS_DISABLE_HOST_PREFIX_INJECTION": "true"}
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as tail:
        watchdog = threading.Timer(60, tail.kill)
        watchdog.start()
        lines = iter(range(1, 600))
        stop = threading.Event()

        def write() -> None:  # it does not say when its session has begun
            while not stop.wait(0.2):
                server.append(stream, [f"line {next(lines)}"])

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert tail.stdout is not None
            first = tail.stdout.readline()
        finally:
            stop.set()
            writer.join()
            watchdog.cancel()
            tail.kill()
    assert first.partition("line ")[2].strip().isdigit(), first


def test_aws_logs_tail_follows(server: LogsServer, tmp_path: Path) -> None:
    program = "/usr/bin/aws"
    if not os.access(program, os.X_OK):
        pytest.skip("aws CLI v2 is not installed")
    stream = f"ecs/tail/{tmp_path.name}"
    server.append(stream, ["before"])
    arguments = [program, "--endpoint-url", server.url, "logs", "tail", "/ecs/web", "--follow", "--since", "1m"]
    arguments += ["--log-stream-names", stream, "--format", "short"]
    with subprocess.Popen(
        arguments, env=cli_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as tail:
        watchdog = threading.Timer(60, tail.kill)
        watchdog.start()
        try:
            assert tail.stdout is not None
            first = tail.stdout.readline()
            server.append(stream, ["after 1", "after 2"])
            later = [tail.stdout.readline(), tail.stdout.readline()]
        finally:
            watchdog.cancel()
            tail.kill()
    assert [line.split(" ", 1)[1].strip() for line in (first, *later)] == ["before", "after 1", "after 2"]
    year = str(datetime.datetime.now(datetime.UTC).year)
    assert first.startswith(year)
