"""What a request makes of an account's certificates: shelf in, change out. Pure.

Invariants: a certificate that a listener shows cannot go; one that was imported anew keeps its ARN, and so its users.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ...model.knobs import DEFAULT_KNOBS
from ..regional.shelves import Change, Shelf
from .errors import CertificateInUse, CertificateLimit, CertificateNotFound, Invalid, TooManyTags
from .records import AUTHORITY, IMPORTED, ISSUED_HERE, Certificate, Facts, KeptAuthority, Pairs

TAGS_MAX = 50
SAME_REQUEST_S = 3600.0  # so long ACM knows an idempotency token
T = TypeVar("T")


class Renewal(Struct, frozen=True, kw_only=True):
    """What a certificate shows from now on, under the ARN that it has."""

    facts: Facts
    pem: str
    chain: str
    sealed_key: bytes


def required(shelf: Shelf, arn: str) -> Certificate:
    """Raises CertificateNotFound."""
    found = shelf.find(Certificate, arn)
    if found is None:
        raise CertificateNotFound(arn, shelf.account)
    return found


def added(shelf: Shelf, new: Certificate) -> Change[Certificate]:
    """Once, however often the same is requested. Raises CertificateLimit."""
    known = same_request(shelf, new.asked, new.facts.names, new.created_at)
    if known is not None:
        return Change(result=known)
    if shelf.count(Certificate) >= DEFAULT_KNOBS.certificates_max:
        raise CertificateLimit(DEFAULT_KNOBS.certificates_max)
    return Change(result=new, put=(new,))


def same_request(shelf: Shelf, token: str, names: Sequence[str], now: float) -> Certificate | None:
    """What an earlier request of the same token made."""
    if not token:
        return None
    return next(
        (
            one
            for one in shelf.all(Certificate)
            if one.asked == token and one.facts.names == tuple(names) and now - one.created_at < SAME_REQUEST_S
        ),
        None,
    )


def imported_again(
    shelf: Shelf, arn: str, made: Renewal, users: Callable[[str], Sequence[str]], now: float
) -> Change[Certificate]:
    """Raises CertificateNotFound, Invalid."""
    found = required(shelf, arn)
    if found.origin != IMPORTED:
        raise Invalid(f"The certificate {arn} was not imported: it cannot be imported anew.")
    if not made.facts.is_servable and users(arn):
        raise Invalid("A certificate in use cannot be replaced by one that no listener can show.")
    after = _renewed(found, made, imported_at=now)
    return Change(result=after, put=(after,))


def renewed(shelf: Shelf, arn: str, made: Renewal, now: float) -> Change[None]:
    """One that was issued here, by the region itself; nothing where it has gone meanwhile."""
    found = shelf.find(Certificate, arn)
    if found is None or found.origin != ISSUED_HERE:
        return Change(result=None)
    return Change(result=None, put=(_renewed(found, made, issued_at=now),))


def _renewed(found: Certificate, made: Renewal, **times: float) -> Certificate:
    return replace(found, facts=made.facts, pem=made.pem, chain=made.chain, sealed_key=made.sealed_key, **times)


def due(shelf: Shelf, before_s: float, now: float) -> tuple[Certificate, ...]:
    """Those issued here that end soon."""
    return tuple(
        one for one in shelf.all(Certificate) if one.origin == ISSUED_HERE and one.facts.not_after - before_s <= now
    )


def deleted(shelf: Shelf, arn: str, users: Callable[[str], Sequence[str]]) -> Change[None]:
    """`users`: who shows a certificate. Raises CertificateNotFound, CertificateInUse."""
    found = required(shelf, arn)
    if users(arn):
        raise CertificateInUse(arn, shelf.account)
    return Change(result=None, drop=(found,))


def tagged(shelf: Shelf, arn: str, given: Pairs) -> Change[None]:
    """Raises CertificateNotFound, TooManyTags."""
    found = required(shelf, arn)
    merged = {**dict(found.tags), **dict(given)}
    if len(merged) > TAGS_MAX:
        raise TooManyTags([key for key, _ in (*found.tags, *given)], TAGS_MAX)
    after = replace(found, tags=tuple(merged.items()))
    return Change(result=None, put=(after,) if after != found else ())


def untagged(shelf: Shelf, arn: str, gone: Sequence[tuple[str, str | None]]) -> Change[None]:
    """A tag that was given with a value goes only where it has that. Raises CertificateNotFound."""
    found = required(shelf, arn)
    kept = tuple(
        (key, value)
        for key, value in found.tags
        if not any(name == key and wanted in (None, value) for name, wanted in gone)
    )
    after = replace(found, tags=kept)
    return Change(result=None, put=(after,) if after != found else ())


def authority_kept(shelf: Shelf, new: KeptAuthority, is_good: Callable[[KeptAuthority], bool]) -> Change[KeptAuthority]:
    """The one that is there, while it can still sign; else the new one in its place."""
    found = shelf.find(KeptAuthority, AUTHORITY)
    if found is not None and is_good(found):
        return Change(result=found)
    return Change(result=new, put=(new,))
