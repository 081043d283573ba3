"""One router: packets through the hooks, conntrack and routing, as the kernel does it for forwarded packets.

Knows nothing of what is at the other ends of its links. The outcome of a packet is that it leaves by a link, reaches a
socket of the router, or ends; `Ended.where` says at which chain or route.
"""

from msgspec import Struct

from .conntrack import Conntrack, translated
from .expressions import Context
from .packets import NftError, Packet
from .routing import LOCAL, Routing
from .rules import Goes, Translation
from .sets import Verdict
from .table import Base, Table

DNAT_PRIORITY, SNAT_PRIORITY, CONNTRACK_PRIORITY = -100, 100, -200
_DEEPEST = 16  # jumps, as in the kernel


class Left(Struct, frozen=True, kw_only=True):
    packet: Packet
    link: str


class Reached(Struct, frozen=True, kw_only=True):
    """A socket of the router's own."""

    packet: Packet


class Ended(Struct, frozen=True, kw_only=True):
    where: str


Outcome = Left | Reached | Ended


class _Dropped(Exception):
    pass


class Machine:
    def __init__(self, table: Table, routing: Routing) -> None:
        self.table = table
        self.routing = routing
        self.conntrack = Conntrack()
        self.told: list[str] = []  # by log statements, of all packets

    def receive(self, packet: Packet, link: str) -> Outcome:
        """A packet that comes in by a link."""
        context = Context(packet, link)
        try:
            self._hook(context, "prerouting", "dnat")
            found = self.routing.find(context.packet.version, context.packet.to, context.mark, link)
            if found is None:
                return Ended(where="route")
            if found == LOCAL:
                self._hook(context, "input", "snat")
                self._confirm(context)
                return Reached(packet=context.packet)
            context.oif = found
            self._hook(context, "forward", "")
            return self._leave(context)
        except _Dropped as dropped:
            return Ended(where=str(dropped))

    def send(self, packet: Packet) -> Outcome:
        """A packet of a socket of the router's own."""
        context = Context(packet, "")
        try:
            context.oif = self.routing.find(packet.version, packet.to, 0, "") or ""
            if not context.oif:
                return Ended(where="route")
            self._hook(context, "output", "dnat")
            again = self.routing.find(context.packet.version, context.packet.to, context.mark, "")
            if again is None:
                return Ended(where="route")
            context.oif = again
            return self._leave(context)
        except _Dropped as dropped:
            return Ended(where=str(dropped))

    def _leave(self, context: Context) -> Outcome:
        self._hook(context, "postrouting", "snat")
        self._confirm(context)
        return Left(packet=context.packet, link=context.oif)

    def _confirm(self, context: Context) -> None:
        if not self.conntrack.confirm(context.entry):
            raise _Dropped("conntrack: a connection with these addresses is there")

    def _hook(self, context: Context, hook: str, way: str) -> None:
        """The hook's chains by priority, with conntrack (where packets come in) and translation at their places."""
        steps: list[tuple[int, str, Base | None]] = [
            (base.priority, name, base) for name, base in self.table.based(hook, "filter")
        ]
        if hook in ("prerouting", "output"):
            steps.append((CONNTRACK_PRIORITY, "", None))
        if way:
            steps.append((DNAT_PRIORITY if way == "dnat" else SNAT_PRIORITY, way, None))
        for _, name, base in sorted(steps, key=lambda each: each[0]):
            if base is not None:
                self._run_base(name, base, context)
            elif name:
                self._translate(context, hook, way)
            else:
                context.state, context.entry, context.is_reply = self.conntrack.track(context.packet)

    def _run_base(self, name: str, base: Base, context: Context) -> Translation | None:
        verdict = self._run(name, context, 0)
        self.told += context.told
        context.told.clear()
        if isinstance(verdict, Translation):
            return verdict
        decided = base.policy if verdict.kind in ("return", "continue") else verdict.kind
        if decided == "drop":
            raise _Dropped(name if verdict.kind == "drop" else f"{name}: policy")
        return None

    def _run(self, name: str, context: Context, depth: int) -> Verdict | Translation:
        """Of one chain and those it jumps to; `return` at its end."""
        if depth > _DEEPEST:
            raise NftError(f"{name}: jumps too deep")
        for rule in self.table.chains[name].rules:
            for step in rule.steps:
                outcome = step(context, self.table.sets)
                if outcome is Goes.ON:
                    continue
                if outcome is Goes.ELSEWHERE or outcome == Verdict("continue"):
                    break
                assert not isinstance(outcome, Goes), "the two that there are were tried"
                if isinstance(outcome, Translation) or not outcome.chain:
                    return outcome
                below = self._run(outcome.chain, context, depth + 1)
                if isinstance(below, Translation) or below.kind in ("accept", "drop") or outcome.kind == "goto":
                    return below
                break  # came back: on with the next rule
        return Verdict("return")

    def _translate(self, context: Context, hook: str, way: str) -> None:
        """A new connection is decided once in each way, by the first nat chain that does; others by their entry."""
        entry = context.entry
        if entry is None:
            return
        if context.state == "new" and way not in entry.tried:
            decided: Translation | None = None
            for name, base in self.table.based(hook, "nat"):
                decided = self._run_base(name, base, context)
                if decided is not None:
                    break
            address, ports = (decided.address, decided.ports) if decided is not None else (None, None)
            self.conntrack.set_up(entry, way, address, ports)
        context.packet = translated(context.packet, entry, way, is_reply=context.is_reply)
