"""VPC endpoints as a way in: which services are behind one, and what its policy lets through.

A caller comes through an endpoint when the agent says so, which knows by whose address it was reached. Invariant: of an
endpoint that is not there nothing is behind it, and one leads to its own service alone.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from ....iam.policy import Policy, PolicyKind
from ...identity.compiled import CompiledPolicies
from ...regional.shelves import Shelf
from ..records.objects import VpcEndpoint
from .services import SERVICES, RegionService, service_of

# A policy may be as long as twenty ordinary ones, and change with each call.
REMEMBERED_CHARACTERS = 2 * 1024 * 1024


class Via(Struct, frozen=True, kw_only=True):
    """The endpoint that a call came through."""

    endpoint_id: str
    account: str
    vpc_id: str
    service: RegionService
    policy: Policy


class Shelves(Protocol):
    """The registry's, as far as it is needed here."""

    def accounts(self) -> list[str]: ...

    def shelf(self, account: str) -> Shelf: ...


class Entrances:
    def __init__(self, network: Callable[[], Shelves]) -> None:
        """`network`: the region's, asked for when a call comes through an endpoint."""
        self._network = network
        self.policies = CompiledPolicies(REMEMBERED_CHARACTERS)

    def via(self, endpoint_id: str) -> Via | None:
        """None: there is none with that id, or it serves nothing."""
        network = self._network()
        for account in network.accounts():
            found = network.shelf(account).find(VpcEndpoint, endpoint_id)
            if found is None:
                continue
            service = service_of(found.service_name)
            if service is None:
                return None
            return Via(
                endpoint_id=found.name,
                account=account,
                vpc_id=found.vpc_id,
                service=SERVICES[service],
                policy=self.policies.policy(found.policy, PolicyKind.RESOURCE),
            )
        return None
