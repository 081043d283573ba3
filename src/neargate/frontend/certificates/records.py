"""What is kept of certificates, and of the region's authority that issues those that are requested.

Frozen records, stored as JSON documents; times are epoch seconds. A private key rests sealed with the region's master
key, for its certificate's ARN alone.
"""

import hashlib

from msgspec import Struct

from ...model import ids
from ...model.arn import Arn
from ...model.concealed import Concealed
from ...model.ids import Bits
from ..regional.shelves import Kept

IMPORTED, ISSUED_HERE = "IMPORTED", "AMAZON_ISSUED"  # types, in ACM's words
ISSUED, EXPIRED = "ISSUED", "EXPIRED"
REGION = "region"  # whose shelf has the authority: no account's number
AUTHORITY = "authority"
Pairs = tuple[tuple[str, str], ...]


class Facts(Struct, frozen=True, kw_only=True):
    """What a certificate says. `names`: its subject alternative names. `usages`, `extended`: ACM's words, with OIDs.

    `is_servable`: a proxy can show it, with its chain; one that it refuses would keep it from beginning at all.
    """

    domain: str
    names: tuple[str, ...]
    serial: str
    subject: str
    issuer: str
    not_before: float
    not_after: float
    key_algorithm: str
    signature_algorithm: str
    usages: tuple[str, ...] = ()
    extended: Pairs = ()
    is_servable: bool = True


class Certificate(Kept, frozen=True, kw_only=True):
    """`name`: its ARN. `origin`: its type. `issued_at`: also of the last renewal. `asked`: of a requested one, the
    idempotency token. `validation`: how its domains were to be validated, which nobody does here."""

    kind = "certificate"
    origin: str
    facts: Facts
    pem: str
    chain: str
    sealed_key: bytes
    created_at: float
    issued_at: float | None = None
    imported_at: float | None = None
    asked: str = ""
    validation: str = ""
    logging: str = "ENABLED"  # CertificateTransparencyLoggingPreference
    tags: Pairs = ()

    @property
    def arn(self) -> str:
        return self.name

    def status(self, now: float) -> str:
        return ISSUED if now <= self.facts.not_after else EXPIRED


class KeptAuthority(Kept, frozen=True, kw_only=True):
    """On the shelf of REGION, `name` AUTHORITY. `pem`: for everybody."""

    kind = "authority"
    pem: str
    sealed_key: bytes


class Material(Concealed, frozen=True, kw_only=True):
    """A certificate as its owner or the authority gives it: all PEM. `chain` may be empty."""

    pem: str
    chain: str
    key: str


def certificate_arn(region: str, account: str, bits: Bits) -> str:
    resource = f"certificate/{ids.uuid4(bits)}"
    return str(Arn(service="acm", region=region, account=account, resource=resource))


def key_context(arn: str) -> bytes:
    """What a certificate's key is sealed for."""
    return b"acm key\0" + arn.encode()


def validation_record(arn: str, domain: str) -> tuple[str, str]:
    """The name and value of the CNAME by which AWS would validate a domain: the same at each look.

    Automation waits for the record and makes it; whether it is there changes nothing here.
    """
    bare = domain.removeprefix("*.")
    name, value = (hashlib.sha256(f"{part}\0{arn}\0{bare}".encode()).hexdigest()[:32] for part in ("name", "value"))
    return f"_{name}.{bare}.", f"_{value}.acm-validations.aws."
