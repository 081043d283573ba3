"""Which way machines are run on this host: by KVM, or emulated where that was allowed.

Owns what experience has shown: a KVM that makes machines and boots none (a host without hardware virtualisation for its
guests) shows only in guests that never say a word. Where another way worked after it, that one is taken from then on.
"""

from .vmm import Accelerator

ATTEMPTS = 2


class Accelerators:
    """`usable`: the best first; at least one."""

    def __init__(self, usable: tuple[Accelerator, ...]) -> None:
        self._usable = usable

    def attempts(self) -> tuple[Accelerator, ...]:
        """One for each attempt to boot a machine: the last is the way that always works, if slowly."""
        return (*self._usable[:1] * (ATTEMPTS - 1), self._usable[-1])

    def worked(self, accelerator: Accelerator) -> None:
        at = self._usable.index(accelerator)
        self._usable = self._usable[at:]
