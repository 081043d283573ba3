"""References, credentials and challenges: what users, operators and registries write."""

import base64
import json

import pytest

from neargate.interfaces.sandbox import SandboxError
from neargate.sandbox.pull.credentials import BadAuthFile, Credentials, RegistryAuth, parse_challenges
from neargate.sandbox.pull.reference import is_plain_http, parse_reference

DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "full", "host", "target"),
    [
        ("nginx", "docker.io/library/nginx:latest", "registry-1.docker.io", "latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "registry-1.docker.io", "1.27"),
        ("me/app", "docker.io/me/app:latest", "registry-1.docker.io", "latest"),
        ("index.docker.io/me/app", "docker.io/me/app:latest", "registry-1.docker.io", "latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "registry-1.docker.io", "latest"),
        ("localhost/app", "localhost/app:latest", "localhost", "latest"),
        ("127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000", "x"),
        ("registry:5000/app", "registry:5000/app:latest", "registry:5000", "latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000", "latest"),
        (f"ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b@{DIGEST}", "ghcr.io", DIGEST),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b:1@{DIGEST}", "ghcr.io", DIGEST),
        ("public.ecr.aws/docker/library/x__y:Z", "public.ecr.aws/docker/library/x__y:Z", "public.ecr.aws", "Z"),
    ],
)
def test_references(text: str, full: str, host: str, target: str) -> None:
    reference = parse_reference(text)
    assert (str(reference), reference.api_host, reference.target) == (full, host, target)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "Upper",
        "a b",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "x:",
        "x@",
        "x@sha256:short",
        f"x@sha512:{'a' * 128}",
        "x:ta/g/",
        "exa mple.com/x",
        "example.com:port/x",
        "user@host.com/x",
        "http://host.com/x",
        "x:a\r\nHost: evil",
        "x\0",
        "a" * 600,
        "host.com:123456/x",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(SandboxError, match="invalid reference format"):
        parse_reference(text)


def test_plain_http_is_for_loopback_and_the_named() -> None:
    for registry in ("localhost", "localhost:5000", "127.0.0.1:80", "127.9.8.7", "[::1]:5000"):
        assert is_plain_http(registry, ())
    for registry in ("example.com", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1:5000"):
        assert not is_plain_http(registry, ())
    assert is_plain_http("10.0.0.1:5000", ("10.0.0.1:5000",)) and is_plain_http("10.0.0.1:5000", ("10.0.0.1",))
    assert not is_plain_http("10.0.0.1:5001", ("10.0.0.1:5000",))


def auth_file(entries: object, **more: object) -> bytes:
    return json.dumps({"auths": entries, **more}).encode()


def test_credentials_of_dockers_file() -> None:
    encoded = base64.b64encode(b"me:pass:word").decode()
    auth = RegistryAuth.parse(
        auth_file(
            {
                "https://index.docker.io/v1/": {"auth": encoded},
                "ghcr.io": {"username": "u", "password": "p"},
                "10.0.0.1:5000": {"auth": encoded, "email": "x"},
                "helper.example": {},
            },
            credHelpers={"helper.example": "touch-a-file"},
            credsStore="touch-a-file",
        )
    )
    assert auth.find("docker.io") == Credentials(username="me", password="pass:word")
    assert auth.find("ghcr.io") == Credentials(username="u", password="p")
    assert auth.find("10.0.0.1:5000") == Credentials(username="me", password="pass:word")
    assert auth.find("10.0.0.1") is None and auth.find("helper.example") is None and auth.find("quay.io") is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"auths": []}',
        b'{"auths": {"x": 1}}',
        auth_file({"x": {"auth": "not base64!"}}),
        auth_file({"x": {"auth": base64.b64encode(b"nocolon").decode()}}),
        auth_file({"x": {"auth": base64.b64encode(b"\xff:\xff").decode()}}),
    ],
)
def test_a_bad_file_is_named(document: bytes) -> None:
    with pytest.raises(BadAuthFile, match=r"^/etc/neargate/auth\.json: "):
        RegistryAuth.parse(document, "/etc/neargate/auth.json")


def test_credentials_are_told_apart_without_being_shown() -> None:
    one, other = Credentials(username="a", password="bc"), Credentials(username="a", password="bd")
    assert one.fingerprint != other.fingerprint and "bc" not in one.fingerprint
    assert one.basic == "Basic " + base64.b64encode(b"a:bc").decode()


def test_challenges() -> None:
    token = 'Bearer realm="https://auth.example/token",service="r e g",scope="repository:a/b:pull,push"'
    (bearer,) = parse_challenges([token])
    assert (bearer.scheme, bearer.realm, bearer.service) == ("bearer", "https://auth.example/token", "r e g")
    assert bearer.scope == "repository:a/b:pull,push"
    (basic,) = parse_challenges(["Basic realm=neargate"])
    assert (basic.scheme, basic.realm) == ("basic", "neargate")
    assert parse_challenges([]) == () and parse_challenges([""]) == ()
    assert [challenge.scheme for challenge in parse_challenges(["Negotiate", "Bearer error=invalid_token"])] == [
        "negotiate",
        "bearer",
    ]
