"""What reading a request costs: RunTask parsed and validated against botocore's validation alone; a signature verified
against botocore computing it again. Both of a pair run in turns in one process, pure computing, one thread.
"""

import datetime
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import botocore.auth
import botocore.session
import msgspec
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

from neargate.frontend.protocols import Protocols
from neargate.testing.signing import json_headers, signed
from neargate.wire.shapes import Models
from neargate.wire.sigv4 import SignedRequest, Verifier

from .figures import Figure, Load, quantile, spread

ROUNDS = 9
CALLS = 400  # of each of the pair in a round
COMMAND = "python -m bench codec"
KEY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"
HOST = "127.0.0.1:4566"
RUN_TASK: dict[str, Any] = {
    "cluster": "production",
    "taskDefinition": "web:7",
    "count": 2,
    "launchType": "FARGATE",
    "platformVersion": "LATEST",
    "propagateTags": "TASK_DEFINITION",
    "enableExecuteCommand": False,
    "startedBy": "deploy/2026-11-21",
    "clientToken": "6f1c2d3e-0001-4000-8000-000000000001",
    "tags": [{"key": f"key-{n}", "value": f"value-{n}"} for n in range(5)],
    "networkConfiguration": {
        "awsvpcConfiguration": {
            "subnets": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
            "securityGroups": ["sg-0a1b2c3d4e5f60718"],
            "assignPublicIp": "ENABLED",
        }
    },
    "overrides": {
        "cpu": "256",
        "memory": "512",
        "containerOverrides": [
            {
                "name": "app",
                "command": ["sh", "-c", "exec /srv/run --verbose"],
                "environment": [{"name": f"NAME_{n}", "value": f"the value of {n}"} for n in range(8)],
                "memoryReservation": 128,
            }
        ],
    },
}


def measure() -> list[Figure]:
    return [_parsing(), _verifying()]


def _parsing() -> Figure:
    codec = Protocols(Models()).codec("ecs", "RunTask")
    assert codec is not None
    body = msgspec.json.encode(RUN_TASK)
    shape = botocore.session.get_session().get_service_model("ecs").operation_model("RunTask").input_shape
    validator = ParamValidator()
    assert codec.parse(body) == RUN_TASK and not validator.validate(RUN_TASK, shape).has_errors()
    return _pair(
        name="run_task_parse_and_validate",
        ours=lambda: codec.parse(body),
        theirs=lambda: validator.validate(RUN_TASK, shape),
        against="botocore.validate of the same request, already parsed",
        goal="<= 0.3",
        note=f"a body of {len(body)} bytes",
    )


def _verifying() -> Figure:
    now = time.time()
    body = msgspec.json.encode(RUN_TASK)
    plain = SignedRequest(method="POST", path=b"/", query=b"", headers=json_headers("ecs", "RunTask", HOST), body=body)
    headers = signed(plain, key=KEY, secret=SECRET, region=REGION, service="ecs", now=now)
    request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
    verifier = Verifier(region=REGION, clock_skew_max_s=300)
    signer = botocore.auth.SigV4Auth(Credentials(KEY, SECRET), "ecs", REGION)
    given = {name.decode(): value.decode() for name, value in headers if name != b"authorization"}
    theirs = _Recomputing(signer, given, body, now)
    expected = dict(headers)[b"authorization"].decode().rpartition("Signature=")[2]
    assert theirs() == expected
    return _pair(
        name="sigv4_verify",
        ours=lambda: verifier.verify(request, "ecs", now, lambda _key, _token: SECRET),
        theirs=theirs,
        against="botocore.auth computing the signature of the same request again",
        goal="<= 0.25",
        note="ours keeps the day's signing key; botocore derives it anew, as for each request that it signs",
    )


class _Recomputing:
    """What a server that has botocore can do: sign the same request again, and look at the header that comes out."""

    def __init__(self, signer: Any, headers: dict[str, str], body: bytes, now: float) -> None:
        self._signer = signer
        self._headers = headers
        self._body = body
        moment = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)
        botocore.auth.get_current_datetime = lambda *_args, **_kwargs: moment

    def __call__(self) -> str:
        request = AWSRequest("POST", f"http://{HOST}/", headers=self._headers, data=self._body)
        self._signer.add_auth(request)
        return str(request.headers["Authorization"]).rpartition("Signature=")[2]


def _pair(
    *, name: str, ours: Callable[[], object], theirs: Callable[[], object], against: str, goal: str, note: str
) -> Figure:
    """Ratio of the medians of each round; whichever goes first changes with the round."""
    mine: list[float] = []
    others: list[float] = []
    _round_us(ours, theirs)  # compiles, fills caches
    with Load() as load:
        for turn in range(ROUNDS):
            first, second = _round_us(ours, theirs) if turn % 2 else reversed(_round_us(theirs, ours))
            mine.append(first)
            others.append(second)
    return Figure(
        name=name,
        value=median(mine) / median(others),
        unit="x",
        against=against,
        goal=goal,
        samples={"neargate_us": mine, "botocore_us": others},
        notes=(f"{spread(mine)} us against {spread(others)} us", note),
        load=load.busy,
        command=COMMAND,
    )


def _round_us(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """The median call of each, taken in turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(CALLS):
        for call, times in zip((first, second), taken, strict=True):
            begun = time.perf_counter_ns()
            call()
            times.append((time.perf_counter_ns() - begun) / 1000)
    return quantile(taken[0], 0.5), quantile(taken[1], 0.5)
