"""`neargate image load`: the images of an archive to the region's own registry, through its door, as anybody would.

Owns the names that they get there, and the upload. Repositories that are missing are made. Must not know archives
(`images/archive.py`). Invariant: what is printed as loaded is in the registry.
"""

import base64
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from ...wire.signing import signed
from ...wire.sigv4 import SignedRequest
from .. import config as configs
from ..environment import variables
from ..paths import RegionPaths
from ..problems import Problem
from .archive import Archive, Blob, Loaded

_TARGET = "AmazonEC2ContainerRegistry_V20150921"
_TIMEOUT_S = 120.0
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def load(paths: RegionPaths, file: str, repository: str, say: Callable[[str], None]) -> None:
    """`repository`: NAME or NAME:TAG instead of what the archive says; empty for that. Raises Problem."""
    config = configs.load(paths)
    registry = Registry(paths, config.port, config.region, config.account)
    archive = Archive(Path(file))
    try:
        images = archive.images()
        places = [_places(image, repository, config.account, several=len(images) > 1) for image in images]
        for image, named in zip(images, places, strict=True):
            for name, tag in named:
                uri = registry.need(name)
                registry.push(archive, image, registry.path_of(name), tag)
                say(f"loaded {uri}:{tag} {image.digest}")
    finally:
        archive.close()


def _places(image: Loaded, wanted: str, account: str, *, several: bool) -> list[tuple[str, str]]:
    """(repository, tag) pairs. Raises Problem."""
    names = [_split(name, account) for name in image.names]
    if wanted:
        name, tag = _split(wanted, account)
        if several and tag:
            raise Problem("the archive has several images; write --repository without a tag, or none")
        tags = [tag] if tag else [own for _, own in names if own] or ["latest"]
        found = [(name, one) for one in dict.fromkeys(tags)]
    else:
        found = [(name, tag or "latest") for name, tag in dict.fromkeys(names) if name]
    if not found:
        raise Problem(f"the image {image.digest[:19]} has no name in the archive; write --repository NAME[:TAG]")
    for name, tag in found:
        if not 2 <= len(name) <= 256 or _NAME.fullmatch(name) is None or _TAG.fullmatch(tag) is None:
            raise Problem(f"{name[:100]}:{tag[:100]} is no name for the registry; write --repository NAME[:TAG]")
    return found


def _split(name: str, account: str) -> tuple[str, str]:
    """Repository and tag, without a registry's host. A name that is a tag alone has no repository.

    By the registry's address it is ACCOUNT/NAME, as it was pushed or was to be.
    """
    path, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        path, tag = name, ""
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        path = rest.removeprefix(f"{account}/")
    return path.removeprefix("library/"), tag


class Registry:
    """The region's, as its administrator. A connection for each request: layers are hashed for minutes in between."""

    def __init__(self, paths: RegionPaths, port: int, region: str, account: str) -> None:
        self._keys = variables(paths)
        self._region = region
        self._paths = paths
        self._account = account
        self.address = f"127.0.0.1:{port}"
        answer = self._call("GetAuthorizationToken", {})
        token = str(answer["authorizationData"][0]["authorizationToken"])
        self._authorization = f"Basic {token}"
        self.password = base64.b64decode(token).decode().partition(":")[2]

    def path_of(self, name: str) -> str:
        """The repository at `address`: the registry's own name need not be known to this machine."""
        return f"{self._account}/{name}"

    def need(self, name: str) -> str:
        """The repository, made when it is missing: the URI that definitions name."""
        try:
            return str(self._call("CreateRepository", {"repositoryName": name})["repository"]["repositoryUri"])
        except _Refused as refused:
            if refused.code != "RepositoryAlreadyExistsException":
                raise Problem(f"the repository {name} cannot be made: {refused}") from None
        found = self._call("DescribeRepositories", {"repositoryNames": [name]})
        return str(found["repositories"][0]["repositoryUri"])

    def push(self, archive: Archive, image: Loaded, name: str, reference: str) -> None:
        """`name`: as `path_of` gives it."""
        for blob in image.blobs:
            self._push_blob(archive, blob, name)
        for child in image.children:
            self.push(archive, child, name, child.digest)
        kind = {"content-type": image.media_type}
        status, _, body = self._ask("PUT", f"{name}/manifests/{reference}", kind, image.manifest)
        if status != 201:
            raise Problem(f"the registry refused the manifest {image.digest[:19]}: {_said(body)}")

    def _push_blob(self, archive: Archive, blob: Blob, name: str) -> None:
        if self._ask("HEAD", f"{name}/blobs/{blob.digest}")[0] == 200:
            return
        status, headers, body = self._ask("POST", f"{name}/blobs/uploads/")
        if status != 202:
            raise Problem(f"the registry refused {blob.digest[:19]}: {_said(body)}")
        place = f"{headers['location']}&digest={blob.digest}"
        given = {"content-length": str(blob.size), "content-type": "application/octet-stream"}
        status, _, body = self._ask("PUT", place, given, archive.pieces(blob))
        if status != 201:
            raise Problem(f"the registry refused {blob.digest[:19]}: {_said(body)}")

    def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | Iterator[bytes] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        given = {"host": self.address, "authorization": self._authorization, **(headers or {})}
        return self._send(method, path if path.startswith("/") else f"/v2/{path}", given, body)

    def _call(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        """One operation of the API. Raises _Refused, Problem."""
        body = json.dumps(params).encode()
        headers = [
            (b"host", self.address.encode()),
            (b"content-type", b"application/x-amz-json-1.1"),
            (b"x-amz-target", f"{_TARGET}.{operation}".encode()),
        ]
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        ready = signed(
            request,
            key=self._keys["AWS_ACCESS_KEY_ID"],
            secret=self._keys["AWS_SECRET_ACCESS_KEY"],
            region=self._region,
            service="ecr",
            now=time.time(),
        )
        status, _, answer = self._send("POST", "/", {name.decode(): value.decode() for name, value in ready}, body)
        found = json.loads(answer or b"{}")
        if status != 200:
            raise _Refused(found)
        return dict(found)

    def _send(
        self, method: str, path: str, headers: dict[str, str], body: bytes | Iterator[bytes] | None
    ) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection(self.address, timeout=_TIMEOUT_S)) as connection:
            try:
                with suppress(BrokenPipeError, ConnectionResetError):  # it may have refused before the body's end
                    connection.request(method, path, body=body, headers=headers)
                found = connection.getresponse()
                return found.status, {name.lower(): value for name, value in found.getheaders()}, found.read()
            except (OSError, http.client.HTTPException) as error:
                again = f"is it up? neargate status{self._paths.as_option}"
                raise Problem(f"the API at {self.address} does not answer ({error}); {again}") from None


class _Refused(Problem):
    def __init__(self, answer: dict[str, Any]) -> None:
        self.code = str(answer.get("__type", "")).rpartition("#")[2]
        super().__init__(f"{self.code}: {answer.get('message', '')}")


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["errors"][0]["message"])
    except (ValueError, KeyError, IndexError, TypeError):
        return body[:200].decode("utf-8", "replace")
