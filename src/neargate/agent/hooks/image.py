"""Pulls the images of all containers, side by side; the same reference once. Interruptible: content is shared."""

import asyncio
from collections.abc import Sequence

from ...interfaces.sandbox import Image, PullRequest, SandboxError
from ..points import Point
from ..task_context import Interrupted, LaunchFailed, TaskContext


class ImageHook:
    name = "image"
    up_point = Point.IMAGES_PULLED
    down_point = Point.IMAGES_RELEASED
    gated = False

    async def up(self, task: TaskContext) -> None:
        references = list(dict.fromkeys(container.image for container in task.launch.containers))
        if task.record.pull_started_at is None:
            task.change(pull_started_at=task.now())
        outcomes = await asyncio.gather(*(self._pull(task, reference) for reference in references))
        self._raise_first(outcomes)
        pulled = dict(zip(references, outcomes, strict=True))
        for container in task.launch.containers:
            image = pulled[container.image]
            assert isinstance(image, Image), "an outcome that is no error is an image"
            task.resources.images[container.name] = image
            task.change_container(container.name, image_digest=image.digest, stop_signal=image.stop_signal)
        task.change(pull_stopped_at=task.record.pull_stopped_at or task.now())

    async def down(self, task: TaskContext) -> None:
        """Images are shared by the host's tasks; a collector of the sandbox owns their end."""
        task.resources.images.clear()

    async def _pull(self, task: TaskContext, reference: str) -> Image | LaunchFailed | Interrupted:
        """The error as a value: one that failed must not cancel its neighbour in the middle of a write."""
        request = PullRequest(reference=reference, account=task.launch.account)
        try:
            return await task.or_interrupted(task.engine(lambda: task.parts.sandbox.pull_image(request, _unseen)))
        except SandboxError as error:
            name = next(item.name for item in task.launch.containers if item.image == reference)
            task.interrupt()
            return LaunchFailed(error.reason, name)
        except Interrupted as error:
            return error

    def _raise_first(self, outcomes: Sequence[Image | LaunchFailed | Interrupted]) -> None:
        """A failed pull explains the interruption of its neighbours, so it is raised before them."""
        for kind in (LaunchFailed, Interrupted):
            for outcome in outcomes:
                if isinstance(outcome, kind):
                    raise outcome


def _unseen(_done_bytes: int, _total_bytes: int) -> None:
    """Nobody watches the progress of a task's pull; the timestamps tell how long it took."""
