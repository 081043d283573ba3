"""Which target groups a load balancer's actions may lead to. Pure: a shelf in.

Invariant: a target group belongs to one load balancer, of its own VPC, whose listeners speak what it speaks.
"""

from collections.abc import Sequence

from ...model.balancing import NETWORK_LB
from ..regional.shelves import Shelf
from . import lookup
from .actions import FORWARD
from .errors import InvalidConfigurationRequest
from .limits import AWS_LIMITS, Limits
from .listener_errors import IncompatibleProtocols, InvalidAction, TargetGroupAssociationLimit
from .objects import Action, LoadBalancer, TargetGroup
from .room import check_groups

# What a target group may speak, by what its listener speaks.
SPOKEN = {
    "HTTP": ("HTTP", "HTTPS"),
    "HTTPS": ("HTTP", "HTTPS"),
    "TCP": ("TCP",),
    "TLS": ("TCP", "TLS"),
}


def check_actions(
    shelf: Shelf,
    balancer: LoadBalancer,
    protocol: str,
    actions: Sequence[Action],
    limits: Limits = AWS_LIMITS,
    beside: str = "",
) -> None:
    """For a listener of `protocol`. `beside`: the name of the listener or rule whose actions become these. Raises what
    a target group, or a kind of action, cannot be used for, and TooManyUniqueTargetGroups, TooManyTargets.
    """
    if any(len(one.groups) > limits.groups_per_action for one in actions):
        raise InvalidAction(f"A forward action can have up to '{limits.groups_per_action}' target groups")
    if balancer.lb_type == NETWORK_LB:
        _check_network_actions(actions)
    groups = [lookup.required_group(shelf, arn) for arn in dict.fromkeys(lookup.groups_in(actions))]
    for group in groups:
        check_group(group, balancer, protocol)
    check_free(shelf, balancer.arn, [group.arn for group in groups])
    led_to = lookup.groups_of(shelf, balancer.arn)
    if any(group.arn not in led_to for group in groups):  # a limit that was lowered takes nothing away
        check_groups(shelf, balancer, groups, limits, beside)


def _check_network_actions(actions: Sequence[Action]) -> None:
    for action in actions:
        if action.kind != FORWARD:
            raise InvalidAction(f"Actions of type '{action.kind}' are not supported for network load balancers")
        if len(action.groups) > 1 or action.sticky:
            raise InvalidAction("A listener of a Neargate network load balancer forwards to one target group")


def check_group(group: TargetGroup, balancer: LoadBalancer, protocol: str) -> None:
    """Raises InvalidConfigurationRequest, IncompatibleProtocols."""
    if group.vpc_id != balancer.vpc_id:
        raise InvalidConfigurationRequest(
            f"The target group '{group.arn}' is not in the same VPC as the load balancer '{balancer.arn}'"
        )
    if group.protocol not in SPOKEN[protocol]:
        raise IncompatibleProtocols(group.arn, group.protocol, protocol)
    if group.version == "GRPC" and protocol != "HTTPS":
        raise InvalidConfigurationRequest(
            f"Listener protocol '{protocol}' is not supported with a target group with the protocol-version 'GRPC'"
        )


def check_free(shelf: Shelf, balancer: str, groups: Sequence[str]) -> None:
    """Raises TargetGroupAssociationLimit."""
    users = lookup.users(shelf)
    taken = [arn for arn in groups if any(user != balancer for user in users.get(arn, ()))]
    if taken:
        raise TargetGroupAssociationLimit(taken)
