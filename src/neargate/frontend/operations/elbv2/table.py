"""The ELBv2 operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .account_limits import describe_account_limits
from .load_balancers import (
    create_load_balancer,
    delete_load_balancer,
    describe_load_balancer_attributes,
    describe_load_balancers,
    modify_load_balancer_attributes,
    set_ip_address_type,
    set_security_groups,
    set_subnets,
)
from .tags import add_tags, describe_tags, remove_tags
from .target_groups import (
    create_target_group,
    delete_target_group,
    describe_target_group_attributes,
    describe_target_groups,
    modify_target_group,
    modify_target_group_attributes,
)
from .targets import deregister_targets, describe_target_health, register_targets

OPERATIONS: dict[str, Operation] = {
    "AddTags": add_tags,
    "CreateLoadBalancer": create_load_balancer,
    "CreateTargetGroup": create_target_group,
    "DeleteLoadBalancer": delete_load_balancer,
    "DeleteTargetGroup": delete_target_group,
    "DeregisterTargets": deregister_targets,
    "DescribeAccountLimits": describe_account_limits,
    "DescribeLoadBalancerAttributes": describe_load_balancer_attributes,
    "DescribeLoadBalancers": describe_load_balancers,
    "DescribeTags": describe_tags,
    "DescribeTargetGroupAttributes": describe_target_group_attributes,
    "DescribeTargetGroups": describe_target_groups,
    "DescribeTargetHealth": describe_target_health,
    "ModifyLoadBalancerAttributes": modify_load_balancer_attributes,
    "ModifyTargetGroup": modify_target_group,
    "ModifyTargetGroupAttributes": modify_target_group_attributes,
    "RegisterTargets": register_targets,
    "RemoveTags": remove_tags,
    "SetIpAddressType": set_ip_address_type,
    "SetSecurityGroups": set_security_groups,
    "SetSubnets": set_subnets,
}
