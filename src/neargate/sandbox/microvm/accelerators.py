"""Which way machines are run on this host: by KVM, or emulated where that was allowed.

Owns what experience has shown: a KVM that makes machines and boots none (a host without hardware virtualisation for its
guests) shows only in monitors that crash or guests that never say a word. The first way that brings a machine up is
settled: it is the only one from then on, so that what a host says of its machines is true of all of them.
"""

from .vmm import Accelerator


class Accelerators:
    """`usable`: the best first; at least one."""

    def __init__(self, usable: tuple[Accelerator, ...]) -> None:
        self._usable = usable

    @property
    def attempts(self) -> int:
        """To boot one machine: each way once, and once more the last, which always works, if slowly."""
        return len(self._usable) + 1

    def attempt(self, number: int) -> Accelerator:
        """How it is booted for the first time (1), the second, and so on."""
        return self._usable[min(number, len(self._usable)) - 1]

    def worked(self, accelerator: Accelerator) -> None:
        """A machine of another that comes up later, since both booted at once, changes nothing."""
        if accelerator in self._usable:
            self._usable = (accelerator,)

    @property
    def settled(self) -> Accelerator | None:
        """How machines are run; None: the first is yet to show it."""
        return self._usable[0] if len(self._usable) == 1 else None
