"""The region's endpoint as an execution role's calls reach it: parameters, secrets, registry tokens, in memory.

Implements the agent's `Exchange`. Every call's signature is verified with `keys`. `refusals` answers an operation as a
service refuses it, and `faults` cuts calls (`post`).
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import field

from ..agent.execution.exchange import Header, Reply, Unreachable
from ..model.concealed import Concealed
from ..wire.sigv4 import SignedRequest, Verifier
from .fake_faults import Faults

REGION = "us-east-1"
_SERVICES = {
    "AmazonSSM": "ssm",
    "secretsmanager": "secretsmanager",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
}
_SKEW_S = 300.0


class FakeSecret(Concealed, frozen=True, kw_only=True):
    """`versions`: by version id, and by stage."""

    text: str | None = None
    binary: bytes | None = None
    versions: dict[str, str] = field(default_factory=dict)


class FakeRegionApi:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.host = "169.254.170.10:4566"
        self.faults = Faults()
        self.parameters: dict[str, str] = {}  # by name, and by ARN
        self.secrets: dict[str, FakeSecret] = {}  # by ARN
        self.tokens: list[str] = []  # registry passwords given out
        self.refusals: dict[str, tuple[int, str, str]] = {}  # operation -> status, code, message
        self.answers: dict[str, bytes] = {}  # operation -> a body as it is
        self.keys: dict[str, str] = {}  # access key id -> secret access key
        self.calls: list[tuple[str, str, dict[str, Any]]] = []  # task id, operation, parameters
        self.ahead_s = 0.0  # of the clock that the tests' hosts have
        self._clock = clock
        self._verifier = Verifier(region=REGION, clock_skew_max_s=_SKEW_S)

    async def post(self, task_id: str, headers: Sequence[Header], body: bytes) -> Reply:
        await self.faults.before("post")
        target, _, operation = dict(headers)[b"x-amz-target"].decode().partition(".")
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        now = self._clock() + self.ahead_s
        self._verifier.verify(request, _SERVICES[target], now, lambda key, _token: self.keys.get(key))
        asked = msgspec.json.decode(body)
        self.calls.append((task_id, operation, asked))
        await self.faults.after("post")
        if operation in self.refusals:
            status, code, message = self.refusals[operation]
            return self._reply(status, {"__type": code, "message": message})
        if operation in self.answers:
            return Reply(status=200, request_id="r-1", body=self.answers[operation])
        return self._answer(operation, asked)

    def cut(self, times: int, why: str = "canceled, context deadline exceeded") -> None:
        """The next calls reach nobody."""
        self.faults.fail("post", Unreachable(why), times=times)

    def operations(self) -> list[str]:
        return [operation for _, operation, _ in self.calls]

    def _answer(self, operation: str, asked: dict[str, Any]) -> Reply:
        if operation == "GetParameters":
            return self._parameters(asked)
        if operation == "GetSecretValue":
            return self._secret(asked)
        assert operation == "GetAuthorizationToken", operation
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        token = base64.b64encode(f"AWS:{self.tokens[-1]}".encode()).decode()
        return self._reply(200, {"authorizationData": [{"authorizationToken": token}]})

    def _parameters(self, asked: dict[str, Any]) -> Reply:
        assert asked["WithDecryption"] is True and 1 <= len(asked["Names"]) <= 10
        found = [
            {"Name": name.partition(":parameter")[2] or name, "Value": self.parameters[name]}
            | ({"ARN": name} if name.startswith("arn:") else {})
            for name in asked["Names"]
            if name in self.parameters
        ]
        missing = [name for name in asked["Names"] if name not in self.parameters]
        return self._reply(200, {"Parameters": found, "InvalidParameters": missing})

    def _secret(self, asked: dict[str, Any]) -> Reply:
        secret = self.secrets.get(asked["SecretId"])
        version = asked.get("VersionId") or asked.get("VersionStage")
        if secret is None or (version is not None and version not in secret.versions):
            message = "Secrets Manager can't find the specified secret."
            return self._reply(400, {"__type": "ResourceNotFoundException", "Message": message})
        if secret.binary is not None:
            return self._reply(200, {"SecretBinary": base64.b64encode(secret.binary).decode()})
        return self._reply(200, {"SecretString": secret.text if version is None else secret.versions[version]})

    def _reply(self, status: int, document: dict[str, Any]) -> Reply:
        return Reply(status=status, request_id="r-1", body=msgspec.json.encode(document))
