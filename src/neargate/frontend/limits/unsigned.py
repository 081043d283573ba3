"""Room for callers whom no signature names: told apart by where they call from. Pure counting in memory.

All of them together are one caller among the accounts (`admission.py`), so that they starve no account; within that,
each source may hold as many places as are free, so that one that floods leaves room for the others. Invariant: the
table has no more sources than there are places.
"""

from ipaddress import IPv6Address, ip_address

from .admission import Admission

UNSIGNED = ""  # the account that they are, all of them
_PART = 4  # of all places
_ONE_HOLDER = 64  # bits of an IPv6 address that one holder of addresses cannot vary


def unsigned_room(places: int) -> Admission:
    """By source. `places`: of all calls together."""
    return Admission(max(2, places // _PART))


def source_of(peer: str) -> str:
    """Who stands behind an address, as far as it tells: an IPv4 address, the network of an IPv6 one."""
    try:
        address = ip_address(peer)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> _ONE_HOLDER << _ONE_HOLDER)}/{_ONE_HOLDER}"
