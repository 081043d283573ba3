"""What a host is answered about the names of a VPC whose tasks run on it: as the VPC's resolver says, but for addresses
that the host reaches. Pure.

A task's private address leads nowhere from its host: its public one is shown instead, and without one there is none.
Invariant: names that are not of these domains are refused and asked nowhere, so whoever asks here goes on elsewhere.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from .message import (
    AAAA,
    NO_ERROR,
    NO_SUCH_NAME,
    REFUSED,
    A,
    NoQuery,
    Query,
    Record,
    Refusal,
    build,
    labels_of,
    parse_query,
    refusal,
)
from .names import Names, find


def is_below(asked: bytes, domains: Collection[bytes]) -> bool:
    """Whether a name, in wire form and lower case, is one of the domains or below one."""
    at = 0
    while asked[at]:
        if asked[at:] in domains:
            return True
        at += 1 + asked[at]
    return False


def host_answer(
    data: bytes,
    names: Names,
    domains: Collection[bytes],
    publics: Mapping[IPv4Address, IPv4Address],
    *,
    stream: bool = False,
    turn: int = 0,
) -> bytes | None:
    """None for what is no query. `publics`: private address -> public one, of tasks. `turn`: any number."""
    try:
        query = parse_query(data)
    except NoQuery:
        return None
    except Refusal as refused:
        return refusal(data, refused.outcome)
    found = find(names, query.name, query.type, turn) if is_below(query.name, domains) else None
    if found is None:
        return refusal(data, REFUSED)
    records = tuple(_reached(found.records, names, publics))
    authority = () if found.authority is None or records else (found.authority,)
    outcome = NO_ERROR if found.exists else NO_SUCH_NAME
    return build(query, outcome=outcome, answers=records, authorities=authority, room=query.room(stream=stream))


def no_such_name(query: Query) -> bytes:
    """To a task that asks for a name which only its host may know."""
    return build(query, outcome=NO_SUCH_NAME)


def shown(domains: Collection[bytes]) -> list[str]:
    """As people write them."""
    return sorted(b".".join(labels_of(domain)).decode() for domain in domains)


def _reached(records: Sequence[Record], names: Names, publics: Mapping[IPv4Address, IPv4Address]) -> Iterator[Record]:
    for record in records:
        if record.type == A and (inside := IPv4Address(record.data)) and any(inside in one for one in names.networks):
            public = publics.get(inside)
            if public is not None:
                yield Record(record.owner, A, record.ttl_s, public.packed)
        elif record.type == AAAA and any(IPv6Address(record.data) in one for one in names.networks6):
            continue
        else:
            yield record
