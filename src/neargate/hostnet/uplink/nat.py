"""`--uplink nat`: the host itself forwards and translates what tasks send, with exactly what this file adds to it.

Owns one table of ours in the host, forwarding on the links that need it, and rules marked with our name in chains of
others that would drop our packets. Blocking; for the one thread of the uplink's lane, in the host's namespace.
Invariants: what is changed was recorded first; nothing of others is changed but what the record names; all of it is
made again when somebody removed it, and none of it outlives `remove`.
"""

from msgspec.structs import replace

from ...uplink import firewalls, texts
from ...uplink.firewalls import Passage
from ...uplink.pools import NOTHING_OUTSIDE, Outside
from ..edge import host_link_name
from ..host_state import forwards, own_networks, own_networks6, routed_links, ruleset_generation, set_forwarding
from ..netlink import Netlink
from ..nftables import Nftables, NftablesError
from .announcing import Announcing
from .edge import EdgeSide
from .legacy import LegacyRules
from .nat6 import Nat6
from .record import UplinkFiles, UplinkRecord

LEGACY_LOOKS = 5  # every so many looks those of the older iptables are read


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
        self._legacy = LegacyRules(self._link, public_pool, self._mark)
        self._legacy_seen = ""
        self._looks = 0
        # Generation of the rules, the older ones, the link that leads out, our table: as they were when all was well.
        self._seen: tuple[int | None, str, str, str] | None = None
        self._notes: tuple[str, ...] = ()
        self._announcing = Announcing(files)
        self._ipv6 = Nat6(self._link, public_pool)
        self._outer6 = ""  # where IPv6 leaves by, as far as it is led out
        self._outside: Outside = NOTHING_OUTSIDE

    def know(self, outside: Outside) -> None:
        """What `look` is to make pass and be found."""
        self._outside = outside

    def look(self, host: Netlink) -> tuple[str, ...]:
        """Make whatever is not there; sentences on what else was done or is in the way."""
        found6 = self._outside.open_cidrs6
        own = own_networks(host) | own_networks6(host)
        self._edge.keep_off(own, to_host=True, found6=found6)
        names = self._outer_links(host)
        outer6 = self._ipv6.outer_links(host, is_found=bool(found6))
        unable = self._ipv6.note(outer6)
        leads6 = bool(outer6) and not unable
        self._outer6 = outer6[0] if leads6 else ""
        record = self._opened(self._files.record() or UplinkRecord(mode="nat"), names, outer6 if leads6 else [])
        outer = names[0] if names else ""
        legacy = self._read_legacy()
        found = (ruleset_generation(), legacy, f"{outer} {self._outer6}", self._text(record))
        if found[0] is None or found != self._seen:
            self._notes = self._load(record, outer, legacy)
            # Looked at once more unless nobody changed anything meanwhile, not even we.
            self._seen = found if (ruleset_generation(), self._legacy.read()) == found[:2] else None
        for name in (*record.opened, self._link):
            set_forwarding(name, True)
        if leads6:
            self._ipv6.lead(host, record)
        self._edge.lead_ipv6_to_host(leads6)
        self._edge.lead_to_host()
        written = self._files.record() or record
        said = (*self._notes, unable) if unable else self._notes
        return (*said, *self._announcing.look(host, written, self._outside, {4: outer, 6: self._outer6}, own))

    def remove(self) -> None:
        """Repeatable, and whole also where the record or this process knows nothing."""
        record = self._files.record()
        with Netlink() as host:
            self._ipv6.remove(host, record)
            if record is not None:
                self._announcing.remove(host, record)
        for name in (self._link, *(record.opened if record is not None else ())):
            set_forwarding(name, bool(forwards("all")))
        self._legacy.remove()
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
        self._loaded, self._listed, self._seen = "", "", None

    def _outer_links(self, host: Netlink) -> list[str]:
        """Links that packets may leave by; the one of the default route first."""
        routed, default = routed_links(host), host.links_to("0.0.0.0/0")
        links = [link for link in host.links() if link.index in routed]
        names = [link.name for link in sorted(links, key=lambda link: link.index not in default)]
        return [name for name in names if name != "lo" and not name.startswith("ng")]

    def _opened(self, record: UplinkRecord, names: list[str], names6: list[str]) -> UplinkRecord:
        """Recorded: what it says will be switched on. Where somebody made the whole host forward, it is theirs now."""
        before = [] if forwards("all") else [name for name in record.opened if forwards(name) is not None]
        closed = [name for name in names if forwards(name) is False and name not in before]
        settled = self._ipv6.opened(replace(record, opened=(*before, *closed)), names6)
        if settled != self._files.record():
            self._files.write(settled)
        return settled

    def _text(self, record: UplinkRecord) -> str:
        return texts.host_table(
            self._instance,
            self._link,
            self._pool,
            record.opened,
            shut=record.passed,
            outside=self._outside,
            opened6=record.opened6,
        )

    def _read_legacy(self) -> str:
        """Nothing tells of its changes, and asking costs a process: now and then."""
        self._looks += 1
        if self._seen is None or self._looks % LEGACY_LOOKS == 0:
            self._legacy_seen = self._legacy.read()
        return self._legacy_seen

    def _load(self, record: UplinkRecord, outer: str, legacy: str) -> tuple[str, ...]:
        rules = Nftables()
        try:
            if not outer:
                self._load_own(rules, record)
                return ()  # no way out of the host: others' chains are asked when there is one
            passage = self._passage(rules, outer)
            older, commands = self._legacy.needed(legacy, outer, self._found)
            needed = (*passage.needed, *older.needed)
            if needed and not record.passed:
                record = replace(record, passed=True)
                self._files.write(record)
            # Ours shuts what theirs are told to let pass: it comes before, and goes after.
            self._load_own(rules, record)
            if passage.text:
                rules.run(passage.text)
            self._legacy.change(commands)
            if record.passed and not needed:
                record = replace(record, passed=False)
                self._load_own(rules, record)
                self._files.write(record)
        finally:
            rules.close()
        return tuple(f"{stop}: a rule of ours lets {match} pass" for stop, match in needed)

    def _passage(self, rules: Nftables, outer: str) -> Passage:
        listing, pool, mark = rules.ruleset(), self._pool, self._mark
        return firewalls.passage(
            listing,
            link=self._link,
            pool=pool,
            outer=outer,
            mark=mark,
            found=self._found,
            outer6=self._outer6,
            found6=next(iter(self._outside.open_cidrs6), ""),
        )

    @property
    def _found(self) -> str:
        return next((cidr for cidr in self._outside.open_cidrs if ":" not in cidr), "")

    def _load_own(self, rules: Nftables, record: UplinkRecord) -> None:
        text = self._text(record)
        if text == self._loaded and self._own_table(rules) == self._listed:
            return
        self._loaded = ""
        rules.run(text)
        self._loaded, self._listed = text, self._own_table(rules)

    def _own_table(self, rules: Nftables) -> str:
        try:
            return rules.listed(f"table {texts.host_table_name(self._instance)}")
        except NftablesError:
            return ""  # somebody removed it
