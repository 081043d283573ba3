"""What a rule says of protocol, ports and ICMP types, as nftables matches. Shared by security groups and network ACLs.

Knows nothing of who may talk to whom. Everything that enters the text is a number that was checked, so no rule can
carry syntax; what cannot be read raises ValueError, and the caller decides what that allows or denies.
"""

_NUMBERED = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


def plain(text: str) -> str:
    """The text of an address or a network, to be parsed. An IPv6 address may name a link, in any words: not here."""
    if "%" in text:
        raise ValueError(f"{text[:80]!r} is an address of one link")
    return text


def protocol_match(protocol: str, first: int | None, last: int | None, version: int) -> str | None:
    """The match with a trailing space, empty for all protocols; None where the protocol is not of this family."""
    known = _NUMBERED.get(protocol, protocol)
    if known == "-1":
        return ""
    if known in ("tcp", "udp"):
        return _port_match(known, first, last)
    if known in ("icmp", "icmpv6"):
        if (known == "icmp") != (version == 4):
            return None
        return _icmp_match(known, first, last)
    number = int(known)
    if not 0 <= number <= 255:
        raise ValueError(f"{number} is no protocol number")
    return f"meta l4proto {number} "


def _port_match(protocol: str, first: int | None, last: int | None) -> str:
    low = 0 if first is None or first < 0 else int(first)
    high = 65535 if last is None or last < 0 else int(last)
    if low > high or high > 65535:
        raise ValueError(f"{low}-{high} is no port range")
    if (low, high) == (0, 65535):
        return f"meta l4proto {protocol} "
    return f"{protocol} dport {low} " if low == high else f"{protocol} dport {low}-{high} "


def _icmp_match(protocol: str, icmp_type: int | None, code: int | None) -> str:
    if icmp_type is None or icmp_type < 0:
        # Not `meta l4proto` alone with a number: icmp over the other family must not pass.
        return f"meta l4proto {'icmp' if protocol == 'icmp' else 'ipv6-icmp'} "
    if icmp_type > 255 or (code is not None and code > 255):
        raise ValueError(f"{icmp_type}/{code} is no ICMP type and code")
    match = f"{protocol} type {int(icmp_type)} "
    return match if code is None or code < 0 else f"{match}{protocol} code {int(code)} "
