"""The files that the definition gives its containers: plain ones on the task's disk, secrets in memory only.

Each container has its own, mounted over its path and read-only. Whose a secret's file is the sandbox finds out, in the
image. What exists is not replaced: a container of an adopted launch may have it mounted.
"""

import os
from pathlib import Path

from ...interfaces.sandbox import BindMount
from ...model.launch import ContainerLaunch
from ..given_files import GivenFile, given_files, secret_files_mib
from ..points import Point
from ..task_context import LaunchFailed, TaskContext

LANE = "agent-files"
_PLAIN, _SECRET = 0o644, 0o400


class FilesHook:
    name = "files"
    up_point = Point.FILES_GIVEN
    down_point = Point.FILES_REMOVED
    gated = False

    async def up(self, task: TaskContext) -> None:
        disk = task.resources.disk
        assert disk is not None, "the disk's step comes before"
        memory = ""
        held_mib = secret_files_mib(task.launch, task.parts.knobs.secret_file_max_bytes)
        if held_mib:
            memory = await task.parts.disks.hold_in_memory(task.record.task_id, held_mib)
        for number, container in enumerate(task.launch.containers):
            mounts = []
            for file in _files(task, container):
                root = Path(memory) if file.secret_name else Path(disk.path) / "files"
                place = root / f"{number}-{file.number}"
                if file.secret_name or not disk.is_given:
                    await task.parts.world.offload(LANE, _write, place, file)
                mounts.append(_mount(place, file))
            task.resources.files[container.name] = tuple(mounts)

    async def down(self, task: TaskContext) -> None:
        """They go with the task's disk, which has the memory, too."""
        task.resources.files.clear()


def _files(task: TaskContext, container: ContainerLaunch) -> tuple[GivenFile, ...]:
    values = dict(task.resources.secrets.by_container.get(container.name, ()))
    found = given_files(container, values)
    most = task.parts.knobs.secret_file_max_bytes
    for file in found:
        if file.secret_name and len(file.text.encode()) > most:
            raise LaunchFailed(
                f"ResourceInitializationError: the value of secret {file.secret_name} is larger than a file may be "
                f"({most} bytes)",
                container.name,
            )
    return found


def _mount(place: Path, file: GivenFile) -> BindMount:
    return BindMount(
        source=str(place), target=file.path, read_only=True, is_data=True, is_private=bool(file.secret_name)
    )


def _write(place: Path, file: GivenFile) -> None:
    """Whole or not at all. Nobody but root is in the directory: the modes are for those who have it mounted."""
    if place.exists():
        return
    place.parent.mkdir(mode=0o700, exist_ok=True)
    unfinished = place.with_name(f".{place.name}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as written:
        written.write(file.text.encode())
        os.fchmod(written.fileno(), _SECRET if file.secret_name else _PLAIN)
    unfinished.replace(place)
