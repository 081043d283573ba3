"""What a task may have in a kernel of its own and nowhere else: who may ask for it, and which devices there are.

AWS has none of it on Fargate. An account may have it by its operator's word alone (`neargate account kernel`).
"""

from collections.abc import Mapping
from typing import Protocol

# Device -> its numbers, character devices all: what a guest's kernel has of ECS's `linuxParameters.devices`.
DEVICES: Mapping[str, tuple[int, int]] = {"/dev/fuse": (10, 229), "/dev/net/tun": (10, 200)}


class KernelGrants(Protocol):
    """Asked at every launch; answered from memory."""

    def has(self, account: str) -> bool: ...


class NoGrants:
    """Implements KernelGrants where the operator has said nothing."""

    def has(self, account: str) -> bool:
        del account
        return False
