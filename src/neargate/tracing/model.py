"""The one question: may this flow pass, by which objects, and does the answer come back?

`ask` raises `NotModelled` where it would have to guess, and never changes what it is given. A way there that ends is an
answer as well: its last step says where, and by what.
"""

from ipaddress import ip_address

from .description import Description, NetworkInterface
from .flows import Answer, Flow, IpAddress, Step, Stopped, packet_of
from .forward import Arrival, Forward
from .region import Region, addresses_of
from .reply import Reply


def ask(description: Description, flow: Flow) -> Answer:
    return answer(Region(description), flow)


def answer(region: Region, flow: Flow) -> Answer:
    """For who asks a region often."""
    forward = Forward(region)
    try:
        arrival = _send(region, forward, flow)
    except Stopped as stopped:
        return Answer(delivered=False, path=(*forward.steps, stopped.step))
    passes, steps = _reply(region, forward, arrival)
    return Answer(
        delivered=True,
        path=tuple(forward.steps),
        source=str(arrival.packet.source),
        receiver=arrival.receiver,
        reply=passes,
        reply_path=steps,
    )


def _send(region: Region, forward: Forward, flow: Flow) -> Arrival:
    interface = region.interfaces.get(flow.sender)
    if interface is None:
        return forward.from_outside(packet_of(flow, ip_address(flow.sender)))
    return forward.from_interface(interface, packet_of(flow, _source(interface, flow)))


def _source(interface: NetworkInterface, flow: Flow) -> IpAddress:
    if flow.sender_address:
        return ip_address(flow.sender_address)
    own = addresses_of(interface)
    same = [address for address in own if address.version == ip_address(flow.to).version]
    return (same or list(own))[0]


def _reply(region: Region, forward: Forward, arrival: Arrival) -> tuple[bool | None, tuple[Step, ...]]:
    if arrival.packet.answered() is None:
        return None, ()
    reply = Reply(region)
    try:
        reply.walk(forward.legs)
    except Stopped as stopped:
        return False, (*reply.steps, stopped.step)
    return True, tuple(reply.steps)
