"""What a task leaves to those that come after it on its host by machines that were ready before it ended: nothing.

The one before has a word of its own in each place where a task has any; another account's tasks then come by a machine
that waited and by one that goes on from a saved one, both saved while the first was there. Their root searches the
guest; then the host is searched for what their monitors reach.
"""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from neargate.interfaces.sandbox import BindMount, ContainerConfig, PullRequest
from neargate.sandbox.microvm.engine import MicroVmSandbox
from neargate.sandbox.microvm.record import Rung
from neargate.testing.machine_rig import MachineRig, guest_is_built
from neargate.testing.oci_image import build_image, busybox_layer
from neargate.testing.suites.sandbox import ACCOUNT
from neargate.testing.word_search import files_with, words_in, words_in_memory

from . import guest_root
from .engine_waits import until
from .test_microvm_ladder import one_waits
from .test_microvm_neighbours import found_in, look, new_word

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not guest_is_built(), reason="no guest was built: make guest"),
]
ANOTHER_ACCOUNT = "210987654321"
# Halves are joined in the guest: a word is where it was put, and not in the container's command as well. What the shell
# holds stays in its memory; of the file in memory the kernel has pages, of the deleted one the disk has blocks. Who
# comes later writes less: it must not cover what it would find.
TELLS = """
held={memory[0]}''{memory[1]}; for n in $(seq {lines}); do echo $held; done > /dev/shm/held
for n in $(seq {lines}); do echo {disk[0]}''{disk[1]}; done > /kept; cp /kept /gone; sync; rm /gone
cat /run/secret > /dev/shm/read; echo {log[0]}''{log[1]}; while :; do sleep 1000; echo "$held" > /dev/null; done
"""


class Words(Struct, frozen=True):
    """One for each place."""

    memory: str
    disk: str
    log: str
    console: str
    environment: str
    secret: str

    def all(self) -> tuple[str, ...]:
        return tuple(getattr(self, name) for name in self.__struct_fields__)


@pytest.fixture(scope="module")
def rig() -> Iterator[MachineRig]:
    """With room for one machine that waits."""
    made = MachineRig(saves=True, waiting_mib=280)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def reference(rig: MachineRig) -> str:
    return rig.containers.push("busybox", build_image([busybox_layer()]))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return guest_root.compiled(tmp_path_factory.mktemp("guest_root"))


def halves(word: str) -> tuple[str, str]:
    return word[: len(word) // 2], word[len(word) // 2 :]


def given(rig: MachineRig, word: str) -> Path:
    """A file that the host holds for a task."""
    path = Path(rig.containers.made("secrets"), word[-8:])
    path.write_text(word)
    return path


async def task_with(
    engine: MicroVmSandbox, rig: MachineRig, reference: str, words: Words, who: str, lines: int = 100
) -> ContainerConfig:
    image = await engine.pull_image(PullRequest(reference=reference, account=who), lambda *_: None)
    secret = given(rig, words.secret)
    config = rig.config(
        image,
        "sh",
        "-c",
        TELLS.format(memory=halves(words.memory), disk=halves(words.disk), log=halves(words.log), lines=lines),
        environment=(*image.environment, ("WORD", words.environment)),
        mounts=(BindMount(source=str(secret), target="/run/secret", read_only=True, is_data=True, is_private=True),),
    )
    await engine.create_container(config)
    await engine.start_container(config.runtime_id)
    secret.unlink()
    await until(lambda: rig.log(config) == f"{words.log}\n")
    return config


def in_reach_of(pid: int, words: tuple[str, ...]) -> dict[str, set[str]]:
    """Of a monitor: the files of its root, and what its descriptors are open on; with words that are there."""
    root = f"/proc/{pid}/root"
    paths = [os.path.join(top, name) for top, _, names in os.walk(root) for name in names]
    paths += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    own = [path for path in paths if not path.startswith(f"{root}/proc/")]  # there it finds itself: its memory
    return {path: words_in(path, words) for path in own if stat.S_ISREG(os.stat(path).st_mode)}


def left_of(rig: MachineRig, config: ContainerConfig, words: tuple[str, ...]) -> dict[str, set[str]]:
    """Of a task that ended: what still has its name or a word of it, but for the disk and the log, whose owners delete
    them: saved machines, images' disks, records, directories of machines and the run directory are the engine's."""
    owners = (str(rig.base / f"disk-{config.task_id}"), str(rig.base / f"{config.task_id}.img"), config.log_path)
    places = (rig.base, Path(rig.containers.run_dir))
    named = {path: set[str]() for place in places for path in place.rglob(f"*{config.task_id}*")}
    found = {str(path): has for path, has in {**named, **files_with(places, words)}.items()}
    return {path: has for path, has in found.items() if path not in owners}


def check_guest(found: dict[str, tuple[int, ...]]) -> None:
    """Root of it finds the first word in the memory and on the disk of its own, no other anywhere."""
    assert found["kcore"][0] > 500 << 20 and found["kcore"][1] > 0, found
    disks = {place: counts[1] for place, counts in found.items() if place.startswith("/dev/vd")}
    assert set(disks) == {"/dev/vda", "/dev/vdb", "/dev/vdc"} and max(disks.values()) > 0, found
    assert not {place: counts for place, counts in found.items() if any(counts[2:])}


def check_monitor(pid: int, config: ContainerConfig, ours: Words, others: tuple[str, ...]) -> None:
    """The search finds the machine's own words where they are, its disk among it, and no other's anywhere."""
    held = words_in_memory(pid, (*ours.all(), *others))
    assert held >= {ours.memory, ours.environment, ours.secret} and not held & set(others)
    reached = in_reach_of(pid, (*ours.all(), *others))
    assert {word for found in reached.values() for word in found} == {ours.disk}, (config.task_id, reached)
    assert any("memfd:" in os.readlink(path) for path in reached if "/fd/" in path), "the saved one's memory, shared"


@pytest.mark.timeout(400)  # gigabytes are read by emulated processors
def test_nothing_of_a_task_is_in_the_reach_of_one_that_comes_by_a_ready_machine(
    rig: MachineRig, reference: str, program: bytes
) -> None:
    gone, ours, theirs, last = (Words(*(new_word() for _ in range(6))) for _ in range(4))

    async def story(engine: MicroVmSandbox) -> None:
        first = await task_with(engine, rig, reference, gone, ACCOUNT, lines=2000)
        assert await look(engine, first, program, "say", guest_root.veiled(gone.console)) == []
        await one_waits(rig, engine)
        pid = (await rig.monitor_pids())[first.task_id]
        assert words_in_memory(pid, gone.all()) == set(gone.all()), "a word is in each place"
        await engine.delete_container(first.runtime_id)
        assert words_in(rig.base / f"{first.task_id}.img", gone.all()) == {gone.disk}, "it was on the disk, too"
        assert first.task_id not in await rig.monitor_pids() and left_of(rig, first, gone.all()) == {}

        both = await asyncio.gather(
            *(task_with(engine, rig, reference, words, ANOTHER_ACCOUNT) for words in (ours, theirs))
        )
        assert {engine.rung_of(one.task_id) for one in both} == {Rung.WARM, Rung.SNAPSHOT}, rig.notes
        alive = list(zip(both, (ours, theirs), (theirs, ours), strict=True))
        for found in await asyncio.gather(
            *(found_in(engine, one, program, own.disk, other.memory, *gone.all()) for one, own, other in alive)
        ):
            check_guest(found)
        pids = await rig.monitor_pids()
        for one, own, other in alive:
            check_monitor(pids[one.task_id], one, own, (*gone.all(), *other.all()))
        for one, own, _ in alive:
            await engine.delete_container(one.runtime_id)
            assert left_of(rig, one, own.all()) == {}

        # Saved before all of them, made to wait after two of the same saved one had their words.
        await one_waits(rig, engine)
        after = await task_with(engine, rig, reference, last, ACCOUNT)
        assert engine.rung_of(after.task_id) is Rung.WARM, rig.notes
        pid = (await rig.monitor_pids())[after.task_id]
        check_monitor(pid, after, last, (*gone.all(), *ours.all(), *theirs.all()))
        await engine.delete_container(after.runtime_id)

    rig.run(story)
