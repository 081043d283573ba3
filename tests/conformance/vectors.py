"""botocore's protocol test vectors, from its pinned source distribution, and small models made of each case.

The distribution is downloaded once, into pytest's cache directory; without a network the tests that need it fail.
"""

import base64
import contextlib
import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from neargate.wire.shapes import Document, ServiceModel

VERSION = "1.44.5"
ROOT = Path(__file__).parents[2]
VECTORS = f"botocore-{VERSION}/tests/unit/protocols"
# Of botocore's files; rest-xml is spoken by no service here.
FILES = (
    "ec2",
    "json",
    "json_1_0",
    "json_1_0-query-compatible",
    "query",
    "rest-json",
    "smithy-rpc-v2-cbor",
    "smithy-rpc-v2-cbor-non-query-compatible",
    "smithy-rpc-v2-cbor-query-compatible",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One of botocore's cases. `key` is unique: direction, file, and the case's own name or place."""

    key: str
    suite: dict[str, Any]
    case: dict[str, Any]

    @property
    def operation(self) -> str:
        name: str = self.case["given"].get("name", "OperationName")
        return name

    def document(self) -> dict[str, Any]:
        """The service's model in botocore's own form, with this one operation."""
        given = self.case["given"]
        metadata = {"apiVersion": "2020-01-01", "endpointPrefix": "vectors", "uid": "vectors", **self.suite["metadata"]}
        operation = {"http": {"method": "POST", "requestUri": "/"}, **given, "name": self.operation}
        if metadata["protocol"] == "query" and "output" in operation:
            operation["output"] = {"resultWrapper": f"{self.operation}Result", **operation["output"]}
        errors = [{"shape": name} for name, shape in self.suite["shapes"].items() if shape.get("exception")]
        operation["errors"] = given.get("errors") or errors
        return {"metadata": metadata, "shapes": self.suite["shapes"], "operations": {self.operation: operation}}

    def model(self) -> ServiceModel:
        """The same model as the cache would hold it."""
        document = self.document()
        trimmed = builder().trim(document, None)
        return ServiceModel("vectors", msgspec.json.decode(json.dumps(trimmed).encode(), type=Document))


@cache
def builder() -> Any:
    """scripts/build-models as a module."""
    path = ROOT / "scripts" / "build-models"
    loader = importlib.machinery.SourceFileLoader("build_models", str(path))
    spec = importlib.util.spec_from_loader("build_models", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def vectors(cache_directory: Path) -> Path:
    """The directory of the vectors, downloaded if need be. Raises RuntimeError with pip's own words."""
    target = cache_directory / f"botocore-{VERSION}"
    if target.exists():
        return target / VECTORS
    cache_directory.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: another process may be downloading too, and what is half there must not be found.
    with tempfile.TemporaryDirectory(dir=cache_directory) as aside:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        found = subprocess.run(
            [*command, "--dest", aside, f"botocore=={VERSION}"], capture_output=True, text=True, check=False
        )
        if found.returncode != 0:
            raise RuntimeError(f"botocore's vectors cannot be downloaded: {found.stderr.strip()[-2000:]}")
        unpacked = Path(aside) / "unpacked"
        with tarfile.open(Path(aside) / f"botocore-{VERSION}.tar.gz") as archive:
            wanted = [member for member in archive.getmembers() if member.name.startswith(VECTORS + "/")]
            archive.extractall(unpacked, members=wanted, filter="data")
        with contextlib.suppress(OSError):  # the other process was first
            unpacked.rename(target)
    return target / VECTORS


def cases(directory: Path, direction: str) -> list[Case]:
    """`direction`: input or output. Event streams are left out: no operation here has one."""
    found = []
    for file in FILES:
        for suite in json.loads((directory / direction / f"{file}.json").read_text()):
            streams = any(shape.get("eventstream") for shape in suite["shapes"].values())
            for number, case in enumerate(suite["cases"]):
                name = case.get("id") or f"{suite['description']}:{number}"
                if not streams:
                    found.append(Case(key=f"{direction}/{file}/{name}", suite=suite, case=case))
    return found


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a client sends, as the front end gets it."""

    method: str
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes


def sent(case: Case) -> Sent:
    serialized = case.case["serialized"]
    uri = urlsplit(serialized.get("uri", "/"))
    headers = {name.lower().encode(): value.encode() for name, value in serialized.get("headers", {}).items()}
    body = serialized.get("body", "")
    if "host" in serialized:
        headers[b"host"] = serialized["host"].encode()
    if case.suite["metadata"]["protocol"] == "json":  # some cases state only the header that they are about
        headers.setdefault(b"x-amz-target", f"{case.suite['metadata']['targetPrefix']}.{case.operation}".encode())
        headers.setdefault(b"content-type", f"application/x-amz-json-{case.suite['metadata']['jsonVersion']}".encode())
    is_cbor = case.suite["metadata"]["protocol"] == "smithy-rpc-v2-cbor"
    return Sent(
        method=serialized.get("method") or case.case["given"].get("http", {}).get("method", "POST"),
        path=uri.path.encode() or b"/",
        query=uri.query.encode(),
        headers=headers,
        body=base64.b64decode(body) if is_cbor else body.encode(),
    )
