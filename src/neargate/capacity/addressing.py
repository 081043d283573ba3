"""The addresses of a new interface, out of the ledger's books: a private one, a public one where it is asked for.

Owns ECS's sentence for an interface that cannot be made. Invariant: all that is asked for is taken, or nothing.
"""

from ..model.capacity import ReservationRequest
from ..vpc.addresses import address_number, subnet_range
from .ledger import Ledger


def take_addresses(ledger: Ledger, request: ReservationRequest) -> tuple[int | None, int | None, str | None]:
    """Private and public address, or the sentence that says why there is no interface."""
    subnet_id = request.subnet.subnet_id
    with_public = " with public IP assignment enabled" if request.assign_public_ip else ""
    sentence = (
        f"Unexpected EC2 error while attempting to Create Network Interface{with_public} in subnet '{subnet_id}': "
    )
    if ledger.is_closed(subnet_id):
        return None, None, sentence + "InvalidSubnetID.NotFound"
    subnet = ledger.addresses(subnet_id)
    if subnet.within.size == 0:
        subnet.within = subnet_range(request.subnet.cidr)
    subnet.keep(request.subnet.kept)
    private = subnet.take_next()
    if private is None:
        return None, None, sentence + "InsufficientFreeAddressesInSubnet"
    if not request.assign_public_ip:
        return private, None, None
    public = _named_free(ledger, request.public_address)
    if public is None:
        public = ledger.public.take_next()
    if public is None:
        subnet.taken.discard(private)
        return None, None, sentence + "InsufficientAddressCapacity"
    return private, public, None


def _named_free(ledger: Ledger, address: str | None) -> int | None:
    """The address that is asked for, if no claim has it. Elastic ones are in no book, so the claims are asked."""
    if address is None:
        return None
    wanted = address_number(address)
    return None if any(claim.public_ip == wanted for claim in ledger.claims.values()) else wanted
