"""Which way machines are run on this host: by KVM, or emulated where that was allowed.

Owns what experience has shown: a KVM that makes machines and boots none (a host without hardware virtualisation for its
guests) shows only in monitors that crash or guests that never say a word. The first way that brings a machine up is
settled: it is the only one from then on, so that what a host says of its machines is true of all of them. That KVM
boots machines is kept for the agents to come while host, monitor and guest are the same; that it did not, is not: it
may have been one bad moment.
"""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from .vmm import Accelerator

_BEST: Accelerator = "kvm"


class _Shown(Struct, frozen=True, kw_only=True):
    """By KVM a machine came up, where this is so."""

    boot_id: str
    monitor: str
    guest: str


class Kept(Struct, frozen=True, kw_only=True):
    """Where it is kept: a file of root's alone. `boot_id`: of the host, since a file may outlive what it tells of."""

    file: Path
    boot_id: str


class Accelerators:
    """`usable`: the best first; at least one. `kept` None: each agent finds out for itself."""

    def __init__(self, usable: tuple[Accelerator, ...], kept: Kept | None = None) -> None:
        self._usable = usable
        self._kept = kept
        self._shown: _Shown | None = None

    def recall(self, monitor: str, guest: str) -> None:
        """At the agent's start: what an earlier one saw of this monitor and guest, by their releases. Blocks."""
        if self._kept is None:
            return
        self._shown = _Shown(boot_id=self._kept.boot_id, monitor=monitor, guest=guest)
        if _BEST in self._usable and _read(self._kept.file) == self._shown:
            self._usable = (_BEST,)

    def keep(self) -> None:
        """After `worked`. Blocks; raises OSError."""
        if self._kept is None or self._shown is None or self.settled != _BEST:
            return
        if _read(self._kept.file) != self._shown:
            _write(self._kept.file, self._shown)

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


def _read(file: Path) -> _Shown | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Shown)
    except (OSError, msgspec.DecodeError):
        return None  # nothing was seen yet, or by another release


def _write(file: Path, shown: _Shown) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(msgspec.json.encode(shown))
    fresh.replace(file)
