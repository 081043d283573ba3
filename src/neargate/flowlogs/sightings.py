"""Where a flow is seen: at the interfaces of its ends, and at the one of a NAT gateway between them.

Owns which addresses each of them shows, and what AWS leaves out. Invariant: a packet is seen at most once by an
interface in each direction.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct

from ..model.flow_logs import ACCEPT
from ..model.network import AWS_RESOLVER_ADDRESS, RESOLVER_ADDRESS, TASK_METADATA_ADDRESS
from .interfaces import Interface, Interfaces
from .messages import UDP, Counts, Ends, Flow
from .windows import Share

# Names, metadata and the time: what AWS leaves out.
_UNLOGGED = frozenset(
    ip_address(text).packed
    for text in (
        AWS_RESOLVER_ADDRESS,
        RESOLVER_ADDRESS,
        TASK_METADATA_ADDRESS,
        "169.254.169.254",
        "169.254.169.123",
        "fd00:ec2::253",
        "fd00:ec2::254",
        "fd00:ec2::123",
    )
)
_DHCP = frozenset({67, 68, 546, 547})
_INTERNET_GATEWAY, _WITHIN_VPC = 8, 1
Seen = tuple[Interface, Share]


def is_unlogged(protocol: int, ends: Ends, interface: Interface) -> bool:
    if _UNLOGGED & {ends.source, ends.destination} or interface.router in (ends.source, ends.destination):
        return True
    return protocol == UDP and ends.source_port in _DHCP and ends.destination_port in _DHCP


def sightings(
    flow: Flow,
    counts: Counts,
    now: float,
    interfaces: Interfaces,
    gateways: Mapping[int, Interface],
    paths: Mapping[int, int],
) -> Iterator[Seen]:
    """`counts`: what came since it was seen last. `gateways`: by the flow's mark; `paths`: AWS's number, by it too."""
    if flow.received.destination in _UNLOGGED or flow.sent.destination in _UNLOGGED:
        return
    gateway = gateways.get(flow.mark)
    if gateway is not None:
        yield from _counted(flow, gateway, _passages(flow, gateway), counts, now)
    for ends, begins_here in ((flow.sent, True), (flow.received, False)):
        interface = interfaces.find(ends.source if begins_here else ends.destination, flow.started_ns / 1e9)
        if interface is None or interface is gateway or is_unlogged(flow.protocol, ends, interface):
            continue
        path = paths.get(flow.mark)
        views = (_View(True, begins_here, ends, path), _View(False, not begins_here, _turned(ends), path))
        yield from _counted(flow, interface, views, counts, now)


class _View(Struct, frozen=True):
    """One direction (`is_there`: the one in which it began) as an interface shows it."""

    is_there: bool
    is_egress: bool
    ends: Ends
    path: int | None = None
    packet_source: bytes = b""
    packet_destination: bytes = b""


def _passages(flow: Flow, gateway: Interface) -> Iterator[_View]:
    """As AWS shows a gateway's interface: to its own address and on from it, there and back."""
    own, inside, outside = gateway.addresses[0], flow.sent, flow.received
    asked = Ends(inside.source, own, inside.source_port, inside.destination_port)
    passed_on = Ends(own, outside.destination, outside.source_port, outside.destination_port)
    yield _View(True, False, asked, packet_destination=inside.destination)
    yield _View(True, True, passed_on, _INTERNET_GATEWAY if gateway.public else None)
    yield _View(False, False, _turned(passed_on))
    yield _View(False, True, _turned(asked), _WITHIN_VPC, packet_source=inside.destination)


def _counted(flow: Flow, interface: Interface, views: Iterable[_View], counts: Counts, now: float) -> Iterator[Seen]:
    for view in views:
        packets = counts.packets if view.is_there else counts.packets_back
        if packets > 0:
            share = Share(
                is_egress=view.is_egress,
                action=ACCEPT,
                protocol=flow.protocol,
                ends=view.ends,
                packets=packets,
                size=counts.bytes if view.is_there else counts.bytes_back,
                begin=flow.started_ns / 1e9,
                end=min(now, flow.stopped_ns / 1e9) if flow.stopped_ns else now,
                path=view.path,
                packet_source=view.packet_source,
                packet_destination=view.packet_destination,
            )
            yield interface, share


def _turned(ends: Ends) -> Ends:
    return Ends(ends.destination, ends.source, ends.destination_port, ends.source_port)
