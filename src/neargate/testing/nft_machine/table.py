"""A table of family inet as a value that transactions change: sets, maps and chains.

Owns the grammar of commands and declarations. Invariant: a transaction happens whole or not at all, and what the kernel
refuses (a name that is not there, a chain that is in use) is refused.
"""

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from .expressions import expression
from .packets import NftError
from .rules import Rule, RuleReader
from .sets import Declaration, ElementSet, fill, key_of, split

_WORD = re.compile(r'"[^"\n]*"|[{};,\n]|#[^\n]*|[^\s{};,]+')
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_/\\.-]*")
_RESERVED = {"dnat", "snat", "fwd", "accept", "drop", "return", "mark", "set", "map", "chain", "table", "ip", "ct"}
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
_NAT_HOOKS = {"prerouting": "dnat", "output": "dnat", "postrouting": "snat", "input": "snat"}
_SET_FLAGS = {"interval", "dynamic", "timeout", "constant"}


class Base(Struct, frozen=True, kw_only=True):
    kind: str  # filter, nat
    hook: str
    priority: int
    policy: str = "accept"


class Chain(Struct, frozen=True, kw_only=True):
    base: Base | None = None
    rules: tuple[Rule, ...] = ()


class Table:
    """All of family inet that `run` has made; empty at first. One name of a table is enough for its users."""

    def __init__(self) -> None:
        self.sets: dict[str, ElementSet] = {}
        self.chains: dict[str, Chain] = {}
        self.name = ""

    def run(self, text: str) -> None:
        """One transaction. Raises NftError, and then nothing has changed."""
        draft = Table()
        draft.name, draft.chains = self.name, dict(self.chains)
        draft.sets = {name: each.copy() for name, each in self.sets.items()}
        _Commands(draft, text).run()
        self.name, self.chains, self.sets = draft.name, draft.chains, draft.sets

    def based(self, hook: str, kind: str) -> Iterator[tuple[str, Base]]:
        """The chains of a hook in the order in which they run."""
        found = [(each.base.priority, name, each.base) for name, each in self.chains.items() if each.base is not None]
        for _, name, base in sorted(found, key=lambda each: each[:1]):
            if (base.hook, base.kind) == (hook, kind):
                yield name, base


class _Commands:
    def __init__(self, table: Table, text: str) -> None:
        self._table = table
        self._words = [word for word in _WORD.findall(text) if not word.startswith("#")]
        left = _WORD.sub("", text).strip()
        if left:
            raise NftError(f"{left}: no word of nft")
        self._at = 0

    def run(self) -> None:
        while self._skip():
            line = self._line()
            if line[0] == "table":
                self._block(line)
            else:
                self._command(line)
        for name, chain in self._table.chains.items():
            if chain.base is not None:
                way = _NAT_HOOKS[chain.base.hook] if chain.base.kind == "nat" else ""
                self._check_reached(name, way, ())

    def _check_reached(self, name: str, way: str, passed: tuple[str, ...]) -> None:
        """What a base chain leads to translates only in that chain's way, and does not lead back."""
        if name in passed:
            raise NftError(f"chain {name} leads to itself")
        rules = self._table.chains[name].rules
        if wrong := [rule.text for rule in rules if rule.ways - {way}]:
            raise NftError(f"{wrong[0]}: not in chains that {(*passed, name)[0]} leads to")
        after = {chain for rule in rules for chain in rule.chains}
        after |= {chain for rule in rules for each in rule.sets for chain in self._table.sets[each].chains()}
        for chain in after:
            self._check_reached(chain, way, (*passed, name))

    def _skip(self) -> bool:
        """Over the ends of commands; False at the end of the text."""
        while self._at < len(self._words) and self._words[self._at] in ("\n", ";"):
            self._at += 1
        return self._at < len(self._words)

    def _line(self) -> list[str]:
        """The words up to the end of a command; braces hold ends of lines."""
        line: list[str] = []
        depth = 0
        while self._at < len(self._words):
            word = self._words[self._at]
            if depth == 0 and word in ("\n", ";"):
                break
            self._at += 1
            depth += {"{": 1, "}": -1}.get(word, 0)
            line.append(word)
        if depth:
            raise NftError(f"{' '.join(line[:8])} ...: its braces do not match")
        return line

    def _command(self, line: list[str]) -> None:
        verb, what, *rest = (*line, "", "")
        rest = [word for word in rest if word]
        if rest[:1] != ["inet"]:
            raise NftError(f"{' '.join(line)}: only tables of family inet")
        if what == "table":
            return self._table_command(verb, line)
        if len(rest) < 3 or rest[1] != self._table.name:
            raise NftError(f"{' '.join(line)}: there is no table {' '.join(rest[1:2])}")
        name, more = rest[2], rest[3:]
        commands = {
            ("add", "set"): self._add_set,
            ("add", "map"): self._add_set,
            ("add", "chain"): self._add_chain,
            ("add", "rule"): self._add_rule,
            ("add", "element"): self._add_element,
            ("delete", "element"): self._delete_element,
            ("delete", "chain"): self._delete_chain,
            ("delete", "set"): self._delete_set,
            ("delete", "map"): self._delete_set,
            ("flush", "chain"): self._flush_chain,
            ("flush", "set"): self._flush_set,
            ("flush", "map"): self._flush_set,
        }
        if (verb, what) not in commands:
            raise NftError(f"{' '.join(line)}: not understood")
        return commands[verb, what](name, [what, *more])

    def _table_command(self, verb: str, line: list[str]) -> None:
        name = line[3] if len(line) == 4 else ""
        if verb == "add" and name and self._table.name in ("", name):
            self._table.name = name
        elif verb == "delete" and name and self._table.name == name:
            self._table.name, self._table.sets, self._table.chains = "", {}, {}
        else:
            raise NftError(f"{' '.join(line)}: not understood, or a second table")

    def _block(self, line: list[str]) -> None:
        """`table inet NAME { ... }`: all its sets and chains first, then what is in them."""
        if len(line) < 5 or line[1] != "inet" or line[3] != "{" or line[-1] != "}":
            raise NftError(f"{' '.join(line[:4])}: only `table inet NAME {{ }}`")
        self._table_command("add", ["add", "table", "inet", line[2]])
        declared = list(_declarations(line[4:-1]))
        rules: list[tuple[str, list[str]]] = []
        for what, name, body in declared:
            if what == "chain":
                self._declare_chain(name)
                rules += [(name, each) for each in _statements(body)]
            elif what in ("set", "map"):
                self._add_set(name, [what, "{", *body, "}"])
            else:
                raise NftError(f"{what} {name}: not understood")
        for name, words in rules:
            if words[0] == "type":
                self._set_base(name, words)
            elif words[0] == "policy":
                self._set_policy(name, words)
            else:
                self._append(name, words)

    def _add_set(self, name: str, words: list[str]) -> None:
        what, *rest = words
        _check_name(name)
        if rest[:1] != ["{"] or rest[-1] != "}":
            raise NftError(f"{what} {name}: its type is wanted")
        lines = _statements(rest[1:-1])
        declaration = _declaration(what, name, [each for each in lines if each[:2] != ["elements", "="]])
        if name in self._table.sets:
            if self._table.sets[name].declaration != declaration:
                raise NftError(f"{what} {name} is there with another type")
        else:
            self._table.sets[name] = ElementSet(name, declaration)
        for line in lines:
            if line[:2] == ["elements", "="]:
                fill(self._table.sets[name], _braced(line[2:]))

    def _add_element(self, name: str, words: list[str]) -> None:
        target = self._set(name)
        fill(target, _braced(words[1:]))
        if missing := target.chains() - {n for n, each in self._table.chains.items() if each.base is None}:
            raise NftError(f"{name}: there are no chains {missing}")

    def _delete_element(self, name: str, words: list[str]) -> None:
        target = self._set(name)
        for element in split(_braced(words[1:]), ","):
            target.remove(key_of(target.declaration.key_types, split(element, ":")[0]))

    def _delete_set(self, name: str, words: list[str]) -> None:
        _nothing_more(words)
        self._set(name)
        if any(name in rule.sets for chain in self._table.chains.values() for rule in chain.rules):
            raise NftError(f"set {name} is in use")
        del self._table.sets[name]

    def _flush_set(self, name: str, words: list[str]) -> None:
        _nothing_more(words)
        self._table.sets[name] = ElementSet(name, self._set(name).declaration)

    def _add_chain(self, name: str, words: list[str]) -> None:
        self._declare_chain(name)
        for line in _statements(_braced(words[1:])) if words[1:] else ():
            if line[0] == "type":
                self._set_base(name, line)
            else:
                self._set_policy(name, line)

    def _declare_chain(self, name: str) -> None:
        _check_name(name)
        self._table.chains.setdefault(name, Chain())

    def _delete_chain(self, name: str, words: list[str]) -> None:
        _nothing_more(words)
        self._chain(name)
        ruled = (rule.chains for n, chain in self._table.chains.items() if n != name for rule in chain.rules)
        if any(name in chains for chains in (*ruled, *(each.chains() for each in self._table.sets.values()))):
            raise NftError(f"chain {name} is in use")
        del self._table.chains[name]

    def _flush_chain(self, name: str, words: list[str]) -> None:
        _nothing_more(words)
        self._table.chains[name] = replace(self._chain(name), rules=())

    def _add_rule(self, name: str, words: list[str]) -> None:
        self._append(name, words[1:])

    def _append(self, name: str, words: list[str]) -> None:
        chain = self._chain(name)
        rule = RuleReader(words, self._table.sets).read()
        if missing := rule.chains - {n for n, each in self._table.chains.items() if each.base is None}:
            raise NftError(f"{rule.text}: there are no chains {missing}")
        self._table.chains[name] = replace(chain, rules=(*chain.rules, rule))

    def _set_base(self, name: str, words: list[str]) -> None:
        """`type filter hook forward priority -10` (or a name, with + or - a number after it)."""
        if len(words) < 6 or words[::2][:3] != ["type", "hook", "priority"]:
            raise NftError(f"{' '.join(words)}: not understood")
        kind, hook, first, *offset = words[1], words[3], words[5], *words[6:]
        if kind not in ("filter", "nat") or hook not in HOOKS or (kind == "nat" and hook not in _NAT_HOOKS):
            raise NftError(f"{' '.join(words)}: no such hook")
        try:
            number = _PRIORITIES[first] if first in _PRIORITIES else int(first)
            number += int("".join(offset)) if offset else 0
        except ValueError:
            raise NftError(f"{' '.join(words)}: no priority") from None
        base = Base(kind=kind, hook=hook, priority=number)
        self._table.chains[name] = replace(self._chain(name), base=base)

    def _set_policy(self, name: str, words: list[str]) -> None:
        base = self._chain(name).base
        if base is None or len(words) != 2 or words[1] not in ("accept", "drop"):
            raise NftError(f"chain {name}: {' '.join(words)}: not understood")
        self._table.chains[name] = replace(self._chain(name), base=replace(base, policy=words[1]))

    def _set(self, name: str) -> ElementSet:
        if name not in self._table.sets:
            raise NftError(f"there is no set {name}")
        return self._table.sets[name]

    def _chain(self, name: str) -> Chain:
        if name not in self._table.chains:
            raise NftError(f"there is no chain {name}")
        return self._table.chains[name]


def _declaration(what: str, name: str, lines: list[list[str]]) -> Declaration:
    keys: tuple[str, ...] = ()
    values: tuple[str, ...] | None = None
    flags: frozenset[str] = frozenset()
    merges = False
    for word, *rest in lines:
        if word in ("type", "typeof"):
            parts = split(rest, ":")
            keys, *more = (_types(part, by_name=word == "type") for part in parts)
            values = more[0] if more else None
        elif word == "flags":
            flags = frozenset(each for each in rest if each != ",")
            if not flags <= _SET_FLAGS:
                raise NftError(f"{name}: flags {flags}: not understood")
        elif word == "auto-merge":
            merges = True
        elif word not in ("size", "timeout", "gc-interval") or len(rest) != 1:
            raise NftError(f"{name}: {word} {' '.join(rest)}: not understood")
    if not keys or (what == "map") != (values is not None):
        raise NftError(f"{what} {name}: not the type of a {what}")
    return Declaration(key_types=keys, value_types=values, flags=flags, merges=merges)


def _types(words: list[str], *, by_name: bool) -> tuple[str, ...]:
    if not by_name and words != ["verdict"]:
        found = expression(words)
        if found is None or found[1] != len(words):
            raise NftError(f"{' '.join(words)}: not understood")
        return found[0].types
    parts = split(words, ".")
    if any(len(each) != 1 for each in parts):
        raise NftError(f"{' '.join(words)}: no type")
    return tuple(each[0] for each in parts)


def _declarations(words: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(what, name, the words in its braces) of each set, map and chain of a table's block."""
    for line in _statements(words):
        if len(line) < 4 or line[2] != "{" or line[-1] != "}":
            raise NftError(f"{' '.join(line[:4])}: not understood in a table")
        yield line[0], line[1], line[3:-1]


def _statements(words: list[str]) -> list[list[str]]:
    """What ends of lines and semicolons part, outside of braces; no empty ones."""
    found: list[list[str]] = [[]]
    depth = 0
    for word in words:
        depth += {"{": 1, "}": -1}.get(word, 0)
        if depth == 0 and word in ("\n", ";"):
            found.append([])
        elif word != "\n" or _holds_lines(found[-1]):
            found[-1].append(word)
    return [each for each in found if each]


def _holds_lines(statement: list[str]) -> bool:
    """Whether the ends of lines in its braces mean something: in those of a chain or set, not in a list of values."""
    return statement[:1] in (["chain"], ["set"], ["map"])


def _braced(words: list[str]) -> list[str]:
    if len(words) < 2 or words[0] != "{" or words[-1] != "}":
        raise NftError(f"{' '.join(words)}: braces are wanted")
    return [word for word in words[1:-1] if word != "\n"]


def _nothing_more(words: list[str]) -> None:
    if len(words) > 1:
        raise NftError(f"{' '.join(words)}: not understood")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise NftError(f"{name}: no name for nft")
