"""From what EC2's Describe* calls return to the records of an account, as its operations would have kept them.

So that a random region of the reference model can be given to the real planner. Decides nothing. Invariant: an id stays
the same, so that a plan can be compared with the description it is of.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from ..frontend.network.records import objects as kept
from ..frontend.network.records.security_groups import RuleSpec, SecurityGroupView, StoredRule
from ..frontend.regional.shelves import Kept, Shelf
from ..tracing import description as aws

ACCOUNT = "000000000000"


def shelf_of(description: aws.Description) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply(list(_records(description)), [])
    return shelf


def _records(region: aws.Description) -> Iterator[Kept]:
    yield from (_vpc(each) for each in region.vpcs)
    yield from (_subnet(each) for each in region.subnets)
    yield from (_table(each) for each in region.route_tables)
    yield from (_acl(region, each) for each in region.network_acls)
    yield from (_group(each) for each in region.security_groups)
    yield from (_nat(each) for each in region.nat_gateways)
    for each in region.internet_gateways:
        vpc_id = each.attachments[0].vpc_id if each.attachments else None
        yield kept.InternetGateway(account=ACCOUNT, name=each.internet_gateway_id, vpc_id=vpc_id)
    for gateway in region.egress_only_internet_gateways:
        name, vpc_id = gateway.egress_only_internet_gateway_id, gateway.attachments[0].vpc_id
        yield kept.EgressOnlyGateway(account=ACCOUNT, name=name, vpc_id=vpc_id)
    for peering in region.vpc_peering_connections:
        yield kept.Peering(
            account=ACCOUNT,
            name=peering.vpc_peering_connection_id,
            requester_vpc=peering.requester_vpc_info.vpc_id,
            accepter_vpc=peering.accepter_vpc_info.vpc_id,
            status=peering.status.code,
            created_at=0.0,
        )
    yield from (_endpoint(region, each) for each in region.vpc_endpoints)
    for a_list in region.managed_prefix_lists:
        entries = tuple(kept.PrefixListEntry(cidr=each.cidr) for each in a_list.entries)
        name = a_list.prefix_list_id
        yield kept.PrefixList(
            account=ACCOUNT, name=name, list_name=name, family="IPv4", entries_max=100, versions=(entries,)
        )


def _endpoint(region: aws.Description, endpoint: aws.VpcEndpoint) -> Kept:
    own = [each for each in region.network_interfaces if each.network_interface_id in endpoint.network_interface_ids]
    is_gateway = endpoint.vpc_endpoint_type == "Gateway"
    return kept.VpcEndpoint(
        account=ACCOUNT,
        name=endpoint.vpc_endpoint_id,
        vpc_id=endpoint.vpc_id,
        endpoint_type=endpoint.vpc_endpoint_type,
        service_name=f"com.amazonaws.us-east-1.{'s3' if is_gateway else 'ecs'}",
        state=endpoint.state,
        created_at=0.0,
        policy="{}",
        subnets=tuple(each.subnet_id for each in own),
        groups=tuple(dict.fromkeys(group.group_id for each in own for group in each.groups)),
        interfaces=tuple(
            kept.EndpointInterface(
                place=f"place-{each.network_interface_id}",
                subnet_id=each.subnet_id,
                zone="us-east-1a",
                state="available" if endpoint.state == "available" else "deleting",
                private_ip=each.private_ip_address,
                eni_id=each.network_interface_id,
                mac=mac_of(each),
            )
            for each in own
        ),
    )


def mac_of(interface: aws.NetworkInterface) -> str:
    """Made of its address."""
    return f"0a:00:{IPv4Address(interface.private_ip_address).packed.hex(':')}"


def _vpc(vpc: aws.Vpc) -> Kept:
    others = [each.cidr_block for each in vpc.cidr_block_association_set if each.cidr_block != vpc.cidr_block]
    return kept.Vpc(
        account=ACCOUNT,
        name=vpc.vpc_id,
        cidr=vpc.cidr_block,
        others=tuple(_block(cidr) for cidr in others),
        ipv6=tuple(_block(each.ipv6_cidr_block) for each in vpc.ipv6_cidr_block_association_set),
        dns_support=vpc.enable_dns_support,
    )


def _block(cidr: str) -> kept.CidrBlock:
    return kept.CidrBlock(association_id=f"assoc-{cidr}", cidr=cidr)


def _subnet(subnet: aws.Subnet) -> Kept:
    return kept.Subnet(
        account=ACCOUNT,
        name=subnet.subnet_id,
        vpc_id=subnet.vpc_id,
        zone="us-east-1a",
        zone_id="use1-az1",
        cidr=subnet.cidr_block,
        ipv6=tuple(_block(each.ipv6_cidr_block) for each in subnet.ipv6_cidr_block_association_set),
    )


def _table(table: aws.RouteTable) -> Kept:
    routes = [
        kept.StoredRoute(
            destination=each.destination_cidr_block
            or each.destination_ipv6_cidr_block
            or each.destination_prefix_list_id,
            target=each.gateway_id
            or each.nat_gateway_id
            or each.egress_only_internet_gateway_id
            or each.vpc_peering_connection_id
            or each.network_interface_id,
        )
        for each in table.routes
        if each.gateway_id != "local"
    ]
    associations = [
        kept.TableAssociation(association_id=f"rtbassoc-{each.subnet_id}", subnet_id=each.subnet_id or None)
        for each in table.associations
    ]
    return kept.RouteTable(
        account=ACCOUNT,
        name=table.route_table_id,
        vpc_id=table.vpc_id,
        routes=tuple(routes),
        associations=tuple(associations),
    )


def _acl(region: aws.Description, acl: aws.NetworkAcl) -> Kept:
    """Here a subnet has an association always, also that with the default one; the rule "*" is no record."""
    associated = {each.subnet_id for each in acl.associations}
    if acl.is_default:
        others = {each.subnet_id for other in region.network_acls for each in other.associations}
        associated |= {each.subnet_id for each in region.subnets if each.vpc_id == acl.vpc_id} - others
    return kept.NetworkAcl(
        account=ACCOUNT,
        name=acl.network_acl_id,
        vpc_id=acl.vpc_id,
        is_default=acl.is_default,
        entries=tuple(_acl_entry(each) for each in acl.entries if each.rule_number < 32767),
        associations=tuple(
            kept.AclAssociation(association_id=f"aclassoc-{each}", subnet_id=each) for each in sorted(associated)
        ),
    )


def _acl_entry(entry: aws.NetworkAclEntry) -> kept.AclEntry:
    return kept.AclEntry(
        number=entry.rule_number,
        is_egress=entry.egress,
        allow=entry.rule_action == "allow",
        protocol=entry.protocol,
        cidr_ipv4=entry.cidr_block or None,
        cidr_ipv6=entry.ipv6_cidr_block or None,
        from_port=entry.port_range.from_ if entry.port_range else None,
        to_port=entry.port_range.to if entry.port_range else None,
        icmp_type=entry.icmp_type_code.type if entry.icmp_type_code else None,
        icmp_code=entry.icmp_type_code.code if entry.icmp_type_code else None,
    )


def _group(group: aws.SecurityGroup) -> Kept:
    specs = [spec for each in group.ip_permissions for spec in _specs(each, is_egress=False)]
    specs += [spec for each in group.ip_permissions_egress for spec in _specs(each, is_egress=True)]
    return SecurityGroupView(
        account=ACCOUNT,
        name=group.group_id,
        vpc_id=group.vpc_id,
        group_name=group.group_id,
        description="",
        rules=tuple(StoredRule(rule_id=f"sgr-{n}", spec=spec) for n, spec in enumerate(specs)),
    )


def _specs(permission: aws.IpPermission, *, is_egress: bool) -> Iterator[RuleSpec]:
    peers = [{"cidr_ipv4": each.cidr_ip} for each in permission.ip_ranges]
    peers += [{"cidr_ipv6": each.cidr_ipv6} for each in permission.ipv6_ranges]
    for each in permission.user_id_group_pairs:
        way = {"peer_vpc": each.vpc_id, "peering": each.vpc_peering_connection_id}
        peers.append({"peer_group": each.group_id, **{name: value for name, value in way.items() if value}})
    peers += [{"prefix_list": each.prefix_list_id} for each in permission.prefix_list_ids]
    for peer in peers:
        yield RuleSpec(
            is_egress=is_egress,
            protocol=permission.ip_protocol,
            from_port=permission.from_port,
            to_port=permission.to_port,
            **peer,
        )


def _nat(nat: aws.NatGateway) -> Kept:
    primary = next((each for each in nat.nat_gateway_addresses if each.is_primary), nat.nat_gateway_addresses[0])
    return kept.NatGateway(
        account=ACCOUNT,
        name=nat.nat_gateway_id,
        vpc_id=nat.vpc_id,
        subnet_id=nat.subnet_id,
        zone="us-east-1a",
        state=nat.state,
        created_at=0.0,
        is_public=nat.connectivity_type == "public",
        public_ip=primary.public_ip or None,
        private_ip=primary.private_ip,
    )
