"""What a server says of private zones, bounded before a resolver holds it. A part of `arrivals/network.py`.

Invariant: what passes has a form and a size; a zone whose names or data are none is left out by the resolver.
"""

import re
from collections.abc import Sequence

from ...model.network import DnsRecords, DnsZone
from .judging import LIST_MAX, check_between, check_count, check_plain, need

_TYPES = frozenset({"A", "AAAA", "CNAME", "SRV"})
_NAME = re.compile(r"[!-~]{1,254}")
_VALUE_MAX_CHARS = 300
_RECORDS_MAX = 20_000  # of all zones of a VPC: names, and values
_TTL_MAX_S = 2**31 - 1


def check_zones(zones: Sequence[DnsZone]) -> None:
    check_count("zones", zones, LIST_MAX)
    need(sum(len(zone.records) for zone in zones) <= _RECORDS_MAX, "there are too many names in zones")
    values = sum(len(records.values) for zone in zones for records in zone.records)
    need(values <= _RECORDS_MAX, "there are too many records in zones")
    for zone in zones:
        need(_NAME.fullmatch(zone.name) is not None, "a zone has a name that is none")
        check_between("a zone's time", zone.ttl_s, 0, _TTL_MAX_S)
        for records in zone.records:
            _check_records(records)


def _check_records(records: DnsRecords) -> None:
    need(_NAME.fullmatch(records.name) is not None, "a record has a name that is none")
    need(records.type in _TYPES, "a record has a type that is none")
    check_between("a record's time", records.ttl_s, 0, _TTL_MAX_S)
    check_between("a share", records.most, 1, LIST_MAX)
    for value in records.values:
        check_plain("a record", value, _VALUE_MAX_CHARS)
