"""The region's VPC objects: default VPC, subnets, security groups. Durable in the region's shard, read from memory.

Owns the read model and every change of it; must not know zones' interfaces or hosts. Invariants: one change at a time,
decided on what the database holds, applied to memory in commit order; a VPC's plan of a generation never differs from
another plan of the same generation.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from ...interfaces.store import Statement, Store
from ...model import ids
from ...model.capacity import SubnetView
from ...model.network import VpcPlan
from ...model.quotas import RULES_PER_SECURITY_GROUP, SECURITY_GROUPS_PER_REGION, DefaultQuotas, QuotaValues
from ...world import World
from . import network_schema as schema
from .ec2_errors import GroupDuplicate, GroupLimitExceeded, GroupNotFound, VpcNotFound
from .network_views import (
    SubnetRecord,
    VpcView,
    allow_all_egress,
    default_group,
    default_vpc,
    missing_default_subnets,
)
from .security_groups import (
    Revocation,
    RuleSpec,
    SecurityGroupView,
    StoredRule,
    Tags,
    added_rules,
    check_deletable,
    plan_group,
    replace_rules,
    revoked_by_id,
    revoked_by_meaning,
)
from .turn import Turn

MIGRATIONS = schema.MIGRATIONS

T = TypeVar("T")


class _Change(Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision wants written, what it then means to the read model, and what its caller hears."""

    statements: list[Statement]
    result: T
    vpc_id: str
    put: tuple[SecurityGroupView, ...] = ()
    drop: str | None = None


async def open_network(
    world: World,
    store: Store,
    *,
    region: str,
    account: str,
    zones: Sequence[tuple[str, str]],
    quotas: QuotaValues | None = None,
) -> "NetworkRegistry":
    """The registry over the region's shard. `zones` are (name, id); the account gets its default VPC on first start."""
    registry = NetworkRegistry(world, store, region=region, quotas=quotas)
    await registry.reload()
    await registry.ensure_defaults(account, zones)
    return registry


class NetworkRegistry:
    """Implements interfaces.roles.VpcPlans; reads are from memory and never wait."""

    def __init__(self, world: World, store: Store, *, region: str, quotas: QuotaValues | None = None) -> None:
        self.region = region
        self._quotas: QuotaValues = quotas or DefaultQuotas()
        self._world = world
        self._store = store
        self._vpcs: dict[str, VpcView] = {}
        self._subnets: dict[str, SubnetRecord] = {}
        self._groups: dict[str, SecurityGroupView] = {}
        self._default_groups: dict[tuple[str, str], str] = {}  # (account, VPC) -> group; filled when asked
        self._plans: dict[str, VpcPlan] = {}
        self._turn = Turn(world, "network")
        self._feeds: list[_Feed] = []

    async def reload(self) -> None:
        self._vpcs = await schema.read_vpcs(self._store)
        self._subnets = await schema.read_subnets(self._store)
        self._groups = await schema.read_groups(self._store)
        self._plans.clear()

    async def ensure_defaults(self, account: str, zones: Sequence[tuple[str, str]]) -> None:
        """The default VPC and group if there are none; a default subnet for each zone that has none."""
        async with self._turn:
            await self._ensure_defaults(account, zones)

    async def _ensure_defaults(self, account: str, zones: Sequence[tuple[str, str]]) -> None:
        bits = self._world.random.getrandbits
        statements: list[Statement] = []
        vpc = self.default_vpc(account)
        if vpc is None:
            vpc = default_vpc(account, bits)
            statements += [schema.insert_vpc(vpc), *schema.insert_group(default_group(vpc, bits))]
        have = [record for record in self._subnets.values() if record.view.vpc_id == vpc.vpc_id]
        statements += [schema.insert_subnet(record) for record in missing_default_subnets(vpc, have, zones, bits)]
        if statements:
            await self._store.write(statements)
            await self.reload()

    # -- reads

    def vpcs(self, account: str) -> list[VpcView]:
        return [vpc for vpc in self._vpcs.values() if vpc.account == account]

    def default_vpc(self, account: str) -> VpcView | None:
        return next((vpc for vpc in self.vpcs(account) if vpc.is_default), None)

    def subnets(self, account: str) -> list[SubnetRecord]:
        return [record for record in self._subnets.values() if record.account == account]

    def subnet(self, account: str, subnet_id: str) -> SubnetView | None:
        record = self._subnets.get(subnet_id)
        return record.view if record is not None and record.account == account else None

    def security_groups(self, account: str) -> list[SecurityGroupView]:
        return [group for group in self._groups.values() if group.account == account]

    def security_group(self, account: str, group_id: str) -> SecurityGroupView | None:
        group = self._groups.get(group_id)
        return group if group is not None and group.account == account else None

    def security_group_named(self, account: str, vpc_id: str, name: str) -> SecurityGroupView | None:
        return next(
            (group for group in self.security_groups(account) if group.vpc_id == vpc_id and group.group_name == name),
            None,
        )

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
        plan = self._plans.get(vpc_id)
        if plan is None:
            vpc = self._vpcs[vpc_id]
            groups = tuple(plan_group(group) for group in self._groups.values() if group.vpc_id == vpc_id)
            plan = VpcPlan(vpc_id=vpc_id, generation=vpc.generation, cidrs=(vpc.cidr,), groups=groups)
            self._plans[vpc_id] = plan
        return plan

    def changes(self) -> AsyncIterator[str]:
        """VPC ids whose plan got a new generation after this call; several changes may be told as one."""
        feed = _Feed(self._feeds)
        self._feeds.append(feed)
        return feed

    # -- changes

    async def create_group(
        self, account: str, vpc_id: str, name: str, description: str, tags: Tags = ()
    ) -> SecurityGroupView:
        """Raises VpcNotFound, GroupDuplicate, GroupLimitExceeded."""
        bits = self._world.random.getrandbits

        def decide() -> _Change[SecurityGroupView]:
            vpc = self._vpcs.get(vpc_id)
            if vpc is None or vpc.account != account:
                raise VpcNotFound([vpc_id])
            if self.security_group_named(account, vpc_id, name) is not None:
                raise GroupDuplicate(f"The security group '{name}' already exists for VPC '{vpc_id}'")
            groups_max = self._quotas.value(account, SECURITY_GROUPS_PER_REGION) or 0
            if sum(group.account == account for group in self._groups.values()) >= groups_max:
                raise GroupLimitExceeded("The maximum number of security groups for this VPC has been reached.")
            group = SecurityGroupView(
                group_id=ids.ec2_id("sg", bits),
                account=account,
                vpc_id=vpc_id,
                group_name=name,
                description=description,
                rules=(allow_all_egress(bits),),
                tags=tags,
            )
            return _Change(statements=schema.insert_group(group), result=group, vpc_id=vpc_id, put=(group,))

        return await self._change(decide)

    async def delete_group(self, account: str, group_id: str, *, in_use: bool) -> None:
        """`in_use`: an interface carries it. Raises GroupNotFound, CannotDelete, DependencyViolation."""

        def decide() -> _Change[None]:
            group = self._required(account, group_id)
            check_deletable(group, self._groups.values(), in_use=in_use)
            return _Change(statements=schema.delete_group(group), result=None, vpc_id=group.vpc_id, drop=group_id)

        await self._change(decide)

    async def authorize(
        self, account: str, group_id: str, specs: Sequence[RuleSpec], tags: Tags = ()
    ) -> tuple[StoredRule, ...]:
        """The rules added. Raises GroupNotFound, PermissionDuplicate, RulesLimitExceeded."""
        bits = self._world.random.getrandbits

        def decide() -> _Change[tuple[StoredRule, ...]]:
            group = self._required(account, group_id)
            for spec in specs:
                if spec.peer_group is not None and self._required(account, spec.peer_group).vpc_id != group.vpc_id:
                    raise GroupNotFound("You have specified two resources that belong to different networks.")
            rules_max = self._quotas.value(account, RULES_PER_SECURITY_GROUP) or 0
            changed = added_rules(group, specs, [ids.ec2_id("sgr", bits) for _ in specs], tags, rules_max)
            added = changed.rules[len(group.rules) :]
            statements = [schema.touch_group(group), *(schema.insert_rule(group_id, rule) for rule in added)]
            return _Change(statements=statements, result=added, vpc_id=group.vpc_id, put=(changed,))

        return await self._change(decide)

    async def revoke(self, account: str, group_id: str, specs: Sequence[RuleSpec]) -> Revocation:
        """Take rules away by what they mean. Raises GroupNotFound, PermissionNotFound."""
        return await self._revoke(
            account,
            group_id,
            lambda group: revoked_by_meaning(group, specs, in_default_vpc=self._vpcs[group.vpc_id].is_default),
        )

    async def revoke_by_id(
        self, account: str, group_id: str, rule_ids: Sequence[str], *, is_egress: bool
    ) -> Revocation:
        """Raises GroupNotFound, SecurityGroupRuleNotFound."""
        return await self._revoke(account, group_id, lambda group: revoked_by_id(group, rule_ids, is_egress=is_egress))

    async def _revoke(
        self, account: str, group_id: str, choose: Callable[[SecurityGroupView], Revocation]
    ) -> Revocation:
        def decide() -> _Change[Revocation]:
            group = self._required(account, group_id)
            revocation = choose(group)
            kept = tuple(rule for rule in group.rules if rule not in revocation.removed)
            statements = [schema.touch_group(group), *(schema.delete_rule(rule) for rule in revocation.removed)]
            return _Change(
                statements=statements if revocation.removed else [],
                result=revocation,
                vpc_id=group.vpc_id,
                put=(replace_rules(group, kept),),
            )

        return await self._change(decide)

    def _required(self, account: str, group_id: str) -> SecurityGroupView:
        group = self.security_group(account, group_id)
        if group is None:
            raise GroupNotFound.of_id(group_id)
        return group

    async def _change(self, decide: Callable[[], _Change[T]]) -> T:
        return await self._turn.change(lambda: self._attempt(decide), read_again=self.reload)

    async def _attempt(self, decide: Callable[[], _Change[T]]) -> T:
        change = decide()
        if change.statements:
            rows = await self._store.write([*change.statements, schema.bump_generation(change.vpc_id)])
            self._apply(change, generation=rows[-1][0][0])
        return change.result

    def _apply(self, change: _Change[Any], *, generation: int) -> None:
        for group in change.put:
            self._groups[group.group_id] = group
        if change.drop is not None:
            del self._groups[change.drop]
        vpc = self._vpcs[change.vpc_id]
        self._vpcs[change.vpc_id] = VpcView(
            vpc_id=vpc.vpc_id,
            account=vpc.account,
            cidr=vpc.cidr,
            is_default=vpc.is_default,
            dhcp_options_id=vpc.dhcp_options_id,
            generation=generation,
        )
        self._plans.pop(change.vpc_id, None)
        for feed in self._feeds:
            feed.tell(change.vpc_id)


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
