"""What certificates of every authority of the region have in common. Pure but for the serial number's randomness.

Owns the parts that are the same whoever signs; who may be vouched for, and how a key rests, each authority owns itself.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..world import World

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_EARLIER = timedelta(hours=24)  # clocks of clients that are behind


def begun(world: World, now: datetime, life: timedelta, key: PrivateKey) -> x509.CertificateBuilder:
    """A certificate of `key`, good for `life`; its names, its usage and its issuer are still to be said."""
    return (
        x509.CertificateBuilder()
        .serial_number(world.random.getrandbits(158) + 1)
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def moment(now: float) -> datetime:
    """`now`: epoch seconds; certificates have whole ones."""
    return datetime.fromtimestamp(int(now), UTC)
