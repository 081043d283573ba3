"""One rule, read into steps that run on a packet. A step lets the next one run, ends the rule, or gives a verdict.

Knows the grammar of statements and nothing of chains. Invariant: every word of a rule is understood, or it is an error.
"""

from collections.abc import Callable, Mapping
from enum import Enum

from msgspec import Struct

from .expressions import Context, Expression, expression, masked
from .packets import NftError
from .sets import Data, Declaration, ElementSet, Verdict, fill, key_of, verdict_of
from .values import BITS, NUMBERS, Value, covers, single

VERDICTS = ("accept", "drop", "return", "continue", "jump", "goto")


class Goes(Enum):
    ON = "on"  # to the next step
    ELSEWHERE = "elsewhere"  # to the next rule


class Translation(Struct, frozen=True):
    """What a nat statement decides: a verdict of nat chains only."""

    way: str  # dnat, snat
    address: int | None
    ports: tuple[int, int] | None


Outcome = Goes | Verdict | Translation
Sets = Mapping[str, ElementSet]
Step = Callable[[Context, Sets], Outcome]


class Rule(Struct, frozen=True, kw_only=True):
    """`sets`, `chains`: what it names; `ways`: how it translates, which only nat chains may."""

    text: str
    steps: tuple[Step, ...]
    sets: frozenset[str] = frozenset()
    chains: frozenset[str] = frozenset()
    ways: frozenset[str] = frozenset()


class RuleReader:
    """`Rule` from words: `RuleReader(words, sets).read()`. The sets give types; a rule looks them up when it runs."""

    def __init__(self, words: list[str], sets: Sets) -> None:
        self._words = list(words)
        self._text = " ".join(words)
        self._sets = sets
        self._at = 0
        self._named: set[str] = set()
        self._chains: set[str] = set()
        self._ways: set[str] = set()

    def read(self) -> Rule:
        steps: list[Step] = []
        while self._at < len(self._words):
            if step := self._statement():
                steps.append(step)
        return Rule(
            text=self._text,
            steps=tuple(steps),
            sets=frozenset(self._named),
            chains=frozenset(self._chains),
            ways=frozenset(self._ways),
        )

    def _statement(self) -> Step | None:
        word, after = self._peek(), self._peek(1)
        if word in VERDICTS:
            return self._verdict()
        if word in ("dnat", "snat"):
            return self._nat()
        if (word, after) in (("meta", "mark"), ("ct", "mark")) and self._peek(2) == "set":
            return self._mark(word)
        if word in ("add", "update") and after.startswith("@"):
            return self._dynamic()
        if word == "limit":
            self._take()
            return self._limit()
        if word in ("counter", "log", "comment"):
            return self._note()
        found = expression(self._words[self._at :])
        if found is None:
            raise self._unknown()
        self._at += found[1]
        return self._vmap(found[0]) if self._peek() == "vmap" else self._match(found[0])

    def _verdict(self) -> Step:
        length = 2 if self._peek() in ("jump", "goto") else 1
        verdict = verdict_of([self._take() for _ in range(length)])
        self._chains |= {verdict.chain} - {""}
        return lambda _context, _sets: verdict

    def _vmap(self, asked: Expression) -> Step:
        self._take("vmap")
        look_up = self._map(asked, ("verdict",))

        def step(context: Context, sets: Sets) -> Outcome:
            found, data = look_up(context, sets)
            if not found:
                return Goes.ELSEWHERE
            assert isinstance(data, Verdict), "the map's type is verdict"
            return data

        return step

    def _match(self, asked: Expression) -> Step:
        if self._peek() == "&":
            self._take()
            asked = masked(asked, int(self._take(), 0))
        is_equal = self._operator()
        word = self._peek()
        if word == "{" or word.startswith("@"):
            find = self._lookup(asked, None)
        elif asked.types[0] in BITS and len(asked.types) == 1:
            find = self._bits(asked, is_equal=is_equal)
        else:
            key = key_of(asked.types, self._value_words(len(asked.types)))

            def find(context: Context, _sets: Sets) -> tuple[bool | None, Data]:
                values = asked.of(context)
                if values is None:
                    return None, None
                return all(covers(one, value) for one, value in zip(key, values, strict=True)), None

        def step(context: Context, sets: Sets) -> Outcome:
            # What the packet does not have matches neither way.
            return Goes.ON if find(context, sets)[0] is is_equal else Goes.ELSEWHERE

        return step

    def _bits(self, asked: Expression, *, is_equal: bool) -> Callable[[Context, Sets], tuple[bool | None, Data]]:
        """`ct state new,established`: any of them."""
        if not is_equal:
            raise NftError("flags are compared by == only here")
        kind = asked.types[0]
        wanted = NUMBERS[kind][1][self._flag(kind)]
        while self._peek() == ",":
            self._take()
            wanted |= NUMBERS[kind][1][self._flag(kind)]

        def find(context: Context, _sets: Sets) -> tuple[bool | None, Data]:
            values = asked.of(context)
            return None if values is None else bool(int(values[0]) & wanted), None

        return find

    def _flag(self, kind: str) -> str:
        if self._peek() not in NUMBERS[kind][1]:
            raise self._unknown()
        return self._take()

    def _lookup(
        self, asked: Expression, value_types: tuple[str, ...] | None
    ) -> Callable[[Context, Sets], tuple[bool | None, Data]]:
        """In a set or map, named or written here; None where the packet has nothing to look up."""
        word = self._peek()
        if word == "{":
            # The status of a connection has several bits at once: no element would be what was meant.
            if "ct_status" in asked.types:
                raise self._unknown()
            written = ElementSet("", Declaration(key_types=asked.types, value_types=value_types))
            fill(written, self._braces())
            self._chains |= written.chains()

            def find(context: Context, _sets: Sets) -> tuple[bool | None, Data]:
                values = asked.of(context)
                return (None, None) if values is None else written.find(values)

            return find
        name = self._take().removeprefix("@")
        declared = self._sets.get(name)
        if declared is None:
            raise NftError(f"there is no set {name}")
        if (declared.declaration.key_types, declared.declaration.value_types) != (asked.types, value_types):
            raise NftError(f"{name} is not of {asked.types} : {value_types}")
        self._named.add(name)

        def find_named(context: Context, sets: Sets) -> tuple[bool | None, Data]:
            values = asked.of(context)
            return (None, None) if values is None else sets[name].find(values)

        return find_named

    def _map(self, asked: Expression, types: tuple[str, ...]) -> Callable[[Context, Sets], tuple[bool, Data]]:
        find = self._lookup(asked, types)

        def look_up(context: Context, sets: Sets) -> tuple[bool, Data]:
            found, data = find(context, sets)
            return bool(found), data

        return look_up

    def _value(self, kinds: tuple[str, ...]) -> Callable[[Context, Sets], tuple[Value, ...] | None]:
        """A value, another selector's, or what a map gives; None: the rule does not match."""
        asked = expression(self._words[self._at :])
        if asked is None:
            if len(kinds) != 1:
                raise self._unknown()
            fixed = (single(kinds[0], self._take()),)
            return lambda _context, _sets: fixed
        self._at += asked[1]
        if self._peek() != "map":
            if asked[0].types != kinds:
                raise self._unknown()
            return lambda context, _sets: asked[0].of(context)
        self._take("map")
        look_up = self._map(asked[0], kinds)

        def get(context: Context, sets: Sets) -> tuple[Value, ...] | None:
            data = look_up(context, sets)[1]
            assert data is None or isinstance(data, tuple), "the map's type is no verdict"
            return data

        return get

    def _mark(self, of: str) -> Step:
        self._at += 3
        get = self._value(("mark",))

        def step(context: Context, sets: Sets) -> Outcome:
            value = get(context, sets)
            if value is None:
                return Goes.ELSEWHERE
            if of == "meta":
                context.mark = int(value[0])
            elif context.entry is not None:
                context.entry.mark = int(value[0])
            return Goes.ON

        return step

    def _nat(self) -> Step:
        way = self._take()
        family = self._take() if self._peek() in ("ip", "ip6") else ""
        self._take("to")
        if not family:
            raise NftError(f"{way} in a table of both families says which")
        version, kind = (4, "ipv4_addr") if family == "ip" else (6, "ipv6_addr")
        ports = self._ports() if family == "ip" else None
        get = self._value((kind,))
        while self._peek() in ("random", "fully-random", "persistent"):
            self._take()  # which of the ports it may take: here always the first that is free
        self._ways.add(way)

        def step(context: Context, sets: Sets) -> Outcome:
            value = get(context, sets) if context.packet.version == version else None
            return Goes.ELSEWHERE if value is None else Translation(way, int(value[0]), ports)

        return step

    def _ports(self) -> tuple[int, int] | None:
        """Of `ADDRESS:LOW-HIGH`; the address is left as the next word."""
        address, colon, ports = self._peek().partition(":")
        if not colon:
            return None
        if not {"l4proto", "tcp", "udp", "th"} & set(self._words[: self._at]):
            raise NftError(f"{self._text}: ports are translated after a match of the protocol only")
        low, _, high = ports.partition("-")
        if not (low.isdigit() and (high or low).isdigit() and int(low) <= int(high or low) <= 65535):
            raise self._unknown()
        self._words[self._at] = address
        return int(low), int(high or low)

    def _dynamic(self) -> Step:
        """An element of the packet's, with a limit of its own that is never reached here."""
        self._take()
        name = self._take().removeprefix("@")
        if name not in self._sets or "dynamic" not in self._sets[name].declaration.flags:
            raise NftError(f"there is no dynamic set {name}")
        self._named.add(name)
        inner = self._braces()
        found = expression(inner)
        if found is None or found[0].types != self._sets[name].declaration.key_types:
            raise NftError(f"{' '.join(inner)}: no key of {name}")
        asked, length = found
        rest = RuleReader(inner[length:], self._sets).read().steps
        if len(rest) > 1:
            raise NftError(f"{' '.join(inner)}: one statement for an element")

        def step(context: Context, sets: Sets) -> Outcome:
            if asked.of(context) is None:
                return Goes.ELSEWHERE
            return rest[0](context, sets) if rest else Goes.ON

        return step

    def _limit(self) -> Step:
        """`rate [over] N/second [burst N packets]`: what is sent here stays below every limit."""
        self._take("rate")
        is_over = self._peek() == "over"
        if is_over:
            self._take()
        count, _, unit = self._take().partition("/")
        if not count.isdigit() or unit not in ("second", "minute", "hour", "day"):
            raise self._unknown()
        if self._peek() == "burst":
            self._take()
            int(self._take())
            self._take("packets")
        outcome = Goes.ELSEWHERE if is_over else Goes.ON
        return lambda _context, _sets: outcome

    def _note(self) -> Step | None:
        """What changes nothing: `counter`, `log ...`, `comment "..."`; of a log is known that it was met."""
        word = self._take()
        arguments = {
            "counter": ("packets", "bytes"),
            "log": ("prefix", "group", "snaplen", "queue-threshold", "level"),
            "comment": (),
        }[word]
        if word == "comment":
            self._take()
        prefix = ""
        while self._peek() in arguments:
            if self._peek() == "prefix":
                prefix = self._peek(1).strip('"')
            self._at += 2
        if word != "log":
            return None

        def step(context: Context, _sets: Sets) -> Outcome:
            context.told.append(prefix)
            return Goes.ON

        return step

    def _operator(self) -> bool:
        if self._peek() in ("==", "!="):
            return self._take() == "=="
        return True

    def _value_words(self, fields: int) -> list[str]:
        """`a . b`, as many fields as there are."""
        return [self._take() for _ in range(2 * fields - 1)]

    def _braces(self) -> list[str]:
        self._take("{")
        end = self._words.index("}", self._at)
        inner = self._words[self._at : end]
        if "{" in inner:
            raise self._unknown()
        self._at = end + 1
        return inner

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def _take(self, wanted: str = "") -> str:
        word = self._peek()
        if not word or (wanted and word != wanted):
            raise self._unknown()
        self._at += 1
        return word

    def _unknown(self) -> NftError:
        return NftError(f"not understood: {self._text}, at {' '.join(self._words[self._at :]) or 'its end'}")
