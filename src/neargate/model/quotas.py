"""How many of each thing an account may have: AWS's quotas with their codes, as data.

Owns names, codes and AWS's default values; must not know who has set another one. Rates of calls are data of the
front end (frontend/limits/api_buckets.py). Invariant: a quota's key is never reused, since values are stored by it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from msgspec import Struct


class QuotaMode(Enum):
    """What holds where nobody has set a value: AWS's own numbers, or what this machine can do."""

    AWS = "aws"
    MACHINE = "machine"


class Quota(Struct, frozen=True, kw_only=True):
    """`of_machine`: a share of AWS's fleet. On one's own machines the hosts' room is the limit until one is set."""

    service: str
    code: str
    name: str
    value: float
    description: str
    adjustable: bool = True
    of_machine: bool = False
    is_global: bool = False

    @property
    def key(self) -> str:
        return f"{self.service}/{self.code}"


class QuotaValues(Protocol):
    """What parts that count ask; answered from memory."""

    def value(self, account: str, quota: Quota) -> float | None:
        """None: no number was set and the room of the hosts decides."""


class DefaultQuotas:
    """AWS's values, for a part that stands alone."""

    def value(self, account: str, quota: Quota) -> float | None:
        del account
        return None if quota.of_machine else quota.value


SERVICE_NAMES: Mapping[str, str] = {
    "AWSCloudMap": "AWS Cloud Map",
    "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "ecs": "Amazon Elastic Container Service (Amazon ECS)",
    "elasticloadbalancing": "Elastic Load Balancing (ELB)",
    "fargate": "AWS Fargate",
    "iam": "AWS Identity and Access Management (IAM)",
    "logs": "Amazon CloudWatch Logs",
    "vpc": "Amazon Virtual Private Cloud (Amazon VPC)",
}

FARGATE_ON_DEMAND_VCPU = Quota(
    service="fargate",
    code="L-3032A538",
    name="Fargate On-Demand vCPU resource count",
    value=6,
    of_machine=True,
    description="The number of Fargate vCPUs that can run concurrently as Fargate On-Demand in this account.",
)
FARGATE_SPOT_VCPU = Quota(
    service="fargate",
    code="L-36FBB829",
    name="Fargate Spot vCPU resource count",
    value=6,
    of_machine=True,
    description="The number of Fargate vCPUs that can run concurrently as Fargate Spot in this account.",
)
CLUSTERS_PER_ACCOUNT = Quota(
    service="ecs",
    code="L-21C621EB",
    name="Clusters per account",
    value=10_000,
    description="Number of clusters per account",
)
SERVICES_PER_CLUSTER = Quota(
    service="ecs",
    code="L-9EF96962",
    name="Services per cluster",
    value=5000,
    description="Services per cluster",
)
TASKS_PER_SERVICE = Quota(
    service="ecs",
    code="L-92E49DE3",
    name="Tasks per service",
    value=5000,
    description="Tasks per service",
)
REVISIONS_PER_FAMILY = Quota(
    service="ecs",
    code="L-B9151B48",
    name="Revisions per task definition family",
    value=1_000_000,
    adjustable=False,
    description="The maximum number of revisions of one task definition family.",
)
SECURITY_GROUPS_PER_INTERFACE = Quota(
    service="vpc",
    code="L-2AFB9258",
    name="Security groups per network interface",
    value=5,
    description="The maximum number of security groups per network interface.",
)
RULES_PER_SECURITY_GROUP = Quota(
    service="vpc",
    code="L-0EA8095F",
    name="Inbound or outbound rules per security group",
    value=60,
    description="The maximum number of rules of one direction, counted apart for IPv4 and IPv6.",
)
SECURITY_GROUPS_PER_REGION = Quota(
    service="vpc",
    code="L-E79EC296",
    name="VPC security groups per Region",
    value=2500,
    description="The maximum number of VPC security groups per Region.",
)
ELASTIC_ADDRESSES_PER_REGION = Quota(
    service="ec2",
    code="L-0263D0A3",
    name="EC2-VPC Elastic IPs",
    value=5,
    description="The maximum number of Elastic IP addresses that you can allocate for EC2-VPC in this Region.",
)
NAT_GATEWAYS_PER_ZONE = Quota(
    service="vpc",
    code="L-FE5A380F",
    name="NAT gateways per Availability Zone",
    value=5,
    description="The maximum number of NAT gateways per Availability Zone, those being made or deleted included.",
)

NAMESPACES_PER_REGION = Quota(
    service="AWSCloudMap",
    code="L-0FE3F50E",
    name="Namespaces per Region",
    value=50,
    description="The maximum number of namespaces that you can create per Region.",
)
INSTANCES_PER_NAMESPACE = Quota(
    service="AWSCloudMap",
    code="L-D95E8A57",
    name="Instances per namespace",
    value=2000,
    description="The maximum number of service instances that you can register using the same namespace.",
)
INSTANCES_PER_SERVICE = Quota(
    service="AWSCloudMap",
    code="L-2DA90E5C",
    name="Instances per service",
    value=1000,
    adjustable=False,
    description="The maximum number of instances that you can register in a Region using the same service.",
)
ATTRIBUTES_PER_INSTANCE = Quota(
    service="AWSCloudMap",
    code="L-D589BB26",
    name="Custom attributes per instance",
    value=30,
    adjustable=False,
    description="The maximum number of custom attributes that you can specify when you register an instance.",
)
ROUTE_TABLES_PER_VPC = Quota(
    service="vpc",
    code="L-589F43AA",
    name="Route tables per VPC",
    value=200,
    description="The maximum number of route tables per VPC. The main route table counts.",
)
ROUTES_PER_TABLE = Quota(
    service="vpc",
    code="L-93826ACB",
    name="Routes per route table",
    value=50,
    description="The maximum number of routes of a table, counted apart for IPv4 and IPv6.",
)
INTERNET_GATEWAYS_PER_REGION = Quota(
    service="vpc",
    code="L-A4707A72",
    name="Internet gateways per Region",
    value=5,
    description="The maximum number of internet gateways per Region.",
)
EGRESS_ONLY_GATEWAYS_PER_REGION = Quota(
    service="vpc",
    code="L-45FE3B85",
    name="Egress-only internet gateways per Region",
    value=5,
    description="The maximum number of egress-only internet gateways per Region.",
)
PEERINGS_PER_VPC = Quota(
    service="vpc",
    code="L-7E9ECCDB",
    name="Active VPC peering connections per VPC",
    value=50,
    description="The maximum number of active VPC peering connections per VPC.",
)
PEERINGS_OUTSTANDING = Quota(
    service="vpc",
    code="L-DC9F7029",
    name="Outstanding VPC peering connection requests",
    value=25,
    description="The maximum number of requests for VPC peering connections that nobody has answered.",
)
GATEWAY_ENDPOINTS_PER_REGION = Quota(
    service="vpc",
    code="L-1B52E74A",
    name="Gateway VPC endpoints per Region",
    value=20,
    description="The maximum number of gateway VPC endpoints per Region.",
)

INTERFACE_ENDPOINTS_PER_VPC = Quota(
    service="vpc",
    code="L-29B6F2EB",
    name="Interface VPC endpoints per VPC",
    value=50,
    description="The maximum number of interface VPC endpoints per VPC.",
)

VPCS_PER_REGION = Quota(
    service="vpc",
    code="L-F678F1CE",
    name="VPCs per Region",
    value=5,
    description="The maximum number of VPCs per Region. The default VPC counts.",
)
SUBNETS_PER_VPC = Quota(
    service="vpc",
    code="L-407747CB",
    name="Subnets per VPC",
    value=200,
    description="The maximum number of subnets per VPC.",
)
NETWORK_INTERFACES_PER_REGION = Quota(
    service="vpc",
    code="L-DF5E4CA3",
    name="Network interfaces per Region",
    value=5000,
    description="The maximum number of network interfaces per Region. Here those that callers made count.",
)
IPV4_BLOCKS_PER_VPC = Quota(
    service="vpc",
    code="L-83CA0A9D",
    name="IPv4 CIDR blocks per VPC",
    value=5,
    description="The maximum number of IPv4 networks of a VPC. The primary one counts.",
)
IPV6_BLOCKS_PER_VPC = Quota(
    service="vpc",
    code="L-085A6257",
    name="IPv6 CIDR blocks per VPC",
    value=5,
    description="The maximum number of IPv6 networks of a VPC.",
)
RULES_PER_NETWORK_ACL = Quota(
    service="vpc",
    code="L-2AEEBF1A",
    name="Rules per network ACL",
    value=20,
    description="The maximum number of rules of one direction, counted apart for IPv4 and IPv6, the last one included.",
)
NETWORK_ACLS_PER_VPC = Quota(
    service="vpc",
    code="L-B4A6D682",
    name="Network ACLs per VPC",
    value=200,
    description="The maximum number of network ACLs per VPC. The default one counts.",
)

# Enforced by the parts that count them. What stands below is data until its part exists.
APPLICATION_LOAD_BALANCERS = Quota(
    service="elasticloadbalancing",
    code="L-53DA6B97",
    name="Application Load Balancers per Region",
    value=50,
    description="The maximum number of Application Load Balancers that can exist in a Region.",
)
NETWORK_LOAD_BALANCERS = Quota(
    service="elasticloadbalancing",
    code="L-69A177A2",
    name="Network Load Balancers per Region",
    value=50,
    description="The maximum number of Network Load Balancers that can exist in a Region.",
)
TARGET_GROUPS = Quota(
    service="elasticloadbalancing",
    code="L-B22855CB",
    name="Target Groups per Region",
    value=3000,
    description="The maximum number of Target Groups that can exist in a Region.",
)
LISTENERS_PER_APPLICATION_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-B6DF7632",
    name="Listeners per Application Load Balancer",
    value=50,
    description="The maximum number of listeners per Application Load Balancer.",
)
LISTENERS_PER_NETWORK_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-57A373D6",
    name="Listeners per Network Load Balancer",
    value=50,
    description="The maximum number of listeners per Network Load Balancer.",
)
CERTIFICATES_PER_APPLICATION_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-9365A611",
    name="Certificates per Application Load Balancer",
    value=25,
    description="The maximum number of certificates per Application Load Balancer, default certificates apart.",
)
CERTIFICATES_PER_NETWORK_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-52964454",
    name="Certificates per Network Load Balancer",
    value=25,
    description="The maximum number of certificates per Network Load Balancer, default certificates apart.",
)
RULES_PER_APPLICATION_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-7EED9B64",
    name="Rules per Application Load Balancer",
    value=100,
    description="The maximum number of rules per Application Load Balancer, default rules apart.",
)
GROUPS_PER_ACTION = Quota(
    service="elasticloadbalancing",
    code="TargetGroupsPerAction",
    name="Target Groups per Action per Application Load Balancer",
    value=5,
    adjustable=False,
    description="The maximum number of target groups that one action forwards to.",
)
GROUPS_PER_APPLICATION_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-822D1B1B",
    name="Target Groups per Application Load Balancer",
    value=100,
    adjustable=False,
    description="The maximum number of target groups that an Application Load Balancer leads to.",
)
TARGETS_PER_APPLICATION_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-7E6692B2",
    name="Targets per Application Load Balancer",
    value=1000,
    description="The maximum number of targets per Application Load Balancer; one of two target groups counts twice.",
)
TARGETS_PER_NETWORK_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-EEF1AD04",
    name="Targets per Network Load Balancer",
    value=3000,
    description="The maximum number of targets per Network Load Balancer; one of two target groups counts twice.",
)
TARGETS_PER_ZONE_OF_NETWORK_BALANCER = Quota(
    service="elasticloadbalancing",
    code="L-B211E961",
    name="Targets per Availability Zone per Network Load Balancer",
    value=500,
    description="The maximum number of targets per zone of a Network Load Balancer; of all zones if it crosses them.",
)
TARGETS_PER_GROUP = Quota(
    service="elasticloadbalancing",
    code="L-A0D0B863",
    name="Targets per Target Group per Region",
    value=1000,
    description="The maximum number of targets per target group. Those that drain do not count.",
)
ENFORCED = (
    APPLICATION_LOAD_BALANCERS,
    NETWORK_LOAD_BALANCERS,
    TARGET_GROUPS,
    LISTENERS_PER_APPLICATION_BALANCER,
    LISTENERS_PER_NETWORK_BALANCER,
    CERTIFICATES_PER_APPLICATION_BALANCER,
    CERTIFICATES_PER_NETWORK_BALANCER,
    RULES_PER_APPLICATION_BALANCER,
    GROUPS_PER_ACTION,
    GROUPS_PER_APPLICATION_BALANCER,
    TARGETS_PER_APPLICATION_BALANCER,
    TARGETS_PER_NETWORK_BALANCER,
    TARGETS_PER_ZONE_OF_NETWORK_BALANCER,
    TARGETS_PER_GROUP,
    FARGATE_ON_DEMAND_VCPU,
    FARGATE_SPOT_VCPU,
    CLUSTERS_PER_ACCOUNT,
    SERVICES_PER_CLUSTER,
    TASKS_PER_SERVICE,
    REVISIONS_PER_FAMILY,
    SECURITY_GROUPS_PER_INTERFACE,
    RULES_PER_SECURITY_GROUP,
    SECURITY_GROUPS_PER_REGION,
    NAMESPACES_PER_REGION,
    INSTANCES_PER_NAMESPACE,
    INSTANCES_PER_SERVICE,
    ATTRIBUTES_PER_INSTANCE,
    ROUTE_TABLES_PER_VPC,
    ROUTES_PER_TABLE,
    INTERNET_GATEWAYS_PER_REGION,
    EGRESS_ONLY_GATEWAYS_PER_REGION,
    PEERINGS_PER_VPC,
    PEERINGS_OUTSTANDING,
    GATEWAY_ENDPOINTS_PER_REGION,
    INTERFACE_ENDPOINTS_PER_VPC,
    VPCS_PER_REGION,
    SUBNETS_PER_VPC,
    NETWORK_INTERFACES_PER_REGION,
    IPV4_BLOCKS_PER_VPC,
    IPV6_BLOCKS_PER_VPC,
    ELASTIC_ADDRESSES_PER_REGION,
    NAT_GATEWAYS_PER_ZONE,
    RULES_PER_NETWORK_ACL,
    NETWORK_ACLS_PER_VPC,
)
_LATER = (
    ("ecs", "L-86C34207", "Container instances per cluster", 5000, False),
    ("ecs", "L-A24B7D58", "Capacity providers per cluster", 20, False),
    ("ecs", "L-A04A77EF", "Target groups per service", 5, False),
    ("ecs", "L-E4A1E1D7", "Classic Load Balancers per service", 1, False),
    ("ecs", "L-2D029656", "Services per namespace", 100, True),
    ("ecs", "L-B7718569", "Tasks in PROVISIONING state per cluster", 500, False),
    ("logs", "L-C7B9AAAB", "Log groups", 1_000_000, True),
)
# Of IAM: the name in its refusal ("Cannot exceed quota for RolesPerAccount: 1000"), code, name, value, adjustable.
# Sizes are in characters without white space. What Service Quotas of AWS does not list has that name as code.
_OF_IAM = (
    ("UsersPerAccount", "L-F55AF5E4", "Users per account", 5000, False),
    ("GroupsPerAccount", "L-F4A5425F", "Groups per account", 300, True),
    ("RolesPerAccount", "L-FE177D64", "Roles per account", 1000, True),
    ("PoliciesPerAccount", "L-E95E4862", "Customer managed policies per account", 1500, True),
    ("InstanceProfilesPerAccount", "L-6E65F664", "Instance profiles per account", 1000, True),
    ("OpenIdConnectProvidersPerAccount", "L-858F3967", "OpenId connect providers per account", 100, True),
    ("AccessKeysPerUser", "L-8758042E", "Access keys per user", 2, False),
    ("GroupsPerUser", "L-7A1621EC", "IAM groups per user", 10, False),
    ("PoliciesPerUser", "L-4019AD8B", "Managed policies per user", 10, True),
    ("PoliciesPerGroup", "L-384571C4", "Managed policies per group", 10, True),
    ("PoliciesPerRole", "L-0DA4ABF3", "Managed policies per role", 10, True),
    ("PolicySize", "L-ED111B8C", "Managed policy length", 6144, False),
    ("ACLSizePerRole", "L-C07B4B0D", "Role trust policy length", 2048, True),
    ("VersionsPerPolicy", "L-8E23FFD8", "Versions per managed policy", 5, False),
    ("ClientIdsPerOpenIdConnectProvider", "", "Client IDs per OpenId connect provider", 100, False),
    ("PolicySizePerUser", "", "Length of all inline policies of a user", 2048, False),
    ("PolicySizePerGroup", "", "Length of all inline policies of a group", 5120, False),
    ("PolicySizePerRole", "", "Length of all inline policies of a role", 10_240, False),
)
IAM_QUOTAS: Mapping[str, Quota] = {
    refusal: Quota(
        service="iam",
        code=code or refusal,
        name=name,
        value=value,
        adjustable=adjustable,
        is_global=True,
        description=name,
    )
    for refusal, code, name, value, adjustable in _OF_IAM
}

QUOTAS: tuple[Quota, ...] = (
    *ENFORCED,
    *IAM_QUOTAS.values(),
    *(
        Quota(service=service, code=code, name=name, value=value, adjustable=adjustable, description=name)
        for service, code, name, value, adjustable in _LATER
    ),
)
BY_KEY: Mapping[str, Quota] = {quota.key: quota for quota in QUOTAS}
