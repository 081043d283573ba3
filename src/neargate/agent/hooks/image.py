"""Pulls the images of all containers, side by side; the same reference once. Interruptible: content is shared."""

import asyncio
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

from ...interfaces.sandbox import Image, PullRequest, RegistryEndpoint, SandboxError
from ...model.launch import ContainerLaunch
from ..points import Point
from ..task_context import Interrupted, LaunchFailed, Login, TaskContext


class ImageHook:
    name = "image"
    up_point = Point.IMAGES_PULLED
    down_point = Point.IMAGES_RELEASED
    gated = False

    async def up(self, task: TaskContext) -> None:
        wanted: dict[tuple[str, str], ContainerLaunch] = {}
        for container in task.launch.containers:
            wanted.setdefault(_key(container), container)
        if task.record.pull_started_at is None:
            task.change(pull_started_at=task.now())
        outcomes = await asyncio.gather(*(self._pull(task, container) for container in wanted.values()))
        self._raise_first(outcomes)
        pulled = dict(zip(wanted, outcomes, strict=True))
        for container in task.launch.containers:
            image = pulled[_key(container)]
            assert isinstance(image, Image), "an outcome that is no error is an image"
            task.resources.images[container.name] = image
            task.change_container(container.name, image_digest=image.digest, stop_signal=image.stop_signal)
        task.change(pull_stopped_at=task.record.pull_stopped_at or task.now())

    async def down(self, task: TaskContext) -> None:
        """Images are shared by the host's tasks; a collector of the sandbox owns their end."""
        task.resources.images.clear()

    async def _pull(self, task: TaskContext, container: ContainerLaunch) -> Image | LaunchFailed | Interrupted:
        """The error as a value: one that failed must not cancel its neighbour in the middle of a write."""
        try:
            return await task.or_interrupted(self._image(task, container))
        except SandboxError as error:
            task.interrupt()
            return LaunchFailed(error.reason, container.name)
        except LaunchFailed as error:
            task.interrupt()
            return error
        except Interrupted as error:
            return error

    async def _image(self, task: TaskContext, container: ContainerLaunch) -> Image:
        execution = task.parts.execution
        login = await execution.login(task.launch, container, task.interface_up)
        try:
            return await self._pulled(task, container, login)
        except SandboxError:
            if login is None or not login.is_kept:
                raise
        # What was kept may be of a role that was made anew since, or of a key that the region no longer has.
        execution.refused(task.launch)
        return await self._pulled(task, container, await execution.login(task.launch, container, task.interface_up))

    async def _pulled(self, task: TaskContext, container: ContainerLaunch, login: Login | None) -> Image:
        is_regional = login is not None and login.is_regional
        request = PullRequest(
            reference=_reference(container),
            account=task.launch.account,
            username=None if login is None else login.username,
            password=None if login is None else login.password,
            endpoint=_endpoint(task) if is_regional else None,
            netns_path=partial(_network, task) if is_regional or task.parts.pulls_by_task(container.image) else None,
        )
        return await task.engine(lambda: task.parts.sandbox.pull_image(request, _unseen))

    def _raise_first(self, outcomes: Sequence[Image | LaunchFailed | Interrupted]) -> None:
        """A failed pull explains the interruption of its neighbours, so it is raised before them."""
        for kind in (LaunchFailed, Interrupted):
            for outcome in outcomes:
                if isinstance(outcome, kind):
                    raise outcome


def _key(container: ContainerLaunch) -> tuple[str, str]:
    """The same image is pulled once, unless it is asked for with other credentials."""
    return _reference(container), container.repository_credentials


def _reference(container: ContainerLaunch) -> str:
    """A name with a tag and a digest means the digest."""
    pinned = container.image_pin and "@" not in container.image
    return f"{container.image}@{container.image_pin}" if pinned else container.image


def _endpoint(task: TaskContext) -> RegistryEndpoint:
    endpoint = urlsplit(task.parts.endpoint_url)
    assert endpoint.hostname is not None and endpoint.port is not None, "it is an address and a port"
    return RegistryEndpoint(address=endpoint.hostname, port=endpoint.port)


async def _network(task: TaskContext) -> str:
    await task.interface_up()
    assert task.resources.network is not None, "its interface is in it"
    return task.resources.network.netns_path


def _unseen(_done_bytes: int, _total_bytes: int) -> None:
    """Nobody watches the progress of a task's pull; the timestamps tell how long it took."""
