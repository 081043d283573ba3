"""The region's own authority for certificates that are requested: it issues at once, for whatever name is asked.

Owns what its certificates say; must not know records or accounts. Another than the images' authority, which can vouch
for one domain only: names of load balancers' users are theirs to choose. Whoever trusts it trusts all accounts of the
region to name themselves anything; so nothing here asks a machine to. Invariant: its key is never written but sealed.
"""

from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from ...world import World
from ..envelope import Envelope
from ..x509_parts import SERVERS, PrivateKey, begun, common_name, moment, usage
from .records import AUTHORITY, REGION, KeptAuthority, Material

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=395)  # ACM's
RENEWED_BEFORE = timedelta(days=60)
_CONTEXT = b"acm authority\0"

# Those that RequestCertificate has; RSA keys are made by the library, from the system's randomness.
RSA_BITS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
CURVES: dict[str, ec.EllipticCurve] = {"EC_prime256v1": ec.SECP256R1(), "EC_secp384r1": ec.SECP384R1()}


class Authority:
    """Signs for any name."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @property
    def pem(self) -> str:
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def is_good(self, now: float) -> bool:
        """Whether it can sign for the whole life of a certificate."""
        return moment(now) + LIFE < self._certificate.not_valid_after_utc

    def kept(self, envelope: Envelope) -> KeptAuthority:
        key = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return KeptAuthority(
            account=REGION, name=AUTHORITY, pem=self.pem, sealed_key=envelope.seal(key, context=_CONTEXT)
        )

    def issue(self, names: Sequence[str], algorithm: str, world: World) -> Material:
        """`names`: the first one is the subject's. Takes a while for RSA: not on the loop's thread."""
        now, key = moment(world.now()), _new_key(algorithm)
        certificate = (
            begun(world, now, LIFE, key)
            .subject_name(common_name(names[0]))
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(SERVERS, critical=False)
            .add_extension(usage(digital_signature=True, key_encipherment=algorithm in RSA_BITS), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        return Material(
            pem=certificate.public_bytes(Encoding.PEM).decode(),
            chain=self.pem,
            key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        )


def new_authority(region: str, world: World) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = common_name(f"Neargate {region} certificates")
    certificate = (
        begun(world, moment(world.now()), AUTHORITY_LIFE, key)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(SERVERS, critical=False)
        .sign(key, SHA256())
    )
    return Authority(certificate, key)


def open_authority(kept: KeptAuthority, envelope: Envelope) -> Authority:
    """Raises SealBroken."""
    key = load_der_private_key(envelope.open(kept.sealed_key, context=_CONTEXT), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "of new_authority"
    return Authority(x509.load_pem_x509_certificate(kept.pem.encode()), key)


def _new_key(algorithm: str) -> PrivateKey:
    bits = RSA_BITS.get(algorithm)
    if bits is not None:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(CURVES[algorithm])
