"""What every VPC has at fixed addresses, without routes and without filters.

User guide, Internetwork traffic privacy: security groups and network ACLs do not filter traffic to DNS, DHCP, instance
metadata, ECS task metadata, licences and the time service. Route tables: packets to 169.254.168.0/22 and fd00:ec2::/32
"will not be forwarded".
"""

from ipaddress import ip_address, ip_network

from .flows import TCP, UDP, IpAddress, Kind, Packet, Step, Stopped
from .region import Region

RESOLVERS = (ip_address("169.254.169.253"), ip_address("fd00:ec2::253"))
METADATA = (ip_address("169.254.169.254"), ip_address("fd00:ec2::254"))
TASK_METADATA = ip_address("169.254.170.2")  # ECS developer guide, task metadata endpoint
TIME = (ip_address("169.254.169.123"), ip_address("fd00:ec2::123"))
RESERVED = (ip_network("169.254.168.0/22"), ip_network("fd00:ec2::/32"))


def answer(region: Region, vpc_id: str, packet: Packet) -> Step | None:
    """The service that takes the packet; None where it is for nobody here; `Stopped` where it is, but not served."""
    name = _service(region, vpc_id, packet.to)
    if name is None:
        if any(packet.to in network for network in RESERVED):
            raise Stopped(Kind.SERVICE, (), f"{packet.to} is not forwarded")
        return None
    if name == "resolver" and not region.vpcs[vpc_id].enable_dns_support:
        raise Stopped(Kind.SERVICE, (vpc_id,), "enableDnsSupport is false")
    if not _serves(region, name, packet):
        raise Stopped(Kind.SERVICE, (), f"{name} does not serve this")
    return Step(kind=Kind.SERVICE, rule=name)


def _service(region: Region, vpc_id: str, to: IpAddress) -> str | None:
    endpoint = region.description.region_endpoint
    if endpoint is not None and to == ip_address(endpoint.address):
        return "region"
    if to in RESOLVERS or to == region.resolver_of(region.vpcs[vpc_id]):
        return "resolver"
    if to in METADATA or to == TASK_METADATA:
        return "metadata"
    return "time" if to in TIME else None


def _serves(region: Region, name: str, packet: Packet) -> bool:
    endpoint = region.description.region_endpoint
    ports = {"resolver": {(TCP, 53), (UDP, 53)}, "metadata": {(TCP, 80)}, "time": {(UDP, 123)}}
    if endpoint is not None:
        ports["region"] = {(TCP, endpoint.port)}
    return (packet.protocol, packet.ports[0]) in ports[name]
