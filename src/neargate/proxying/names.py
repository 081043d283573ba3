"""What things of a plan are called in a proxy's configuration. Stable: a process knows its parts again by them.

None of them tells a client what it should not know: a target's name is in cookies.
"""

from collections.abc import Sequence
from hashlib import sha256

from ..model.balancing import BalancerPlan, PlannedGroup, PlannedNode, PlannedTarget

OPEN, PROBE = "o", "p"  # after a backend's name: its twin without checks, and where fresh targets are tried
NOWHERE = "nowhere"
_IDS = 2**31 - 2


def _short(text: str, length: int) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()[:length]


def backend(arn: str) -> str:
    return f"g{_short(arn, 16)}"


def frontend(arn: str) -> str:
    return f"l{_short(arn, 16)}"


def certificate(arn: str) -> str:
    return f"{_short(arn, 16)}.pem"


def server(group: PlannedGroup, target: PlannedTarget) -> str:
    return f"t{_short(f'{group.arn} {target.key}', 16)}"


def server_ids(group: PlannedGroup, targets: Sequence[PlannedTarget]) -> dict[str, int]:
    """By server's name. Where a client's address says the target, all nodes say the same one by these."""
    found: dict[str, int] = {}
    taken: set[int] = set()
    for name in sorted(server(group, target) for target in targets):
        number = int(name[1:], 16) % _IDS + 1
        while number in taken:
            number = number % _IDS + 1
        taken.add(number)
        found[name] = number
    return found


def served(plan: BalancerPlan, node: PlannedNode, group: PlannedGroup) -> tuple[PlannedTarget, ...]:
    """Those that this node checks and sends to: of zones that the load balancer has, and of its own alone where
    nothing crosses zones."""
    zones = {one.zone for one in plan.nodes} | {node.zone}
    return tuple(
        target
        for target in group.targets
        if target.zone is None or (target.zone in zones if group.cross_zone else target.zone == node.zone)
    )


def live(plan: BalancerPlan, node: PlannedNode, group: PlannedGroup) -> tuple[PlannedTarget, ...]:
    """Those of them that get new requests."""
    return tuple(target for target in served(plan, node, group) if not target.is_draining)
