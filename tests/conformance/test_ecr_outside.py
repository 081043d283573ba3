"""The registry by TLS, as other machines reach it: real sockets, real certificates, skopeo that trusts the authority.

Names are looked up in a file that only the test's own mount namespace sees.
"""

import contextlib
import gzip
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import ACCOUNT, REGION

from ..acceptance.region import wait_for
from .ecr_rig import CONFIG, OCI_MANIFEST, Region, basic, live_region, manifest_of, needs_registry, sha256

pytestmark = needs_registry
DOMAIN = "images.example.net"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.{DOMAIN}"
LAYER = b"a layer" * 1000
PACKED = gzip.compress(LAYER, mtime=0)
PLACES = 8


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    knobs = replace(DEFAULT_KNOBS, registry_connections_per_source=PLACES, request_read_timeout_s=2.0)
    knobs = replace(knobs, registry_handshake_timeout_s=1.0)
    with live_region(knobs, domain=DOMAIN) as found:
        yield found


def trusting(pem: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@contextlib.contextmanager
def connected(region: Region, name: str = HOST, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
    """Raises ssl.SSLError where the name or the authority is not what the client wants."""
    plain = socket.create_connection(("127.0.0.1", region.live.outside_port), timeout=30)
    with plain, (context or trusting(region.live.authority)).wrap_socket(plain, server_hostname=name) as secured:
        yield secured


def ask(
    region: Region, method: str, path: str, *, token: str = "", host: str = HOST, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    with connected(region, host) as secured:
        connection = http.client.HTTPConnection(f"{host}:{region.live.outside_port}")
        connection.sock = secured
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=given | ({"Authorization": basic(token)} if token else {}))
        found = connection.getresponse()
        return found.status, {name.lower(): value for name, value in found.getheaders()}, found.read()


def nobody_is_connected(region: Region) -> None:
    listener = region.live.outside
    assert listener is not None
    wait_for("the ends of all connections", lambda: listener.places.count == 0)


def test_names_and_urls_are_the_domains(region: Region) -> None:
    at = f"{HOST}:{region.live.outside_port}"
    made = region.ecr.create_repository(repositoryName="names")["repository"]
    assert made["repositoryUri"] == f"{at}/names"
    assert region.ecr.get_authorization_token()["authorizationData"][0]["proxyEndpoint"] == f"https://{at}"
    assert region.image("names", "1", LAYER).status == 201, "by the name of this machine, too"
    url = region.ecr.get_download_url_for_layer(repositoryName="names", layerDigest=sha256(LAYER))["downloadUrl"]
    assert url.startswith(f"https://{at}/v2/names/blobs/")
    assert ask(region, "GET", url.partition(at)[2])[2] == LAYER


def test_the_protocol_is_the_doors(region: Region) -> None:
    region.ecr.create_repository(repositoryName="outside")
    assert region.image("outside", "1", LAYER).status == 201
    status, headers, _ = ask(region, "GET", "/v2/")
    assert status == 401 and headers["www-authenticate"].startswith(f'Basic realm="https://{HOST}:')
    assert ask(region, "GET", "/v2/outside/manifests/1")[0] == 401
    assert ask(region, "GET", "/v2/outside/manifests/1", token=region.token)[2] == manifest_of(LAYER)
    path = f"/v2/{ACCOUNT}/outside/blobs/{sha256(LAYER)}"
    assert ask(region, "GET", path, token=region.token, host=DOMAIN)[2] == LAYER, "by the domain alone"


@pytest.mark.parametrize(
    "path", ["/", "/_neargate/health", "/v3/", "/v2x", "/2018-06-01/functions", "//v2/", "/%76%32/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_nothing_but_the_registry_answers(region: Region, method: str, path: str) -> None:
    status, headers, body = ask(region, method, path)
    assert (status, headers["connection"]) == (404, "close")
    assert json.loads(body)["errors"][0]["code"] == "NAME_INVALID"


def test_signed_calls_of_the_api_are_not_served(region: Region) -> None:
    target = "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories"
    assert ask(region, "POST", "/", x_amz_target=target, content_type="application/x-amz-json-1.1")[0] == 404
    assert ask(region, "GET", "/", upgrade="websocket", connection="upgrade")[0] == 404


def test_no_header_says_where_a_call_comes_from(region: Region) -> None:
    """A policy of source addresses sees the connection's."""
    region.ecr.create_repository(repositoryName="near")
    assert region.image("near", "1", LAYER).status == 201
    document = {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}
    document["Condition"] = {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}  # type: ignore[assignment]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [document]})
    region.ecr.set_repository_policy(repositoryName="near", policyText=policy)
    status, _, _ = ask(region, "GET", "/v2/near/manifests/1", token=region.token, x_forwarded_for="192.0.2.7")
    assert status == 403


@pytest.mark.parametrize(
    "name", ["evil.example", f"{ACCOUNT}.dkr.ecr.{REGION}.example.net", f"a.b.{DOMAIN}", "127.0.0.1"]
)
def test_the_certificate_is_for_its_names(region: Region, name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError), connected(region, name):
        pass
    nobody_is_connected(region)


def test_who_does_not_trust_the_authority_is_told_nothing(region: Region) -> None:
    with pytest.raises(ssl.SSLCertVerificationError), connected(region, context=ssl.create_default_context()):
        pass
    nobody_is_connected(region)


@pytest.mark.parametrize("said", [b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 4096, b""])
def test_what_is_no_handshake_is_hung_up_on(region: Region, said: bytes) -> None:
    """Silence too, in time."""
    with socket.create_connection(("127.0.0.1", region.live.outside_port), timeout=30) as plain:
        plain.sendall(said)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := plain.recv(4096):
                received += piece
    assert b"HTTP" not in received
    nobody_is_connected(region)


def test_a_head_that_does_not_end_is_given_up(region: Region) -> None:
    with connected(region) as secured:
        secured.sendall(b"GET /v2/ HTTP/1.1\r\n")
        assert secured.recv(100) == b""
    nobody_is_connected(region)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("body", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_who_is_refused_keeps_no_connection_with_a_body(region: Region, method: str, body: bytes) -> None:
    with connected(region) as secured:
        secured.sendall(f"{method} /v2/x/manifests/1 HTTP/1.1\r\nHost: {HOST}\r\n".encode() + body + b"\r\n\r\n")
        received = b""
        while piece := secured.recv(4096):
            received += piece
    assert received.startswith(b"HTTP/1.1 401 ") and b"connection: close" in received


def test_connections_have_a_bound(region: Region) -> None:
    """Of one source, handshakes that were not begun included; what is over gives its place back."""
    nobody_is_connected(region)
    listener = region.live.outside
    assert listener is not None
    with contextlib.ExitStack() as held:
        for _ in range(PLACES - 1):
            held.enter_context(connected(region))
        held.enter_context(socket.create_connection(("127.0.0.1", region.live.outside_port), timeout=30))
        wait_for("all of them", lambda: listener.places.count == PLACES)
        with pytest.raises((OSError, ssl.SSLError)), connected(region):
            pass
    nobody_is_connected(region)
    assert ask(region, "GET", "/v2/")[0] == 401


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Of the machines that the test's own tools see."""
    path = tmp_path / "hosts"
    path.write_text(f"127.0.0.1 localhost {HOST} {DOMAIN}\n")
    return path


@pytest.fixture
def trust(region: Region, tmp_path: Path) -> Path:
    directory = tmp_path / "trust"
    directory.mkdir()
    (directory / "ca.crt").write_text(region.live.authority)
    return directory


@pytest.mark.root
@pytest.mark.skipif(shutil.which("skopeo") is None or os.geteuid() != 0, reason="needs skopeo and root")
def test_skopeo_by_the_uri_verbatim(region: Region, tmp_path: Path, names: Path, trust: Path) -> None:
    uri = region.ecr.create_repository(repositoryName="skopeo/out")["repository"]["repositoryUri"]
    image, auth = layout(tmp_path / "image"), ("--authfile", str(tmp_path / "auth.json"))

    def skopeo(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        script = 'mount --bind "$0" /etc/hosts && exec skopeo "$@"'
        argv = ["unshare", "--mount", "--", "sh", "-c", script, str(names), *words]
        clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60, check=False, env=clean)

    def succeeds(*words: str, given: str = "") -> str:
        done = skopeo(*words, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    trusts = ("--cert-dir", str(trust))
    login = ("login", *auth, "--username", "AWS", "--password-stdin")
    unknown = skopeo(*login, uri.partition("/")[0], given=region.token)
    assert unknown.returncode != 0 and "certificate signed by unknown authority" in unknown.stderr
    assert "Login Succeeded" in succeeds(*login, *trusts, uri.partition("/")[0], given=region.token)
    succeeds("copy", *auth, "--dest-cert-dir", str(trust), f"oci:{image}", f"docker://{uri}:1")
    assert json.loads(succeeds("inspect", *auth, *trusts, f"docker://{uri}:1"))["Layers"] == [sha256(PACKED)]
    succeeds("copy", *auth, "--src-cert-dir", str(trust), f"docker://{uri}:1", f"dir:{tmp_path}/pulled")
    assert (tmp_path / "pulled" / sha256(PACKED)[7:]).read_bytes() == PACKED
    refused = skopeo("inspect", "--no-creds", *trusts, f"docker://{uri}:1")
    assert refused.returncode != 0 and "authentication required" in refused.stderr


def layout(directory: Path) -> Path:
    """An image of one layer as skopeo's `oci:` wants it."""
    manifest = manifest_of(PACKED).replace(b"layer.v1.tar", b"layer.v1.tar+gzip")
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in (PACKED, CONFIG, manifest):
        (blobs / sha256(content)[7:]).write_bytes(content)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {"mediaType": OCI_MANIFEST, "digest": sha256(manifest), "size": len(manifest)}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return directory
