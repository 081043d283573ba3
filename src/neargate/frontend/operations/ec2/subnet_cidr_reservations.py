"""CreateSubnetCidrReservation, GetSubnetCidrReservations, DeleteSubnetCidrReservation."""

import re
from functools import partial
from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import MissingParameter
from ...network.errors.vpcs import ValueInvalid
from ...network.records.objects import CidrReservation
from ...network.vpcs import cidr_reservations
from ...network.vpcs.subnets import required_subnet
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import page, resource_arn, stop_if_dry_run, tag_list, with_token
from .tags import tags_from
from .vpc_objects import subnet_asked, subnet_id_of

_KIND = "subnet-cidr-reservation"
_DESCRIPTION = re.compile(r"[^\x00-\x1f]{0,255}")


async def create_subnet_cidr_reservation(call: Call, services: Services, params: Params) -> Answer:
    asked = subnet_asked(call, services, params.get("SubnetId"))
    authorize(call, "ec2:CreateSubnetCidrReservation", [asked], region_key(call) | tag_keys(params))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    subnet_id = subnet_id_of(params)
    required_subnet(services.network.shelf(call.account), subnet_id)
    cidr, type_, description = params.get("Cidr"), params.get("ReservationType"), params.get("Description")
    if not cidr:
        raise MissingParameter("cidr")
    if type_ not in cidr_reservations.TYPES:
        raise ValueInvalid(str(type_), "reservationType", f"Valid values: {', '.join(cidr_reservations.TYPES)}.")
    if description and not _DESCRIPTION.fullmatch(description):
        raise ValueInvalid(description, "description", "A description has at most 255 characters.")
    decide = partial(
        cidr_reservations.reserve,
        subnet_id=subnet_id,
        cidr=cidr,
        type_=type_,
        description=description or None,
        tags=tags_from(params, _KIND),
        bits=services.network.bits,
    )
    stop_if_dry_run(params)
    made = await services.network.change(call.account, decide)
    return {"SubnetCidrReservation": _shown(made)}


async def delete_subnet_cidr_reservation(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:DeleteSubnetCidrReservation", ["*"], region_key(call))
    reservation_id = params.get("SubnetCidrReservationId")
    if not reservation_id:
        raise MissingParameter("subnetCidrReservationId")
    cidr_reservations.required_reservation(services.network.shelf(call.account), reservation_id)
    stop_if_dry_run(params)
    gone = await services.network.change(call.account, lambda shelf: cidr_reservations.free(shelf, reservation_id))
    return {"DeletedSubnetCidrReservation": _shown(gone)}


_FIELDS: dict[str, Field[CidrReservation]] = {
    "reservationType": lambda one: (one.type,),
    "subnet-id": lambda one: (one.subnet_id,),
}


async def get_subnet_cidr_reservations(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    subnet_id = subnet_id_of(params)
    shelf = services.network.shelf(call.account)
    required_subnet(shelf, subnet_id)
    stop_if_dry_run(params)
    found = select(cidr_reservations.of_subnet(shelf, subnet_id), params.get("Filters"), _FIELDS, lambda one: one.tags)
    found, token = page(found, params, lambda one: one.name, f"Reservations of {subnet_id}")
    answer: dict[str, object] = {
        "SubnetIpv4CidrReservations": [_shown(one) for one in found if ":" not in one.cidr],
        "SubnetIpv6CidrReservations": [_shown(one) for one in found if ":" in one.cidr],
    }
    return with_token(answer, token)


def _shown(one: CidrReservation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "SubnetCidrReservationId": one.name,
        "SubnetId": one.subnet_id,
        "Cidr": one.cidr,
        "ReservationType": one.type,
        "OwnerId": one.account,
        "Tags": tag_list(one.tags),
    }
    return shown | ({"Description": one.description} if one.description is not None else {})


OPERATIONS: dict[str, Operation] = {
    "CreateSubnetCidrReservation": create_subnet_cidr_reservation,
    "DeleteSubnetCidrReservation": delete_subnet_cidr_reservation,
    "GetSubnetCidrReservations": get_subnet_cidr_reservations,
}
