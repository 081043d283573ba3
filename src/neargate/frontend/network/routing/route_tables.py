"""What a call makes of an account's route tables and of what they are in force for: shelf in, change out. Pure.

Invariants: a VPC has exactly one main table, a subnet at most one table of its own, and a table that is in force
for anything stays.
"""

from collections.abc import Callable

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Kept, Shelf
from ..errors.common import InvalidParameterValue, SubnetNotFound, VpcNotFound
from ..errors.routing import (
    AlreadyAssociated,
    AssociationNotFound,
    DifferentNetworks,
    HasDependencies,
    IdempotentMismatch,
    RouteTableLimitExceeded,
    RouteTableNotFound,
)
from ..records.objects import RouteTable, Subnet, TableAssociation, Tags, Vpc, VpcEndpoint

Bits = Callable[[int], int]


def required_table(shelf: Shelf, table_id: str) -> RouteTable:
    """Raises RouteTableNotFound."""
    table = shelf.find(RouteTable, table_id)
    if table is None:
        raise RouteTableNotFound([table_id])
    return table


def table_of_association(shelf: Shelf, association_id: str) -> tuple[RouteTable, TableAssociation] | None:
    for table in shelf.all(RouteTable):
        for one in table.associations:
            if one.association_id == association_id:
                return table, one
    return None


def create_table(
    shelf: Shelf, vpc_id: str, tags: Tags, client_token: str | None, tables_max: float, bits: Bits
) -> Change[RouteTable]:
    """Asked again with the same token: the table that was made. Raises VpcNotFound, RouteTableLimitExceeded."""
    made = made_before(shelf, client_token)
    if made is not None:
        if made.vpc_id != vpc_id:
            raise IdempotentMismatch(made.client_token or "")
        return Change(result=made)
    if shelf.find(Vpc, vpc_id) is None:
        raise VpcNotFound([vpc_id])
    if sum(table.vpc_id == vpc_id for table in shelf.all(RouteTable)) >= tables_max:
        raise RouteTableLimitExceeded
    table = RouteTable(
        account=shelf.account, name=ids.ec2_id("rtb", bits), vpc_id=vpc_id, tags=tags, client_token=client_token
    )
    return Change(result=table, put=(table,))


def made_before(shelf: Shelf, client_token: str | None) -> RouteTable | None:
    if not client_token:
        return None
    return next((table for table in shelf.all(RouteTable) if table.client_token == client_token), None)


def delete_table(shelf: Shelf, table_id: str) -> Change[None]:
    """Gateway endpoints forget it. Raises RouteTableNotFound, HasDependencies."""
    table = required_table(shelf, table_id)
    if table.associations:
        raise HasDependencies("routeTable", table_id)
    endpoints = tuple(
        replace(one, route_tables=tuple(other for other in one.route_tables if other != table_id))
        for one in shelf.all(VpcEndpoint)
        if table_id in one.route_tables
    )
    return Change(result=None, put=endpoints, drop=(table,))


def associate(shelf: Shelf, table_id: str, subnet_id: str, bits: Bits) -> Change[str]:
    """The association's id; of what is associated already, the one it has. Raises RouteTableNotFound, SubnetNotFound,
    DifferentNetworks, AlreadyAssociated.
    """
    table = required_table(shelf, table_id)
    subnet = shelf.find(Subnet, subnet_id)
    if subnet is None:
        raise SubnetNotFound([subnet_id])
    if subnet.vpc_id != table.vpc_id:
        raise DifferentNetworks(table_id, "subnet", subnet_id)
    for other in shelf.all(RouteTable):
        for one in other.associations:
            if one.subnet_id == subnet_id and other.name == table_id:
                return Change(result=one.association_id)
            if one.subnet_id == subnet_id:
                raise AlreadyAssociated(
                    f"the specified association for route table {table_id} conflicts with an existing association"
                )
    made = TableAssociation(association_id=ids.ec2_id("rtbassoc", bits), subnet_id=subnet_id)
    return Change(result=made.association_id, put=(_with(table, made),))


def disassociate(shelf: Shelf, association_id: str) -> Change[None]:
    """Raises AssociationNotFound, InvalidParameterValue for the main one."""
    found = table_of_association(shelf, association_id)
    if found is None:
        raise AssociationNotFound([association_id])
    table, association = found
    if association.subnet_id is None:
        raise InvalidParameterValue(f"cannot disassociate the main route table association {association_id}")
    return Change(result=None, put=(_without(table, association),))


def replace_association(shelf: Shelf, association_id: str, table_id: str, bits: Bits) -> Change[str]:
    """Also moves the main one. The new association's id. Raises AssociationNotFound, RouteTableNotFound,
    DifferentNetworks.
    """
    found = table_of_association(shelf, association_id)
    if found is None:
        raise AssociationNotFound([association_id])
    before, association = found
    table = required_table(shelf, table_id)
    if table.vpc_id != before.vpc_id:
        raise DifferentNetworks(table_id, "association", association_id)
    if table.name == before.name:
        return Change(result=association_id)
    made = TableAssociation(association_id=ids.ec2_id("rtbassoc", bits), subnet_id=association.subnet_id)
    put: tuple[Kept, ...] = (_without(before, association), _with(table, made))
    return Change(result=made.association_id, put=put)


def _with(table: RouteTable, association: TableAssociation) -> RouteTable:
    return replace(table, associations=(*table.associations, association))


def _without(table: RouteTable, association: TableAssociation) -> RouteTable:
    return replace(table, associations=tuple(one for one in table.associations if one != association))
