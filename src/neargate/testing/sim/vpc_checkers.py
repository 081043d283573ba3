"""What must hold of VPCs, elastic addresses, NAT gateways and the plans that hosts have.

Owns a look at the region's and the zones' tables after each commit that touched one of them, and at the whole at rest.
Must not know how the region works inside. Invariants: an elastic address is one account's, one gateway's and no task's;
a placed claim has a gateway and an available gateway its claim; a plan's generation names one plan and never falls.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any

import msgspec

from ...model.network import VpcPlan
from ...vpc.addresses import address_text, elastic_ranges, subnet_range
from .sim import Sim

# State -> those that a gateway may have later, however many changes lie between two looks.
_LATER = {
    "pending": {"available", "failed", "deleting", "deleted"},
    "available": {"deleting", "deleted"},
    "failed": {"deleting", "deleted"},
    "deleting": {"deleted"},
    "deleted": set[str](),
}
_HOLDING = ("pending", "available", "deleting")
_UNFINISHED = ("pending", "deleting")
_KINDS = "'elastic-ip', 'given-address', 'natgateway', 'subnet'"
_REGION_TRIGGERS = "".join(
    f"CREATE TEMP TRIGGER sim_kept_{event} AFTER {event} ON main.network WHEN {row}.kind IN ({_KINDS})"
    " BEGIN SELECT sim_network(); END;"
    for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old"))
)
_ZONE_TRIGGERS = "".join(
    f"CREATE TEMP TRIGGER sim_eni_{event} AFTER {event} ON main.enis BEGIN SELECT sim_network(); END;"
    for event in ("INSERT", "DELETE")
)
_CLAIMS = """SELECT r.task_id, r.zone, e.id, e.private_ip FROM reservations r LEFT JOIN enis e
    ON e.task_id = r.task_id AND e.zone = r.zone WHERE r.state = 'reserved' AND r.placed = 1 ORDER BY r.n"""


class VpcChecks:
    """`databases`: shard -> connection. `public_pool`: as the region has it; a share of it is each zone's."""

    def __init__(self, sim: Sim, databases: Mapping[str, sqlite3.Connection]) -> None:
        self.elastic: frozenset[str] = frozenset()  # all that the pool may give; set by who knows the pool
        self._sim = sim
        self._databases = databases
        self._is_due = False
        self._states: dict[str, str] = {}  # gateway -> its state at the last look
        self._given: frozenset[tuple[str, str]] = frozenset()
        self._last_given = ""
        self._plans: dict[str, dict[str, VpcPlan]] = {}  # host -> VPC -> what is in force there
        self._named: dict[tuple[str, int], VpcPlan] = {}  # (VPC, generation) -> the plan it was given to

    def pool_is(self, public_pool: str, shares: int) -> None:
        ranges = elastic_ranges(public_pool, shares)
        self.elastic = frozenset(address_text(one) for part in ranges for one in range(part.first, part.last + 1))

    def watch(self, shard: str, connection: sqlite3.Connection) -> None:
        """Once per database, after its migrations."""
        triggers = _REGION_TRIGGERS if shard == "region" else _ZONE_TRIGGERS if shard.startswith("zone") else ""
        if triggers:
            connection.create_function("sim_network", 0, self._touched)
            connection.executescript(triggers)

    def _touched(self) -> None:
        """Looked at after the commit: a trigger sees what may still be rolled back."""
        if not self._is_due:
            self._is_due = True
            self._sim.loop.call_soon(self._look, context=self._sim.loop.outside.context)

    def _look(self) -> None:
        self._is_due = False
        gateways = self._kept("natgateway")
        self._see_states(gateways)
        self._see_given()
        wrong = [*self._address_problems(gateways)]
        if "commits-lost" not in self._sim.coverage:  # then only what is told at rest: the start heals it
            wrong += self._claim_problems(gateways, (*_HOLDING, "failed"))
            wrong += self._subnet_problems()
        for text in wrong[:1]:
            self._sim.fail("network", text)

    def _see_states(self, gateways: Mapping[str, Any]) -> None:
        for name, nat in gateways.items():
            before, state = self._states.get(name, nat["state"]), nat["state"]
            if state != before:
                self._sim.count(f"gateway-{state}")
                if state not in _LATER[before]:
                    self._sim.fail("network", f"{name} went from {before} to {state}")
            self._states[name] = state
        for name, state in list(self._states.items()):
            if name not in gateways and state not in ("deleted", "failed"):
                self._sim.fail("network", f"{name} was forgotten while {state}")

    def _see_given(self) -> None:
        """An address that was given last is not the next one, unless there is no other."""
        given = frozenset((name, str(one["allocation_id"])) for name, one in self._kept("given-address").items())
        free = self.elastic - {name for name, _ in self._given} - set(self._public_of_interfaces())
        for name, _ in sorted(given - self._given):
            if name == self._last_given and free - {name}:
                self._sim.fail("network", f"{name} was given back and given at once, and {sorted(free)[:3]} are free")
            self._last_given = name
            self._sim.count("addresses-given")
        self._given = given

    # -- what is wrong

    def problems(self, living: Set[str | None]) -> list[str]:
        """At rest: also what may last for a moment. `living`: zones with a machine left; in others gateways wait."""
        gateways = self._kept("natgateway")
        unfinished = {name: nat for name, nat in gateways.items() if nat["state"] in _UNFINISHED}
        found = [
            f"{name} stays {nat['state']}"
            for name, nat in unfinished.items()
            if nat["state"] != "pending" or nat["zone"] in living
        ]
        found += self._address_problems(gateways)
        found += self._claim_problems(gateways, ("available",))
        found += self._subnet_problems()
        owned = set(self._kept("elastic-ip"))
        found += [
            f"{name} is given to {one['allocation_id']}, which nobody has"
            for name, one in self._kept("given-address").items()
            if one["allocation_id"] not in owned
        ]
        return found

    def free_of(self, subnet_id: str, cidr: str) -> int:
        """What of a subnet no interface has, as the zones' tables say."""
        query = "SELECT count(*) FROM enis WHERE subnet = ?"
        held = sum(int(zone.execute(query, (subnet_id,)).fetchone()[0]) for _, zone in self._zones())
        return subnet_range(cidr).size - held

    def _address_problems(self, gateways: Mapping[str, Any]) -> Iterator[str]:
        given = {str(one["allocation_id"]): name for name, one in self._kept("given-address").items()}
        of_interfaces = self._public_of_interfaces()
        holders: dict[str, str] = {}
        elastic = self._kept("elastic-ip")
        for name, one in elastic.items():
            if given.get(name) != one["public_ip"]:
                yield f"{name} has {one['public_ip']}, which the pool may give to others"
        for address in given.values():
            if address in of_interfaces:
                yield f"{address} is an elastic address and {of_interfaces[address]} has it"
        for name, nat in gateways.items():
            if nat["state"] not in _HOLDING or nat.get("association_id") is None:
                continue
            allocation = str(nat["allocation_id"])
            other = holders.setdefault(allocation, name)
            if other != name:
                yield f"{allocation} is with {other} and with {name}"
            if allocation not in elastic or elastic[allocation]["public_ip"] != nat["public_ip"]:
                yield f"{name} is {nat['state']} with {nat['public_ip']} of {allocation}, which is not its account's"

    def _claim_problems(self, gateways: Mapping[str, Any], holding: Collection[str]) -> Iterator[str]:
        claims: dict[str, list[tuple[str, str | None, str | None]]] = {}
        for _, zone in self._zones():
            for name, where, eni, address in zone.execute(_CLAIMS):
                claims.setdefault(name, []).append((where, eni, None if address is None else address_text(address)))
        nodes = {node["place"] for one in self._kept("load-balancer").values() for node in one["nodes"]}
        for name in sorted(claims.keys() - nodes):
            state = gateways.get(name, {}).get("state", "nowhere")
            if state not in holding:
                yield f"{name} is {state} and has a claim"
        for name, nat in gateways.items():
            wanted = [(nat["zone"], nat.get("eni_id"), nat.get("private_ip"))]
            if nat["state"] == "available" and claims.get(name) != wanted:
                yield f"{name} is available with {wanted}, and its claims are {claims.get(name)}"

    def _subnet_problems(self) -> Iterator[str]:
        subnets = self._kept("subnet")
        for _, zone in self._zones():
            for task_id, subnet, address in zone.execute("SELECT task_id, subnet, private_ip FROM enis ORDER BY n"):
                cidr = subnets.get(subnet, {}).get("cidr")
                if cidr is None:
                    yield f"{task_id} has an interface in {subnet}, which is gone"
                elif not subnet_range(cidr).first <= address <= subnet_range(cidr).last:
                    yield f"{task_id} has {address_text(address)}, which {subnet} ({cidr}) does not give"

    # -- hosts

    def applied(self, host_id: str, plan: VpcPlan) -> None:
        """The plan is in force there."""
        known = self._named.setdefault((plan.vpc_id, plan.generation), plan)
        if known != plan:
            self._sim.fail("plan", f"generation {plan.generation} of {plan.vpc_id} is two plans")
        before = self._plans.setdefault(host_id, {}).get(plan.vpc_id)
        if before is not None and before.generation > plan.generation:
            self._sim.fail("plan", f"{host_id} fell to {plan.generation} of {plan.vpc_id} from {before.generation}")
        self._plans[host_id][plan.vpc_id] = plan
        self._sim.count("plans-applied")

    def withdrawn(self, host_id: str, vpc_id: str) -> None:
        """It is no longer there; what comes next may be the same plan."""
        if self._plans.get(host_id, {}).pop(vpc_id, None) is not None:
            self._sim.count("plans-withdrawn")

    def forgotten(self, host_id: str) -> None:
        """Its machine was restarted."""
        self._plans.pop(host_id, None)

    def host_problems(self, host_id: str, used: Collection[str], plans: Mapping[str, VpcPlan]) -> list[str]:
        """`used`: VPCs of its tasks; `plans`: what the region has now."""
        found = []
        for vpc_id in sorted(used):
            now, there = plans.get(vpc_id), self._plans.get(host_id, {}).get(vpc_id)
            if now is None:
                found.append(f"{host_id} runs a task in {vpc_id}, which is gone")
            elif there is None or msgspec.structs.replace(there, generation=now.generation) != now:
                generation = None if there is None else there.generation
                found.append(f"{host_id} has {generation} of {vpc_id} in force, the region has {now.generation}")
        return found

    # -- tables

    def _kept(self, kind: str) -> dict[str, Any]:
        database = self._databases.get("region")
        if database is None:
            return {}
        rows = database.execute("SELECT name, doc FROM network WHERE kind = ? ORDER BY name", (kind,))
        return {name: msgspec.json.decode(doc) for name, doc in rows.fetchall()}

    def _zones(self) -> Iterator[tuple[str, sqlite3.Connection]]:
        return ((name, self._databases[name]) for name in sorted(self._databases) if name.startswith("zone"))

    def _public_of_interfaces(self) -> dict[str, str]:
        rows = [
            row
            for _, zone in self._zones()
            for row in zone.execute("SELECT public_ip, task_id FROM enis WHERE public_ip IS NOT NULL ORDER BY n")
        ]
        return {address_text(address): task_id for address, task_id in rows}
