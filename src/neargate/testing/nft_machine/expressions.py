"""What a rule can ask of a packet: selectors, alone or joined by dots, with the type of each.

A selector gives None where the packet has nothing of the kind (`ip saddr` of an IPv6 packet): the rule then does not
match, as the kernel's own dependencies make it.
"""

from collections.abc import Callable

from msgspec import Struct

from .conntrack import Entry
from .packets import ICMP, ICMPV6, TCP, UDP, NftError, Packet
from .values import STATES, Value


class Context:
    """A packet on its way through one router. `entry` is None before conntrack has seen it, or where it is invalid.

    `told`: prefixes of the log statements it met.
    """

    __slots__ = ("entry", "iif", "is_reply", "mark", "oif", "packet", "state", "told")

    def __init__(self, packet: Packet, iif: str) -> None:
        self.packet = packet
        self.iif = iif
        self.oif = ""
        self.mark = 0
        self.entry: Entry | None = None
        self.is_reply = False
        self.state = "invalid"
        self.told: list[str] = []


Getter = Callable[[Context], Value | None]


class Expression(Struct, frozen=True):
    types: tuple[str, ...]
    getters: tuple[Getter, ...]

    def of(self, context: Context) -> tuple[Value, ...] | None:
        found: list[Value] = []
        for getter in self.getters:
            value = getter(context)
            if value is None:
                return None
            found.append(value)
        return tuple(found)


def _when(matches: Callable[[Packet], bool], get: Callable[[Packet], int]) -> Getter:
    return lambda context: get(context.packet) if matches(context.packet) else None


def _of(*, version: int | None = None, protocol: int | None = None) -> Callable[[Packet], bool]:
    return lambda packet: version in (None, packet.version) and protocol in (None, packet.protocol)


def _entry(get: Callable[[Entry], int | None]) -> Getter:
    return lambda context: get(context.entry) if context.entry is not None else None


def _transport_port(get: Callable[[Packet], int]) -> Getter:
    def port(context: Context) -> int:
        if not context.packet.has_ports:
            raise NftError("`th` is asked of a packet without ports: what it reads there is not known")
        return get(context.packet)

    return port


def _selectors() -> dict[tuple[str, ...], tuple[str, Getter]]:
    found: dict[tuple[str, ...], tuple[str, Getter]] = {
        ("iifname",): ("ifname", lambda context: context.iif),
        ("oifname",): ("ifname", lambda context: context.oif),
        ("meta", "mark"): ("mark", lambda context: context.mark),
        ("meta", "l4proto"): ("inet_proto", lambda context: context.packet.protocol),
        ("meta", "nfproto"): ("nf_proto", lambda context: 2 if context.packet.version == 4 else 10),
        ("ct", "state"): ("ct_state", lambda context: STATES[context.state]),
        ("ct", "status"): ("ct_status", _entry(lambda entry: entry.status)),
        ("ct", "mark"): ("mark", _entry(lambda entry: entry.mark)),
        ("ct", "direction"): ("ct_dir", lambda c: int(c.is_reply) if c.entry is not None else None),
        ("th", "sport"): ("inet_service", _transport_port(lambda packet: packet.source_port)),
        ("th", "dport"): ("inet_service", _transport_port(lambda packet: packet.port)),
        # Packets here are whole.
        ("ip", "frag-off"): ("frag_off", _when(lambda p: p.version == 4, lambda _: 0)),
        ("exthdr", "frag"): ("boolean", _when(lambda p: p.version == 6, lambda _: 0)),
        ("ip", "protocol"): ("inet_proto", _when(lambda p: p.version == 4, lambda p: p.protocol)),
    }
    for family, version, kind in (("ip", 4, "ipv4_addr"), ("ip6", 6, "ipv6_addr")):
        of_family = _of(version=version)
        found[family, "saddr"] = (kind, _when(of_family, lambda p: p.source))
        found[family, "daddr"] = (kind, _when(of_family, lambda p: p.to))
        found["ct", "original", family, "saddr"] = (kind, _original(version, lambda entry: entry.original.source))
        found["ct", "original", family, "daddr"] = (kind, _original(version, lambda entry: entry.original.to))
        found["ct", "reply", family, "saddr"] = (kind, _original(version, lambda entry: entry.reply.source))
        found["ct", "reply", family, "daddr"] = (kind, _original(version, lambda entry: entry.reply.to))
    for name, number in (("tcp", TCP), ("udp", UDP)):
        of_protocol = _of(protocol=number)
        found[name, "sport"] = ("inet_service", _when(of_protocol, lambda p: p.source_port))
        found[name, "dport"] = ("inet_service", _when(of_protocol, lambda p: p.port))
    for name, number, version in (("icmp", ICMP, 4), ("icmpv6", ICMPV6, 6)):
        of_kind = _of(version=version, protocol=number)
        found[name, "type"] = (f"{name}_type", _when(of_kind, lambda p: p.icmp_type))
        found[name, "code"] = (f"{name}_code", _when(of_kind, lambda p: p.icmp_code))
    return found


def _original(version: int, get: Callable[[Entry], int]) -> Getter:
    return _entry(lambda entry: get(entry) if entry.original.version == version else None)


def masked(asked: Expression, mask: int) -> Expression:
    """`asked & mask`, of one field."""
    (getter,) = asked.getters

    def get(context: Context) -> Value | None:
        value = getter(context)
        return None if value is None else int(value) & mask

    return Expression(asked.types, (get,))


SELECTORS = _selectors()
_LONGEST = max(len(words) for words in SELECTORS)


def selector(words: list[str]) -> tuple[tuple[str, Getter], int] | None:
    """The one that the words begin with, and how many words it is; None where they begin with none."""
    if words[:1] == ["meta"] and words[1:2] in (["iifname"], ["oifname"]):
        return SELECTORS[words[1],], 2
    for length in range(min(_LONGEST, len(words)), 0, -1):
        if found := SELECTORS.get(tuple(words[:length])):
            return found, length
    return None


def expression(words: list[str]) -> tuple[Expression, int] | None:
    """The expression at the beginning of the words, and how many words it is."""
    types: list[str] = []
    getters: list[Getter] = []
    at = 0
    while True:
        found = selector(words[at:])
        if found is None:
            if types:
                raise NftError(f"{' '.join(words)}: no selector after the dot")
            return None
        (kind, getter), length = found
        types.append(kind)
        getters.append(getter)
        at += length
        if words[at : at + 1] != ["."]:
            return Expression(tuple(types), tuple(getters)), at
        at += 1
