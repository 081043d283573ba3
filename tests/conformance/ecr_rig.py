"""What the tests of ECR share: a region with a real keeper of bytes, boto3 as anybody, and raw registry requests."""

import asyncio
import base64
import contextlib
import hashlib
import http.client
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
import uvloop
from botocore.config import Config
from botocore.exceptions import ClientError

from neargate.frontend.callers.authenticate import AuthMode
from neargate.model.knobs import DEFAULT_KNOBS, Knobs
from neargate.testing.front_door import ACCOUNT, OTHER, REGION, ROOT, Keys, allowing
from neargate.testing.image_region import ImageRegion, image_region

from .served import InThread

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"architecture":"amd64","os":"linux"}'
needs_registry = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs docker-registry")


class Said:
    """An answer of the registry."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def error(self) -> tuple[str, str]:
        first = json.loads(self.body)["errors"][0]
        return first["code"], first["message"]


class Region:
    def __init__(self, thread: InThread[ImageRegion], live: ImageRegion) -> None:
        self.thread, self.live, self.port = thread, live, live.port
        self.ecr = self.client(ROOT)
        self.token = password(self.ecr)

    root = ROOT

    @staticmethod
    def keys(given: Mapping[str, str]) -> Keys:
        return Keys(key=given["AccessKeyId"], secret=given["SecretAccessKey"], token=given["SessionToken"])

    def client(self, keys: Keys, service: str = "ecr") -> Any:
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=keys.key,
            aws_secret_access_key=keys.secret,
            aws_session_token=keys.token,
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    def user(self, name: str, *actions: str, account: str = ACCOUNT, resource: str = "*") -> Any:
        """boto3 as a new user who may these; GetAuthorizationToken always."""
        documents = [allowing("ecr:GetAuthorizationToken")]
        documents += [allowing(*actions, resource=resource)] if actions else []
        return self.client(self.thread.do(self.live.door.user(name, *documents, account=account)))

    def other_account(self) -> None:
        self.thread.do(self.live.door.identity.ensure_account(OTHER, "other"))

    def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: bytes | Iterator[bytes] | None = None,
        *,
        account: str = ACCOUNT,
        **headers: str,
    ) -> Said:
        """`path`: below /v2/ of the account's host. `token` None: the administrator's; empty: none."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given["host"] = f"{account}.dkr.ecr.{REGION}.localhost:{self.port}"
        shown = self.token if token is None else token
        if shown:
            given["authorization"] = basic(shown)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path if path.startswith("/") else f"/v2/{path}", body=body, headers=given)
            found = connection.getresponse()
            return Said(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())

    def layer(self, repository: str, content: bytes, token: str | None = None, account: str = ACCOUNT) -> Said:
        """The answer to the end of an upload, or to its refused beginning."""
        begun = self.ask("POST", f"{repository}/blobs/uploads/", token, account=account)
        if begun.status != 202:
            return begun
        sent = self.ask("PATCH", begun.headers["location"], token, content, account=account)
        place = f"{sent.headers['location']}&digest={sha256(content)}"
        return self.ask("PUT", place, token, account=account)

    def image(self, repository: str, tag: str, content: bytes, token: str | None = None) -> Said:
        """Layer, configuration, manifest; the answer to the last."""
        for blob in (content, CONFIG):
            self.layer(repository, blob, token)
        return self.manifest(repository, tag, manifest_of(content), token)

    def manifest(self, repository: str, reference: str, content: bytes, token: str | None = None) -> Said:
        return self.ask("PUT", f"{repository}/manifests/{reference}", token, content, content_type=OCI_MANIFEST)


def basic(token: str) -> str:
    return f"Basic {base64.b64encode(f'AWS:{token}'.encode()).decode()}"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest_of(*layers: bytes) -> bytes:
    def described(kind: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": kind, "digest": sha256(content), "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", CONFIG),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers],
    }
    return json.dumps(document).encode()


def password(ecr: Any) -> str:
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, found = base64.b64decode(token).decode().partition(":")
    assert user == "AWS"
    return found


def refused(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


class _Thread(InThread[ImageRegion]):
    """In the loop that the server runs in: its transports behave otherwise than the standard one's."""

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._hold())
        except BaseException as error:
            self._ready.put(error)
            raise


@contextlib.contextmanager
def live_region(
    knobs: Knobs = DEFAULT_KNOBS,
    auth: AuthMode = AuthMode.ENFORCE,
    upstreams: tuple[str, ...] = (),
    domain: str = "",
) -> Iterator[Region]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[ImageRegion]:
        with tempfile.TemporaryDirectory(prefix="ngi") as directory:
            async with image_region(directory, knobs, auth=auth, upstreams=upstreams, domain=domain) as found:
                yield found

    thread = _Thread(opened)
    with thread as live:
        yield Region(thread, live)
