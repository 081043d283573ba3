"""What PEM texts of certificates, chains and keys say, and whether they belong together. Pure.

Owns reading hostile input into Facts; must not know records. Invariant: what passes here can be shown by a proxy: the
key is the certificate's, the chain leads from it, and nothing but these is in the texts that are handed on.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from .errors import Invalid
from .records import Facts, Material

CHAIN_MAX = 10  # certificates
NAMES_MAX, NAME_MAX_CHARS = 100, 253
PART_MAX_BYTES = 16 * 1024  # of a certificate, and of a chain: a load balancer's plan is one message, with all of its
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_CURVES = {"secp256r1": "EC_prime256v1", "secp384r1": "EC_secp384r1", "secp521r1": "EC_secp521r1"}
_RSA = (1024, 2048, 3072, 4096)
_USAGES = (
    ("digital_signature", "DIGITAL_SIGNATURE"),
    ("content_commitment", "NON_REPUDIATION"),
    ("key_encipherment", "KEY_ENCIPHERMENT"),
    ("data_encipherment", "DATA_ENCIPHERMENT"),
    ("key_agreement", "KEY_AGREEMENT"),
    ("key_cert_sign", "CERTIFICATE_SIGNING"),
    ("crl_sign", "CRL_SIGNING"),
)
_EXTENDED = {
    ExtendedKeyUsageOID.SERVER_AUTH: "TLS_WEB_SERVER_AUTHENTICATION",
    ExtendedKeyUsageOID.CLIENT_AUTH: "TLS_WEB_CLIENT_AUTHENTICATION",
    ExtendedKeyUsageOID.CODE_SIGNING: "CODE_SIGNING",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "EMAIL_PROTECTION",
    ExtendedKeyUsageOID.TIME_STAMPING: "TIME_STAMPING",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP_SIGNING",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "ANY",
}
_BROKEN = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_SIGNATURES = {"sha256": "SHA256", "sha384": "SHA384", "sha512": "SHA512"}
_RSA_MIN_BITS = 2048


def read_material(certificate: bytes, chain: bytes | None, key: bytes, now: float) -> tuple[Material, Facts]:
    """Of ImportCertificate, written anew in one form. Raises Invalid."""
    if len(certificate) > PART_MAX_BYTES or len(chain or b"") > PART_MAX_BYTES:
        raise Invalid(f"A certificate or its chain cannot be larger than {PART_MAX_BYTES} bytes.")
    found = _certificates(certificate, "certificate")
    if len(found) != 1:
        raise Invalid(
            "The certificate field contains more than one certificate. You can specify only one certificate in this "
            "field."
        )
    leaf = found[0]
    private = _key(key)
    if _public(private.public_key()) != _public(leaf.public_key()):
        raise Invalid("The provided certificate and private key do not match.")
    above = _certificates(chain, "certificate chain") if chain else []
    _check_chain(leaf, above)
    for one in (leaf, *above):
        _check_time(one, now)
    written = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    said = _facts(leaf)
    if len(said.names) > NAMES_MAX or any(len(name) > NAME_MAX_CHARS for name in said.names):
        raise Invalid(f"A certificate can have {NAMES_MAX} names of {NAME_MAX_CHARS} characters.")
    facts = replace(said, is_servable=all(map(_is_strong, (leaf, *above))))
    return Material(pem=_pem(leaf), chain="".join(map(_pem, above)), key=written), facts


def facts_of(pem: str) -> Facts:
    """Of a certificate that was issued here."""
    return _facts(x509.load_pem_x509_certificate(pem.encode()))


def _certificates(text: bytes, field: str) -> list[x509.Certificate]:
    blocks = _BLOCK.findall(text)
    if len(blocks) > CHAIN_MAX:
        raise Invalid(f"The {field} has more than {CHAIN_MAX} certificates.")
    try:
        found = [x509.load_pem_x509_certificate(block) for block in blocks]
        for one in found:
            # Each is read when asked, so that what is broken is refused here.
            one.extensions, one.subject, one.issuer, one.not_valid_before_utc, one.not_valid_after_utc  # noqa: B018
            one.signature_algorithm_parameters, one.signature_hash_algorithm  # noqa: B018
            one.public_key()
    except _BROKEN:
        found = []
    if not found:
        raise Invalid(f"The {field} is not PEM-encoded or is not valid PEM.")
    return found


def _key(text: bytes) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    """Whether an RSA key's numbers belong together takes seconds for large ones: not asked of sizes that ACM lacks."""
    try:
        found = load_pem_private_key(text, None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(found, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or not _algorithm(found.public_key()):
            raise Invalid("The private key is not supported.")
        load_pem_private_key(text, None)
    except TypeError:
        raise Invalid("The private key must not be encrypted with a password.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid("The private key is not PEM-encoded or is not valid PEM.") from None
    return found


def _check_chain(leaf: x509.Certificate, chain: Sequence[x509.Certificate]) -> None:
    if not chain and not _is_issued_by(leaf, leaf):
        raise Invalid(
            "Provided certificate is not a valid self signed. Please provide either a valid self-signed certificate "
            "or certificate chain."
        )
    below = leaf
    for index, one in enumerate(chain):
        if not _is_issued_by(below, one):
            raise Invalid(
                "Unable to validate certificate chain. The certificate chain must start with the immediate signing "
                "certificate, followed by any intermediaries in order. The index within the chain of the invalid "
                f"certificate is: {index}"
            )
        below = one


def _is_issued_by(below: x509.Certificate, above: x509.Certificate) -> bool:
    """By name, however that is encoded, and by signature."""
    if _known_as(below.issuer) != _known_as(above.subject):
        return False
    key, signed, made_by = above.public_key(), below.tbs_certificate_bytes, below.signature_algorithm_parameters
    try:
        if isinstance(key, rsa.RSAPublicKey) and isinstance(made_by, padding.PKCS1v15 | padding.PSS):
            assert below.signature_hash_algorithm is not None, "RSA signs a hash"
            key.verify(below.signature, signed, made_by, below.signature_hash_algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(made_by, ec.ECDSA):
            key.verify(below.signature, signed, made_by)
        else:
            return False
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _known_as(name: x509.Name) -> list[tuple[str, str]]:
    return [(one.oid.dotted_string, " ".join(str(one.value).casefold().split())) for one in name]


def _is_strong(certificate: x509.Certificate) -> bool:
    """As OpenSSL asks it of what a server shows, also of its chain. A root's own signature proves nothing."""
    key, hashed = certificate.public_key(), certificate.signature_hash_algorithm
    is_large = key.key_size >= _RSA_MIN_BITS if isinstance(key, rsa.RSAPublicKey) else bool(_algorithm(key))
    is_root = _known_as(certificate.issuer) == _known_as(certificate.subject)
    return is_large and (is_root or (hashed is not None and hashed.name in _SIGNATURES))


def _check_time(certificate: x509.Certificate, now: float) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    since, until = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if moment < since:
        raise Invalid(f"The certificate is not in effect until {since:%Y-%m-%d %H:%M:%S}.")
    if moment > until:
        raise Invalid(f"The certificate has expired, was valid until {until:%Y-%m-%d %H:%M:%S}.")


def _facts(certificate: x509.Certificate) -> Facts:
    names = _alternative(certificate)
    common = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    digits = f"{certificate.serial_number:x}"
    digits = digits.zfill(len(digits) + len(digits) % 2)
    key = certificate.public_key()
    signature = certificate.signature_hash_algorithm
    signer = "ECDSA" if "ecdsa" in (certificate.signature_algorithm_oid._name or "").lower() else "RSA"
    return Facts(
        domain=next(iter(common or names), ""),
        names=names or tuple(common),
        serial=":".join(digits[at : at + 2] for at in range(0, len(digits), 2)),
        subject=_named(certificate.subject),
        issuer=_issuer(certificate.issuer),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        key_algorithm=_algorithm(key),
        signature_algorithm=f"{signature.name.upper() if signature else ''}WITH{signer}",
        usages=_usages(certificate),
        extended=_extended(certificate),
    )


def _alternative(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(found.get_values_for_type(x509.DNSName))


def _usages(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ("ANY",)
    return tuple(name for attribute, name in _USAGES if getattr(found, attribute))


def _extended(certificate: x509.Certificate) -> tuple[tuple[str, str], ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return (("NONE", ""),)
    return tuple((_EXTENDED.get(one, "CUSTOM"), one.dotted_string) for one in found)


def _algorithm(key: object) -> str:
    """ACM's name; empty for what it does not have."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA_{key.key_size}" if key.key_size in _RSA else ""
    return _CURVES.get(key.curve.name, "") if isinstance(key, ec.EllipticCurvePublicKey) else ""


def _public(key: object) -> bytes:
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise Invalid("The certificate's key is not supported.")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _named(name: x509.Name) -> str:
    """`C=US,O=Example,CN=example.com`."""
    return ",".join(f"{one.rfc4514_attribute_name}={one.value!s}" for one in name)


def _issuer(name: x509.Name) -> str:
    """ACM shows the organisation, else the common name."""
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        found = name.get_attributes_for_oid(oid)
        if found:
            return str(found[0].value)
    return _named(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
