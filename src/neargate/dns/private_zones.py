"""Private zones as a VPC's plan has them, made into what a resolver looks up. Pure.

Invariant: a zone says at its top what a private hosted zone of Route 53 says there: the same servers, the same SOA.
"""

import struct

from ..model.network import DnsZone
from .message import AAAA, CNAME, NS, SOA, SRV, A, Malformed, Record, name
from .names import Share, Zone, address_data, srv_data, zone

_TYPES = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "SRV": SRV}
_SERVERS = ("ns-1536.awsdns-00.co.uk", "ns-0.awsdns-00.com", "ns-1024.awsdns-00.org", "ns-512.awsdns-00.net")
_MAIL = "awsdns-hostmaster.amazon.com"
_SERVERS_TTL_S = 172_800
_SOA_NUMBERS = struct.pack(">IIIII", 1, 7200, 900, 1_209_600, 86_400)
_NUMBER_MAX = 65_535


def private_zone(given: DnsZone) -> Zone:
    """Raises Malformed, ValueError for records that are none."""
    data = [(one.name, _TYPES[one.type], _data(one.type, value)) for one in given.records for value in one.values]
    servers = [(given.name, NS, name(server)) for server in _SERVERS]
    made = zone(given.name, [*servers, *data], ttl_s=_SERVERS_TTL_S, shares=True)
    shares = {(name(one.name), _TYPES[one.type]): Share(one.ttl_s, one.most) for one in given.records}
    authority = Record(made.apex, SOA, given.ttl_s, name(_SERVERS[0]) + name(_MAIL) + _SOA_NUMBERS)
    return Zone(made.apex, made.records, made.inner, made.ttl_s, shares, authority)


def _data(kind: str, value: str) -> bytes:
    if kind == "CNAME":
        return name(value)
    if kind == "SRV":
        *texts, target = value.split(" ")
        priority, weight, port = (int(text) for text in texts)
        if not 0 <= min(priority, weight, port) <= max(priority, weight, port) <= _NUMBER_MAX:
            raise Malformed(f"{value[:80]!r} is not the data of an SRV record")
        return srv_data(priority, weight, port, target)
    found, data = address_data(value)
    if found != _TYPES[kind]:
        raise Malformed(f"{value[:80]!r} is not the data of an {kind} record")
    return data
