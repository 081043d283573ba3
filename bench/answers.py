"""How long an answer takes against moto's answer to the same request: a region with simulated hosts and moto's server
side by side, each operation asked in turns over one kept connection, with the bytes that botocore writes.

Ours checks the signature, asks policies and limits, and writes to the disk what it acknowledges; moto does none of it.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from typing import Any
from urllib.parse import urlencode

import botocore.serialize
import botocore.session

from neargate.testing.signing import signed
from neargate.wire.sigv4 import SignedRequest

from .client import Client
from .figures import Figure, Load
from .peers import moto
from .region import ec2, region, task_definition

ROUNDS = 21
TASKS = 100
THROTTLED_S = 1.0
SETTLED_S = 30.0
COMMAND = "python -m bench answers"
CAPACITY = "--sandbox simulated --zones a,b --hosts 2 --host-cpu 4000000 --host-memory 16000000"
MOTO_KEYS = ("AKIAIOSFODNN7EXAMPLE", "secret")
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}],
    }
)


@cache
def _service(name: str) -> tuple[Any, Any]:
    model = botocore.session.get_session().get_service_model(name)
    return model, botocore.serialize.create_serializer(model.metadata["protocol"], include_validation=False)


@dataclass(kw_only=True)
class Target:
    """One of the two servers. `known`: names that requests need (groups, ARNs)."""

    client: Client
    keys: tuple[str, str]
    known: dict[str, Any] = field(default_factory=dict)

    def encoded(self, service: str, operation: str, params: dict[str, Any]) -> bytes:
        model, serializer = _service(service)
        request = serializer.serialize_to_request(params, model.operation_model(operation))
        body = request["body"]
        data = urlencode(body, doseq=True).encode() if isinstance(body, dict) else body
        headers = [(name.lower().encode(), value.encode()) for name, value in request["headers"].items()]
        headers.append((b"host", self.client.host.encode()))
        plain = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=data)
        key, secret = self.keys
        lines = signed(plain, key=key, secret=secret, region="us-east-1", service=model.signing_name, now=time.time())
        head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
        return b"POST / HTTP/1.1\r\n" + head + b"content-length: %d\r\n\r\n" % len(data) + data

    def ask(self, service: str, operation: str, params: dict[str, Any]) -> tuple[float, bytes]:
        """Milliseconds and body. A throttled call is asked again later, and only then counted."""
        while True:
            request = self.encoded(service, operation, params)
            begun = time.perf_counter()
            status, body = self.client.exchange(request)
            taken_ms = (time.perf_counter() - begun) * 1000
            if status == 200:
                return taken_ms, body
            if b"Throttling" not in body and b"RequestLimitExceeded" not in body:
                raise RuntimeError(f"{operation} at {self.client.host}: HTTP {status}: {body[:400]!r}")
            time.sleep(THROTTLED_S)

    def json(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ask(service, operation, params)[1] or b"{}")
        return found


Params = Callable[[Target, int], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An operation and what is asked in each round. Those that undo come right after what they undo."""

    service: str
    operation: str
    params: Params = lambda _target, _number: {}
    label: str = ""

    @property
    def name(self) -> str:
        return f"{self.service} {self.operation}{self.label}"


def measure() -> list[Figure]:
    with Load() as load, ExitStack() as stack:
        port, _ = stack.enter_context(moto())
        live = stack.enter_context(region(*CAPACITY.split()))
        ours = Target(client=live.client, keys=live.keys)
        theirs = Target(client=Client(port, *MOTO_KEYS), keys=MOTO_KEYS)
        for target, server in ((theirs, port), (ours, live.port)):
            _prepare(target, server)
        _settle(ours, ours.known["tasks"])  # moto's move on with each look at them, and end
        taken = {asked.name: _rounds(asked, ours, theirs) for asked in _asked()}
    return _figures(taken, load.busy)


def _prepare(target: Target, port: int) -> None:
    container = {"name": "c", "image": "busybox", "command": ["sleep", "600"], "memory": 512, "cpu": 256}
    known = target.known
    known["container"] = container
    network = ec2(port, target.keys)
    known["subnets"] = sorted(found["SubnetId"] for found in network.describe_subnets()["Subnets"])[:1]
    known["group"] = network.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    known["vpc"] = network.describe_vpcs()["Vpcs"][0]["VpcId"]
    target.json("ecs", "CreateCluster", clusterName="default")
    target.json("ecs", "RegisterTaskDefinition", **task_definition(1, container))
    arns: list[str] = []
    while len(arns) < TASKS:
        found = target.json("ecs", "RunTask", **{**_run(target, 0), "count": 10})
        arns += [task["taskArn"] for task in found["tasks"]]
    known["tasks"] = arns
    target.json("logs", "CreateLogGroup", logGroupName="/answers")
    target.json("logs", "CreateLogStream", logGroupName="/answers", logStreamName="s")
    target.json("logs", "PutLogEvents", **_events(target, 0))
    target.ask("iam", "CreateRole", {"RoleName": "bench", "AssumeRolePolicyDocument": TRUST})


def _settle(target: Target, arns: list[str]) -> None:
    """Until all run: an answer of tasks that change is not the same answer."""
    deadline = time.monotonic() + SETTLED_S
    while time.monotonic() < deadline:
        tasks = target.json("ecs", "DescribeTasks", tasks=arns)["tasks"]
        if all(task["lastStatus"] == "RUNNING" for task in tasks):
            return
        time.sleep(0.5)
    seen = sorted({f"{task['lastStatus']} {task.get('stoppedReason', '')}" for task in tasks})
    raise RuntimeError(f"not all tasks run at {target.client.host}: {seen}")


def _run(target: Target, number: int) -> dict[str, Any]:
    del number
    network = {"subnets": target.known["subnets"], "securityGroups": [target.known["group"]]}
    return {
        "taskDefinition": "bench-1",
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": network},
    }


def _events(target: Target, number: int) -> dict[str, Any]:
    del target
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": f"line {number} {n}"} for n in range(100)]
    return {"logGroupName": "/answers", "logStreamName": "s", "logEvents": events}


def _definition(target: Target, number: int) -> dict[str, Any]:
    return task_definition(100 + number, target.known["container"])


def _permission(target: Target, number: int) -> dict[str, Any]:
    rule = {"IpProtocol": "tcp", "FromPort": 1000 + number, "ToPort": 1000 + number}
    return {"GroupId": target.known["group"], "IpPermissions": [{**rule, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]}


def _asked() -> Iterator[Asked]:
    yield from _ecs()
    yield from _logs()
    for name in ("AvailabilityZones", "NetworkInterfaces", "SecurityGroupRules", "SecurityGroups", "Subnets", "Vpcs"):
        yield Asked(service="ec2", operation=f"Describe{name}")
    for direction in ("Ingress", "Egress"):
        for verb in ("Authorize", "Revoke"):
            yield Asked(service="ec2", operation=f"{verb}SecurityGroup{direction}", params=_permission)
    yield Asked(
        service="ec2",
        operation="CreateSecurityGroup",
        params=lambda target, n: {"GroupName": f"g{n}", "Description": "d", "VpcId": target.known["vpc"]},
    )
    yield Asked(service="sts", operation="GetCallerIdentity")
    yield Asked(service="sts", operation="GetSessionToken")
    role = {"RoleArn": "arn:aws:iam::123456789012:role/bench", "RoleSessionName": "bench"}
    yield Asked(service="sts", operation="AssumeRole", params=lambda _target, _n: role)
    yield Asked(service="iam", operation="GetRole", params=lambda _target, _n: {"RoleName": "bench"})
    yield Asked(service="iam", operation="ListRoles")
    yield Asked(service="iam", operation="CreateUser", params=lambda _target, n: {"UserName": f"u{n}"})


def _ecs() -> Iterator[Asked]:
    def of(operation: str, params: Params = lambda _target, _number: {}, label: str = "") -> Asked:
        return Asked(service="ecs", operation=operation, params=params, label=label)

    yield of("DescribeTasks", lambda target, _: {"tasks": target.known["tasks"]}, f" of {TASKS}")
    yield of("DescribeTasks", lambda target, _: {"tasks": target.known["tasks"][:1]}, " of 1")
    yield of("ListTasks")
    yield of("DescribeClusters", lambda _target, _n: {"clusters": ["default"]})
    yield of("ListClusters")
    yield of("DescribeTaskDefinition", lambda _target, _n: {"taskDefinition": "bench-1"})
    yield of("ListTaskDefinitions")
    yield of("ListTaskDefinitionFamilies")
    yield of("RegisterTaskDefinition", _definition)
    yield of("DeregisterTaskDefinition", lambda _target, n: {"taskDefinition": f"bench-{100 + n}:1"})
    yield of("DeleteTaskDefinitions", lambda _target, n: {"taskDefinitions": [f"bench-{100 + n}:1"]})
    yield of("CreateCluster", lambda _target, n: {"clusterName": f"c{n}"})
    yield of("DeleteCluster", lambda _target, n: {"cluster": f"c{n}"})
    yield of("RunTask", _run)
    yield of("StopTask", lambda target, n: {"task": target.known["tasks"][n]})


def _logs() -> Iterator[Asked]:
    def of(operation: str, params: Params) -> Asked:
        return Asked(service="logs", operation=operation, params=params)

    stream = {"logGroupName": "/answers", "logStreamName": "s"}
    yield of("GetLogEvents", lambda _target, _n: stream)
    yield of("FilterLogEvents", lambda _target, _n: {"logGroupName": "/answers", "filterPattern": "line"})
    yield of("DescribeLogGroups", lambda _target, _n: {})
    yield of("DescribeLogStreams", lambda _target, _n: {"logGroupName": "/answers"})
    yield of("PutLogEvents", _events)
    yield of("CreateLogStream", lambda _target, n: {"logGroupName": "/answers", "logStreamName": f"s{n}"})
    yield of("DeleteLogStream", lambda _target, n: {"logGroupName": "/answers", "logStreamName": f"s{n}"})
    yield of("CreateLogGroup", lambda _target, n: {"logGroupName": f"/g{n}"})
    yield of("DeleteLogGroup", lambda _target, n: {"logGroupName": f"/g{n}"})


def _rounds(asked: Asked, ours: Target, theirs: Target) -> tuple[list[float], list[float]]:
    """Milliseconds of each; whoever is asked first changes with the round, the first round does not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        order = ((ours, taken[0]), (theirs, taken[1]))
        for target, series in order if number % 2 else order[::-1]:
            milliseconds, _ = target.ask(asked.service, asked.operation, asked.params(target, number))
            if number:
                series.append(milliseconds)
    return taken


def _figures(taken: dict[str, tuple[list[float], list[float]]], busy: float) -> list[Figure]:
    ratios = {name: median(theirs) / median(ours) for name, (ours, theirs) in taken.items()}
    hundred = f"ecs DescribeTasks of {TASKS}"
    ours, theirs = taken[hundred]
    slowest = min(ratios, key=ratios.__getitem__)
    by_ratio = sorted(ratios, key=ratios.__getitem__)
    return [
        Figure(
            name=f"describe_{TASKS}_tasks_against_moto",
            value=ratios[hundred],
            unit="x faster",
            against="moto's server, the same request, one caller, one kept connection",
            goal=">= 10",
            samples={"neargate_ms": ours, "moto_ms": theirs},
            notes=(f"{median(ours):.2f} ms against {median(theirs):.2f} ms",),
            load=busy,
            command=COMMAND,
        ),
        Figure(
            name="slowest_answer_against_moto",
            value=ratios[slowest],
            unit="x faster",
            against=f"moto's server; the least of {len(ratios)} operations, which is {slowest}",
            goal=">= 1",
            samples={
                f"{name} {who}_ms": taken[name][at] for name in by_ratio for at, who in enumerate(("ours", "moto"))
            },
            notes=[
                f"{name}: {median(taken[name][0]):.2f} ms against {median(taken[name][1]):.2f} ms, x{ratios[name]:.1f}"
                for name in by_ratio
            ],
            load=busy,
            command=COMMAND,
        ),
    ]
