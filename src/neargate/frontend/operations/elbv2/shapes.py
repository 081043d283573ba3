"""Load balancers and target groups in the shapes of ELBv2's answers."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...balancing.health_checks import HTTP_PROTOCOLS, TRAFFIC_PORT
from ...balancing.hosted_zones import hosted_zone
from ...balancing.objects import ACTIVE, ACTIVE_IMPAIRED, LoadBalancer, Node, TargetGroup
from ...network.nodes import balancer_nodes as nodes
from ...network.records.objects import Tags

UNTOLD = "Its last changes have not reached its nodes: they cannot be told of them. The operator's log says why."


def balancer_shown(balancer: LoadBalancer, region: str, *, is_told: bool = True) -> dict[str, Any]:
    """`is_told`: whether its nodes know its last changes."""
    state = {"Code": balancer.state, "Reason": balancer.reason or None}
    if not is_told:
        state = {"Code": ACTIVE_IMPAIRED if balancer.state == ACTIVE else balancer.state, "Reason": UNTOLD}
    shown: dict[str, Any] = {
        "LoadBalancerArn": balancer.arn,
        "DNSName": balancer.dns_name,
        "CanonicalHostedZoneId": hosted_zone(region, balancer.lb_type),
        "CreatedTime": balancer.created_at,
        "LoadBalancerName": balancer.label,
        "Scheme": balancer.scheme,
        "VpcId": balancer.vpc_id,
        "State": {name: value for name, value in state.items() if value is not None},
        "Type": balancer.lb_type,
        "AvailabilityZones": zones_shown(balancer),
        "IpAddressType": balancer.address_type,
        "EnablePrefixForIpv6SourceNat": "off",
    }
    if balancer.groups:
        shown["SecurityGroups"] = list(balancer.groups)
        if balancer.lb_type == "network":
            shown["EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic"] = "on"
    return shown


def zones_shown(balancer: LoadBalancer) -> list[dict[str, Any]]:
    return [
        {
            "ZoneName": one.zone,
            "SubnetId": one.subnet_id,
            "LoadBalancerAddresses": _addresses(balancer, one) if balancer.lb_type == "network" else [],
        }
        for one in nodes.standing(balancer)
    ]


def _addresses(balancer: LoadBalancer, node: Node) -> list[dict[str, Any]]:
    """Those that the caller chose, as AWS tells them alone."""
    if node.allocation_id is not None:
        return [{"IpAddress": node.public_ip or "", "AllocationId": node.allocation_id}]
    if balancer.scheme == "internal" and node.wanted_private_ip is not None:
        return [{"PrivateIPv4Address": node.wanted_private_ip}]
    return []


def group_shown(group: TargetGroup, balancers: Sequence[str] | None) -> dict[str, Any]:
    """`balancers`: ARNs of those that lead to it, None where AWS does not tell them."""
    check = group.check
    shown: dict[str, Any] = {
        "TargetGroupArn": group.arn,
        "TargetGroupName": group.label,
        "Protocol": group.protocol,
        "Port": group.port,
        "VpcId": group.vpc_id,
        "HealthCheckProtocol": check.protocol,
        "HealthCheckPort": TRAFFIC_PORT if check.port is None else str(check.port),
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": int(check.interval_s),
        "HealthCheckTimeoutSeconds": int(check.timeout_s),
        "HealthyThresholdCount": check.healthy,
        "UnhealthyThresholdCount": check.unhealthy,
        "TargetType": "ip",
        "IpAddressType": group.address_type,
    }
    if balancers is not None:
        shown["LoadBalancerArns"] = list(balancers)
    if check.protocol in HTTP_PROTOCOLS:
        shown["HealthCheckPath"] = check.path
        shown["Matcher"] = {"GrpcCode" if group.version == "GRPC" else "HttpCode": group.matcher}
    if group.version:
        shown["ProtocolVersion"] = group.version
    return shown


def attributes_shown(attributes: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(attributes.items())]


def tags_shown(tags: Tags) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags]
