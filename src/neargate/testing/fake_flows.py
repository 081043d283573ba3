"""The kernel's side of flow logs in memory: flows that count, end and are dumped, packets that rules dropped.

`FakeFlowCapture` implements `interfaces.hostnet.FlowCapture`; the messages are bytes as the kernel writes them.
"""

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from ..hostnet.netlink import attribute
from ..interfaces.hostnet import FlowNews

_NESTED = 0x8000


def flow_message(
    source: str,
    to: str,
    *,
    ports: tuple[int, int] = (40_000, 80),
    protocol: int = 6,
    seen: tuple[str, str] | None = None,
    counts: tuple[int, int, int, int] = (5, 500, 4, 400),
    mark: int = 1,
    number: int = 1,
    started: float = 0.0,
    stopped: float = 0.0,
) -> bytes:
    """`seen`: source and destination after translation. `counts`: packets and bytes there, packets and bytes back."""
    received = seen or (source, to)
    times = [(1, started)] + ([(2, stopped)] if stopped else [])
    parts = (
        attribute(1 | _NESTED, _tuple(source, to, ports, protocol)),
        attribute(2 | _NESTED, _tuple(received[1], received[0], ports[::-1], protocol)),
        attribute(8, struct.pack(">I", mark)),
        attribute(9 | _NESTED, attribute(1, struct.pack(">Q", counts[0])) + attribute(2, struct.pack(">Q", counts[1]))),
        attribute(
            10 | _NESTED, attribute(1, struct.pack(">Q", counts[2])) + attribute(2, struct.pack(">Q", counts[3]))
        ),
        attribute(12, struct.pack(">I", number)),
        attribute(20 | _NESTED, b"".join(attribute(kind, struct.pack(">Q", int(at * 1e9))) for kind, at in times)),
    )
    return bytes(4) + b"".join(parts)


def rejected_message(prefix: str, packet: bytes, mark: int = 1) -> bytes:
    parts = (attribute(2, struct.pack(">I", mark)), attribute(9, packet), attribute(10, prefix.encode() + b"\0"))
    return bytes(4) + b"".join(parts)


def ip_packet(
    source: str, to: str, *, ports: tuple[int, int] = (40_000, 80), protocol: int = 6, flags: int = 2
) -> bytes:
    """Its headers: of TCP, or with nothing but ports."""
    inner = (
        struct.pack("!HHIIBBHHH", *ports, 0, 0, 5 << 4, flags, 0, 0, 0) if protocol == 6 else struct.pack("!HH", *ports)
    )
    addresses = ip_address(source).packed + ip_address(to).packed
    if ":" in source:
        return struct.pack("!IHBB", 6 << 28, len(inner), protocol, 64) + addresses + inner
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 0, 0, 64, protocol, 0) + addresses + inner


class FakeFlowCapture:
    """`flows`: what a dump has. `news`: what is read next, in turns; more than was asked for waits."""

    def __init__(self, *, is_adopted: bool = False) -> None:
        self.is_adopted = is_adopted
        self.flows: list[bytes] = []
        self.news: list[FlowNews] = []
        self.over: list[bytes] = []  # flows that the next dump finds to be over: their ends are news then
        self.dumps = 0
        self.is_closed = False
        self.trouble: OSError | None = None  # of the next dump

    def read(self, most: int) -> FlowNews:
        assert not self.is_closed and most > 0
        return self.news.pop(0) if self.news else FlowNews()

    def dump(self) -> Iterator[bytes]:
        assert not self.is_closed
        self.dumps += 1
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        yield from list(self.flows)
        if self.over:
            self.news.append(FlowNews(ended=tuple(self.over)))
            self.over = []

    def close(self) -> None:
        self.is_closed = True


def _tuple(source: str, to: str, ports: tuple[int, int], protocol: int) -> bytes:
    first = 3 if ":" in source else 1
    addresses = attribute(first, ip_address(source).packed) + attribute(first + 1, ip_address(to).packed)
    numbers = attribute(1, bytes([protocol]))
    if protocol in (6, 17):
        numbers += attribute(2, struct.pack(">H", ports[0])) + attribute(3, struct.pack(">H", ports[1]))
    return attribute(1 | _NESTED, addresses) + attribute(2 | _NESTED, numbers)
