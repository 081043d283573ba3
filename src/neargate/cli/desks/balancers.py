"""What the operator's socket answers about load balancers: those of a region in brief, one in full, what is wrong.

Reads the region's memory; the words are made by the commands. Must not change anything.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ...frontend.balancing import lookup
from ...frontend.balancing.objects import ACTIVE, LoadBalancer, TargetGroup
from ...frontend.network.nodes import balancer_nodes as nodes
from ...frontend.network.records.balancers import balancers
from ...model.arn import Arn
from ...region import Region
from ..admin import Handler
from ..balancing.facts import View, balancer_facts, brief, by_balancer, counts, group_facts, named
from ..balancing.troubles import troubles
from .hosts_seen import all_hosts

Answer = dict[str, Any]
SHOWN, EACH_KIND_SHOWN, GROUPS_SHOWN, BALANCERS_SHOWN = 20, 3, 20, 5


class BalancerNotNamed(Exception):
    """No load balancer, or several, have this name."""


def handlers(region: Region) -> dict[str, Handler]:
    desk = BalancersDesk(region)
    return {"balancer": desk.balancer, "balancer-troubles": desk.troubles}


class BalancersDesk:
    def __init__(self, region: Region) -> None:
        self._region = region

    async def brief(self) -> Answer:
        """For `neargate status`: those first that are not well, then by name; how many have which state."""
        states: Counter[str] = Counter()
        found: list[tuple[bool, str, str, LoadBalancer]] = []
        for account in self._region.services.network.accounts():
            for one in balancers(self._region.services.network.shelf(account)):
                states[one.state] += 1
                is_well = one.state == ACTIVE and all(node.serves for node in nodes.wanted(one))
                found.append((is_well, one.label, account, one))
        found.sort(key=lambda item: item[:3])
        connected = await self._connected()
        views = {account: self._view(account, connected) for account in {item[2] for item in found[:SHOWN]}}
        return {
            "shown": [_with_counts(views[account], one) for _, _, account, one in found[:SHOWN]],
            "states": dict(states),
        }

    async def balancer(self, request: Answer) -> Answer:
        """The load balancer of this `name`, of the `account` if one is said. Raises BalancerNotNamed."""
        name, account = str(request.get("name", "")), request.get("account")
        found = [one for one in self._named(name) if isinstance(one, LoadBalancer) and account in (None, one.account)]
        if len(found) != 1:
            arns = ", ".join(one.arn for one in found)
            raise BalancerNotNamed(
                f"several load balancers have that name: {arns}" if found else f"no load balancer is named {name!r}"
            )
        return await self._explained(found[0])

    async def explain(self, name: str) -> Answer | None:
        """For `neargate why`: a load balancer with its target groups, or a target group with its load balancers; what
        `also` has that name. None: nothing has."""
        found = list(self._named(name))
        if not found:
            return None
        facts = await self._explained(found[0])
        return {**facts, "also": [one.arn for one in found[1:]]}

    def arns(self, name: str) -> list[str]:
        return [one.arn for one in self._named(name)]

    async def troubles(self, _: Answer) -> Answer:
        """By kind: the first few, and how many there are. `ports`: where load balancers that face the internet listen,
        by host."""
        shown: dict[str, list[Answer]] = {}
        counted: Counter[str] = Counter()
        ports: dict[str, set[int]] = {}
        now = self._region.services.world.now()
        connected = await self._connected()
        for account in self._region.services.network.accounts():
            view = self._view(account, connected)
            for one in troubles(view, now):
                counted[one["kind"]] += 1
                if counted[one["kind"]] <= EACH_KIND_SHOWN:
                    shown.setdefault(one["kind"], []).append(one)
            for host, port in _local_ports(view):
                ports.setdefault(host, set()).add(port)
        return {"shown": shown, "counts": dict(counted), "ports": {host: sorted(has) for host, has in ports.items()}}

    async def _explained(self, one: LoadBalancer | TargetGroup) -> Answer:
        view = self._view(one.account, await self._connected())
        if isinstance(one, LoadBalancer):
            groups = [view.shelf.find(TargetGroup, arn) for arn in lookup.groups_of(view.shelf, one.arn)]
            told = [group_facts(view, group) for group in groups[:GROUPS_SHOWN] if group is not None]
            return {"balancer": balancer_facts(view, one), "groups": told}
        found = (lookup.find_balancer(view.shelf, arn) for arn in view.leading.get(one.arn, ()))
        leading = [balancer_facts(view, each) for each in found if each is not None]
        return {"target_group": group_facts(view, one), "balancers": leading[:BALANCERS_SHOWN]}

    def _named(self, name: str) -> Iterator[LoadBalancer | TargetGroup]:
        """Load balancers of all accounts first."""
        arn, network = Arn.parse(name), self._region.services.network
        accounts = network.accounts() if arn is None else [arn.account]
        found = [one for account in accounts for one in named(network.shelf(account), name)] if name else []
        return iter(sorted(found, key=lambda one: isinstance(one, TargetGroup)))

    async def _connected(self) -> frozenset[str]:
        return frozenset(str(host["host_id"]) for host in await all_hosts(self._region) if host["connected"])

    def _view(self, account: str, connected: frozenset[str]) -> View:
        shelf, certificates = self._region.services.network.shelf(account), self._region.services.certificates
        return View(
            shelf=shelf,
            verdicts=self._region.services.verdicts,
            unplanned=self._region.balancer_watch.book.unplanned(account),
            connected=connected,
            certificate=lambda arn: certificates.certificate(account, arn),
            leading=lookup.users(shelf),
            listeners=by_balancer(shelf),
        )


def _with_counts(view: View, one: LoadBalancer) -> Answer:
    found = (view.shelf.find(TargetGroup, arn) for arn in lookup.groups_of(view.shelf, one.arn))
    groups = [{"name": group.label, "counts": counts(view, group)} for group in found if group is not None]
    return brief(view, one) | {"groups": groups}


def _local_ports(view: View) -> Iterator[tuple[str, int]]:
    for one in balancers(view.shelf):
        hosts = {node.host_id for node in nodes.there(one) if node.public_ip and node.host_id}
        for listener in view.listeners.get(one.arn, ()) if hosts else ():
            yield from ((host, listener.port) for host in hosts)
