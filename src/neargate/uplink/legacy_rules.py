"""The rules of the older iptables in the shape that `firewalls` reads, and the commands that change them.

Pure. Its rules have no handles: a rule is named by its place in its chain, as iptables counts. What is not understood
of a rule makes it one that is taken not to match.
"""

import shlex
from collections.abc import Iterable
from typing import Any

from .firewalls import Json, Passage, passage

_TABLE = {"family": "ip", "table": "filter"}
_HOOKS = {"INPUT": "input", "FORWARD": "forward", "OUTPUT": "output"}
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return"}
_NOT_UNDERSTOOD: Json = {"xt": None}
_LIKE = {"-i": ("meta", {"key": "iifname"}), "-o": ("meta", {"key": "oifname"})}
_ADDRESS = {"-s": "saddr", "-d": "daddr"}


def listing(text: str) -> list[Json]:
    """From `iptables-legacy -S`, as `nft -j list ruleset` would show it."""
    found: list[Json] = []
    places: dict[str, int] = {}
    for line in text.splitlines():
        words = shlex.split(line)
        if words[:1] == ["-P"] and len(words) >= 3:
            base = {"type": "filter", "hook": _HOOKS.get(words[1], ""), "policy": words[2].lower()}
            found.append({"chain": {**_TABLE, "name": words[1], **base}})
        elif words[:1] == ["-N"] and len(words) >= 2:
            found.append({"chain": {**_TABLE, "name": words[1]}})
        elif words[:1] == ["-A"] and len(words) >= 2:
            places[words[1]] = places.get(words[1], 0) + 1
            found.append({"rule": {**_TABLE, "chain": words[1], "handle": places[words[1]], **_rule(words[2:])}})
    return found


def needed(
    text: str, *, link: str, pool: str, outer: str, mark: str, found: str = ""
) -> tuple[Passage, list[list[str]]]:
    """What would stop us, and the commands, without the program's name, that make our rules those that are needed."""
    passed = passage(listing(text), link=link, pool=pool, outer=outer, mark=mark, found=found)
    if not passed.text:
        return passed, []
    commands = removal(text, mark)
    # Whatever comes first is put in last, so that places count as they were read.
    for stop, match in sorted(passed.needed, key=lambda item: -(item[0].before or 1 << 30)):
        way = "-i" if match.startswith("iifname") else "-o"
        rule = [way, link, "-m", "comment", "--comment", mark, "-j", "ACCEPT"]
        ours = sum(_is_ours(line, mark, stop.chain) for line in _before(text, stop.chain, stop.before))
        where = ["-A", stop.chain] if stop.before is None else ["-I", stop.chain, str(stop.before - ours)]
        commands.append([*where, *rule])
    return passed, commands


def removal(text: str, mark: str) -> list[list[str]]:
    """Of all rules with our comment."""
    lines = [shlex.split(line) for line in text.splitlines()]
    return [["-D", *words[1:]] for words in lines if words[:1] == ["-A"] and _comment(words) == mark]


def _before(text: str, chain: str, place: int | None) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"-A {chain} ")][: (place or 1) - 1]


def _is_ours(line: str, mark: str, chain: str) -> bool:
    words = shlex.split(line)
    return words[:2] == ["-A", chain] and _comment(words) == mark


def _comment(words: list[str]) -> str:
    return words[words.index("--comment") + 1] if "--comment" in words[:-1] else ""


def _rule(words: list[str]) -> dict[str, Any]:
    """Its expressions, and its comment."""
    expressions: list[Json] = []
    more: dict[str, Any] = {}
    rest, negated = iter(words), False
    for word in rest:
        if word == "!":
            negated = True
            continue
        value = next(rest, "")
        if word == "--comment":
            more["comment"] = value
        elif word in ("-j", "-g"):
            expressions += _target(word, value)
            break  # what follows is the target's own
        elif word != "-m" or value not in ("comment", "conntrack", "state"):
            expressions.append(_match(word, value, negated=negated))
        negated = False
    return {"expr": expressions, **more}


def _match(word: str, value: str, *, negated: bool) -> Json:
    op = "!=" if negated else "=="
    if word in _LIKE:
        kind, key = _LIKE[word]
        name = f"{value[:-1]}*" if value.endswith("+") else value
        return {"match": {"op": op, "left": {kind: key}, "right": name}}
    if word in _ADDRESS and "/" in value:
        address, _, length = value.partition("/")
        left = {"payload": {"protocol": "ip", "field": _ADDRESS[word]}}
        return {"match": {"op": op, "left": left, "right": {"prefix": {"addr": address, "len": length}}}}
    if word in ("--ctstate", "--state"):
        return {"match": {"op": op, "left": {"ct": {"key": "state"}}, "right": value.lower().split(",")}}
    return _NOT_UNDERSTOOD


def _target(word: str, name: str) -> Iterable[Json]:
    """What is no chain (LOG, MARK) leads nowhere, and the next rule is asked."""
    if name in _VERDICTS:
        return [{_VERDICTS[name]: None}]
    return [{"goto" if word == "-g" else "jump": {"target": name}}]
