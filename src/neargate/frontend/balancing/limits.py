"""How much of each thing there may be, as AWS counts it: what holds for an account, and what one message to a host has
room for whatever the operator sets. Pure; what the operator has set is asked for.

The sources are AWS's own: "Quotas for your Application Load Balancers", the same for Network Load Balancers, and
DescribeAccountLimits, whose names are here.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from ...model import quotas
from ...model.quotas import DefaultQuotas, Quota

TAGS_MAX = 50
GROUPS_MAX = 5  # security groups of a load balancer's interface
CONDITION_VALUES_PER_RULE = 5
CONDITION_WILDCARDS_PER_RULE = 6

# Of one load balancer, for its plan is one message: the most that a quota can be set to, and bytes of what is long.
PLANNED_TARGETS_MAX = 10_000  # a host ends the session of a server that tells it of twice as many
PLANNED_GROUPS_MAX = 500
PLANNED_LISTENERS_MAX = 200
PLANNED_RULES_MAX = 2000
RULES_MAX_BYTES = 512 * 1024  # conditions and actions, those of listeners too
CERTIFICATES_MAX_BYTES = 1024 * 1024  # with chains and keys, once for each listener that shows them
KEY_BYTES = 4096  # at most, as PEM

# What there is none of is not told of: gateway load balancers, GENEVE, trust stores.
_TOLD: Mapping[str, Quota] = {
    "application-load-balancers": quotas.APPLICATION_LOAD_BALANCERS,
    "certificates-per-application-load-balancer": quotas.CERTIFICATES_PER_APPLICATION_BALANCER,
    "certificates-per-network-load-balancer": quotas.CERTIFICATES_PER_NETWORK_BALANCER,
    "listeners-per-application-load-balancer": quotas.LISTENERS_PER_APPLICATION_BALANCER,
    "listeners-per-network-load-balancer": quotas.LISTENERS_PER_NETWORK_BALANCER,
    "network-load-balancers": quotas.NETWORK_LOAD_BALANCERS,
    "rules-per-application-load-balancer": quotas.RULES_PER_APPLICATION_BALANCER,
    "target-groups": quotas.TARGET_GROUPS,
    "target-groups-per-action-on-application-load-balancer": quotas.GROUPS_PER_ACTION,
    "target-groups-per-application-load-balancer": quotas.GROUPS_PER_APPLICATION_BALANCER,
    "targets-per-application-load-balancer": quotas.TARGETS_PER_APPLICATION_BALANCER,
    "targets-per-availability-zone-per-network-load-balancer": quotas.TARGETS_PER_ZONE_OF_NETWORK_BALANCER,
    "targets-per-network-load-balancer": quotas.TARGETS_PER_NETWORK_BALANCER,
    "targets-per-target-group": quotas.TARGETS_PER_GROUP,
}
_FIXED: Mapping[str, int] = {
    "condition-values-per-alb-rule": CONDITION_VALUES_PER_RULE,
    "condition-wildcards-per-alb-rule": CONDITION_WILDCARDS_PER_RULE,
    "target-groups-per-action-on-network-load-balancer": 1,
}
_MOST: Mapping[Quota, int] = {
    quotas.LISTENERS_PER_APPLICATION_BALANCER: PLANNED_LISTENERS_MAX,
    quotas.LISTENERS_PER_NETWORK_BALANCER: PLANNED_LISTENERS_MAX,
    quotas.RULES_PER_APPLICATION_BALANCER: PLANNED_RULES_MAX,
    quotas.GROUPS_PER_ACTION: PLANNED_GROUPS_MAX,
    quotas.GROUPS_PER_APPLICATION_BALANCER: PLANNED_GROUPS_MAX,
    quotas.TARGETS_PER_APPLICATION_BALANCER: PLANNED_TARGETS_MAX,
    quotas.TARGETS_PER_ZONE_OF_NETWORK_BALANCER: PLANNED_TARGETS_MAX,
    quotas.TARGETS_PER_NETWORK_BALANCER: PLANNED_TARGETS_MAX,
    quotas.TARGETS_PER_GROUP: PLANNED_TARGETS_MAX,
}
Asked = Callable[[Quota], float]


class OfBalancer(Struct, frozen=True, kw_only=True):
    """Of each load balancer of one type. `targets_per_zone` None: they are not counted by zones."""

    listeners: int
    certificates: int
    groups: int
    targets: int
    targets_per_zone: int | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """What holds for one account."""

    application: OfBalancer
    network: OfBalancer
    rules: int
    groups_per_action: int
    targets_per_group: int

    def of(self, lb_type: str) -> OfBalancer:
        return self.network if lb_type == "network" else self.application


def limits(asked: Asked) -> Limits:
    """`asked`: what a quota is for the account."""

    def value(quota: Quota) -> int:
        return _value(asked, quota)

    return Limits(
        application=OfBalancer(
            listeners=value(quotas.LISTENERS_PER_APPLICATION_BALANCER),
            certificates=value(quotas.CERTIFICATES_PER_APPLICATION_BALANCER),
            groups=value(quotas.GROUPS_PER_APPLICATION_BALANCER),
            targets=value(quotas.TARGETS_PER_APPLICATION_BALANCER),
        ),
        network=OfBalancer(
            listeners=value(quotas.LISTENERS_PER_NETWORK_BALANCER),
            certificates=value(quotas.CERTIFICATES_PER_NETWORK_BALANCER),
            groups=PLANNED_GROUPS_MAX,  # each listener leads to one
            targets=value(quotas.TARGETS_PER_NETWORK_BALANCER),
            targets_per_zone=value(quotas.TARGETS_PER_ZONE_OF_NETWORK_BALANCER),
        ),
        rules=value(quotas.RULES_PER_APPLICATION_BALANCER),
        groups_per_action=value(quotas.GROUPS_PER_ACTION),
        targets_per_group=value(quotas.TARGETS_PER_GROUP),
    )


def told(asked: Asked) -> dict[str, int]:
    """What DescribeAccountLimits says, by AWS's names."""
    return {**_FIXED, **{name: _value(asked, quota) for name, quota in _TOLD.items()}}


def _value(asked: Asked, quota: Quota) -> int:
    return int(min(asked(quota), _MOST.get(quota, asked(quota))))


AWS_LIMITS = limits(lambda quota: DefaultQuotas().value("", quota) or 0)  # for a decision that stands alone
