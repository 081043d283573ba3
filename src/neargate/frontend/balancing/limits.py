"""How much of each thing there may be, as AWS counts it: what DescribeAccountLimits tells. Data alone.

Those that the region's quotas hold are asked of these.
"""

from collections.abc import Mapping

TAGS_MAX = 50
GROUPS_MAX = 5  # security groups of a load balancer's interface
TARGETS_PER_GROUP = 1000
LISTENERS_PER_BALANCER = 50
RULES_PER_BALANCER = 100
CERTIFICATES_PER_BALANCER = 25
GROUPS_PER_ACTION = 5
CONDITION_VALUES_PER_RULE = 5
CONDITION_WILDCARDS_PER_RULE = 6

# What there is none of is not told of: gateway load balancers, GENEVE, trust stores.
FIXED: Mapping[str, int] = {
    "certificates-per-application-load-balancer": CERTIFICATES_PER_BALANCER,
    "certificates-per-network-load-balancer": CERTIFICATES_PER_BALANCER,
    "condition-values-per-alb-rule": CONDITION_VALUES_PER_RULE,
    "condition-wildcards-per-alb-rule": CONDITION_WILDCARDS_PER_RULE,
    "listeners-per-application-load-balancer": LISTENERS_PER_BALANCER,
    "listeners-per-network-load-balancer": LISTENERS_PER_BALANCER,
    "rules-per-application-load-balancer": RULES_PER_BALANCER,
    "target-groups-per-action-on-application-load-balancer": GROUPS_PER_ACTION,
    "target-groups-per-action-on-network-load-balancer": 1,
    "targets-per-target-group": TARGETS_PER_GROUP,
}
