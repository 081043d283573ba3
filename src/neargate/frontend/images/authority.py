"""The region's own authority for its registry's name: one certificate that people trust, short ones that it signs.

Owns what both kinds of certificate say, and the sealed form in which the authority rests. Must not know files or
sockets. Invariants: it can vouch for names below its one domain and for nothing else, whoever gets hold of its key;
that key is never written but sealed with the region's master key.
"""

import ipaddress
from datetime import timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from msgspec import Struct

from ...model.concealed import Concealed
from ...world import World
from ..envelope import Envelope, SealBroken
from ..x509_parts import SERVERS, begun, common_name, moment, usage

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=90)
RENEWED_BEFORE = timedelta(days=30)
_CURVE = ec.SECP256R1()
_KEY_BITS = 320  # well above the curve's 256: no remainder is likelier than another
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the curve
_CONTEXT = b"registry authority\0"


class AuthorityBroken(Exception):
    """What was kept is no authority, or was sealed by master keys that are not known here."""


class Issued(Concealed, frozen=True, kw_only=True):
    """A certificate with its key, both PEM. `until`: when it should be renewed, epoch seconds."""

    certificate: bytes
    key: bytes
    until: float


class Kept(Struct, frozen=True, kw_only=True):
    """The form at rest. `certificate`: PEM, for everybody; `sealed_key`: for this region's server alone."""

    domain: str
    certificate: str
    sealed_key: bytes


class Authority:
    """Signs for names below `domain`."""

    def __init__(self, domain: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.domain = domain
        self._certificate = certificate
        self._key = key

    def is_good(self, domain: str, now: float) -> bool:
        """Whether it can still sign for that domain, for the whole life of a certificate."""
        return self.domain == domain and moment(now) + LIFE < self._certificate.not_valid_after_utc

    def kept(self, envelope: Envelope) -> bytes:
        """What `open_authority` opens again."""
        key = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return msgspec.json.encode(
            Kept(
                domain=self.domain,
                certificate=self._certificate.public_bytes(Encoding.PEM).decode(),
                sealed_key=envelope.seal(key, context=_CONTEXT + self.domain.encode()),
            )
        )

    def issue(self, region: str, world: World) -> Issued:
        """For every account's registry of the region, and for the domain itself."""
        now, key = moment(world.now()), _new_key(world)
        names = [f"*.dkr.ecr.{region}.{self.domain}", self.domain]
        certificate = (
            begun(world, now, LIFE, key)
            .subject_name(common_name("Neargate images"))
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(SERVERS, critical=False)
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        return Issued(
            certificate=certificate.public_bytes(Encoding.PEM),
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            until=(now + LIFE - RENEWED_BEFORE).timestamp(),
        )


def new_authority(domain: str, region: str, world: World) -> Authority:
    key = _new_key(world)
    name = common_name(f"Neargate {region} images")
    everywhere = [x509.IPAddress(ipaddress.ip_network(net)) for net in ("0.0.0.0/0", "::/0")]
    certificate = (
        begun(world, moment(world.now()), AUTHORITY_LIFE, key)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
        # People put it among those whom their machine trusts for everything: it must be good for this alone. The
        # constraints are about names of hosts; that nobody else's mail or program has its signature, the usage says.
        .add_extension(SERVERS, critical=False)
        .add_extension(
            x509.NameConstraints(permitted_subtrees=[x509.DNSName(domain)], excluded_subtrees=everywhere),
            critical=True,
        )
        .sign(key, SHA256())
    )
    return Authority(domain, certificate, key)


def open_authority(kept: bytes, envelope: Envelope) -> Authority:
    """Raises AuthorityBroken."""
    try:
        found = parse_kept(kept)
        plain = envelope.open(found.sealed_key, context=_CONTEXT + found.domain.encode())
        key = load_der_private_key(plain, None)
        certificate = x509.load_pem_x509_certificate(found.certificate.encode())
    except SealBroken as error:
        raise AuthorityBroken(str(error)) from None
    except ValueError:
        raise AuthorityBroken("it cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise AuthorityBroken("its key is another's")
    return Authority(found.domain, certificate, key)


def parse_kept(kept: bytes) -> Kept:
    """The public half needs no key. Raises AuthorityBroken."""
    try:
        return msgspec.json.decode(kept, type=Kept)
    except (msgspec.MsgspecError, UnicodeError):
        raise AuthorityBroken("it cannot be read") from None


def _new_key(world: World) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(1 + world.random.getrandbits(_KEY_BITS) % (_ORDER - 1), _CURVE)
