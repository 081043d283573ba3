"""Answers made by joining stored documents as bytes.

Owns the JSON around them. Invariant: a document is never parsed on its way out.
"""

from collections.abc import Mapping, Sequence

import msgspec

from ....interfaces.roles import Documents, Failure
from ...call import RawBody


def joined(member: str, documents: Sequence[bytes], failures: Sequence[Failure]) -> RawBody:
    """`{"member":[...],"failures":[...]}`"""
    return RawBody(b'{"%b":[%b],"failures":%b}' % (member.encode(), b",".join(documents), _failures(failures)))


def described(member: str, found: Documents, more: Sequence[Failure] = ()) -> RawBody:
    return joined(member, found.documents, [*found.failures, *more])


def single(member: str, document: bytes, others: Mapping[str, object] | None = None) -> RawBody:
    """`{"member":document, ...}`"""
    rest = b"".join(b',"%b":%b' % (name.encode(), msgspec.json.encode(value)) for name, value in (others or {}).items())
    return RawBody(b'{"%b":%b%b}' % (member.encode(), document, rest))


def _failures(failures: Sequence[Failure]) -> bytes:
    shown = []
    for failure in failures:
        members = {"arn": failure.arn, "reason": failure.reason, "detail": failure.detail}
        shown.append({name: value for name, value in members.items() if value is not None})
    return msgspec.json.encode(shown)
