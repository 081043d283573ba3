"""Parameter Store as boto3 sees it: signed requests before a whole region in memory, with users and their policies."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT, FrontDoor, Keys, allowing, open_front_door

PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
PUBLIC = "/aws/service/global-infrastructure"
AL = f"arn:aws:iam::{ACCOUNT}:user/al"


class Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


class Region:
    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.door: FrontDoor = runner.run(open_front_door())
        self.ssm, self.kms = self.client(ROOT), self.client(ROOT, "kms")

    def client(self, keys: Keys, service: str = "ssm") -> Any:
        client = boto3.client(
            service,
            region_name=REGION,
            endpoint_url="http://127.0.0.1:4566",
            aws_access_key_id=keys.key,
            aws_secret_access_key=keys.secret,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

        def send(request: Any, **_: Any) -> Any:
            pairs = ((name.encode(), value) for name, value in request.headers.items())
            headers = [(name, value if isinstance(value, bytes) else value.encode()) for name, value in pairs]
            headers.append((b"host", b"127.0.0.1:4566"))
            body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
            answer = self._runner.run(self.door.region.frontend.handle("POST", b"/", b"", headers, body))
            answered = cast(Any, {name.decode(): value.decode() for name, value in answer.headers})
            return AWSResponse(request.url, answer.status, answered, cast(Any, Raw(answer.body)))

        client.meta.events.register(f"before-send.{service}", send)
        return client

    def al(self, *documents: dict[str, Any]) -> Any:
        """boto3 as a new user with these policies."""
        return self.client(self._runner.run(self.door.user("al", *documents)))

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)


@pytest.fixture
def region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


def refused(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


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
