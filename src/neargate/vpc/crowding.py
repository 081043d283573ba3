"""Who may begin no more flows for a while, because the table of flows that all of a VPC's interfaces share fills. Pure.

Half of the table is there for whoever needs it. When more is taken, those who have most begin nothing until there is
room again, however many they are: half is always left for those who have few. What goes on is never ended by it.
"""

from collections.abc import Collection, Iterable, Mapping

from .flows import Flow


def is_filling(count: int, count_max: int) -> bool:
    return count >= count_max // 2 > 0


def held_by(flows: Iterable[Flow], interfaces: Collection[str]) -> Mapping[str, int]:
    """How many each has: a flow is its sender's, or its receiver's if it comes from elsewhere."""
    found = dict.fromkeys(interfaces, 0)
    for flow in flows:
        owner = next((end for end in (str(flow.source), str(flow.receiver)) if end in found), None)
        if owner is not None:
            found[owner] += 1
    return found


def crowding(held: Mapping[str, int], sampled: int) -> frozenset[str]:
    """Those with more than their share. `held`: flows of each among `sampled` ones, taken from a table that fills.

    A share is the most that all may have of half as many: who has less leaves the rest to the others.
    """
    room, share = sampled // 2, 0
    waiting = sorted(held.values())
    for place, count in enumerate(waiting):
        share = room // (len(waiting) - place)
        if count > share:
            break
        room -= count
    return frozenset(interface for interface, count in held.items() if count > share)
