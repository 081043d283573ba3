"""Lookups that others answer, by UDP: whom they are asked of, what is taken for their answer, when to ask the next.

A state machine without sockets or a clock: what to do comes out as `Effect`s. Invariants: an answer is taken only from
the server that was asked, by the socket it was asked from, with the number and the question it was asked with; a
client's bytes reach a server only as the question they hold; every lookup ends, and what it holds ends with it; what
one asking address may have under way is bounded, and so is the whole. Nothing is remembered of answers: a forged one
that passed would deceive one lookup of the task that asked, and nobody else.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

from msgspec import Struct

from .answering import Forward
from .message import REFUSED, SERVER_FAILURE, answers_question, build, outcome_of

FORGED_MAX = 16  # datagrams with a wrong number or question for one try: then its client is sent to TCP
_LOST = frozenset({SERVER_FAILURE, REFUSED})  # outcomes that another server may better


class Admission(Protocol):
    def admit(self, source: str) -> bool:
        """True counts one more; then `leave` must follow."""

    def leave(self, source: str) -> None: ...


class Patience(Struct, frozen=True):
    try_s: float
    tries_max: int


class Client(Struct, frozen=True):
    """Who asks. `source` counts what it has under way; `where` is for whoever carries the answer there."""

    source: str
    where: Hashable


class Send(Struct, frozen=True):
    """From a new socket `slot`, whose port nobody can know, that hears nobody but `server`."""

    slot: int
    server: str
    data: bytes


class Close(Struct, frozen=True):
    slot: int


class Reply(Struct, frozen=True):
    client: Client
    data: bytes


Effect = Send | Close | Reply


class _Lookup:
    def __init__(self, client: Client, forward: Forward, servers: tuple[str, ...], key: Hashable) -> None:
        self.client = client
        self.forward = forward
        self.key = key
        self.left = list(servers)  # that have not failed to help
        self.tries = 0
        self.slots: list[int] = []
        self.poor: bytes | None = None  # an answer that no other server bettered


class _Try(Struct):
    lookup: _Lookup
    server: str
    number: int
    question: bytes
    forged: int = 0


class Forwarder:
    """`draw`: that many random bits."""

    def __init__(self, patience: Patience, admission: Admission, draw: Callable[[int], int]) -> None:
        self._patience = patience
        self._admission = admission
        self._draw = draw
        self._lookups: dict[Hashable, _Lookup] = {}
        self._tries: dict[int, _Try] = {}
        self._waiting: OrderedDict[int, float] = OrderedDict()  # slot: when the next server is asked
        self._slots_used = 0
        self._helpful: str | None = None  # who answered last: asked first

    @property
    def under_way(self) -> int:
        return len(self._lookups)

    @property
    def next_due(self) -> float | None:
        return next(iter(self._waiting.values()), None)

    def ask(self, client: Client, forward: Forward, servers: tuple[str, ...], now: float) -> list[Effect]:
        """What is more than its source may have is not answered: a client asks again, later."""
        query = forward.query
        key = (client, query.number, query.question)
        if key in self._lookups:
            return []  # asked again out of impatience: the answer is on its way
        if not servers:
            return [Reply(client, forward.failed())]
        if not self._admission.admit(client.source):
            return []
        if self._helpful in servers:
            servers = (self._helpful, *(server for server in servers if server != self._helpful))
        lookup = self._lookups[key] = _Lookup(client, forward, servers, key)
        return self._try(lookup, now)

    def heard(self, slot: int, data: bytes, now: float) -> list[Effect]:
        tried = self._tries.get(slot)
        if tried is None:
            return []
        lookup = tried.lookup
        if not answers_question(data, tried.number, tried.question):
            tried.forged += 1
            return self._end(lookup, build(lookup.forward.query, room=0)) if tried.forged >= FORGED_MAX else []
        if outcome_of(data) in _LOST:
            lookup.poor = data
            return self._unhelpful(slot, tried, now)
        self._helpful = tried.server
        return self._end(lookup, lookup.forward.answered(data, stream=False))

    def unreachable(self, slot: int, now: float) -> list[Effect]:
        """Nobody is there, the machine says."""
        tried = self._tries.get(slot)
        return [] if tried is None else self._unhelpful(slot, tried, now)

    def due(self, now: float) -> list[Effect]:
        """Tries that waited long enough."""
        effects: list[Effect] = []
        while self._waiting:
            slot, due = next(iter(self._waiting.items()))
            if due > now:
                break
            del self._waiting[slot]
            tried = self._tries[slot]
            if self._helpful == tried.server:
                self._helpful = None
            effects += self._next(tried.lookup, now)
        return effects

    def _unhelpful(self, slot: int, tried: _Try, now: float) -> list[Effect]:
        lookup = tried.lookup
        if tried.server in lookup.left:
            lookup.left.remove(tried.server)
        if self._helpful == tried.server:
            self._helpful = None
        if self._waiting.pop(slot, None) is None and lookup.left:
            return []  # late: the next was asked already
        return self._next(lookup, now)

    def _next(self, lookup: _Lookup, now: float) -> list[Effect]:
        if lookup.left and lookup.tries < self._patience.tries_max:
            return self._try(lookup, now)
        if any(slot in self._waiting for slot in lookup.slots):
            return []
        forward = lookup.forward
        return self._end(
            lookup, forward.failed() if lookup.poor is None else forward.answered(lookup.poor, stream=False)
        )

    def _try(self, lookup: _Lookup, now: float) -> list[Effect]:
        server = lookup.left.pop(0)
        lookup.left.append(server)
        lookup.tries += 1
        self._slots_used += 1
        slot, number = self._slots_used, self._draw(16)
        data = lookup.forward.question(number)
        effects: list[Effect] = [Send(slot, server, data)]
        # The try before goes on listening: a slow answer is one, too.
        for old in lookup.slots[:-1]:
            del self._tries[old]
            effects.append(Close(old))
        lookup.slots = [*lookup.slots[-1:], slot]
        self._tries[slot] = _Try(lookup, server, number, lookup.forward.asked)
        self._waiting[slot] = now + self._patience.try_s
        return effects

    def _end(self, lookup: _Lookup, answer: bytes) -> list[Effect]:
        del self._lookups[lookup.key]
        self._admission.leave(lookup.client.source)
        for slot in lookup.slots:
            del self._tries[slot]
            self._waiting.pop(slot, None)
        return [Reply(lookup.client, answer), *(Close(slot) for slot in lookup.slots)]
