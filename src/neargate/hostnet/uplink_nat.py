"""`--uplink nat`: the host itself forwards and translates what tasks send, with exactly what this file adds to it.

Owns one table of ours in the host, forwarding on the links that need it, and rules marked with our name in chains of
others that would drop our packets. Blocking; for the one thread of the uplink's lane, in the host's namespace.
Invariants: what is changed was recorded first; nothing of others is changed but what the record names; all of it is
made again when somebody removed it, and none of it outlives `remove`.
"""

from msgspec.structs import replace

from ..vpc import firewalls
from ..vpc import uplink as texts
from ..vpc.firewalls import Passage
from .edge import host_link_name
from .netlink import Netlink
from .nftables import Nftables, NftablesError
from .uplink_edge import EdgeSide
from .uplink_facts import forwards, own_networks, routed_links, ruleset_generation, set_forwarding
from .uplink_record import UplinkFiles, UplinkRecord


class NatUplink:
    def __init__(self, files: UplinkFiles, edge: EdgeSide, instance: str, public_pool: str) -> None:
        self._files = files
        self._edge = edge
        self._instance = instance
        self._pool = public_pool
        self._link = host_link_name(instance)
        self._mark = texts.mark(instance)
        self._loaded = ""
        self._listed = ""
        self._generation: int | None = None
        self._notes: tuple[str, ...] = ()

    def look(self, host: Netlink) -> tuple[str, ...]:
        """Make whatever is not there; sentences on what else was done or is in the way."""
        self._edge.keep_off(own_networks(host))
        names = self._outer_links(host)
        record = self._opened(self._files.record() or UplinkRecord(mode="nat"), names)
        generation = ruleset_generation()
        if generation is None or generation != self._generation or self._text(record) != self._loaded:
            self._notes = self._load(record, names)
            self._generation = ruleset_generation()
        for name in (*record.opened, self._link):
            set_forwarding(name, True)
        self._edge.lead_to_host()
        return self._notes

    def remove(self) -> None:
        """Repeatable, and whole also where the record or this process knows nothing."""
        record = self._files.record()
        for name in (self._link, *(record.opened if record is not None else ())):
            set_forwarding(name, bool(forwards("all")))
        rules = Nftables()
        try:
            listing = rules.ruleset()
            lines = [firewalls.gone(rule) for rule in firewalls.marked_rules(listing, self._mark)]
            if any(entry.get("table", {}).get("name") == self._mark for entry in listing):
                lines.append(texts.host_table_gone(self._instance))
            if lines:
                rules.run("".join(lines))
        finally:
            rules.close()
        self._loaded, self._listed, self._generation = "", "", None

    def _outer_links(self, host: Netlink) -> list[str]:
        """Links that packets may leave by; the one of the default route first."""
        routed, default = routed_links(host), host.links_to("0.0.0.0/0")
        links = [link for link in host.links() if link.index in routed]
        names = [link.name for link in sorted(links, key=lambda link: link.index not in default)]
        return [name for name in names if name != "lo" and not name.startswith("ng")]

    def _opened(self, record: UplinkRecord, names: list[str]) -> UplinkRecord:
        """Recorded: what it says will be switched on. Where somebody made the whole host forward, it is theirs now."""
        before = [] if forwards("all") else [name for name in record.opened if forwards(name) is not None]
        closed = [name for name in names if forwards(name) is False and name not in before]
        settled = replace(record, opened=(*before, *closed))
        if settled != self._files.record():
            self._files.write(settled)
        return settled

    def _text(self, record: UplinkRecord) -> str:
        return texts.host_table(self._instance, self._link, self._pool, record.opened, shut=record.passed)

    def _load(self, record: UplinkRecord, names: list[str]) -> tuple[str, ...]:
        rules = Nftables()
        try:
            if not names:
                self._load_own(rules, record)
                return ()  # no way out of the host: others' chains are asked again when there is one
            passage = self._passage(rules, names[0])
            if passage.needed and not record.passed:
                record = replace(record, passed=True)
                self._files.write(record)
            # Ours shuts what theirs are told to let pass: it comes before, and goes after.
            self._load_own(rules, record)
            if passage.text:
                rules.run(passage.text)
            if record.passed and not passage.needed:
                record = replace(record, passed=False)
                self._load_own(rules, record)
                self._files.write(record)
        finally:
            rules.close()
        return tuple(f"{stop}: a rule of ours lets {match} pass" for stop, match in passage.needed)

    def _passage(self, rules: Nftables, outer: str) -> Passage:
        return firewalls.passage(rules.ruleset(), link=self._link, pool=self._pool, outer=outer, mark=self._mark)

    def _load_own(self, rules: Nftables, record: UplinkRecord) -> None:
        text = self._text(record)
        if text == self._loaded and self._own_table(rules) == self._listed:
            return
        self._loaded = ""
        rules.run(text)
        self._loaded, self._listed = text, self._own_table(rules)

    def _own_table(self, rules: Nftables) -> str:
        try:
            return rules.run(f"list table {texts.host_table_name(self._instance)}\n")
        except NftablesError:
            return ""  # somebody removed it
