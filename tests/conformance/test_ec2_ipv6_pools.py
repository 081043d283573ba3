"""Networks of the operator's pools of IPv6 for VPCs, as botocore's own client asks for them."""

from ipaddress import IPv6Network
from typing import Any

import pytest

from neargate.frontend.network.pools import operator as operator_pools
from neargate.frontend.network.pools.ipv6 import pool_id
from neargate.frontend.network.pools.public import POOL

from .ec2_region import ACCOUNT, Region, by, ec2_region, refused

__all__ = ["ec2_region"]

BIG, SMALL = "2001:db8:1::/48", "2001:db8:2::/60"


def add(region: Region, cidr: str = BIG) -> str:
    """As `neargate ip-pool add`; the pool's id."""
    region.run(
        region.network.change(
            POOL,
            lambda shelf: operator_pools.add(
                shelf, cidr, "routed", built_in="198.18.0.0/24", networks={}, shares=1, now=float(len(cidr))
            ),
        )
    )
    return pool_id(cidr)


def new_vpc(region: Region, **more: Any) -> dict[str, Any]:
    return dict(region.ec2.create_vpc(CidrBlock="10.0.0.0/16", **more)["Vpc"])


def test_a_vpc_has_a_network_of_a_pool_from_the_first_or_later(region: Region) -> None:
    ec2, pool = region.ec2, add(region)
    [block] = new_vpc(region, Ipv6Pool=pool, Ipv6CidrBlock="2001:db8:1:100::/56")["Ipv6CidrBlockAssociationSet"]
    assert block["Ipv6CidrBlock"] == "2001:db8:1:100::/56" and block["Ipv6Pool"] == pool
    assert block["IpSource"] == "byoip" and block["Ipv6CidrBlockState"] == {"State": "associating"}
    vpc = new_vpc(region)["VpcId"]
    made = ec2.associate_vpc_cidr_block(VpcId=vpc, Ipv6Pool=pool)["Ipv6CidrBlockAssociation"]
    given = IPv6Network(made["Ipv6CidrBlock"])
    assert given.prefixlen == 56 and given.subnet_of(IPv6Network(BIG)) and str(given) != "2001:db8:1:100::/56"
    assert made["Ipv6Pool"] == pool and region.network.plan(vpc).cidrs == ("10.0.0.0/16", str(given))
    assert [one.cidr for one in region.network.plan(vpc).pools] == [BIG]
    [group] = ec2.describe_security_groups(Filters=by("vpc-id", vpc))["SecurityGroups"]
    assert [one["CidrIpv6"] for one in group["IpPermissionsEgress"][0]["Ipv6Ranges"]] == ["::/0"]
    found = ec2.describe_vpcs(Filters=by("ipv6-cidr-block-association.ipv6-pool", pool))["Vpcs"]
    assert len(found) == 2
    six = str(next(given.subnets(new_prefix=64)))
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", Ipv6CidrBlock=six)["Subnet"]
    assert subnet["Ipv6CidrBlockAssociationSet"][0]["IpSource"] == "byoip"
    assert refused(lambda: ec2.disassociate_vpc_cidr_block(AssociationId=made["AssociationId"]))[0] == (
        "InvalidCidrBlock.InUse"
    )


def test_pools_and_what_was_taken_of_them_are_described(region: Region) -> None:
    ec2, pool, small = region.ec2, add(region), add(region, SMALL)
    add(region, "203.0.113.0/28")
    found = ec2.describe_ipv6_pools()["Ipv6Pools"]
    assert {one["PoolId"]: one["PoolCidrBlocks"] for one in found} == {
        pool: [{"Cidr": BIG}],
        small: [{"Cidr": SMALL}],
    }
    assert [one["PoolId"] for one in ec2.describe_ipv6_pools(PoolIds=[small])["Ipv6Pools"]] == [small]
    assert ec2.describe_ipv6_pools(Filters=by("tag-key", "a"))["Ipv6Pools"] == []
    assert ec2.get_associated_ipv6_pool_cidrs(PoolId=pool)["Ipv6CidrAssociations"] == []
    vpc = new_vpc(region, Ipv6Pool=pool)
    [block] = vpc["Ipv6CidrBlockAssociationSet"]
    assert ec2.get_associated_ipv6_pool_cidrs(PoolId=pool)["Ipv6CidrAssociations"] == [
        {"Ipv6Cidr": block["Ipv6CidrBlock"], "AssociatedResource": vpc["VpcId"]}
    ]
    assert ec2.get_associated_ipv6_pool_cidrs(PoolId=small)["Ipv6CidrAssociations"] == []
    for wrong in ("ipv6pool-ec2-0", "x" * 5000):
        sentence = f"The pool ID '{wrong[:64]}' does not exist."
        for ask in (
            lambda it=wrong: ec2.describe_ipv6_pools(PoolIds=[it]),
            lambda it=wrong: ec2.get_associated_ipv6_pool_cidrs(PoolId=it),
            lambda it=wrong: new_vpc(region, Ipv6Pool=it),
            lambda it=wrong: ec2.associate_vpc_cidr_block(VpcId=vpc["VpcId"], Ipv6Pool=it),
        ):
            assert refused(ask) == ("InvalidIpv6PoolID.NotFound", sentence, 400)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Ipv6CidrBlock": "2001:db8:1:100::/56"}, "MissingParameter"),
        ({"AmazonProvidedIpv6CidrBlock": True, "Ipv6Pool": pool_id(BIG)}, "InvalidParameterCombination"),
        ({"Ipv6Pool": pool_id(BIG), "Ipv6CidrBlock": "2001:db8:2::/56"}, "InvalidParameterValue"),
        ({"Ipv6Pool": pool_id(BIG), "Ipv6CidrBlock": "2001:db8:1::/64"}, "InvalidParameterValue"),
        ({"Ipv6Pool": pool_id(BIG), "Ipv6CidrBlock": "here"}, "InvalidParameterValue"),
        ({"Ipv6Pool": pool_id(BIG), "Ipv6CidrBlock": "2001:db8:1:700::/56"}, "InvalidCidrBlock.InUse"),
        ({"Ipv6Pool": pool_id(SMALL)}, "InsufficientCidrBlocks"),
    ],
)
def test_what_cannot_be_taken_of_a_pool(region: Region, more: dict[str, Any], code: str) -> None:
    add(region), add(region, SMALL)
    vpc = new_vpc(region, Ipv6Pool=pool_id(BIG), Ipv6CidrBlock="2001:db8:1:700::/56")["VpcId"]
    region.ec2.associate_vpc_cidr_block(VpcId=vpc, Ipv6Pool=pool_id(SMALL))
    before = region.network.shelf(ACCOUNT).generation
    assert refused(lambda: new_vpc(region, **more))[0] == code
    other = region.ec2.describe_vpcs(Filters=by("is-default", "true"))["Vpcs"][0]["VpcId"]
    assert refused(lambda: region.ec2.associate_vpc_cidr_block(VpcId=other, **more))[0] == code
    both = {"CidrBlock": "10.9.0.0/16", "Ipv6Pool": pool_id(BIG)}
    assert refused(lambda: region.ec2.associate_vpc_cidr_block(VpcId=other, **both))[0] == "InvalidParameterCombination"
    assert region.network.shelf(ACCOUNT).generation == before, "nothing half-made"


def test_without_a_pool_everything_is_as_it_was(region: Region) -> None:
    assert region.ec2.describe_ipv6_pools()["Ipv6Pools"] == []
    [block] = new_vpc(region, AmazonProvidedIpv6CidrBlock=True, Ipv6Pool="Amazon")["Ipv6CidrBlockAssociationSet"]
    assert (block["Ipv6Pool"], block["IpSource"]) == ("Amazon", "amazon") and block["Ipv6CidrBlock"].startswith("fd")
    assert refused(lambda: region.ec2.describe_ipv6_pools(DryRun=True))[0] == "DryRunOperation"
