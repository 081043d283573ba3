"""The way back: the legs of the way there, last one first. Security groups are not asked again; network ACLs are.

User guide, Security groups: "stateful … the response traffic for that request is allowed"; Network ACLs: "stateless,
which means that responses to allowed inbound traffic are subject to the rules for outbound traffic".
"""

from .filters import network_acl
from .flows import Kind, Packet, Step, Stopped
from .forward import Leg
from .region import Region
from .routes import choose, passable


class Reply:
    def __init__(self, region: Region) -> None:
        self.region = region
        self.steps: list[Step] = []

    def walk(self, legs: list[Leg]) -> None:
        for leg in reversed(legs):
            packet = leg.packet.answered()
            assert packet is not None, "asked only where something answers"
            self._back(leg, packet)

    def _back(self, leg: Leg, packet: Packet) -> None:
        """From the leg's receiver to its sender. A gateway knows the connection; a subnet's route table does not: it
        must lead back the way the packet came (Middlebox routing: "Asymmetric routing is not supported").
        """
        sender, receiver = leg.sender, leg.receiver
        within = sender is not None and receiver is not None and sender.subnet_id == receiver.subnet_id
        if within:  # not routed, not filtered
            return
        if receiver is not None:
            choice = passable(choose(self.region, receiver.subnet_id, packet.to))
            if choice.target != leg.back:
                raise Stopped(Kind.ROUTE_TABLE, (choice.table_id,), f"{choice.rule}: not the way the flow came")
            self.steps.append(Step(kind=Kind.ROUTE_TABLE, object_ids=(choice.table_id,), rule=choice.rule))
            self.steps.append(network_acl(self.region, receiver.subnet_id, packet, egress=True))
        if sender is not None:
            self.steps.append(network_acl(self.region, sender.subnet_id, packet, egress=False))
