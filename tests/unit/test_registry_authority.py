"""The region's authority: for whom it can vouch, how it rests, and when certificates are renewed."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from neargate.cli.config import RegionConfig
from neargate.cli.problems import Problem
from neargate.cli.registry_tls import operator_files
from neargate.frontend.envelope import Envelope
from neargate.frontend.images.authority import (
    LIFE,
    RENEWED_BEFORE,
    Authority,
    AuthorityBroken,
    Issued,
    new_authority,
    open_authority,
    parse_kept,
)
from neargate.frontend.images.certificates import Certificates, CertificateUnusable, OperatorFiles, OwnCertificates
from neargate.frontend.images.outside import Places, source_of
from neargate.model.knobs import DEFAULT_KNOBS, Knobs
from neargate.testing.front_door import MovedWorld

DOMAIN, REGION = "images.example.net", "us-east-1"
DAY = 86_400.0


def authority(world: MovedWorld, domain: str = DOMAIN) -> Authority:
    return new_authority(domain, REGION, world)


def pem_of(found: Authority, world: MovedWorld) -> str:
    return parse_kept(found.kept(Envelope(bytes(32), world))).certificate


def shaken(server: ssl.SSLContext, trusted: str, name: str) -> dict[str, object]:
    """A handshake in memory; the certificate that the client saw. Raises SSLError."""
    client = ssl.create_default_context(cadata=trusted)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    return shaken_by(client, server, name)


def shaken_by(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> dict[str, object]:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname=name)
    right = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [left, right]
    for _ in range(8):
        for one in list(waiting):
            try:
                one.do_handshake()
                waiting.remove(one)
            except ssl.SSLWantReadError:
                continue
    assert not waiting
    return dict(left.getpeercert() or {})


def test_it_vouches_for_every_account_of_the_domain() -> None:
    world = MovedWorld()
    found = authority(world)
    context = Certificates(world, DEFAULT_KNOBS, OwnCertificates(found, REGION, world)).context
    for name in (f"123456789012.dkr.ecr.{REGION}.{DOMAIN}", f"999999999999.dkr.ecr.{REGION}.{DOMAIN}", DOMAIN):
        shaken(context, pem_of(found, world), name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(context, pem_of(found, world), "a.example.net")


@pytest.mark.parametrize("name", ["bank.example", "example.net", "127.0.0.1"])
def test_its_key_is_good_for_no_other_name(name: str) -> None:
    """Whoever stole it signs what he likes: who trusts the authority does not believe it."""
    world = MovedWorld()
    found = authority(world)
    stolen = Authority(name, found._certificate, found._key)
    context = Certificates(world, DEFAULT_KNOBS, OwnCertificates(stolen, REGION, world)).context
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(context, pem_of(found, world), name)


def test_its_key_is_good_for_servers_only(tmp_path: Path) -> None:
    """Nor is anybody let in, or his mail believed, by what the thief signs."""
    world = MovedWorld()
    found = authority(world)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = datetime.fromtimestamp(int(world.now()), UTC)
    signed = (
        x509.CertificateBuilder(found._certificate.subject, name, key.public_key(), 1, now, now + LIFE)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(found._key, SHA256())
    )
    file = tmp_path / "both.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    server = Certificates(world, DEFAULT_KNOBS, OwnCertificates(found, REGION, world)).context
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=pem_of(found, world))
    client = ssl.create_default_context(cadata=pem_of(found, world))
    client.load_cert_chain(file)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shaken_by(client, server, DOMAIN)


def test_it_rests_sealed() -> None:
    world = MovedWorld()
    found, envelope = authority(world), Envelope(b"k" * 32, world)
    kept = found.kept(envelope)
    assert open_authority(kept, envelope).issue(REGION, world).certificate.startswith(b"-----BEGIN CERTIFICATE")
    assert "BEGIN CERTIFICATE" in parse_kept(kept).certificate
    assert b"PRIVATE" not in kept
    with pytest.raises(AuthorityBroken, match="not known here"):
        open_authority(kept, Envelope(bytes(32), world))
    with pytest.raises(AuthorityBroken):
        open_authority(kept.replace(DOMAIN.encode(), b"images.example.org"), envelope)
    other = parse_kept(authority(world).kept(envelope)).certificate.replace("\n", "\\n").encode()
    mixed = kept.replace(parse_kept(kept).certificate.replace("\n", "\\n").encode(), other)
    assert mixed != kept
    with pytest.raises(AuthorityBroken, match="another's"):
        open_authority(mixed, envelope)
    for broken in (b"", b"{}", b"\xff", b"[]"):
        with pytest.raises(AuthorityBroken):
            open_authority(broken, envelope)


def test_another_domain_or_an_end_in_sight_wants_another() -> None:
    world = MovedWorld()
    found = authority(world)
    assert found.is_good(DOMAIN, world.now())
    assert not found.is_good("images.example.org", world.now())
    assert not found.is_good(DOMAIN, world.now() + 3600 * DAY)


def test_a_certificate_is_renewed_before_its_end() -> None:
    world = MovedWorld()
    found = Certificates(world, DEFAULT_KNOBS, OwnCertificates(authority(world), REGION, world))
    first = found.context
    world.moved_s += (LIFE - RENEWED_BEFORE).total_seconds() - DAY
    found.look()
    assert found.context is first
    world.moved_s += 2 * DAY
    found.look()
    assert found.context is not first


def test_the_operators_files_are_read_again_and_what_is_broken_changes_nothing(tmp_path: Path) -> None:
    world = MovedWorld()
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"

    def write(issued: Issued) -> None:
        certificate.write_bytes(issued.certificate)
        key.write_bytes(issued.key)

    ours, theirs = authority(world), authority(world)
    write(ours.issue(REGION, world))
    found = Certificates(world, DEFAULT_KNOBS, OperatorFiles(certificate, key))
    shaken(found.context, pem_of(ours, world), DOMAIN)
    first = found.context
    found.look()
    assert found.context is first, "nothing changed"
    key.write_bytes(b"half of a")
    found.look()
    assert found.context is first
    write(theirs.issue(REGION, world))
    found.look()
    shaken(found.context, pem_of(theirs, world), DOMAIN)
    certificate.unlink()
    second = found.context
    found.look()
    assert found.context is second


def test_the_operators_files_are_read_before_the_server_steps_down(tmp_path: Path) -> None:
    """A key that only root may read: later nobody here can, and what was read then is shown on."""
    world = MovedWorld()
    ours = authority(world)
    issued = ours.issue(REGION, world)
    config = RegionConfig(
        registry_domain=DOMAIN,
        registry_listen="127.0.0.1:443",
        registry_cert=str(tmp_path / "c.pem"),
        registry_key=str(tmp_path / "k.pem"),
    )
    with pytest.raises(Problem, match=r"c\.pem cannot be read"):
        operator_files(config)
    Path(config.registry_cert).write_bytes(issued.certificate)
    Path(config.registry_key).write_bytes(issued.key)
    files = operator_files(config)
    Path(config.registry_key).unlink()
    found = Certificates(world, DEFAULT_KNOBS, files)
    shaken(found.context, pem_of(ours, world), DOMAIN)
    first = found.context
    found.look()
    assert found.context is first


def test_what_cannot_be_used_is_said_without_showing_it(tmp_path: Path) -> None:
    world = MovedWorld()
    issued = authority(world).issue(REGION, world)
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(issued.certificate)
    with pytest.raises(CertificateUnusable, match=r"k\.pem cannot be read"):
        Certificates(world, DEFAULT_KNOBS, OperatorFiles(certificate, key))
    key.write_bytes(authority(world).issue(REGION, world).key)
    with pytest.raises(CertificateUnusable, match="KEY_VALUES_MISMATCH"):
        Certificates(world, DEFAULT_KNOBS, OperatorFiles(certificate, key))
    assert "PRIVATE" not in repr(issued)


def test_sources() -> None:
    assert source_of("192.0.2.7") == source_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:1") == "2001:db8::"
    assert source_of("fe80::1%eth0") == "fe80::"


def test_places_are_bounded_for_each_source_and_for_all() -> None:
    places = Places(Knobs(registry_connections_max=3, registry_connections_per_source=2))
    assert [places.enter("a") for _ in range(3)] == [True, True, False]
    assert [places.enter(source) for source in "bc"] == [True, False]
    places.leave("a")
    assert places.enter("c")
    for source in "abc":
        places.leave(source)
    assert places.count == 0
