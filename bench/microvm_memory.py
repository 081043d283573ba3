"""What a machine costs in memory beside what its task can use, just when its guest is the task's.

On the host: what the monitor's process has beyond its guest's memory (PSS of all other mappings; emulated, with the
code that it translated into). In the guest: what of the machine's memory no task can have: what the kernel keeps for
itself at boot, and what is used by then. A start that came from a saved machine has less of the first, as its kernel
was never loaded.
"""

import asyncio
import re
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from neargate.interfaces.sandbox import EngineUnavailable, Image, PullRequest, TaskSize
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.guest import Guest
from neargate.sandbox.microvm.plan import guest_memory_mib
from neargate.sandbox.microvm.record import Rung
from neargate.testing.machine_rig import MachineRig
from neargate.testing.oci_image import build_image, busybox_layer

from . import machines
from .figures import Figure, Load, foreign_load, spread

COMMAND = "python -m bench microvm_memory"
ROUNDS = 3
SIZES = (TaskSize(), TaskSize(cpu_units=1024, memory_mib=2048), TaskSize(cpu_units=1024, memory_mib=8192))
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ ", re.MULTILINE)


@dataclass(frozen=True)
class Mapping:
    size_kib: int
    pss_kib: int
    private_kib: int
    anonymous_kib: int
    file: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """MiB. `private`: of `beside`, what was written: another machine has it again."""

    beside: float
    private: float
    ram: float
    reserved: float
    used: float


def measure() -> list[Figure]:
    machines.check_guest()
    seen: dict[tuple[Rung, TaskSize], list[Seen]] = {}
    others = foreign_load()
    with ExitStack() as stack:
        rigs = {Rung.COLD: machines.rig(), Rung.SNAPSHOT: machines.rig(saves=True)}
        for rig in rigs.values():
            stack.callback(rig.close)
        with Load() as load:
            for rung, rig in rigs.items():
                rig.run(partial(_story, rung, rig, seen))
    return _figures(seen, others, load.busy)


async def _story(
    rung: Rung, rig: MachineRig, seen: dict[tuple[Rung, TaskSize], list[Seen]], engine: MicroVmSandbox
) -> None:
    reference = rig.containers.push("busybox", build_image([busybox_layer()]))
    image = await engine.pull_image(PullRequest(reference=reference, account="123456789012"), lambda *_: None)
    sizes = SIZES if rung is Rung.COLD else SIZES[:1]
    for size in sizes:
        for turn in range(ROUNDS + (rung is Rung.SNAPSHOT)):
            by, found = await _machine(rig, engine, image, size)
            if by is rung:
                seen.setdefault((rung, size), []).append(found)
            if rung is Rung.SNAPSHOT and turn == 0:
                await machines.until(lambda: engine.saved == 1)


async def _machine(rig: MachineRig, engine: MicroVmSandbox, image: Image, size: TaskSize) -> tuple[Rung | None, Seen]:
    """Of one task, that ends."""
    config = rig.config(image, "sleep", "100000", task_size=size)
    await engine.create_container(config)
    starting = asyncio.ensure_future(engine.start_container(config.runtime_id))
    await machines.until(lambda: starting.done() or _guest(engine, config.task_id) is not None)
    guest = _guest(engine, config.task_id)
    if guest is None:
        raise RuntimeError(f"no machine: {await starting}")
    found = await _look(rig, config.task_id, guest, guest_memory_mib(size))
    await starting
    rung = engine.rung_of(config.task_id)
    await engine.delete_container(config.runtime_id)
    return rung, found


def _guest(engine: MicroVmSandbox, task_id: str) -> Guest | None:
    try:
        return engine.guest_of(task_id)
    except EngineUnavailable:
        return None  # it is just not held yet


async def _look(rig: MachineRig, task_id: str, guest: Guest, machine_mib: int) -> Seen:
    pid = (await rig.monitor_pids())[task_id]
    mappings = parsed(await asyncio.to_thread(Path(f"/proc/{pid}/smaps").read_text))
    memory = dict(re.findall(r"(\w+): +(\d+) kB", (await guest.read("/proc/meminfo")).decode()))
    total, available = int(memory["MemTotal"]) / 1024, int(memory["MemAvailable"]) / 1024
    rams = [mapping for mapping in mappings if mapping.size_kib >= machine_mib * 1024]
    beside = [mapping for mapping in mappings if mapping not in rams]
    return Seen(
        beside=sum(mapping.pss_kib for mapping in beside) / 1024,
        private=sum(mapping.private_kib for mapping in beside) / 1024,
        ram=sum(mapping.pss_kib for mapping in rams) / 1024,
        reserved=machine_mib - total,
        used=total - available,
    )


def parsed(smaps: str) -> list[Mapping]:
    """Of /proc/PID/smaps."""
    found = []
    begins = [match.start() for match in _MAPPING.finditer(smaps)]
    for begin, end in zip(begins, [*begins[1:], len(smaps)], strict=True):
        head, _, rest = smaps[begin:end].partition("\n")
        facts = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", rest, re.MULTILINE)}
        words = head.split(maxsplit=5)
        file = words[5] if len(words) > 5 else ""
        found.append(Mapping(facts["Size"], facts["Pss"], facts["Private_Dirty"], facts["Anonymous"], file))
    return found


def _figures(seen: dict[tuple[Rung, TaskSize], list[Seen]], others: float, busy: float) -> list[Figure]:
    how, note = machines.words(), f"others used {others:.0%} of the processors before"
    figures = []
    for rung in (Rung.COLD, Rung.SNAPSHOT):
        some = seen[rung, SIZES[0]]
        figures.append(
            Figure(
                name=f"microvm: monitor beside its guest, {rung.value}, PSS",
                value=median(one.beside for one in some),
                unit="MiB",
                goal="<= 160" if how == "emulated" else None,
                against=f"all mappings of QEMU but the guest's memory, {how}; {len(some)} machines of 0.5 GB, one at a "
                "time; the kernel's file is counted whole, and shared by as many machines as run",
                samples={"beside_mib": [one.beside for one in some], "private_mib": [one.private for one in some]},
                notes=[
                    note,
                    f"of it private: {spread([one.private for one in some])} MiB",
                    f"and touched of the guest's memory: {spread([one.ram for one in some])} MiB",
                ],
                load=busy,
                command=COMMAND,
            )
        )
    for size in SIZES:
        some = seen[Rung.COLD, size]
        figures.append(
            Figure(
                name=f"microvm: guest's own memory, {size.memory_mib / 1024:g} GB",
                value=median(one.reserved + one.used for one in some),
                unit="MiB",
                goal="<= 64",
                against=f"the {guest_memory_mib(size)} MiB of the machine: less MemTotal, and what is used when the "
                f"guest is the task's, {how}",
                samples={"reserved_mib": [one.reserved for one in some], "used_mib": [one.used for one in some]},
                notes=[
                    f"not in MemTotal {spread([one.reserved for one in some])} MiB (a table of all pages is "
                    f"{guest_memory_mib(size) / 64:.0f}), used {spread([one.used for one in some])} MiB"
                ],
                load=busy,
                command=COMMAND,
            )
        )
    return figures
