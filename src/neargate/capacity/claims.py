"""A claim: what one reservation took, as the ledger and the statements know it."""

from typing import Any

import msgspec

from ..model.capacity import RecordedReservation, Reservation
from ..model.network import Eni
from ..placement.reserve import Room
from ..placement.tenancy import Sharing
from ..vpc.addresses import address_number

# (task id, zone): the name of a reservation. A task may be tried in several zones.
Key = tuple[str, str]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses are whole numbers. Without an interface (`eni_id` None) `eni_error` says why; room is held anyway.

    `room`: of the host, with what that needs beside the task.
    `waits_for`: whose room it was promised; known to the process that promised it only. `is_placed`: it is no task's
    but a thing's of the network, which its registry gives back; it holds an address and makes no host anybody's.
    """

    key: Key
    capacity_id: str
    account: str
    host_id: str
    room: Room
    subnet_id: str
    private_ip: int | None
    public_ip: int | None
    eni_id: str | None
    eni_error: str | None
    created_at: float
    is_spot: bool = False
    is_placed: bool = False
    waits_for: tuple[Key, ...] = ()


class NewClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about to be written. `doc`: its interface as stored; `sharing`: who may be on its host beside it.

    `pool`, `sandbox`: of its host when it was chosen.
    """

    claim: Claim
    eni: Eni | None
    owner: str
    doc: bytes
    sharing: Sharing = Sharing.ANYBODY
    pool: str = ""
    sandbox: str = ""


def claim_of_record(recorded: RecordedReservation) -> Claim:
    """What a live task was given, as its cell recorded it."""
    eni = recorded.eni
    return Claim(
        key=(recorded.task_id, recorded.zone),
        capacity_id=recorded.capacity_id,
        account=recorded.account,
        host_id=recorded.host_id,
        room=Room(cpu_units=recorded.cpu_units, memory_mib=recorded.memory_mib, disk_gib=recorded.disk_gib),
        subnet_id=eni.subnet_id,
        private_ip=address_number(eni.private_ipv4),
        public_ip=address_number(eni.public_ipv4) if eni.public_ipv4 is not None else None,
        eni_id=eni.eni_id,
        eni_error=None,
        created_at=recorded.created_at,
        is_spot=recorded.is_spot,
        is_placed=recorded.is_placed,
    )


def claim_of_row(row: tuple[Any, ...]) -> Claim:
    """From the columns of schema.LIVE_CLAIMS."""
    task_id, zone, capacity_id, account, host, cpu, memory, disk, subnet, private, public, eni, error, at, *kind = row
    is_spot, is_placed = kind
    return Claim(
        key=(task_id, zone),
        capacity_id=capacity_id,
        account=account,
        host_id=host,
        room=Room(cpu_units=cpu, memory_mib=memory, disk_gib=disk),
        subnet_id=subnet,
        private_ip=private,
        public_ip=public,
        eni_id=eni,
        eni_error=error,
        created_at=at,
        is_spot=bool(is_spot),
        is_placed=bool(is_placed),
    )


def reservation(claim: Claim, eni: Eni | None) -> Reservation:
    """What is answered to who asked for it."""
    return Reservation(
        capacity_id=claim.capacity_id,
        task_id=claim.key[0],
        zone=claim.key[1],
        host_id=claim.host_id,
        eni=eni,
        eni_error=claim.eni_error,
        waits_for=tuple(task_id for task_id, _ in claim.waits_for),
    )
