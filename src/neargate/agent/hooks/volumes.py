"""The task's volumes: directories on its disk, seeded at first mount from the image as Docker does.

A volume under its final name is complete; it is filled under a temporary name and renamed, so that a crash in between
is repaired by doing it again. The image's paths are resolved by the sandbox, inside the image.
"""

import os
import shutil
from pathlib import Path

from ...interfaces.sandbox import SandboxError
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
        assert disk is not None, "the disk stage comes before"
        root = Path(disk.path) / "volumes"
        for number, volume in enumerate(task.launch.volumes):
            # Numbered, not named: a volume's name is the user's text and may be longer than a file name.
            final = root / str(number)
            task.resources.volumes[volume] = str(final)
            await self._fill(task, volume, final)

    async def down(self, task: TaskContext) -> None:
        """Volumes are on the task's disk and go with it."""
        task.resources.volumes.clear()

    async def _fill(self, task: TaskContext, volume: str, final: Path) -> None:
        if await task.parts.world.offload(LANE, final.is_dir):
            return
        filling = final.with_name(f"{final.name}.filling")
        await task.parts.world.offload(LANE, _fresh_directory, filling)
        for container, path in self._mounters(task, volume):
            image = task.resources.images[container]
            try:
                if await task.engine(lambda: task.parts.sandbox.seed_volume(image, path, str(filling))):  # noqa: B023
                    break
            except SandboxError as error:
                raise LaunchFailed(error.reason, container) from error
        await task.parts.world.offload(LANE, os.rename, filling, final)

    def _mounters(self, task: TaskContext, volume: str) -> list[tuple[str, str]]:
        return [
            (container.name, mount.container_path)
            for container in start_order(task.launch.containers)
            for mount in container.mount_points
            if mount.source_volume == volume
        ]


def _fresh_directory(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True, mode=0o755)
    path.chmod(0o755)
