"""The ELBv2 operations there are. An operation that is not in this list answers that it is unknown."""

from ...services import Operation
from .account_limits import describe_account_limits
from .listener_parts import (
    add_listener_certificates,
    describe_listener_attributes,
    describe_listener_certificates,
    modify_listener_attributes,
    remove_listener_certificates,
)
from .listeners import (
    create_listener,
    delete_listener,
    describe_listeners,
    describe_ssl_policies,
    modify_listener,
)
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
from .rules import create_rule, delete_rule, describe_rules, modify_rule, set_rule_priorities
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
    "AddListenerCertificates": add_listener_certificates,
    "AddTags": add_tags,
    "CreateListener": create_listener,
    "CreateLoadBalancer": create_load_balancer,
    "CreateRule": create_rule,
    "CreateTargetGroup": create_target_group,
    "DeleteListener": delete_listener,
    "DeleteLoadBalancer": delete_load_balancer,
    "DeleteRule": delete_rule,
    "DeleteTargetGroup": delete_target_group,
    "DeregisterTargets": deregister_targets,
    "DescribeAccountLimits": describe_account_limits,
    "DescribeListenerAttributes": describe_listener_attributes,
    "DescribeListenerCertificates": describe_listener_certificates,
    "DescribeListeners": describe_listeners,
    "DescribeLoadBalancerAttributes": describe_load_balancer_attributes,
    "DescribeLoadBalancers": describe_load_balancers,
    "DescribeRules": describe_rules,
    "DescribeSSLPolicies": describe_ssl_policies,
    "DescribeTags": describe_tags,
    "DescribeTargetGroupAttributes": describe_target_group_attributes,
    "DescribeTargetGroups": describe_target_groups,
    "DescribeTargetHealth": describe_target_health,
    "ModifyListener": modify_listener,
    "ModifyListenerAttributes": modify_listener_attributes,
    "ModifyLoadBalancerAttributes": modify_load_balancer_attributes,
    "ModifyRule": modify_rule,
    "ModifyTargetGroup": modify_target_group,
    "ModifyTargetGroupAttributes": modify_target_group_attributes,
    "RegisterTargets": register_targets,
    "RemoveListenerCertificates": remove_listener_certificates,
    "RemoveTags": remove_tags,
    "SetIpAddressType": set_ip_address_type,
    "SetRulePriorities": set_rule_priorities,
    "SetSecurityGroups": set_security_groups,
    "SetSubnets": set_subnets,
}
