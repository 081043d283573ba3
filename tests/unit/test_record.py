"""Records of calls: their form is CloudTrail's, refused calls have one too, and no secret is in any."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.authorize import authorize
from neargate.frontend.call import Call, Params, Principal, RawBody, SessionFacts
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.errors import Fault
from neargate.frontend.operations.table import OPERATIONS
from neargate.frontend.record.fields import HIDDEN, SHOWN_MAPS, is_shown
from neargate.frontend.record.recorder import CallRecorder
from neargate.frontend.record.seen import SeenCall
from neargate.frontend.services import Services
from neargate.interfaces.store import Overloaded
from neargate.interfaces.trail import NOBODY, TrailEntry, TrailQuery
from neargate.model.errors import ClusterNotFound, InvalidParameter
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.examples import whole
from neargate.testing.signing import form_headers, json_headers, signed
from neargate.trail.losses import EVENT_NAME
from neargate.trail.store import Trail
from neargate.wire.shapes import Models, Shape
from neargate.wire.sigv4 import SignedRequest
from neargate.world import OsWorld

KEY, SECRET, ACCOUNT, REGION = "AKIAADMINISTRATOR", "the-secret-access-key", "123456789012", "us-east-1"
NOW = 1_795_300_000.0
MODELS = Models()
CLUSTER_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/web"
TASK_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/web/0123"
SWEPT = [(service, name) for service in sorted(OPERATIONS) for name in sorted(OPERATIONS[service])]


class FixedWorld(OsWorld):
    def now(self) -> float:
        return NOW


class Rig:
    """A front end whose operation does as it is told, over a real record in memory."""

    def __init__(self, **knobs: Any) -> None:
        self.world = FixedWorld()
        self.knobs = Knobs(**knobs)
        self.disk = MemoryDisk()
        self.answer: Any = {}
        self.raises: Exception | None = None
        self.calls: list[Call] = []

    async def operation(self, call: Call, services: Services, params: Params) -> Any:
        self.calls.append(call)
        action = {"ListClusters": "ecs:ListClusters"}.get(call.operation, f"ecs:{call.operation}")
        authorize(call, action, ["*" if call.operation == "ListClusters" else TASK_ARN])
        if self.raises is not None:
            raise self.raises
        return self.answer

    async def open(self) -> None:
        stores = MemoryStores(self.world, self.knobs, self.disk)
        self.trail = await Trail.open(self.world, stores, self.knobs, REGION)
        self.front = FrontEnd(
            world=self.world,
            region=REGION,
            knobs=self.knobs,
            models=MODELS,
            services=cast(Services, None),
            operations={"ecs": dict.fromkeys(("ListClusters", "ListTasks", "StopTask"), self.operation)},
            credentials=Credentials(account=ACCOUNT, access_key_id=KEY, secret_access_key=SECRET),
            recorder=CallRecorder(self.world, self.trail, MODELS, self.knobs, REGION),
        )

    async def send(
        self,
        operation: str,
        body: bytes,
        *,
        key: str = KEY,
        secret: str = SECRET,
        more: tuple[bytes, bytes] | None = None,
    ) -> int:
        headers = json_headers("ecs", operation) + ([more] if more else [])
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        sent = signed(request, key=key, secret=secret, region=REGION, service="ecs", now=NOW)
        return (await self.front.handle("POST", b"/", b"", sent, body, "192.0.2.7")).status

    async def entries(self, account: str | None = None) -> list[TrailEntry]:
        await self.trail.flush()
        wanted = TrailQuery(account=account, limit=10_000, management_only=False, oldest_first=True)
        return list((await self.trail.lookup(wanted, None)).entries)

    async def records(self, account: str | None = None) -> list[dict[str, Any]]:
        return [json.loads(one.document) for one in await self.entries(account)]


async def rig(**knobs: Any) -> Rig:
    made = Rig(**knobs)
    await made.open()
    return made


def test_a_call_that_changes_something_is_told_whole() -> None:
    async def story() -> None:
        it = await rig()
        it.answer = RawBody(
            b'{"task":{"taskArn":"%b","desiredStatus":"STOPPED","overrides":{"containerOverrides":[{"name":"c",'
            b'"environment":[{"name":"A","value":"planted"}]}]},"unmodelled":"planted"}}' % TASK_ARN.encode()
        )
        body = b'{"cluster":"web","task":"0123","reason":"deploy"}'
        assert await it.send("StopTask", body, more=(b"user-agent", b"aws-cli/2.22")) == 200
        (record,) = await it.records(ACCOUNT)
        event_id, request_id = record.pop("eventID"), record.pop("requestID")
        assert request_id == it.calls[0].request_id and len(event_id) == 36 != request_id
        assert (it.calls[0].source_ip, it.calls[0].user_agent) == ("192.0.2.7", "aws-cli/2.22")
        identity = record.pop("userIdentity")
        assert identity.pop("principalId").startswith("AIDA")
        assert identity == {
            "type": "IAMUser",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/administrator",
            "accountId": ACCOUNT,
            "accessKeyId": KEY,
            "userName": "administrator",
        }
        assert record == {
            "eventVersion": "1.11",
            "eventTime": "2026-11-21T22:26:40Z",
            "eventSource": "ecs.amazonaws.com",
            "eventName": "StopTask",
            "awsRegion": REGION,
            "sourceIPAddress": "192.0.2.7",
            "userAgent": "aws-cli/2.22",
            "requestParameters": {"cluster": "web", "task": "0123", "reason": "deploy"},
            "responseElements": {
                "task": {
                    "taskArn": TASK_ARN,
                    "desiredStatus": "STOPPED",
                    "overrides": {"containerOverrides": [{"name": "c", "environment": HIDDEN}]},
                }
            },
            "readOnly": False,
            "resources": [{"accountId": ACCOUNT, "type": "AWS::ECS::Task", "ARN": TASK_ARN}],
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": ACCOUNT,
            "eventCategory": "Management",
        }

    asyncio.run(story())


def test_a_call_that_reads_has_no_answer_in_its_record() -> None:
    async def story() -> None:
        it = await rig()
        it.answer = {"clusterArns": [CLUSTER_ARN]}
        await it.send("ListClusters", b'{"maxResults":5}')
        (record,) = await it.records(ACCOUNT)
        assert record["readOnly"] is True and record["responseElements"] is None
        assert record["requestParameters"] == {"maxResults": 5} and record["resources"] == []

    asyncio.run(story())


def test_a_path_that_was_listed_is_no_resource() -> None:
    asked = [f"arn:aws:iam::{ACCOUNT}:user/", f"arn:aws:iam::{ACCOUNT}:user/team/"]
    seen = SeenCall(
        request_id="r",
        service="iam",
        operation="ListUsers",
        principal=principal(f"arn:aws:iam::{ACCOUNT}:user/ann"),
        asked=asked,
    )
    entry = recorder().entry(seen, ACCOUNT, NOW)
    assert (entry.resources, json.loads(entry.document)["resources"]) == ((), [])


REFUSALS = [
    ("StopTask", b'{"task":"0123"}', {"secret": "wrong"}, None, NOBODY, "InvalidSignatureException"),
    ("StopTask", b'{"task":"0123"}', {"key": "AKIASTRANGER00000"}, None, NOBODY, "UnrecognizedClientException"),
    ("StopTask", b'{"task":', {}, None, ACCOUNT, "SerializationException"),
    ("StopTask", b"{}", {}, None, ACCOUNT, "InvalidParameterException"),
    ("RunTask", b"{}", {}, None, ACCOUNT, "UnsupportedFeatureException"),
    ("Shutdown", b"{}", {}, None, NOBODY, "UnknownOperationException"),
    ("StopTask", b'{"task":"0123"}', {}, ClusterNotFound(), ACCOUNT, "ClusterNotFoundException"),
    ("StopTask", b'{"task":"0123"}', {}, Overloaded(), ACCOUNT, "ThrottlingException"),
    ("StopTask", b'{"task":"0123"}', {}, ValueError("planted"), ACCOUNT, "ServerException"),
]


@pytest.mark.parametrize(("operation", "body", "who", "raises", "account", "code"), REFUSALS)
def test_refused_calls_are_recorded(
    operation: str, body: bytes, who: dict[str, str], raises: Exception | None, account: str, code: str
) -> None:
    async def story() -> None:
        it = await rig()
        it.raises = raises
        assert await it.send(operation, body, **who) >= 400
        (record,) = await it.records(account)
        assert record["errorCode"] == code and record["responseElements"] is None
        assert record["eventName"] == (operation if operation != "Shutdown" else "Unknown")
        if account == NOBODY and operation == "StopTask":
            assert record["userIdentity"] == {"type": "Unknown", "accessKeyId": who.get("key", KEY)}
            assert record["recipientAccountId"] is None
        assert "planted" not in json.dumps(record)

    asyncio.run(story())


def test_what_is_no_request_is_recorded_too_and_a_flood_of_it_is_counted() -> None:
    async def story() -> None:
        it = await rig(trail_refused_per_s=5.0)
        for _ in range(12):
            await it.front.handle("GET", b"/wp-admin", b"", [(b"host", b"x")], b"", "192.0.2.9")
        records = await it.records(NOBODY)
        assert [one["eventName"] for one in records].count("Unknown") == 5
        (lost,) = [one for one in records if one["eventName"] == EVENT_NAME]
        assert lost["serviceEventDetails"]["count"] == 7
        assert (await it.send("ListClusters", b"{}"), len(await it.records(ACCOUNT))) == (200, 1)

    asyncio.run(story())


def test_large_parameters_are_left_out_and_it_is_said() -> None:
    async def story() -> None:
        it = await rig(trail_field_max_bytes=64)
        await it.send("StopTask", json.dumps({"task": "0" * 100}).encode())
        (record,) = await it.records(ACCOUNT)
        assert record["requestParameters"]["omitted"] is True and "0" * 100 not in json.dumps(record)

    asyncio.run(story())


def recorder() -> CallRecorder:
    return CallRecorder(FixedWorld(), cast(Any, None), MODELS, Knobs(), REGION)


def principal(arn: str, **more: Any) -> Principal:
    known: dict[str, Any] = {"account": ACCOUNT, "user_id": "ID", "access_key_id": "ASIAAAAAAAAAAAAAAAAA"}
    return Principal(arn=arn, is_administrator=False, **known, **more)


def test_an_assumed_role_is_named_with_its_session() -> None:
    session = SessionFacts(
        name="deploy",
        issued=NOW,
        expires=NOW + 900,
        issuer_arn=f"arn:aws:iam::{ACCOUNT}:role/ci/runner",
        issuer_id="AROAID",
        issuer_name="runner",
        is_role=True,
        source_identity="ann",
        provider=f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.example.com",
    )
    who = principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/runner/deploy", session=session)
    seen = SeenCall(request_id="r", service="ecs", operation="ListClusters", principal=who)
    entry = recorder().entry(seen, ACCOUNT, NOW)
    identity = json.loads(entry.document)["userIdentity"]
    assert (identity["type"], entry.username, entry.access_key_id) == (
        "AssumedRole",
        "deploy",
        "ASIAAAAAAAAAAAAAAAAA",
    )
    assert "userName" not in identity
    assert identity["sessionContext"]["sessionIssuer"] == {
        "type": "Role",
        "principalId": "AROAID",
        "arn": f"arn:aws:iam::{ACCOUNT}:role/ci/runner",
        "accountId": ACCOUNT,
        "userName": "runner",
    }
    assert identity["sessionContext"]["attributes"] == {
        "creationDate": "2026-11-21T22:26:40Z",
        "mfaAuthenticated": "false",
    }
    assert identity["sessionContext"]["sourceIdentity"] == "ann"
    assert identity["sessionContext"]["webIdFederationData"]["federatedProvider"].endswith("token.example.com")


@pytest.mark.parametrize(
    ("arn", "kind", "username"),
    [
        (f"arn:aws:iam::{ACCOUNT}:root", "Root", "root"),
        (f"arn:aws:iam::{ACCOUNT}:user/team/ann", "IAMUser", "ann"),
        (f"arn:aws:sts::{ACCOUNT}:federated-user/bob", "FederatedUser", "bob"),
        ("ecs.amazonaws.com", "AWSService", "ecs.amazonaws.com"),
    ],
)
def test_kinds_of_callers(arn: str, kind: str, username: str) -> None:
    seen = SeenCall(request_id="r", service="ecs", operation="ListClusters", principal=principal(arn))
    entry = recorder().entry(seen, ACCOUNT, NOW)
    assert (json.loads(entry.document)["userIdentity"]["type"], entry.username) == (kind, username)


def test_a_web_identity_is_recorded_where_its_role_is() -> None:
    async def story() -> None:
        it = await rig()
        role = f"arn:aws:iam::{ACCOUNT}:role/ci"
        named = {
            "SubjectFromWebIdentityToken": "repo:a/b:ref:refs/heads/main",
            "Provider": "token.example.com",
            "Audience": "sts.amazonaws.com",
        }
        credentials = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "planted", "SessionToken": "planted"}
        answer = {"Credentials": {**credentials, "Expiration": 1795330800}, **named}
        params = {"RoleArn": role, "RoleSessionName": "run", "WebIdentityToken": "planted"}
        known: dict[str, Any] = {"request_id": "r", "service": "sts", "operation": "AssumeRoleWithWebIdentity"}
        nobody = Principal(account="", arn="", user_id="", access_key_id="", is_administrator=False)
        recorder = CallRecorder(it.world, it.trail, MODELS, it.knobs, REGION)
        known |= {"principal": nobody, "asked": [role], "params": params}
        recorder.record(SeenCall(**known, web_identity=named, answer=answer))
        refused = Fault(code="AccessDenied", status=403, message="Not authorized")
        recorder.record(SeenCall(**known, fault=refused))
        recorder.record(SeenCall(**known, web_identity=named, fault=refused))
        (record,) = await it.records(ACCOUNT)
        assert record["userIdentity"] == {
            "type": "WebIdentityUser",
            "principalId": "token.example.com:sts.amazonaws.com:repo:a/b:ref:refs/heads/main",
            "userName": "repo:a/b:ref:refs/heads/main",
            "identityProvider": "token.example.com",
        }
        assert record["requestParameters"]["webIdentityToken"] == HIDDEN
        assert record["responseElements"]["credentials"]["accessKeyId"] == "ASIAEXAMPLE"
        assert record["responseElements"]["credentials"]["expiration"] == "Nov 22, 2026, 7:00:00 AM"
        others = await it.records(NOBODY)
        assert [other["errorCode"] for other in others] == ["AccessDenied"] * 2
        proven_last = sorted((other["userIdentity"] for other in others), key=len)
        assert proven_last == [{"type": "Unknown"}, record["userIdentity"]], "a proven one that no role takes is named"
        assert "planted" not in json.dumps([record, *others])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("token", "message", "shown"),
    [
        ("eyJhbGciOiJub3QifQ.xNotyauthorizedx-9_to0", "Not authorized to do it", f"Not {HIDDEN} to do it"),
        ("eyJhb.not-a", "Not a token", f"{HIDDEN} a token"),
        ("pin.1234", "1234. is wrong, 123 is not", f"{HIDDEN} is wrong, 123 is not"),
        ("eyJhbGciOiJub3QifQ.part_of_it", "it begins with eyJhbGciOiJ", f"it begins with {HIDDEN}"),
    ],
)
def test_a_refusal_keeps_the_words_that_a_token_only_has_within(token: str, message: str, shown: str) -> None:
    known: dict[str, Any] = {"request_id": "r", "service": "sts", "operation": "AssumeRoleWithWebIdentity"}
    params = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/ci", "RoleSessionName": "run", "WebIdentityToken": token}
    seen = SeenCall(**known, params=params, fault=Fault(code="AccessDenied", status=403, message=message))
    assert json.loads(recorder().entry(seen, NOBODY, NOW).document)["errorMessage"] == shown


def test_a_key_id_that_looks_like_a_secret_is_not_repeated() -> None:
    seen = SeenCall(request_id="r", authorization=b"AWS4-HMAC-SHA256 Credential=wJalrXUtnFEMI+K7MDENG/2026/x")
    assert "wJalr" not in recorder().entry(seen, NOBODY, NOW).document


# ---- no secret ever

# Of these no word may ever be shown, whatever the lists in the code say.
NEVER = frozenset(
    """
    Secret SecretAccessKey SessionToken Password NewPassword OldPassword PrivateKey AuthenticationCode1
    AuthenticationCode2 TokenCode WebIdentityToken SAMLAssertion TradeInToken command entryPoint message filterPattern
    dockerLabels options ContextKeyValues Certificates hostname links user workingDirectory credentialSpecs
    instanceIdentityDocument nextToken NextToken sequenceToken description Description
    """.split()  # noqa: SIM905 (a list of names, to be read)
)


class Planter:
    """Puts a word of its own into every string of a value along its shape, and remembers where."""

    def __init__(self, service: str) -> None:
        self.model = MODELS.service(service)
        self.words: dict[str, tuple[str, str]] = {}  # word -> (structure, member)

    def plant(self, shape: Shape, value: Any, owner: str = "", name: str = "") -> Any:
        if shape.type == "structure":
            return {
                key: self.plant(self.model.shape(shape.members[key].shape), item, shape.name, key)
                for key, item in value.items()
            }
        if shape.type == "list":
            assert shape.element is not None
            return [self.plant(self.model.shape(shape.element.shape), item, owner, name) for item in value]
        if shape.type == "map":
            return {self._word(owner, name): self._word(owner, name) for _ in value}
        if shape.type == "blob":
            return self._word(owner, name).encode()
        if shape.type == "string" and not shape.enum:
            return self._word(owner, name)
        return value

    def _word(self, owner: str, name: str) -> str:
        word = f"Planted{len(self.words):05d}Secret"
        self.words[word] = (owner, name)
        return word


def planted(service: str, operation: str) -> Iterator[tuple[SeenCall, Planter]]:
    described = MODELS.service(service).operation(operation)
    assert described is not None
    who = principal(f"arn:aws:iam::{ACCOUNT}:user/ann")
    for seed in range(3):
        planter, rng = Planter(service), random.Random(seed)
        values: list[Any] = []
        asked: list[str] = []
        for name in (described.input, described.output):
            shape = None if name is None else planter.model.shape(name)
            values.append(None if shape is None else planter.plant(shape, whole(planter.model, shape, rng)))
            if len(values) == 1:
                asked = list(planter.words)  # a refusal quotes what was asked, never an answer
        params, answer = values
        known: dict[str, Any] = {"service": service, "operation": operation, "principal": who, "params": params}
        yield SeenCall(request_id="r", answer=answer, **known), planter
        if planter.model.metadata.protocol == "json" and answer is not None:
            raw = RawBody(msgspec.json.encode(answer))
            yield SeenCall(request_id="r", answer=raw, **known), planter
        text = "cannot use " + ", ".join(f"'{word[:-2]}'" for word in asked)
        fault = Fault(code="InvalidParameterException", status=400, message=text[:900])
        yield SeenCall(request_id="r", fault=fault, **known), planter


@pytest.mark.parametrize(("service", "operation"), SWEPT)
def test_what_is_planted_in_members_that_are_not_on_the_lists_is_in_no_record(service: str, operation: str) -> None:
    writer = recorder()
    for seen, planter in planted(service, operation):
        document = writer.entry(seen, ACCOUNT, NOW).document
        for word, (owner, name) in planter.words.items():
            may_show = is_shown(owner, name) or f"{owner}.{name}" in SHOWN_MAPS
            assert word not in document or (may_show and name not in NEVER), (owner, name)
            if seen.fault is not None and not may_show:
                assert word[:-2] not in document, (owner, name)


@pytest.mark.parametrize(("service", "operation"), SWEPT)
def test_records_of_reviewed_operations_are_not_hidden_whole(service: str, operation: str) -> None:
    seen, _ = next(planted(service, operation))
    record = json.loads(recorder().entry(seen, ACCOUNT, NOW).document)
    assert record["requestParameters"] != HIDDEN and record["responseElements"] != HIDDEN


def test_secrets_in_headers_requests_and_bugs_are_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    secret = "PlantedSecret"

    async def story() -> None:
        it = await rig()
        body = json.dumps({"task": "0123", "unmodelled": secret, "cluster": "web"}).encode()
        for header in (b"x-amz-security-token", b"cookie", b"x-api-key", b"authorization-proxy"):
            await it.send("StopTask", body, more=(header, secret.encode()))
            await it.send("StopTask", body, more=(header, secret.encode()), secret="wrong")
        await it.send("StopTask", body, secret=secret)
        await it.send("StopTask", body, key=secret)
        await it.send("StopTask", secret.encode())
        await it.send("StopTask", json.dumps({"task": [secret]}).encode())
        await it.send("ListClusters", json.dumps({"maxResults": secret, "nextToken": secret}).encode())
        await it.send("ListTasks", json.dumps({"desiredStatus": secret}).encode())
        for credential in (secret, f"AWS4-HMAC-SHA256 Credential={KEY}/{secret}, Signature={secret}"):
            await it.front.handle(
                "POST", b"/", b"", [*json_headers("ecs", "StopTask"), (b"authorization", credential.encode())], body
            )
        it.raises = InvalidParameter(f"The token {secret.lower()} is not valid.")
        await it.send("ListClusters", json.dumps({"nextToken": secret}).encode())
        query = f"Action=ListUsers&Version=2010-05-08&X-Amz-Signature={secret}&X-Amz-Security-Token={secret}".encode()
        await it.front.handle("GET", b"/", query, form_headers(), b"", "192.0.2.7")
        await it.front.handle("GET", f"/{secret}".encode(), b"", [(b"host", secret.encode())], b"", "192.0.2.7")
        it.raises = ValueError(secret)
        it.raises.__cause__ = KeyError(secret)
        assert await it.send("StopTask", body) == 500
        assert len(await it.entries()) >= 15
        for one in await it.entries():
            assert secret.lower() not in repr(one).lower(), one.document
        shard = "\n".join(it.disk.databases["trail"].iterdump())
        assert SECRET not in shard and secret not in shard

    asyncio.run(story())
    assert secret not in caplog.text and SECRET not in caplog.text
    assert "ValueError at " in caplog.text and "test_record.py" in caplog.text and "; after KeyError" in caplog.text
