"""DescribeAvailabilityZones. Cheap, and many clients ask for it before anything else."""

from typing import Any

from ...call import Answer, Call, Params
from ...network.errors.common import AvailabilityZoneInvalid
from ...services import Services
from .asking import authorize_describing
from .filters import Field, select
from .request import stop_if_dry_run

Zone = tuple[str, str, str]  # region, name, id

_FIELDS: dict[str, Field[Zone]] = {
    "group-name": lambda zone: (f"{zone[0]}-zg-1",),
    "message": lambda _: (),
    "opt-in-status": lambda _: ("opt-in-not-required",),
    "parent-zone-id": lambda _: (),
    "parent-zone-name": lambda _: (),
    "region-name": lambda zone: (zone[0],),
    "state": lambda _: ("available",),
    "zone-id": lambda zone: (zone[2],),
    "zone-name": lambda zone: (zone[1],),
    "zone-type": lambda _: ("availability-zone",),
}


async def describe_availability_zones(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    zones = [(services.region, name, zone_id) for name, zone_id in services.zones]
    zones = _named(zones, params.get("ZoneNames"), 1)
    zones = _named(zones, params.get("ZoneIds"), 2)
    return {"AvailabilityZones": [_shown(zone) for zone in select(zones, params.get("Filters"), _FIELDS)]}


def _named(zones: list[Zone], wanted: list[str] | None, place: int) -> list[Zone]:
    if not wanted:
        return zones
    known = {zone[place] for zone in zones}
    for one in wanted:
        if one not in known:
            raise AvailabilityZoneInvalid(one[:64])
    return [zone for zone in zones if zone[place] in wanted]


def _shown(zone: Zone) -> dict[str, Any]:
    region, name, zone_id = zone
    return {
        "OptInStatus": "opt-in-not-required",
        "Messages": [],
        "RegionName": region,
        "ZoneName": name,
        "ZoneId": zone_id,
        "GroupName": f"{region}-zg-1",
        "NetworkBorderGroup": region,
        "ZoneType": "availability-zone",
        "State": "available",
    }
