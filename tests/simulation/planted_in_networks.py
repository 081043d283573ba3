"""Bugs of VPCs, elastic addresses and NAT gateways, planted for `test_planted_bugs`; only ever in a child."""

from typing import Any

from neargate.capacity.manager import Capacity
from neargate.clusters.orders import Orders
from neargate.frontend.network import registry
from neargate.frontend.network.addressing import addresses, nat_gateways
from neargate.frontend.network.placing.loop import Placing
from neargate.frontend.network.pools import public as public_pool
from neargate.frontend.regional.shelves import Shelves


def gateway_in_memory_before_it_is_durable() -> None:
    """Whoever reads it asks a zone for its place, and a process that is killed has asked for nobody."""
    attempt = Shelves._attempt

    async def early(self: Shelves, account: str, decide: Any) -> Any:
        shelf = self.shelf(account)
        change = decide(shelf)
        made = [one for one in change.put if getattr(one, "state", "") == "pending"]
        if made and self._changed is not None:
            shelf.apply(made, ())
            self._changed(shelf, made, ())
        return await attempt(self, account, lambda _: change)

    Shelves._attempt = early  # type: ignore[method-assign]


def address_given_at_once() -> None:
    following = public_pool._next
    vars(public_pool)["_next"] = lambda ranges, used, cursor: following(ranges, used, 0)


def lost_claims_not_restored() -> None:
    async def nothing(self: Placing, settle: Any) -> None:
        return None

    Placing.restore = nothing  # type: ignore[method-assign]


def claims_that_came_back_kept() -> None:
    async def nothing(self: Placing, states: Any) -> None:
        return None

    Placing.take_back_claims = nothing  # type: ignore[method-assign]


def generation_of_another_plan() -> None:
    made = registry.vpc_plan
    first: dict[str, int] = {}

    def kept(shelf: Any, vpc: Any, *, generation: int, **named: Any) -> Any:
        return made(shelf, vpc, generation=first.setdefault(vpc.vpc_id, generation), **named)

    vars(registry)["vpc_plan"] = kept


def plans_not_told_again() -> None:
    """A host that comes back has the rules of before, until its next task starts."""

    async def none(self: Orders, host_id: str) -> list[str]:
        return []

    Orders.vpcs = none  # type: ignore[method-assign]


def subnet_deleted_under_its_interfaces() -> None:
    Capacity.close_subnet = lambda self, subnet_id: True  # type: ignore[method-assign]


def address_with_two_gateways() -> None:
    for module in (addresses, nat_gateways):
        vars(module)["user_of"] = lambda shelf, allocation_id: None


def address_lost_between_pool_and_account() -> None:
    vars(public_pool)["unowned"] = lambda pool, owned: ()
