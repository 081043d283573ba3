"""Which of a machine's firewall chains would stop a packet that it forwards: nftables' own JSON read, not guessed at.

Pure. A packet passes if every base chain of the forward hook lets it pass, so one accept of ours helps in its own chain
only. Evaluates what is certain: a rule with a match that is not understood (an extension of iptables', a named map) is
taken not to match. So what an operator forbids in special stays forbidden, and what stops everything is found.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from .texts import edge_address6

SOMEWHERE, SOMEWHERE6 = "1.1.1.1", "2001:4860::1"  # nothing is sent there: rules are asked what they would do
_FAMILIES = {"ipv4": ("ip", "inet"), "ipv6": ("ip6", "inet")}
_STEPS_MAX = 10_000
_JUMPS_MAX = 16  # nftables' own bound
Json = Mapping[str, Any]


class Packet(Struct, frozen=True, kw_only=True):
    """Where the host forwards it: addresses as they are between the two translations."""

    iifname: str
    oifname: str
    saddr: str
    daddr: str
    state: str  # of its connection: new, established

    @property
    def family(self) -> str:
        return "ipv6" if ":" in self.saddr else "ipv4"


class Stop(Struct, frozen=True, kw_only=True):
    """A base chain that stops a packet: by its policy (`before` None), or at or behind this rule of its own."""

    family: str
    table: str
    chain: str
    before: int | None

    def __str__(self) -> str:
        how = "by its policy" if self.before is None else f"by its rule with the handle {self.before}"
        return f"chain {self.chain} of table {self.family} {self.table} drops it {how}"


class OwnRule(Struct, frozen=True, kw_only=True):
    family: str
    table: str
    chain: str
    handle: int


class Passage(Struct, frozen=True, kw_only=True):
    """`needed`: where chains of others would stop us, with the match of the rule that helps, as if none were there.

    `text`: what turns our rules there now into those; empty where they are.
    """

    needed: tuple[tuple[Stop, str], ...]
    text: str


class Rule(Struct, frozen=True, kw_only=True):
    handle: int
    expr: Sequence[Json]


class Chain(Struct, frozen=True, kw_only=True):
    family: str
    table: str
    name: str
    rules: tuple[Rule, ...]
    hook: str = ""
    policy: str = "accept"


Chains = dict[tuple[str, str, str], Chain]


def chains(listing: Iterable[Json]) -> Chains:
    """By family, table and name, from `nft -j list ruleset`."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    for entry in listing:
        chain, rule = entry.get("chain"), entry.get("rule")
        if chain is not None:
            found[chain["family"], chain["table"], chain["name"]] = chain
        elif rule is not None:
            key = (rule["family"], rule["table"], rule["chain"])
            rules.setdefault(key, []).append(Rule(handle=rule["handle"], expr=rule.get("expr", ())))
    return {
        key: Chain(
            family=key[0],
            table=key[1],
            name=key[2],
            rules=tuple(rules.get(key, ())),
            hook=chain.get("hook", "") if chain.get("type") == "filter" else "",
            policy=chain.get("policy", "accept"),
        )
        for key, chain in found.items()
    }


def stops(known: Chains, packet: Packet) -> list[Stop]:
    """All base chains that stop it."""
    found = []
    for chain in known.values():
        if chain.hook == "forward" and chain.family in _FAMILIES[packet.family]:
            stop = _walk(known, chain, packet)
            if stop is not None:
                found.append(stop)
    return found


def passage(
    listing: Sequence[Json],
    *,
    link: str,
    pool: str,
    outer: str,
    mark: str,
    found: str = "",
    outer6: str = "",
    found6: str = "",
) -> Passage:
    """For packets of tasks from `link` to `outer`, and for the answers. `mark`: our table's and rules' name.

    `found`: a network of theirs that others find, so that new connections come too. `outer6`: where IPv6 leaves by;
    `found6`: as `found`.
    """
    known, own = chains(listing), marked_rules(listing, mark)
    handles = {(rule.family, rule.table, rule.handle) for rule in own}
    without = {
        key: replace(chain, rules=tuple(rule for rule in chain.rules if (*key[:2], rule.handle) not in handles))
        for key, chain in known.items()
    }
    inner = str(ip_network(pool)[1])
    probes = [
        (f'iifname "{link}"', Packet(iifname=link, oifname=outer, saddr=inner, daddr=SOMEWHERE, state="new")),
        (f'oifname "{link}"', Packet(iifname=outer, oifname=link, saddr=SOMEWHERE, daddr=inner, state="established")),
    ]
    if found:
        there = str(ip_network(found)[0])
        new = Packet(iifname=outer, oifname=link, saddr=SOMEWHERE, daddr=there, state="new")
        probes.append((f'oifname "{link}"', new))
    if outer6:
        inner6 = edge_address6(pool)
        out = Packet(iifname=link, oifname=outer6, saddr=inner6, daddr=SOMEWHERE6, state="new")
        back = Packet(iifname=outer6, oifname=link, saddr=SOMEWHERE6, daddr=inner6, state="established")
        probes += [(f'iifname "{link}"', out), (f'oifname "{link}"', back)]
        if found6:
            new = replace(back, daddr=str(ip_network(found6)[1]), state="new")
            probes.append((f'oifname "{link}"', new))
    met = [(s, match) for match, packet in probes for s in stops(without, packet) if s.table != mark]
    needed = list(dict.fromkeys(met))
    stopped = any(s.table != mark for _, packet in probes for s in stops(known, packet))
    text = ""
    if stopped or len(own) != len(needed):
        text = "".join([gone(rule) for rule in own] + [let_pass(stop, match, mark) for stop, match in needed])
    return Passage(needed=tuple(needed), text=text)


def marked_rules(listing: Iterable[Json], comment: str) -> list[OwnRule]:
    """Rules with this comment."""
    rules = (entry["rule"] for entry in listing if "rule" in entry)
    return [
        OwnRule(family=rule["family"], table=rule["table"], chain=rule["chain"], handle=rule["handle"])
        for rule in rules
        if rule.get("comment") == comment
    ]


def let_pass(stop: Stop, match: str, comment: str) -> str:
    """One line of nft text. Words that iptables knows too: it shares such chains and refuses what it cannot read."""
    where = f"{stop.family} {_quoted(stop.table)} {_quoted(stop.chain)}"
    rule = f'{match} accept comment "{comment}"'
    if stop.before is None:
        return f"add rule {where} {rule}\n"  # last: what is forbidden before stays so
    return f"insert rule {where} position {stop.before} {rule}\n"


def gone(rule: OwnRule) -> str:
    return f"delete rule {rule.family} {_quoted(rule.table)} {_quoted(rule.chain)} handle {rule.handle}\n"


def _quoted(name: str) -> str:
    """Names come from the kernel, where only root can put them; nft takes some words only with quotes."""
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'


def _walk(known: Chains, base: Chain, packet: Packet) -> Stop | None:
    budget = [_STEPS_MAX]
    for rule in base.rules:
        verdict = _rule(known, base, rule, packet, budget, _JUMPS_MAX)
        if verdict == "accept":
            return None
        if verdict == "drop":
            return Stop(family=base.family, table=base.table, chain=base.name, before=rule.handle)
        if verdict == "return":
            break
    if base.policy == "drop":
        return Stop(family=base.family, table=base.table, chain=base.name, before=None)
    return None


def _rule(known: Chains, home: Chain, rule: Rule, packet: Packet, budget: list[int], jumps: int) -> str:
    """accept, drop, return, or go on: empty. A jump's chain that returns goes on, a goto's returns."""
    budget[0] -= 1
    if budget[0] < 0:
        return "accept"  # beyond what we read: not ours to mend
    try:
        return _judged(known, home, rule, packet, budget, jumps)
    except (LookupError, TypeError, ValueError, AttributeError):
        return ""  # words of a later nftables: not understood


def _judged(known: Chains, home: Chain, rule: Rule, packet: Packet, budget: list[int], jumps: int) -> str:
    for expression in rule.expr:
        (word, value), *_ = expression.items()
        if word == "match":
            if not _matches(value, packet):
                return ""
        elif word == "vmap":
            word, value = _mapped(value, packet)
            return _verdict(known, home, word, value, packet, budget, jumps)
        elif word == "xt":
            if value is None or value.get("type") != "target":
                if value is None or value.get("name") != "comment":
                    return ""
            else:
                return "drop" if value.get("name") in ("REJECT", "DROP") else ""
        elif word in ("accept", "drop", "reject", "return", "jump", "goto", "queue", "continue"):
            return _verdict(known, home, word, value, packet, budget, jumps)
        elif word not in ("counter", "log", "limit_log", "mangle", "notrack", "meta"):
            return ""
    return ""


def _verdict(known: Chains, home: Chain, word: str, value: Any, packet: Packet, budget: list[int], jumps: int) -> str:
    if word in ("jump", "goto"):
        target = known.get((home.family, home.table, value["target"]))
        for rule in target.rules if target is not None and jumps > 0 else ():
            verdict = _rule(known, home, rule, packet, budget, jumps - 1)
            if verdict == "return":
                break
            if verdict:
                return verdict
        return "return" if word == "goto" else ""
    return {"accept": "accept", "queue": "accept", "drop": "drop", "reject": "drop", "return": "return"}.get(word, "")


def _mapped(value: Json, packet: Packet) -> tuple[str, Any]:
    data = value["data"]
    field = _field(value["key"], packet)
    if field is not None and isinstance(data, Mapping):
        for key, verdict in data.get("set", ()):
            if _is_one_of(field, key):
                (word, argument), *_ = verdict.items()
                return word, argument
    return "continue", None


def _matches(match: Json, packet: Packet) -> bool:
    """False also for what is not understood."""
    field = _field(match["left"], packet)
    if field is None:
        return False
    right, op = match["right"], match["op"]
    known = _is_one_of(field, right)
    if known is None:
        return False
    return not known if op == "!=" else known if op in ("==", "in") else False


def _field(left: Any, packet: Packet) -> str | None:
    """The packet's value of what the rule looks at; None for what this packet says nothing of."""
    if not isinstance(left, Mapping):
        return None
    key = (left.get("meta") or {}).get("key")
    if key in ("iifname", "iif"):
        return packet.iifname
    if key in ("oifname", "oif"):
        return packet.oifname
    if key == "nfproto":
        return packet.family
    payload = left.get("payload") or {}
    if payload.get("protocol") == ("ip6" if packet.family == "ipv6" else "ip"):
        return {"saddr": packet.saddr, "daddr": packet.daddr}.get(str(payload.get("field")))
    return packet.state if (left.get("ct") or {}).get("key") == "state" and "dir" not in left["ct"] else None


def _is_one_of(field: str, right: Any) -> bool | None:
    """None where the right side is not understood."""
    if isinstance(right, str):
        if right.startswith("@"):
            return None
        return field.startswith(right[:-1]) if right.endswith("*") else field == right
    if isinstance(right, list):
        return _any(field, right)
    if isinstance(right, Mapping):
        if "set" in right:
            return _any(field, right["set"])
        if "prefix" in right:
            network = ip_network(f"{right['prefix']['addr']}/{right['prefix']['len']}", strict=False)
            return ip_address(field) in network
        if "range" in right:
            low, high = (ip_address(end) for end in right["range"])
            return int(low) <= int(ip_address(field)) <= int(high)
    return None


def _any(field: str, members: Any) -> bool | None:
    answers = [_is_one_of(field, member) for member in (members if isinstance(members, list) else [members])]
    return True if True in answers else None if None in answers else False
