"""An OpenID Connect issuer for trials, on this machine: `python -m neargate.testing.oidc_issuer new|serve|token`.

Owns a directory: an authority and a certificate for 127.0.0.1, and the key that signs. It shows what an issuer shows,
discovery and keys, and no more: tokens are made by whoever may read the signing key (mode 0600), never over the net.
"""

import argparse
import datetime
import http.server
import ipaddress
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from ..world import OsWorld
from .oidc_tokens import PrivateKey, discovery, ec_key, github_claims, jwk, key_set, rsa_key, token

ADDRESS = "127.0.0.1"
VALID = datetime.timedelta(days=30)
_PEM = serialization.Encoding.PEM
_PLAIN = (_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def make(directory: Path, port: int) -> None:
    """`ca.pem`, for who asks the issuer; `server.pem` and `signing.pem`, for nobody but it. All of them are new."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)  # a region's server, which is not root, reads ca.pem
    make_certificates(directory)
    _keep(directory / "signing.pem", rsa_key().private_bytes(*_PLAIN))
    (directory / "issuer").write_text(f"https://{ADDRESS}:{port}")


def make_certificates(directory: Path) -> None:
    """An authority in `ca.pem`; a certificate of it for 127.0.0.1, with its key, in `server.pem`."""
    authority, own = ec_key(), ec_key()
    root = _certificate("a trial's authority", "a trial's authority", authority)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    leaf = _certificate("a trial's issuer", "a trial's authority", own)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))])
    leaf = leaf.add_extension(address, critical=False)
    (directory / "ca.pem").write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(_PEM))
    (directory / "ca.pem").chmod(0o644)
    signed = leaf.sign(authority, hashes.SHA256()).public_bytes(_PEM)
    _keep(directory / "server.pem", signed + own.private_bytes(*_PLAIN))


def secured(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return context


def serve(directory: Path) -> None:
    """Until the process is ended."""
    issuer = issuer_of(directory)
    documents = {
        "/.well-known/openid-configuration": discovery(issuer) + b"\n",
        "/keys": key_set(jwk(_signing_key(directory))),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = documents.get(self.path, b"")
            self.send_response(200 if document else 404)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *args: Any) -> None:
            del args

    server = http.server.ThreadingHTTPServer((ADDRESS, urlsplit(issuer).port or 443), Handler)
    server.socket = secured(directory).wrap_socket(server.socket, server_side=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an end that a shell has nothing to say of
    server.serve_forever()


def issuer_of(directory: Path) -> str:
    return (directory / "issuer").read_text()


def _certificate(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.fromtimestamp(OsWorld().now(), datetime.UTC)
    subject, by = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + VALID)
    )


def _keep(path: Path, secret: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)


def _signing_key(directory: Path) -> PrivateKey:
    key = serialization.load_pem_private_key((directory / "signing.pem").read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SystemExit(f"{directory}/signing.pem is no RSA key; make another directory with: new")
    return key


def main() -> None:
    given = _parser().parse_args()
    if given.command == "new":
        make(given.directory, given.port)
    elif given.command == "serve":
        serve(given.directory)
    else:
        repository = given.sub.removeprefix("repo:").partition(":")[0]
        told = {"sub": given.sub, "aud": given.aud, "repository": repository}
        claims = github_claims(issuer_of(given.directory), OsWorld().now(), **told)
        sys.stdout.write(token(_signing_key(given.directory), claims) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m neargate.testing.oidc_issuer")
    commands = parser.add_subparsers(dest="command", required=True)
    to_make = commands.add_parser("new", help="make an issuer's keys")
    to_serve = commands.add_parser("serve", help="answer until ended")
    to_sign = commands.add_parser("token", help="print what a workflow brings")
    for command in (to_make, to_serve, to_sign):
        command.add_argument("directory", type=Path)
    to_make.add_argument("port", type=int, help="where on 127.0.0.1 it will be")
    to_sign.add_argument("--sub", required=True, help="the subject: repo:ORG/NAME:ref:refs/heads/BRANCH")
    to_sign.add_argument("--aud", default="sts.amazonaws.com", help="the audience")
    return parser


if __name__ == "__main__":
    main()
