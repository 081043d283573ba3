"""How this machine runs tasks' machines, for all benchmarks of them: emulated, or by a KVM that boots something.

Owns that choice, what a region and a rig are told of it, and a bare machine of the same guest. Absolute times of an
emulation say nothing of a KVM machine: each figure says by its words which it was.
"""

import asyncio
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from neargate.cli.paths import RegionPaths
from neargate.interfaces.sandbox import TaskSize
from neargate.sandbox.microvm.plan import guest_memory_mib, guest_vcpus
from neargate.sandbox.microvm.qemu_command import TB_MIB
from neargate.sandbox.microvm.qemu_program import kvm_refusal
from neargate.sandbox.microvm.tsc import tsc_khz
from neargate.sandbox.microvm.vmm import Accelerator
from neargate.testing.machine_rig import GUEST, MachineRig, guest_is_built
from neargate.world import OsWorld

from .bare_machine import BareMachine

_KVM_WORD_S = 10.0
_WAIT_S = 90.0
_LOOK_S = 0.002


def check_guest() -> None:
    if not guest_is_built():
        raise RuntimeError("no guest was built: make guest")


@cache
def accelerator() -> Accelerator:
    """A KVM that makes machines and boots none (a host without hardware for them) is none."""
    if kvm_refusal() is not None:
        return "tcg"
    machine = _bare(TaskSize(), 0, "kvm")
    return "kvm" if machine.speaks_within(_KVM_WORD_S) else "tcg"


def words() -> str:
    """For what a figure is held against."""
    return "emulated" if accelerator() == "tcg" else "with KVM"


async def bare(size: TaskSize) -> BareMachine:
    """As large as a task's machine of that size."""
    return _bare(size, 0 if accelerator() == "kvm" else await tsc_khz(OsWorld()), accelerator())


def _bare(size: TaskSize, khz: int, kind: Accelerator) -> BareMachine:
    memory_mib, vcpus = guest_memory_mib(size), guest_vcpus(size)
    return BareMachine(GUEST, vcpus=vcpus, memory_mib=memory_mib, tsc_khz=khz, tb_mib=TB_MIB, kvm=kind == "kvm")


def rig(*, saves: bool = False, waiting_mib: int = 0) -> MachineRig:
    return MachineRig(saves=saves, waiting_mib=waiting_mib, accelerator=accelerator())


def region_options() -> tuple[str, ...]:
    """Of `neargate up`."""
    return ("--sandbox", "microvm", *(("--allow-emulated", "yes") if accelerator() == "tcg" else ()))


def without_saved(paths: RegionPaths) -> None:
    """No machine is ever saved in that region: where their directory would be is a file."""
    paths.agent.mkdir(mode=0o700, parents=True)
    (paths.agent / "snapshots").touch()


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + _WAIT_S
    while not is_so():
        if time.perf_counter() > deadline:
            raise RuntimeError("it does not happen")
        await asyncio.sleep(_LOOK_S)


def has_words(log: Path) -> bool:
    """Whether its container has said something."""
    return log.exists() and log.stat().st_size > 0
