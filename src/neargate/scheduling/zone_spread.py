"""Which zone and which subnet a task goes to (the talk's T28): pure decisions.

Invariant: while every zone has room, the live tasks of one family (or service) differ by at most one between the zones
of the given subnets. Ties are broken by `turn`, a number the caller draws, so that many families of one task each do
not all land in the first zone; the same inputs always give the same answer.
"""

from collections.abc import Mapping, Sequence

from ..model.capacity import SubnetView


def zones_in_order(subnets: Sequence[SubnetView], live: Mapping[str, int], turn: int) -> tuple[str, ...]:
    """The zones of `subnets`, the one to try first in front. `live`: the family's tasks per zone."""
    zones = sorted({subnet.zone for subnet in subnets})
    first = turn % len(zones)
    in_turn = zones[first:] + zones[:first]
    in_turn.sort(key=lambda zone: live.get(zone, 0))  # stable: a tie keeps the turn's order
    return tuple(in_turn)


def subnet_in_zone(subnets: Sequence[SubnetView], zone: str, turn: int) -> SubnetView:
    """One of the given subnets of that zone; over many turns each gets its share."""
    candidates = sorted((subnet for subnet in subnets if subnet.zone == zone), key=lambda subnet: subnet.subnet_id)
    return candidates[turn % len(candidates)]
