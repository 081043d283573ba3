"""A token of CI exchanged for a session: the provider is a real https server with an authority of its own.

Also who may be asked for keys at all: nothing on this machine that the operator did not name, and not for long.
"""

import asyncio
import hashlib
import http.server
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from neargate.frontend.callers.oidc.fetch import Fetcher, NotFetched
from neargate.frontend.identity.records import OidcProvider
from neargate.frontend.identity.registry import Change
from neargate.testing.front_door import (
    ACCOUNT,
    OTHER,
    ROOT,
    FrontDoor,
    Said,
    allowing,
    keys_of,
    open_front_door,
    trusting,
)
from neargate.testing.oidc_issuer import make_certificates, secured
from neargate.testing.oidc_tokens import discovery, ec_key, github_claims, jwk, key_set, rsa_key, token

RSA, EC, STRANGER = rsa_key(), ec_key(), rsa_key()


class Provider:
    """An issuer on loopback. `answers` may be changed: path -> body, or a function of the open connection."""

    def __init__(self, directory: Path, *, shows_authority: bool = False) -> None:
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                answer = provider.answers.get(self.path, b"")
                if callable(answer):
                    answer(self)
                    return
                self.send_response(200 if answer else 404)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                del args

        self.authority = directory / "ca.pem"
        make_certificates(directory)
        if shows_authority:
            with (directory / "server.pem").open("a") as served:
                served.write(self.authority.read_text())
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = secured(directory).wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.issuer = f"https://{self.host}"
        self.asked: list[str] = []
        self.answers: dict[str, bytes | Callable[[Any], None]] = {
            "/.well-known/openid-configuration": discovery(self.issuer),
            "/keys": key_set(jwk(RSA), jwk(EC, kid="e1")),
        }

    def token(
        self, key: Any = RSA, *, kid: str = "k1", also: Mapping[str, Any] = MappingProxyType({}), **changed: Any
    ) -> str:
        return token(key, github_claims(self.issuer, time.time(), **also, **changed), kid=kid)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    made = Provider(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    try:
        yield made
    finally:
        made.close()


def run(provider: Provider, story: Callable[[FrontDoor], Awaitable[None]], *, named: bool = True) -> None:
    async def whole() -> None:
        door = await open_front_door(oidc_hosts=(provider.host,) if named else ())
        await know(door, provider, ACCOUNT)
        await story(door)

    asyncio.run(whole())


async def know(door: FrontDoor, provider: Provider, account: str, *thumbprints: str) -> None:
    record = OidcProvider(
        account=account,
        name=provider.host,
        uid=arn_of(provider, account),
        created=0,
        client_ids=("sts.amazonaws.com",),
        thumbprints=thumbprints,
    )
    await door.identity.change(account, lambda book: Change(result=None, put=(record,)))


def arn_of(provider: Provider, account: str = ACCOUNT) -> str:
    return f"arn:aws:iam::{account}:oidc-provider/{provider.host}"


async def ci_role(door: FrontDoor, provider: Provider, *actions: str, **condition: Any) -> str:
    """Trusts the main branch of one repository, as GitHub's guide tells."""
    wanted = condition or {
        "StringEquals": {f"{provider.host}:aud": "sts.amazonaws.com"},
        "StringLike": {f"{provider.host}:sub": "repo:octo-org/*:ref:refs/heads/main"},
    }
    asked = ("sts:AssumeRoleWithWebIdentity", *actions)
    trust = trusting({"Federated": arn_of(provider)}, *asked, condition=wanted)
    return await door.role("ci", trust, allowing("ec2:DescribeVpcs"))


async def exchange(door: FrontDoor, role: str, text: str, **params: Any) -> Said:
    given = {"RoleArn": role, "RoleSessionName": "build", "WebIdentityToken": text}
    return await door.call(None, "sts", "AssumeRoleWithWebIdentity", given | params)


@pytest.mark.parametrize(("key", "kid"), [(RSA, "k1"), (EC, "e1")])
def test_a_token_of_ci_is_exchanged_for_a_session(provider: Provider, key: Any, kid: str) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, provider)
        said = await exchange(door, role, provider.token(key, kid=kid))
        assert said.status == 200, said
        assert said.body["SubjectFromWebIdentityToken"] == "repo:octo-org/octo-repo:ref:refs/heads/main"
        assert (said.body["Audience"], said.body["Provider"]) == ("sts.amazonaws.com", arn_of(provider))
        session = keys_of(said)
        known = await door.call(session, "sts", "GetCallerIdentity")
        assert known.body["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/build"
        assert (await door.call(session, "ec2", "DescribeVpcs")).status == 200
        assert (await door.call(session, "ec2", "DescribeSubnets")).code == "UnauthorizedOperation"
        assert len(provider.asked) == 2
        assert (await exchange(door, role, provider.token(key, kid=kid))).status == 200
        assert len(provider.asked) == 2, "keys are kept"

    run(provider, story)


def test_claims_that_the_role_does_not_trust(provider: Provider) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, provider)
        said = await exchange(door, role, provider.token(sub="repo:evil-org/octo-repo:ref:refs/heads/main"))
        assert (said.status, said.code) == (403, "AccessDenied")
        assert said.message == "Not authorized to perform sts:AssumeRoleWithWebIdentity"
        missing = await exchange(door, role.replace("role/ci", "role/missing"), provider.token())
        assert (missing.code, missing.message) == (said.code, said.message)
        signed = await door.call(ROOT, "sts", "AssumeRole", RoleArn=role, RoleSessionName="me")
        assert signed.code == "AccessDenied", "the administrator has no token"

    run(provider, story)


def test_tokens_that_are_not_believed(provider: Provider) -> None:
    now = time.time()
    cases = [
        (provider.token(STRANGER), "InvalidIdentityToken", "Token signature invalid"),
        (provider.token(STRANGER, kid="k9"), "InvalidIdentityToken", "Couldn't retrieve verification key"),
        (provider.token(aud="somebody.else"), "InvalidIdentityToken", "Incorrect token audience"),
        (provider.token(aud=None), "InvalidIdentityToken", "Missing a required claim: aud"),
        (provider.token(azp="somebody.else"), "InvalidIdentityToken", "Incorrect token audience"),
        (provider.token(sub=None), "InvalidIdentityToken", "Missing a required claim: sub"),
        (provider.token(sub="x" * 256), "InvalidIdentityToken", "longer than 255"),
        (provider.token(iss="https://elsewhere.example"), "InvalidIdentityToken", "No OpenIDConnect provider found"),
        (provider.token(exp=int(now) - 1), "ExpiredTokenException", "Token expired: current date/time"),
        (provider.token(exp=None), "InvalidIdentityToken", "Missing a required claim: exp"),
        (provider.token(exp=True), "InvalidIdentityToken", "The exp claim is not a time"),
        (provider.token(nbf=int(now) + 1000), "InvalidIdentityToken", "not valid yet"),
        (provider.token(also={"https://aws.amazon.com/tags": [5]}), "IDPRejectedClaim", "tags claim"),
        ("not.a.token", "InvalidIdentityToken", "not a valid JWT"),
    ]

    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, provider)
        for text, code, words in cases:
            said = await exchange(door, role, text)
            assert said.code == code and words in said.message, (code, words, said)

    run(provider, story)


def test_a_provider_of_another_account_proves_nothing(provider: Provider) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, provider)
        await door.identity.ensure_account(OTHER, "other")
        said = await exchange(door, role.replace(ACCOUNT, OTHER), provider.token())
        assert said.code == "InvalidIdentityToken" and "No OpenIDConnect provider found" in said.message
        said = await exchange(door, role.replace(ACCOUNT, "999999999999"), provider.token())
        assert "No OpenIDConnect provider found" in said.message

    run(provider, story)


def test_tags_and_source_identity_of_a_token(provider: Provider) -> None:
    async def story(door: FrontDoor) -> None:
        tags = {"principal_tags": {"team": ["red"]}, "transitive_tag_keys": ["team"]}
        brought = {"https://aws.amazon.com/tags": tags, "https://aws.amazon.com/source_identity": "ann"}
        role = await ci_role(door, provider)
        assert (await exchange(door, role, provider.token(also=brought))).code == "AccessDenied"
        trust = trusting(
            {"Federated": arn_of(provider)},
            *("sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"),
            condition={"StringEquals": {"aws:RequestTag/team": "red", "sts:SourceIdentity": "ann"}},
        )
        tagged = await door.role("tagged", trust, allowing("ec2:DescribeVpcs", "sts:*"))
        said = await exchange(door, tagged, provider.token(also=brought))
        assert said.body["SourceIdentity"] == "ann"
        asks = {"StringEquals": {"aws:PrincipalTag/team": "red", "aws:FederatedProvider": arn_of(provider)}}
        home = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        inner = await door.role(
            "inner", trusting(home, "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity", condition=asks)
        )
        onward = {"RoleArn": inner, "RoleSessionName": "me"}
        assert (await door.call(keys_of(said), "sts", "AssumeRole", onward)).status == 200

    run(provider, story)


def test_a_provider_that_does_not_answer(provider: Provider) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, provider)
        provider.answers["/keys"] = b"no keys"
        said = await exchange(door, role, provider.token())
        assert said.code == "IDPCommunicationError" and said.message.startswith("Couldn't retrieve verification key")

    run(provider, story)


def test_this_machine_is_not_asked_unless_it_was_named(provider: Provider) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, provider)
        assert (await exchange(door, role, provider.token())).code == "IDPCommunicationError"
        assert provider.asked == []

    run(provider, story, named=False)


def fetcher(provider: Provider, **more: Any) -> Fetcher:
    return Fetcher(monotonic=time.monotonic, named=(provider.host,), **more)


def test_an_authority_that_is_not_trusted_is_refused(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotFetched, match="SSLCertVerificationError"):
        fetcher(provider).get(f"{provider.issuer}/keys")
    assert provider.asked == []


def thumbprint(pem: Path) -> str:
    """Of the first certificate in a file."""
    der = ssl.PEM_cert_to_DER_cert(
        pem.read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Provider]:
    """A provider whose authority this machine does not know; it shows the authority's certificate, too."""
    made = Provider(tmp_path, shows_authority=True)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("name", ["server.pem", "ca.pem"])
def test_a_private_authority_is_trusted_by_a_thumbprint(private: Provider, tmp_path: Path, name: str) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, private)
        await know(door, private, ACCOUNT, "0" * 40, thumbprint(tmp_path / name))
        assert (await exchange(door, role, private.token())).status == 200

    run(private, story)


def test_what_no_thumbprint_is_of_is_refused_in_aws_words_and_told_nothing(private: Provider, tmp_path: Path) -> None:
    async def story(door: FrontDoor) -> None:
        role = await ci_role(door, private)
        await know(door, private, ACCOUNT, "0" * 40)
        said = await exchange(door, role, private.token())
        assert (said.code, said.message) == (
            "InvalidIdentityToken",
            "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint",
        )
        assert private.asked == []
        await know(door, private, ACCOUNT, thumbprint(tmp_path / "ca.pem"))
        assert (await exchange(door, role, private.token())).status == 200, "a new thumbprint holds at once"
        await know(door, private, ACCOUNT, "0" * 40)
        assert (await exchange(door, role, private.token())).code == "InvalidIdentityToken", "and so does its end"

    run(private, story)


def test_one_accounts_thumbprint_vouches_for_nobody_elses_provider(private: Provider, tmp_path: Path) -> None:
    async def story(door: FrontDoor) -> None:
        await door.identity.ensure_account(OTHER, "other")
        role = await ci_role(door, private)
        await know(door, private, OTHER, thumbprint(tmp_path / "ca.pem"))
        trust = trusting({"Federated": arn_of(private, OTHER)}, "sts:AssumeRoleWithWebIdentity")
        theirs = await door.role("ci", trust, account=OTHER)
        assert (await exchange(door, theirs, private.token())).status == 200
        assert (await exchange(door, role, private.token())).code == "IDPCommunicationError"

    run(private, story)


def test_a_thumbprint_is_an_authority_and_not_a_host_name(private: Provider, tmp_path: Path) -> None:
    """A stolen certificate of the same authority, for another host, proves nothing."""
    named, _, port = private.host.partition(":")
    assert named == "127.0.0.1"
    asking = Fetcher(monotonic=time.monotonic, named=(f"localhost:{port}",))
    for pem in ("server.pem", "ca.pem"):
        with pytest.raises(NotFetched, match="SSLCertVerificationError"):
            asking.get(f"https://localhost:{port}/keys", (thumbprint(tmp_path / pem),))
    assert private.asked == []


def test_an_authority_that_is_known_needs_no_thumbprint(provider: Provider) -> None:
    assert fetcher(provider).get(f"{provider.issuer}/keys", ("0" * 40,))


def test_all_that_asking_takes_was_read_before(provider: Provider) -> None:
    """The server's user may not be able to read the library any more: it lies in /root where Python was built there."""
    program = (
        "import sys, time; from neargate.frontend.callers.oidc.fetch import Fetcher; sys.meta_path.clear(); "
        "print(Fetcher(monotonic=time.monotonic, named=(sys.argv[1],)).get(f'https://{sys.argv[1]}/keys'))"
    )
    argv = [sys.executable, "-c", program, provider.host]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == f"{provider.answers['/keys']!r}\n", done.stderr


def test_answers_are_bounded(provider: Provider) -> None:
    def redirect(request: Any) -> None:
        request.send_response(302)
        request.send_header("location", f"{provider.issuer}/keys")
        request.end_headers()

    def drip(request: Any) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                request.wfile.write(b"x")
                stop.wait(0.02)
        except OSError:
            pass  # hung up on: what the test is about

    def heads(request: Any) -> None:
        try:
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not stop.is_set():
                request.wfile.write(b"a: " + b"b" * 1000 + b"\r\n")
        except OSError:
            pass  # hung up on

    stop = threading.Event()
    provider.answers |= {"/redirect": redirect, "/drip": drip, "/heads": heads, "/long": b"x" * 5000}
    try:
        for path in ("/redirect", "/drip", "/heads", "/long", "/missing"):
            with pytest.raises(NotFetched):
                fetcher(provider, timeout_s=1.0, body_max_bytes=4096).get(provider.issuer + path)
    finally:
        stop.set()
    assert provider.asked.count("/keys") == 0
    assert fetcher(provider).get(f"{provider.issuer}/keys")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "https://",
        "https://user@127.0.0.1/",
        "https://[::1/",
        "https://127.0.0.1:0/",
        "https://127.0.0.1/\r\nX: y",
        "https://127.0.0.1/" + "x" * 3000,
        "https://10.0.0.1/",
        "https://192.168.0.1/",
        "https://198.18.0.1/",
        "https://169.254.169.254/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]/",
        "https://localhost/",
    ],
)
def test_urls_that_are_never_fetched(url: str) -> None:
    with pytest.raises(NotFetched):
        Fetcher(monotonic=time.monotonic, timeout_s=0.5).get(url)
