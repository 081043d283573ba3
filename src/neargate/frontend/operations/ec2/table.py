"""EC2's operations that Neargate has. Literal; the rest answers InvalidAction."""

from ...services import Operation
from .account import OPERATIONS as ACCOUNT
from .availability_zones import describe_availability_zones
from .customer_gateways import OPERATIONS as CUSTOMER_GATEWAYS
from .dhcp_options import OPERATIONS as DHCP_OPTIONS
from .elastic_addresses import OPERATIONS as ELASTIC_ADDRESSES
from .flow_logs import OPERATIONS as FLOW_LOGS
from .internet_gateways import OPERATIONS as INTERNET_GATEWAYS
from .ipv6_pools import OPERATIONS as IPV6_POOLS
from .nat_gateways import OPERATIONS as NAT_GATEWAYS
from .network_acl_entries import OPERATIONS as NETWORK_ACL_ENTRIES
from .network_acls import OPERATIONS as NETWORK_ACLS
from .network_interface_changes import OPERATIONS as NETWORK_INTERFACE_CHANGES
from .network_interface_creation import OPERATIONS as NETWORK_INTERFACE_CREATION
from .network_interfaces import describe_network_interfaces
from .prefix_list_entries import OPERATIONS as PREFIX_LIST_ENTRIES
from .prefix_lists import OPERATIONS as PREFIX_LISTS
from .route_tables import OPERATIONS as ROUTE_TABLES
from .routes import OPERATIONS as ROUTES
from .security_group_changes import OPERATIONS as GROUP_CHANGES
from .security_group_rules import (
    authorize_security_group_egress,
    authorize_security_group_ingress,
    describe_security_group_rules,
    revoke_security_group_egress,
    revoke_security_group_ingress,
)
from .security_group_uses import OPERATIONS as GROUP_USES
from .security_groups import create_security_group, delete_security_group, describe_security_groups
from .subnet_attributes import OPERATIONS as SUBNET_ATTRIBUTES
from .subnet_cidr_reservations import OPERATIONS as SUBNET_CIDR_RESERVATIONS
from .subnets import OPERATIONS as SUBNETS
from .tagging import OPERATIONS as TAGGING
from .vpc_attributes import OPERATIONS as VPC_ATTRIBUTES
from .vpc_endpoint_services import OPERATIONS as VPC_ENDPOINT_SERVICES
from .vpc_endpoints import OPERATIONS as VPC_ENDPOINTS
from .vpc_peering import OPERATIONS as VPC_PEERING
from .vpcs import OPERATIONS as VPCS
from .vpn_connections import OPERATIONS as VPN_CONNECTIONS
from .vpn_gateways import OPERATIONS as VPN_GATEWAYS

OPERATIONS: dict[str, Operation] = {
    "AuthorizeSecurityGroupEgress": authorize_security_group_egress,
    "AuthorizeSecurityGroupIngress": authorize_security_group_ingress,
    "CreateSecurityGroup": create_security_group,
    "DeleteSecurityGroup": delete_security_group,
    "DescribeAvailabilityZones": describe_availability_zones,
    "DescribeNetworkInterfaces": describe_network_interfaces,
    "DescribeSecurityGroupRules": describe_security_group_rules,
    "DescribeSecurityGroups": describe_security_groups,
    "RevokeSecurityGroupEgress": revoke_security_group_egress,
    "RevokeSecurityGroupIngress": revoke_security_group_ingress,
    **TAGGING,
    **ELASTIC_ADDRESSES,
    **NAT_GATEWAYS,
    **NETWORK_INTERFACE_CHANGES,
    **NETWORK_INTERFACE_CREATION,
    **GROUP_CHANGES,
    **GROUP_USES,
    **PREFIX_LISTS,
    **PREFIX_LIST_ENTRIES,
    **NETWORK_ACL_ENTRIES,
    **NETWORK_ACLS,
    **INTERNET_GATEWAYS,
    **ROUTE_TABLES,
    **ROUTES,
    **VPCS,
    **VPC_ATTRIBUTES,
    **IPV6_POOLS,
    **SUBNETS,
    **SUBNET_ATTRIBUTES,
    **SUBNET_CIDR_RESERVATIONS,
    **DHCP_OPTIONS,
    **ACCOUNT,
    **VPC_ENDPOINTS,
    **VPC_PEERING,
    **VPC_ENDPOINT_SERVICES,
    **FLOW_LOGS,
    **VPN_GATEWAYS,
    **CUSTOMER_GATEWAYS,
    **VPN_CONNECTIONS,
}
