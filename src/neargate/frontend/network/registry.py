"""The region's VPC objects: durable on a shelf in the region's shard, read from memory, and the plans they make.

Owns when a plan is a new one and who is told; must not know zones' interfaces or hosts, nor what a change means (the
files beside this one decide). Invariant: a VPC's plan of a generation never differs from another of that generation.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from ipaddress import ip_network

from msgspec.structs import replace

from ...interfaces.store import Store
from ...model.capacity import SubnetView
from ...model.network import REGION_ENDPOINT_ADDRESS, PublicPool, VpcDns, VpcPlan
from ...model.quotas import RULES_PER_SECURITY_GROUP, SECURITY_GROUPS_PER_REGION, DefaultQuotas, Quota, QuotaValues
from ...vpc.addresses import AddressRange, private_domain, public_domain
from ...world import World
from ..regional.shelves import Change, Kept, OnShelves, Shelf, Shelves
from . import schema
from .errors.common import VpcNotFound
from .filters import groups as group_changes
from .plans.planning import PlannedGroups, vpc_plan
from .pools import operator as operator_pools
from .pools import public as public_pool
from .records import objects
from .records.objects import Subnet, Tags, Vpc
from .records.security_groups import (
    Revocation,
    RuleSpec,
    SecurityGroupView,
    StoredRule,
    revoked_by_id,
    revoked_by_meaning,
)
from .vpcs.cidr_reservations import subnet_view
from .vpcs.defaults import missing_parts

MIGRATIONS = schema.MIGRATIONS
KINDS: tuple[type[Kept], ...] = (
    objects.Vpc,
    objects.Subnet,
    objects.CidrReservation,
    SecurityGroupView,
    objects.RouteTable,
    objects.InternetGateway,
    objects.EgressOnlyGateway,
    objects.VpnGateway,
    objects.CustomerGateway,
    objects.NatGateway,
    objects.ElasticAddress,
    objects.NetworkAcl,
    objects.PrefixList,
    objects.DhcpOptions,
    objects.Peering,
    objects.VpcEndpoint,
    objects.FlowLog,
    objects.NetworkInterface,
    public_pool.GivenAddress,
    public_pool.Renounced,
    public_pool.PoolCursor,
    operator_pools.OperatorPool,
)


async def open_network(
    world: World,
    store: Store,
    *,
    region: str,
    account: str,
    zones: Sequence[tuple[str, str]],
    quotas: QuotaValues | None = None,
    public_pool: str = "",
    pool_shares: int = 1,
    kinds: Sequence[type[Kept]] = (),
) -> "NetworkRegistry":
    """The registry over the region's shard. `zones` are (name, id); the account gets its default VPC on first start.

    `pool_shares`: how many zones' shards share the public pool. `kinds`: further ones, of what stands in VPCs.
    """
    registry = NetworkRegistry(
        world,
        store,
        region=region,
        zones=zones,
        quotas=quotas,
        public_pool=public_pool,
        pool_shares=pool_shares,
        kinds=kinds,
    )
    await registry.load()
    await registry.ensure_defaults(account)
    return registry


class NetworkRegistry(OnShelves):
    """Implements interfaces.roles.VpcPlans; reads are from memory and never wait."""

    def __init__(
        self,
        world: World,
        store: Store,
        *,
        region: str,
        zones: Sequence[tuple[str, str]],
        quotas: QuotaValues | None = None,
        public_pool: str = "",
        pool_shares: int = 1,
        kinds: Sequence[type[Kept]] = (),
    ) -> None:
        self.region = region
        self.zones = tuple(zones)
        self.public_pool = public_pool
        self.pool_shares = pool_shares
        self.bits = world.random.getrandbits
        self.ipv6_turn = asyncio.Lock()  # pools/ipv6.py
        self._quotas: QuotaValues = quotas or DefaultQuotas()
        self._planned_groups = PlannedGroups()
        self._default_groups: dict[tuple[str, str], str] = {}  # (account, VPC) -> group; filled when asked
        self._plans: dict[str, VpcPlan] = {}
        self._feeds: list[_Feed] = []
        self._listeners: list[Callable[[], None]] = []
        self._pool_listeners: list[Callable[[Sequence[str]], None]] = []
        super().__init__(Shelves(world, store, schema.TABLE, (*KINDS, *kinds), self._changed))

    async def load(self) -> None:
        await super().load()
        # What was planned on the way here did not know how often the pools had changed, and hosts did.
        self._plans.clear()
        for account in self.accounts():
            self._replan(self.shelf(account))

    async def ensure_defaults(self, account: str) -> None:
        """The default VPC on an account's first day, and what an earlier release did not make; else nothing."""

        def decide(shelf: Shelf) -> Change[None]:
            return Change(result=None, put=missing_parts(shelf, self.region, self.zones, self.bits))

        await self.change(account, decide)

    # -- reads

    def accounts(self) -> list[str]:
        return [account for account in self._shelves.accounts() if account != public_pool.POOL]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Called after each change of any account, when it is durable."""
        self._listeners.append(listener)

    def on_pools(self, listener: Callable[[Sequence[str]], None]) -> None:
        """Called now and whenever it changes with the operator's pools that new public addresses come from."""
        self._pool_listeners.append(listener)
        listener(operator_pools.giving(self.shelf(public_pool.POOL)))

    def elastic_ranges(self, pool: Shelf | None = None) -> tuple[AddressRange, ...]:
        """Where elastic addresses come from; of the shelf as a decision sees it, or as it is."""
        shelf = self.shelf(public_pool.POOL) if pool is None else pool
        return operator_pools.elastic(shelf, self.public_pool, self.pool_shares)

    def public_networks(self) -> tuple[str, ...]:
        """Of IPv4: the block that the region chose, and the operator's pools."""
        return tuple(filter(None, (self.public_pool, *operator_pools.public_cidrs(self._pools()))))

    def quota(self, account: str, quota: Quota) -> float:
        return self._quotas.value(account, quota) or 0

    def vpcs(self, account: str) -> list[Vpc]:
        return list(self.shelf(account).all(Vpc))

    def default_vpc(self, account: str) -> Vpc | None:
        return next((vpc for vpc in self.shelf(account).all(Vpc) if vpc.is_default), None)

    def subnets(self, account: str) -> list[Subnet]:
        """By zone, and there by their networks."""
        return sorted(self.shelf(account).all(Subnet), key=lambda one: (one.zone, ip_network(one.cidr)))

    def subnet(self, account: str, subnet_id: str) -> SubnetView | None:
        shelf = self.shelf(account)
        found = shelf.find(Subnet, subnet_id)
        return subnet_view(shelf, found) if found is not None else None

    def security_groups(self, account: str) -> list[SecurityGroupView]:
        return list(self.shelf(account).all(SecurityGroupView))

    def security_group(self, account: str, group_id: str) -> SecurityGroupView | None:
        return self.shelf(account).find(SecurityGroupView, group_id)

    def security_group_named(self, account: str, vpc_id: str, name: str) -> SecurityGroupView | None:
        return group_changes.named_group(self.shelf(account), vpc_id, name)

    def default_security_group(self, account: str, vpc_id: str) -> str:
        """Its id. Raises VpcNotFound. Asked for by most launches, so it is looked for once: it cannot be deleted."""
        known = self._default_groups.get((account, vpc_id))
        if known is None:
            group = self.security_group_named(account, vpc_id, "default")
            if group is None:
                raise VpcNotFound([vpc_id])
            known = self._default_groups[account, vpc_id] = group.group_id
        return known

    # -- VpcPlans

    def plan(self, vpc_id: str) -> VpcPlan:
        """What hosts must know of the VPC now. Raises KeyError for one that does not exist."""
        return self._plans[vpc_id]

    def changes(self) -> AsyncIterator[str]:
        """VPC ids whose plan got a new generation after this call, or ended; several changes may be told as one."""
        feed = _Feed(self._feeds)
        self._feeds.append(feed)
        return feed

    def _dns(self, vpc: Vpc) -> VpcDns:
        return VpcDns(
            domain=private_domain(self.region),
            support=vpc.dns_support,
            hostnames=vpc.dns_hostnames,
            public_domain=public_domain(self.region),
            pools=self.public_networks(),
            endpoints=(("neargate.internal", REGION_ENDPOINT_ADDRESS),),
        )

    def _changed(self, shelf: Shelf, put: Sequence[Kept], drop: Sequence[Kept]) -> None:
        """Called with each change before anybody reads it: those plans that became others are told."""
        for record in drop:
            self._planned_groups.forget(record.name)
            if isinstance(record, Vpc):
                self._plans.pop(record.name, None)
                self._default_groups.clear()
                for feed in self._feeds:
                    feed.tell(record.name)
        self._replan(shelf)
        if operator_pools.changes_pools((put, drop)):
            for account in self.accounts():
                self._replan(self.shelf(account))
            for tell in self._pool_listeners:
                tell(operator_pools.giving(shelf))
        for listener in self._listeners:
            listener()

    def _pools(self) -> tuple[PublicPool, ...]:
        return operator_pools.planned(self.shelf(public_pool.POOL))

    def _replan(self, shelf: Shelf) -> None:
        """Of the account, and of all accounts together, a plan says something: both generations only grow."""
        generation, pools = shelf.generation + self.shelf(public_pool.POOL).generation, self._pools()
        for vpc in shelf.all(Vpc):
            before = self._plans.get(vpc.vpc_id)
            dns, groups = self._dns(vpc), self._planned_groups
            made = vpc_plan(shelf, vpc, generation=generation, dns=dns, groups=groups, pools=pools)
            # One that says the same keeps its generation.
            if before is None or replace(made, generation=before.generation) != before:
                self._plans[vpc.vpc_id] = made
                for feed in self._feeds:
                    feed.tell(vpc.vpc_id)

    # -- security groups

    async def create_group(
        self, account: str, vpc_id: str, name: str, description: str, tags: Tags = ()
    ) -> SecurityGroupView:
        """Raises VpcNotFound, GroupDuplicate, GroupLimitExceeded."""
        groups_max = self.quota(account, SECURITY_GROUPS_PER_REGION)
        return await self.change(
            account,
            lambda shelf: group_changes.create_group(shelf, vpc_id, name, description, tags, groups_max, self.bits),
        )

    async def delete_group(self, account: str, group_id: str, *, in_use: Callable[[Shelf], bool]) -> None:
        """`in_use`: something else has it. Raises GroupNotFound, CannotDelete, DependencyViolation."""
        await self.change(account, lambda shelf: group_changes.delete_group(shelf, group_id, in_use=in_use(shelf)))

    async def authorize(
        self, account: str, group_id: str, specs: Sequence[RuleSpec], tags: Tags = ()
    ) -> tuple[StoredRule, ...]:
        """The rules added. Raises GroupNotFound, PermissionDuplicate, RulesLimitExceeded."""
        rules_max = self.quota(account, RULES_PER_SECURITY_GROUP)
        return await self.change(
            account,
            lambda shelf: group_changes.authorize(shelf, group_id, specs, tags, rules_max, self.bits, self.region),
        )

    async def revoke(self, account: str, group_id: str, specs: Sequence[RuleSpec]) -> Revocation:
        """Take rules away by what they mean. Raises GroupNotFound, PermissionNotFound."""

        def choose(shelf: Shelf, group: SecurityGroupView) -> Revocation:
            vpc = shelf.find(Vpc, group.vpc_id)
            return revoked_by_meaning(group, specs, in_default_vpc=vpc is not None and vpc.is_default)

        return await self.change(account, lambda shelf: group_changes.revoke(shelf, group_id, partial(choose, shelf)))

    async def revoke_by_id(
        self, account: str, group_id: str, rule_ids: Sequence[str], *, is_egress: bool
    ) -> Revocation:
        """Raises GroupNotFound, SecurityGroupRuleNotFound."""
        choose = partial(revoked_by_id, rule_ids=rule_ids, is_egress=is_egress)
        return await self.change(account, lambda shelf: group_changes.revoke(shelf, group_id, choose))


class _Feed(AsyncIterator[str]):
    """One listener's unread VPC ids, each at most once: bounded by the number of VPCs. Ends with `aclose`."""

    def __init__(self, feeds: "list[_Feed]") -> None:
        self._feeds = feeds
        self._unread: dict[str, None] = {}
        self._some = asyncio.Event()

    def tell(self, vpc_id: str) -> None:
        self._unread[vpc_id] = None
        self._some.set()

    async def __anext__(self) -> str:
        while not self._unread:
            self._some.clear()
            await self._some.wait()
        vpc_id = next(iter(self._unread))
        del self._unread[vpc_id]
        return vpc_id

    async def aclose(self) -> None:
        if self in self._feeds:
            self._feeds.remove(self)
