"""What the operator's socket answers about names: whose they are, and below which domains."""

from typing import Any

from ...frontend.network.records.balancers import balancers
from ...frontend.network.records.objects import Vpc
from ...region import Region
from ...vpc.addresses import private_domain
from ..admin import Handler

ENDPOINT = "neargate.internal"
Answer = dict[str, Any]


class DnsRefused(Exception):
    """No such VPC; the message says which there are."""


def handlers(region: Region) -> dict[str, Handler]:
    async def facts(request: Answer) -> Answer:
        """`vpc`: its id; empty: the default VPC of `account`. Domains of a VPC are those that its resolver knows, of
        names of addresses, of private namespaces, of load balancers, and of the region's endpoint. Of the domain that
        these have on AWS only the names themselves: others are asked elsewhere. Raises DnsRefused."""
        services = region.services
        vpc = _named(region, str(request.get("vpc") or ""), str(request.get("account") or ""))
        domains = [ENDPOINT]
        if vpc.dns_support:
            domains.append(private_domain(services.region))
            domains += [one.dns_name.lower() for one in balancers(services.network.shelf(vpc.account))]
        if vpc.dns_support and vpc.dns_hostnames:
            domains += [zone.name for zone in services.cloud_map.zones_of(vpc.vpc_id)]
        return {"vpc_id": vpc.vpc_id, "domains": list(dict.fromkeys(domains))}

    return {"dns-facts": facts}


def _named(region: Region, vpc_id: str, account: str) -> Vpc:
    network = region.services.network
    found = [vpc for number in network.accounts() for vpc in network.vpcs(number)]
    if not vpc_id:
        default = network.default_vpc(account)
        if default is None:
            raise DnsRefused(f"account {account} has no default VPC; name one with --vpc")
        return default
    known = next((vpc for vpc in found if vpc.vpc_id == vpc_id), None)
    if known is None:
        there = ", ".join(vpc.vpc_id for vpc in found[:20])
        raise DnsRefused(f"there is no VPC {vpc_id[:64]!r}; those that are: {there or 'none'}")
    return known
