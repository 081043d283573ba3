"""The names of a VPC: those that follow from addresses, as on AWS, and zones that are handed in (endpoints, load
balancers, Cloud Map). What is found here is answered here, and so is "there is no such name": it is asked nowhere else.

Names that follow from addresses need no records and no news: `ip-10-0-1-5.ec2.internal` is an address of the VPC or
nothing, and the name of an address is known before anybody has it.
Invariant: a `Names` never changes; who has new facts makes a new one.
"""

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from msgspec import Struct

from .message import AAAA, ANY, CNAME, PTR, SOA, A, Malformed, Record, labels_of, name

TTL_S = 60  # AWS's for what follows from addresses
NEGATIVE_TTL_S = 60
CHAIN_MAX = 8  # names that lead to one another before the last one
ZONES_MAX = 4096
RECORDS_MAX = 100_000  # of all zones together
NETWORKS_MAX = 64  # of a VPC, and of a region's public addresses: they are looked through for each query

_SOA_NUMBERS = struct.Struct(">IIIII")
_IP_LABEL = re.compile(rb"(?:ip|ec2)-(\d{1,3})-(\d{1,3})-(\d{1,3})-(\d{1,3})")
_REVERSE4, _REVERSE6, _LOCALHOST, _INVALID = name("in-addr.arpa"), name("ip6.arpa"), name("localhost"), name("invalid")
_ANY_LABEL = b"\x01*"
_LOOPBACK4, _LOOPBACK6 = IPv4Network("127.0.0.1/32"), IPv6Network("::1/128")
# Reverse names that stay here; the private ones where the VPC gives out host names: AWS's own rules, after RFC 6303.
_LOCAL = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"))
_PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))


class Share(Struct, frozen=True):
    """Of the records of one name and type an answer has `most`: which, is another thing each time."""

    ttl_s: int
    most: int


class Zone(Struct, frozen=True):
    """`records`: data by type, by owner; `inner`: names that only lead to names below them. Made by `zone`.

    `shares`: by owner and type, where not all have `ttl_s` and are shown. `authority`: who says that there is none.
    """

    apex: bytes
    records: Mapping[bytes, Mapping[int, tuple[bytes, ...]]]
    inner: frozenset[bytes]
    ttl_s: int = TTL_S
    shares: Mapping[tuple[bytes, int], Share] = {}
    authority: Record | None = None


class Found(Struct, frozen=True):
    """What this VPC knows of a name. `exists` without records: the name has none of that type.

    `onward`: the answer goes on with a name that is not of this VPC.
    """

    records: tuple[Record, ...] = ()
    exists: bool = True
    authority: Record | None = None
    onward: bytes | None = None


class Names(Struct, frozen=True):
    """Made by `vpc_names`. `domain` and `public_domain`: what the names of addresses end in."""

    domain: bytes
    public_domain: bytes | None
    networks: tuple[IPv4Network, ...]
    networks6: tuple[IPv6Network, ...]
    local: tuple[IPv4Network, ...]
    pools: tuple[IPv4Network, ...]
    publics: Mapping[int, IPv4Address]
    zones: Mapping[bytes, Zone]


def zone(apex: str, records: Iterable[tuple[str, int, bytes]], *, ttl_s: int = TTL_S, shares: bool = False) -> Zone:
    """`records`: (owner, type, data). `shares`: a name may have several aliases, of which one is shown.

    Raises Malformed for owners outside, or a name with an alias and more.
    """
    top = name(apex)
    found: dict[bytes, dict[int, list[bytes]]] = {top: {}}
    inner: set[bytes] = set()
    for owner, kind, data in records:
        wire = name(owner)
        path = _path(wire)
        if top not in path:
            raise Malformed(f"{owner} is not below {apex}")
        types = found.setdefault(wire, {})
        if types and (kind == CNAME or CNAME in types) and not (shares and kind in types):
            raise Malformed(f"{owner} is another's alias and more than that")
        types.setdefault(kind, []).append(data)
        inner.update(path[1 : path.index(top)])
    whole = {owner: {kind: tuple(data) for kind, data in types.items()} for owner, types in found.items()}
    return Zone(top, whole, frozenset(inner), ttl_s)


def address_data(text: str) -> tuple[int, bytes]:
    """(type, data) of an address. Raises ValueError."""
    return (AAAA, IPv6Address(text).packed) if ":" in text else (A, IPv4Address(text).packed)


def srv_data(priority: int, weight: int, port: int, target: str) -> bytes:
    return struct.pack(">HHH", priority, weight, port) + name(target)


def text_data(text: str) -> bytes:
    raw = text.encode()
    return b"".join(bytes([len(raw[at : at + 255])]) + raw[at : at + 255] for at in range(0, max(len(raw), 1), 255))


def vpc_names(
    domain: str,
    cidrs: Sequence[str],
    *,
    public_domain: str | None = None,
    pools: Sequence[str] = (),
    publics: Mapping[str, str] | None = None,
    zones: Iterable[Zone] = (),
) -> Names:
    """`public_domain`: None in a VPC that gives out no host names (enableDnsHostnames). `pools`: the region's public
    addresses; `publics`: which of them lead to which address of this VPC. Raises Malformed, ValueError.
    """
    networks = [ip_network(cidr) for cidr in cidrs]
    by_apex = {each.apex: each for each in zones}
    if max(len(cidrs), len(pools)) > NETWORKS_MAX:
        raise Malformed("more networks than a VPC has")
    if len(by_apex) > ZONES_MAX or sum(len(each.records) for each in by_apex.values()) > RECORDS_MAX:
        raise Malformed("more names than a VPC has")
    return Names(
        domain=name(domain),
        public_domain=None if public_domain is None else name(public_domain),
        networks=tuple(network for network in networks if isinstance(network, IPv4Network)),
        networks6=tuple(network for network in networks if isinstance(network, IPv6Network)),
        local=_LOCAL if public_domain is None else _LOCAL + _PRIVATE,
        pools=tuple(IPv4Network(pool) for pool in pools),
        publics={int(IPv4Address(outer)): IPv4Address(inner) for outer, inner in (publics or {}).items()},
        zones=by_apex,
    )


def find(names: Names, asked: bytes, kind: int, turn: int = 0) -> Found | None:
    """What answers a question; None for a name of somebody else. `asked`: wire form, lower case.

    `turn`: any number; it says which of several records is the first, and which of a share are shown.
    """
    records: list[Record] = []
    for _ in range(CHAIN_MAX):
        found = _find_one(names, asked, kind, turn)
        if found is None:
            return Found(tuple(records), onward=asked) if records else None
        records += found.records
        last = found.records[-1] if found.records else None
        if last is None or last.type != CNAME or kind in (CNAME, ANY):
            return Found(tuple(records), found.exists, found.authority)
        asked = last.data
    return Found(tuple(records))  # a circle of aliases leads nowhere, and says so


def _find_one(names: Names, asked: bytes, kind: int, turn: int) -> Found | None:
    path = _path(asked)
    for apex in path:
        if apex in names.zones:
            return _in_zone(names.zones[apex], asked, kind, turn)
        if apex == names.domain:
            return _by_address(asked, path.index(apex), names.domain, names.networks, kind)
        if apex == names.public_domain:
            return _by_public_address(names, asked, path.index(apex), kind)
        if apex == _REVERSE4:
            return _reverse(names, asked, kind)
        if apex == _REVERSE6:
            return _reverse6(names, asked, kind)
        if apex == _LOCALHOST:
            data = {A: IPv4Address("127.0.0.1").packed, AAAA: IPv6Address("::1").packed}
            return _shown(asked, kind, data, apex)
        if apex == _INVALID:
            return Found(exists=False, authority=_authority(apex))
    return None


def _path(wire: bytes) -> list[bytes]:
    """The name and those it is below, without the root."""
    at, found = 0, []
    while wire[at]:
        found.append(wire[at:])
        at += 1 + wire[at]
    return found


def _authority(apex: bytes) -> Record:
    """How long "there is none" holds (RFC 2308)."""
    host = b"\x02ns" + apex
    mail = b"\x0ahostmaster" + apex
    numbers = _SOA_NUMBERS.pack(1, 7200, 900, 1_209_600, NEGATIVE_TTL_S)
    return Record(apex, SOA, NEGATIVE_TTL_S, (host + mail if len(mail) <= 255 else apex + apex) + numbers)


def _shown(asked: bytes, kind: int, data: Mapping[int, bytes], apex: bytes) -> Found:
    kinds = list(data)[:1] if kind == ANY else [kind]  # RFC 8482: any is one
    records = tuple(Record(asked, each, TTL_S, data[each]) for each in kinds if each in data)
    return Found(records, authority=None if records else _authority(apex))


def _in_zone(zone: Zone, asked: bytes, kind: int, turn: int) -> Found:
    authority = zone.authority or _authority(zone.apex)
    types = zone.records.get(asked)
    if types is None and asked not in zone.inner:
        types = _wildcard(zone, asked)
    if types is None:
        return Found(exists=asked in zone.inner, authority=authority)
    if kind == SOA and asked == zone.apex:
        return Found((authority,))
    shown = kind
    if kind not in types:
        shown = CNAME if CNAME in types else next(iter(types), kind) if kind == ANY else kind
    data = types.get(shown, ())
    share = zone.shares.get((asked, shown), Share(zone.ttl_s, len(data)))
    at = (turn >> 3) % len(data) if len(data) > 1 else 0  # which of these is the first, its end says
    chosen = (*data[at:], *data[:at])[: share.most]
    records = tuple(Record(asked, shown, share.ttl_s, one) for one in chosen)
    return Found(records, authority=None if records else authority)


def _wildcard(zone: Zone, asked: bytes) -> Mapping[int, tuple[bytes, ...]] | None:
    """RFC 4592: of the names above it the nearest that there is decides, and none further up."""
    for parent in _path(asked)[1:]:
        found = zone.records.get(_ANY_LABEL + parent)
        if found is not None or parent == zone.apex or parent in zone.records or parent in zone.inner:
            return found
    return None


def _address_in(label: bytes, prefix: bytes) -> IPv4Address | None:
    matched = _IP_LABEL.fullmatch(label)
    if matched is None or not label.startswith(prefix):
        return None
    try:
        return IPv4Address(b".".join(matched.groups()).decode())  # leading zeros are refused, as in no name of AWS's
    except ValueError:
        return None


def _by_address(asked: bytes, depth: int, apex: bytes, networks: Sequence[IPv4Network], kind: int) -> Found:
    if depth == 0:
        return Found((_authority(apex),)) if kind == SOA else Found(authority=_authority(apex))
    address = _address_in(labels_of(asked)[0], b"ip-") if depth == 1 else None
    if address is None or not any(address in network for network in networks):
        return Found(exists=False, authority=_authority(apex))
    return _shown(asked, kind, {A: address.packed}, apex)


def _by_public_address(names: Names, asked: bytes, depth: int, kind: int) -> Found | None:
    """A public address of this region leads to the private one inside its VPC. All other such names are AWS's."""
    address = _address_in(labels_of(asked)[0], b"ec2-") if depth == 1 else None
    if address is None or not any(address in pool for pool in names.pools):
        return None
    assert names.public_domain is not None, "its names were looked for"
    inside = names.publics.get(int(address), address)
    return _shown(asked, kind, {A: inside.packed}, names.public_domain)


def _reverse(names: Names, asked: bytes, kind: int) -> Found | None:
    """`5.1.0.10.in-addr.arpa`, or only its end. Wider parts than a network of ours are somebody else's."""
    labels = labels_of(asked)[:-2]
    network = _network4(labels)
    if network is None:
        return None
    apex = _path(asked)[-3]
    if network == _LOOPBACK4:
        target, known = _LOCALHOST, True
    elif any(network.subnet_of(each) for each in names.networks):
        target, known = _of_address(b"ip-", network, names.domain), True
    elif names.public_domain is not None and any(network.subnet_of(pool) for pool in names.pools):
        target, known = _of_address(b"ec2-", network, names.public_domain), True
    elif any(network.subnet_of(each) for each in names.local):
        known = network in names.local or any(each.overlaps(network) for each in names.networks)
        target = b""
    else:
        return None
    if not known or len(labels) > 4:
        return Found(exists=False, authority=_authority(apex))
    if len(labels) < 4:
        return Found(authority=_authority(apex))
    return _shown(asked, kind, {PTR: target}, apex)


def _of_address(prefix: bytes, network: IPv4Network, domain: bytes) -> bytes:
    label = prefix + str(network.network_address).replace(".", "-").encode()
    return bytes([len(label)]) + label + domain


def _network4(labels: Sequence[bytes]) -> IPv4Network | None:
    """Of the last four labels before `in-addr.arpa`: the addresses they stand for."""
    octets = []
    for label in reversed(labels[-4:]):
        if not label.isdigit() or len(label) > 3 or str(int(label)).encode() != label or int(label) > 255:
            return None
        octets.append(int(label))
    if not octets:
        return None
    whole = bytes([*octets, *[0] * (4 - len(octets))])
    return IPv4Network((whole, 8 * len(octets)))


def _reverse6(names: Names, asked: bytes, kind: int) -> Found | None:
    """Addresses of version 6 have no names of their own on AWS; that is not asked elsewhere."""
    labels = labels_of(asked)[:-2]
    digits = b"".join(reversed(labels[-32:]))
    if not labels or len(digits) != len(labels[-32:]) or not all(digit in b"0123456789abcdef" for digit in digits):
        return None
    network = IPv6Network((int(digits.ljust(32, b"0"), 16), 4 * len(digits)))
    if network == _LOOPBACK6 and len(labels) == 32:
        return _shown(asked, kind, {PTR: _LOCALHOST}, _REVERSE6)
    if not any(network.subnet_of(each) for each in names.networks6):
        return None
    return Found(exists=len(labels) < 32, authority=_authority(_REVERSE6))
