"""How soon a task's machine is ready, and its container says something, by each rung of the ladder of starts.

Without a region: the engine with real machines; a container of busybox; a disk of 64 MiB. Both from the order
to start the container: until the guest is the task's (disks mounted, its address set), and until the container's log
has its first byte. The rungs take turns, so that what else runs hits them alike; the ratios are of medians. The first
start of an agent's life is not counted: it makes the image's disk and reads the saved machine.
"""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from neargate.interfaces.sandbox import Image, PullRequest
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.record import Rung
from neargate.testing.machine_rig import MachineRig
from neargate.testing.oci_image import build_image, busybox_layer

from . import machines
from .figures import Figure, Load, foreign_load, spread

COMMAND = "python -m bench microvm_ladder"
ROUNDS, STARTS = 3, 3
READY, OUTPUT = "guest ready", "first output"
GOALS = (
    (READY, Rung.COLD, Rung.SNAPSHOT, ">= 5"),
    (OUTPUT, Rung.COLD, Rung.SNAPSHOT, ">= 3.5"),
    (READY, Rung.SNAPSHOT, Rung.WARM, None),
    (OUTPUT, Rung.SNAPSHOT, Rung.WARM, ">= 1.3"),
)

Series = dict[tuple[Rung, str], list[float]]


def measure() -> list[Figure]:
    machines.check_guest()
    series: Series = {(rung, what): [] for rung in Rung for what in (READY, OUTPUT)}
    others = foreign_load()
    with ExitStack() as stack:
        rigs = {
            Rung.COLD: machines.rig(),
            Rung.SNAPSHOT: machines.rig(saves=True),
            Rung.WARM: machines.rig(saves=True, waiting_mib=280),
        }
        for rig in rigs.values():
            stack.callback(rig.close)
        with Load() as load:
            for _ in range(ROUNDS):
                for rung, rig in rigs.items():
                    _life(rig, rung, series)
    return [_figure(series, what, slow, fast, goal, load.busy, others) for what, slow, fast, goal in GOALS]


def _life(rig: MachineRig, rung: Rung, series: Series) -> None:
    """Of one agent."""
    reference = rig.containers.push("busybox", build_image([busybox_layer()]))

    async def story(engine: MicroVmSandbox) -> None:
        image = await engine.pull_image(PullRequest(reference=reference, account="123456789012"), lambda *_: None)
        await _start(rig, engine, image)
        for _ in range(STARTS):
            await machines.until(lambda: _holds(engine, rung))
            took_s, by = await _start(rig, engine, image)
            if by is not rung:
                raise RuntimeError(f"a machine came by the rung {by}, not {rung}: {rig.notes}")
            for what, value in took_s.items():
                series[rung, what].append(value)

    rig.run(story)


def _holds(engine: MicroVmSandbox, rung: Rung) -> bool:
    """Whether the next machine comes by it."""
    return {Rung.COLD: True, Rung.SNAPSHOT: engine.saved == 1, Rung.WARM: engine.waiting == 1}[rung]


async def _start(rig: MachineRig, engine: MicroVmSandbox, image: Image) -> tuple[dict[str, float], Rung | None]:
    config = rig.config(image, "echo", "here")
    assert config.log_path is not None
    log = Path(config.log_path)
    await engine.create_container(config)
    began = time.perf_counter()
    starting = asyncio.ensure_future(engine.start_container(config.runtime_id))
    await machines.until(lambda: engine.rung_of(config.task_id) is not None or starting.done())
    ready_s = time.perf_counter() - began
    await machines.until(lambda: machines.has_words(log))
    output_s = time.perf_counter() - began
    await starting
    rung = engine.rung_of(config.task_id)
    await engine.delete_container(config.runtime_id)
    return {READY: ready_s, OUTPUT: output_s}, rung


def _figure(series: Series, what: str, slow: Rung, fast: Rung, goal: str | None, busy: float, others: float) -> Figure:
    shown = {rung: spread([value * 1000 for value in series[rung, what]]) for rung in (slow, fast)}
    return Figure(
        name=f"microvm: {what}, {slow.value} over {fast.value}",
        value=median(series[slow, what]) / median(series[fast, what]),
        unit="x",
        goal=goal,
        against=f"a machine that came by the rung {slow.value}, {machines.words()}; {ROUNDS} rounds of {STARTS}, "
        "taking turns",
        samples={f"{rung.value}_s": series[rung, what] for rung in (slow, fast)},
        notes=[
            f"others used {others:.0%} of the processors before",
            *(f"{rung.value}: {words} ms" for rung, words in shown.items()),
        ],
        load=busy,
        command=COMMAND,
    )
