"""The task's volumes and its images' own: directories on its disk, filled from the image where that says VOLUME.

A volume under its final name is complete; it is filled under a temporary name and renamed, so that a crash in between
is repaired by doing it again. The image's paths are resolved by the sandbox, inside the image.
"""

import os
import shutil
from pathlib import Path

from ...interfaces.sandbox import SandboxError
from ...model.launch import ContainerLaunch
from ..image_volumes import BadVolumes, declared_volumes, normal, own_volumes, volume_name
from ..order import start_order
from ..points import Point
from ..task_context import LaunchFailed, TaskContext

LANE = "agent-files"


class VolumesHook:
    name = "volumes"
    up_point = Point.VOLUMES_MADE
    down_point = Point.VOLUMES_REMOVED
    gated = False

    async def up(self, task: TaskContext) -> None:
        disk = task.resources.disk
        assert disk is not None, "the disk's step comes before"
        root = Path(disk.path) / "volumes"
        for number, volume in enumerate(task.launch.volumes):
            # Numbered, not named: a volume's name is the user's text and may be longer than a file name.
            final = root / str(number)
            task.resources.volumes[volume] = str(final)
            await self._fill(task, final, self._mounters(task, volume))
        for number, container in enumerate(task.launch.containers):
            for n, path in enumerate(_own_volumes(task, container)):
                final = root / f"{number}-{n}"
                task.resources.volumes[volume_name(container.name, path)] = str(final)
                await self._fill(task, final, [(container.name, path)])

    async def down(self, task: TaskContext) -> None:
        """Volumes are on the task's disk and go with it."""
        task.resources.volumes.clear()

    async def _fill(self, task: TaskContext, final: Path, sources: list[tuple[str, str]]) -> None:
        """From the first (container, path) whose image has that directory. A disk that was given has them all."""
        disk = task.resources.disk
        if disk is None or disk.is_given or await task.parts.world.offload(LANE, final.is_dir):
            return
        filling = final.with_name(f"{final.name}.filling")
        await task.parts.world.offload(LANE, _fresh_directory, filling)
        for container, path in sources:
            image = task.resources.images[container]
            try:
                if await task.engine(lambda: task.parts.sandbox.seed_volume(image, path, str(filling))):  # noqa: B023
                    break
            except SandboxError as error:
                raise LaunchFailed(error.reason, container) from error
        await task.parts.world.offload(LANE, os.rename, filling, final)

    def _mounters(self, task: TaskContext, volume: str) -> list[tuple[str, str]]:
        """Where it is mounted and the image says VOLUME: elsewhere Fargate's volumes begin empty, unlike Docker's."""
        return [
            (container.name, mount.container_path)
            for container in start_order(task.launch.containers)
            for mount in container.mount_points
            if mount.source_volume == volume
            and normal(mount.container_path) in declared_volumes(task.resources.images[container.name])
        ]


def _own_volumes(task: TaskContext, container: ContainerLaunch) -> tuple[str, ...]:
    image = task.resources.images[container.name]
    try:
        return own_volumes(container, image, task.parts.knobs.image_volumes_max)
    except BadVolumes as bad:
        raise LaunchFailed(str(bad), container.name) from bad


def _fresh_directory(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True, mode=0o755)
    path.chmod(0o755)
