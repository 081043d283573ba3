"""Interfaces as the zone's database has them: as EC2 shows them, and where they are. Reads only."""

from collections.abc import Sequence
from typing import Any

from ..interfaces.store import Store
from ..model.capacity import InterfacePlace
from . import schema
from .eni_view import interface_of_row


async def described(store: Store, region: str, account: str, eni_ids: Sequence[str] | None) -> list[dict[str, Any]]:
    """All of the account's, or those named."""
    if eni_ids is None:
        rows = await store.read(schema.ENIS, (account,))
    else:
        rows = [row for eni_id in eni_ids for row in await store.read(schema.ENI_NAMED, (account, eni_id))]
    return [interface_of_row(row, account=account, region=region) for row in rows]


async def place_of(store: Store, eni_id: str) -> InterfacePlace | None:
    """Also of one that was given back, while its reservation's tombstone is kept."""
    for account, host_id, subnet_id in await store.read(schema.PLACE_OF_ENI, (eni_id,)):
        return InterfacePlace(eni_id=eni_id, account=account, host_id=host_id, subnet_id=subnet_id)
    return None
