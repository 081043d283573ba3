"""RunTask to a container's first output by a cold start, over what nobody could leave out of it.

That is a bare QEMU's boot of the same kernel and initramfs to its init, and the container's start alone: the same image
and specification in a guest that runs already, as one more container of its task. The three take turns. Beside it the
same boot with the words that our kernels are told, and the boot until the guest's first process speaks on its port:
modules, mounts, devices found.

A region of machines that are never saved, so that each start is cold; the image and its disk are there. The task has
1 vCPU, so that nothing throttles its machine, its interface, its 20 GiB disk, metadata and awslogs.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from neargate.cli.admin import ask
from neargate.interfaces.sandbox import PullRequest, TaskSize
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.qemu_command import KERNEL_WORDS
from neargate.testing.machine_rig import MachineRig
from neargate.testing.oci_image import build_image, busybox_layer

from . import machines
from .figures import Figure, Load, foreign_load, spread
from .region import BenchRegion, container_region

COMMAND = "python -m bench microvm_cold"
ROUNDS, WARM_UPS = 7, 2
SIZE = TaskSize(cpu_units=1024, memory_mib=2048)
SAYS = ["sh", "-c", "echo here; trap 'exit 0' TERM; sleep 100000 & wait"]
OURS, INIT, TUNED, WORD, ALONE = "run_task_s", "init_s", "init_with_our_words_s", "first_word_s", "container_s"

Series = dict[str, list[float]]


def measure() -> list[Figure]:
    machines.check_guest()
    series: Series = {name: [] for name in (OURS, INIT, TUNED, WORD, ALONE)}
    steps: list[dict[str, float]] = []
    others = foreign_load()
    with container_region(*machines.region_options(), before=machines.without_saved) as region:
        rig = machines.rig()
        try:
            with Load() as load:
                rig.run(lambda engine: _story(region, rig, engine, series, steps))
        finally:
            rig.close()
    return [replace(figure, load=load.busy, command=COMMAND) for figure in _figures(series, steps, others)]


async def _story(
    region: BenchRegion, rig: MachineRig, engine: MicroVmSandbox, series: Series, steps: list[dict[str, float]]
) -> None:
    definition = region.register(command=SAYS, log_options={}, cpu=SIZE.cpu_units, memory_mib=SIZE.memory_mib)
    bare = await machines.bare(SIZE)
    starts = await _containers(rig, engine)
    for turn in range(-WARM_UPS, ROUNDS):
        took = {
            OURS: await asyncio.to_thread(_run_task, region, definition, steps),
            INIT: await asyncio.to_thread(bare.init_s),
            TUNED: await asyncio.to_thread(bare.init_s, *KERNEL_WORDS),
            WORD: await asyncio.to_thread(bare.word_s),
            ALONE: await _start(engine, *starts.pop()),
        }
        if turn < 0:
            steps.clear()
            continue
        for name, value in took.items():
            series[name].append(value)


def _run_task(region: BenchRegion, definition: str, steps: list[dict[str, float]]) -> float:
    request = region.run_request(definition)
    sent = time.time()
    answer = region.client.call("ecs", "RunTask", **request)
    if answer["failures"]:
        raise RuntimeError(str(answer["failures"]))
    arn = answer["tasks"][0]["taskArn"]
    said = region.first_output(arn)
    region.wait(arn, "RUNNING")
    steps.append(dict(ask(region.paths, "why", task=arn)["stages_ms"]))
    region.stop(arn)
    return said - sent


async def _containers(rig: MachineRig, engine: MicroVmSandbox) -> list[tuple[str, Path]]:
    """Of one task whose machine runs, none of them started; and their logs."""
    reference = rig.containers.push("busybox", build_image([busybox_layer()]))
    image = await engine.pull_image(PullRequest(reference=reference, account="123456789012"), lambda *_: None)
    first = rig.config(image, "sleep", "100000")
    await engine.create_container(first)
    made = []
    for number in range(WARM_UPS + ROUNDS):
        config = rig.config(image, "sh", "-c", SAYS[2], name=f"c{number}", task_id=first.task_id)
        await engine.create_container(config)
        assert config.log_path is not None
        made.append((config.runtime_id, Path(config.log_path)))
    await engine.start_container(first.runtime_id)
    return made


async def _start(engine: MicroVmSandbox, runtime_id: str, log: Path) -> float:
    began = time.perf_counter()
    starting = asyncio.ensure_future(engine.start_container(runtime_id))
    await machines.until(lambda: machines.has_words(log))
    took = time.perf_counter() - began
    await starting
    await engine.delete_container(runtime_id)
    return took


def _figures(series: Series, steps: list[dict[str, float]], others: float) -> list[Figure]:
    ours, alone = median(series[OURS]), median(series[ALONE])
    names = list(dict.fromkeys(name for step in steps for name in step))
    notes = [f"others used {others:.0%} of the processors before"]
    notes += [f"{name}: {spread([value * 1000 for value in values])} ms" for name, values in series.items()]
    shares = [f"{name} {median(step.get(name, 0.0) for step in steps):.0f}" for name in names]
    return [
        Figure(
            name="microvm: cold first output over bare boot and container",
            value=ours / (median(series[INIT]) + alone),
            unit="x",
            goal="<= 1.15",
            against=f"`qemu -M microvm` to its init, same kernel and initramfs, and the container's start alone, "
            f"{machines.words()}; {ROUNDS} rounds, taking turns",
            samples=series,
            notes=[*notes, f"the agent's steps, ms: {', '.join(shares)}"],
        ),
        *(
            Figure(
                name=f"microvm: the same, {what}", value=ours / (median(series[name]) + alone), unit="x", against=words
            )
            for what, name, words in (
                ("our kernel's words", TUNED, f"a bare boot that is told {' '.join(KERNEL_WORDS)} as well"),
                ("bare boot to its first word", WORD, "init has loaded modules, mounted, found devices, and speaks"),
            )
        ),
    ]
