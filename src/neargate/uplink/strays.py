"""Strays: packets between the machine and its edge that are neither a public address's nor an answer, and their log.

Pure: the rules that count and show them before they are dropped, the flows that they are gathered into, and lines of
them. Must not know how packets are read. Invariant: however many come, a bounded number is looked at and written; the
counter alone counts all.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from ..model.logged_packet import LoggedPacket

COUNTER = "strays"
EDGE_GROUP = 43  # in the edge nobody else listens
_PER_SECOND, _BURST = 32, 64
_PROTOCOLS = {1: "icmp", 4: "ipip", 6: "tcp", 17: "udp", 41: "ipv6", 47: "gre", 50: "esp", 58: "icmpv6", 132: "sctp"}
Key = tuple[int, int, str, str, int, int, int]
_OTHERS: Key = (0, 0, "", "", 0, 0, 0)


def host_group(instance: str) -> int:
    """In the host's namespace, where other regions and other programs listen too: apart from the numbers people use."""
    return 0x4000 | int.from_bytes(hashlib.sha256(instance.encode()).digest()[:2], "big") & 0x3FFF


def strays_chain(group: int) -> str:
    """Of a table whose rules say `goto strays`. It counts all, and shows some."""
    return f"""  counter {COUNTER} {{
  }}
  chain {COUNTER} {{
    limit rate {_PER_SECOND}/second burst {_BURST} packets log group {int(group)} snaplen 128 queue-threshold 32
    counter name {COUNTER} drop
  }}"""


class StrayFlow(Struct, frozen=True, kw_only=True):
    """Packets with the same ends by the same way. `bytes`: as their headers say. Times are epoch seconds."""

    in_link: int
    out_link: int
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    packets: int
    bytes: int
    first: float
    last: float

    @property
    def ends(self) -> str:
        """For a sentence."""
        if not self.source:
            return "many others"
        name = _PROTOCOLS.get(self.protocol, str(self.protocol))
        port = f" port {self.destination_port}" if self.destination_port else ""
        return f"{self.source} to {self.destination} {name}{port}"


class StrayFlows:
    """The flows of one stretch of time. What is beyond `flows_max` is one flow without ends."""

    def __init__(self, flows_max: int) -> None:
        self._flows_max = flows_max
        self._flows: dict[Key, list[float]] = {}  # packets, bytes, first, last

    def __bool__(self) -> bool:
        return bool(self._flows)

    def add(self, packet: LoggedPacket, now: float) -> None:
        key = (
            packet.in_link,
            packet.out_link,
            packet.source,
            packet.destination,
            packet.protocol,
            packet.source_port,
            packet.destination_port,
        )
        if key not in self._flows and len(self._flows) >= self._flows_max:
            key = _OTHERS
        counts = self._flows.setdefault(key, [0, 0, now, now])
        counts[0] += 1
        counts[1] += packet.length
        counts[3] = now

    def taken(self) -> tuple[StrayFlow, ...]:
        """All, in the order in which they began; none are left."""
        taken, self._flows = self._flows, {}
        names = ("in_link", "out_link", "source", "destination", "protocol", "source_port", "destination_port")
        return tuple(
            StrayFlow(
                **dict(zip(names, key, strict=True)),  # type: ignore[arg-type]
                packets=int(packets),
                bytes=int(size),
                first=first,
                last=last,
            )
            for key, (packets, size, first, last) in taken.items()
        )


def flow_line(flow: StrayFlow, link: Callable[[int], str]) -> str:
    """One line of the flow log; `-` for what is not known or has no port."""
    facts: Mapping[str, object] = {
        "in": link(flow.in_link),
        "out": link(flow.out_link),
        "src": flow.source,
        "dst": flow.destination,
        "proto": _PROTOCOLS.get(flow.protocol, flow.protocol) if flow.source else "",
        "sport": flow.source_port or "",
        "dport": flow.destination_port or "",
        "packets": flow.packets,
        "bytes": flow.bytes,
    }
    words = " ".join(f"{name}={'-' if value == '' else value}" for name, value in facts.items())
    return f"{clock(flow.first)} {clock(flow.last)} DROP {words}"


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
