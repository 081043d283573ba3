"""Policy routing as `ip rule` and `ip route` have it: rules in order, a table each, the longest prefix in a table.

Invariant: a link by name, LOCAL for the router's own addresses, or None where the packet ends.
"""

from ipaddress import ip_address, ip_network

from msgspec import Struct

LOCAL = "local"
MAIN = 254


class Route(Struct, frozen=True, kw_only=True):
    """`link` empty: blackhole, unreachable or prohibit; the packet ends."""

    destination: str
    link: str = ""
    metric: int = 0


class RouteRule(Struct, frozen=True, kw_only=True):
    """Of `ip rule`: a mark or link that is None is any. `suppress_prefixlength`: routes of no longer prefix than that
    do not count.
    """

    priority: int
    table: int
    version: int | None = None
    mark: int | None = None
    mask: int = 0xFFFFFFFF
    link: str | None = None
    suppress_prefixlength: int = -1


DEFAULT_RULES = (RouteRule(priority=32766, table=MAIN),)


class Routing:
    def __init__(
        self,
        tables: dict[int, tuple[Route, ...]],
        *,
        rules: tuple[RouteRule, ...] = DEFAULT_RULES,
        own: tuple[str, ...] = (),
    ) -> None:
        """`own`: the router's addresses."""
        self._rules = sorted(rules, key=lambda rule: rule.priority)
        self._own = frozenset((address.version, int(address)) for address in map(ip_address, own))
        self._tables = {
            number: sorted(
                ((ip_network(each.destination), each) for each in routes),
                key=lambda pair: (-pair[0].prefixlen, pair[1].metric),
            )
            for number, routes in tables.items()
        }
        self._numbers = {
            number: [(net.version, int(net[0]), int(net[-1]), net.prefixlen, each.link) for net, each in routes]
            for number, routes in self._tables.items()
        }

    def find(self, version: int, to: int, mark: int, link: str) -> str | None:
        if (version, to) in self._own:
            return LOCAL
        for rule in self._rules:
            if rule.version not in (None, version) or rule.link not in (None, link):
                continue
            if rule.mark is not None and mark & rule.mask != rule.mark:
                continue
            for of, first, last, length, target in self._numbers.get(rule.table, ()):
                if of == version and first <= to <= last:
                    if length > rule.suppress_prefixlength:
                        return target or None
                    break  # suppressed: on with the next rule
        return None
