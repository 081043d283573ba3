"""The prefix lists that AWS manages, one of each service that has a gateway endpoint. Pure; the same in all accounts.

There is no S3 and no DynamoDB here, so these lists stand for no network: a route or a rule that names one is accepted
and meets no packet, as AWS's meet none that goes elsewhere. Invariant: an id never changes: configurations hold it.
"""

import hashlib

from msgspec import Struct

SERVICES = ("dynamodb", "s3")


class AwsPrefixList(Struct, frozen=True, kw_only=True):
    list_id: str
    list_name: str  # the service's name, com.amazonaws.REGION.s3
    family: str = "IPv4"
    cidrs: tuple[str, ...] = ()


def aws_prefix_lists(region: str) -> tuple[AwsPrefixList, ...]:
    """In order of names. Ids have eight digits, as AWS's own have."""
    names = (f"com.amazonaws.{region}.{service}" for service in SERVICES)
    return tuple(AwsPrefixList(list_id=_id(name), list_name=name) for name in names)


def find_aws_prefix_list(region: str, list_id: str) -> AwsPrefixList | None:
    return next((one for one in aws_prefix_lists(region) if one.list_id == list_id), None)


def list_of_service(region: str, service_name: str) -> AwsPrefixList | None:
    return next((one for one in aws_prefix_lists(region) if one.list_name == service_name), None)


def _id(name: str) -> str:
    return f"pl-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
