"""EC2's operations that Neargate has. Literal; the rest answers InvalidAction."""

from ...services import Operation
from .availability_zones import describe_availability_zones
from .internet_gateways import OPERATIONS as INTERNET_GATEWAYS
from .network_interfaces import describe_network_interfaces
from .route_tables import OPERATIONS as ROUTE_TABLES
from .routes import OPERATIONS as ROUTES
from .security_group_rules import (
    authorize_security_group_egress,
    authorize_security_group_ingress,
    describe_security_group_rules,
    revoke_security_group_egress,
    revoke_security_group_ingress,
)
from .security_groups import create_security_group, delete_security_group, describe_security_groups
from .subnets import describe_subnets
from .tagging import OPERATIONS as TAGGING
from .vpcs import describe_vpcs

OPERATIONS: dict[str, Operation] = {
    "AuthorizeSecurityGroupEgress": authorize_security_group_egress,
    "AuthorizeSecurityGroupIngress": authorize_security_group_ingress,
    "CreateSecurityGroup": create_security_group,
    "DeleteSecurityGroup": delete_security_group,
    "DescribeAvailabilityZones": describe_availability_zones,
    "DescribeNetworkInterfaces": describe_network_interfaces,
    "DescribeSecurityGroupRules": describe_security_group_rules,
    "DescribeSecurityGroups": describe_security_groups,
    "DescribeSubnets": describe_subnets,
    "DescribeVpcs": describe_vpcs,
    "RevokeSecurityGroupEgress": revoke_security_group_egress,
    "RevokeSecurityGroupIngress": revoke_security_group_ingress,
    **TAGGING,
    **INTERNET_GATEWAYS,
    **ROUTE_TABLES,
    **ROUTES,
}
