"""The collector on a real containerd: what it takes away is gone from the disk, and can be pulled again."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from neargate.interfaces.sandbox import Image
from neargate.model.knobs import Knobs
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.pull.unpack import open_lease
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import Entry, build_image, build_layer

pytestmark = pytest.mark.root

SHARED = build_layer([Entry(path="shared", content=b"of both")])
# Its disk always counts as low, and never as good enough; what was used before this moment may go.
SHORT = Knobs(pull_retry_base_s=0.01, image_free_low_fraction=1.1, image_free_goal_fraction=1.1, image_spared_s=-5.0)


@pytest.fixture(scope="module")
def rig() -> Iterator[ContainerRig]:
    rig = ContainerRig()
    try:
        yield rig
    finally:
        rig.close()


def pushed(rig: ContainerRig, name: str) -> str:
    return rig.push(name, build_image([SHARED, build_layer([Entry(path=name, content=name.encode())])]))


def store(rig: ContainerRig) -> tuple[set[str], set[str]]:
    """Names of images, snapshots."""
    engine = rig.client()
    try:
        return {image.name for image in engine.list_images()}, set(engine.list_snapshots())
    finally:
        engine.close()


def test_what_nobody_needs_goes_and_comes_back(rig: ContainerRig) -> None:
    needed, unneeded = pushed(rig, "needed"), pushed(rig, "unneeded")

    async def story(engine: ContainerdSandbox) -> tuple[Image, Image, tuple[str, ...]]:
        kept, lost = await rig.pull(engine, needed), await rig.pull(engine, unneeded)
        return kept, lost, await engine.collect_images(frozenset({kept.digest}))

    kept, lost, gone = rig.run(story, knobs=SHORT)
    assert len(gone) == 1 and gone[0].endswith(f"/unneeded@{lost.digest}")
    images, snapshots = store(rig)
    assert gone[0] not in images and any(name.endswith(kept.digest) for name in images)
    assert kept.snapshot in snapshots and lost.snapshot not in snapshots

    async def again(engine: ContainerdSandbox) -> tuple[Image, str]:
        image = await rig.pull(engine, unneeded)
        await engine.collect_images(frozenset({kept.digest, image.digest}))
        await rig.pull(engine, unneeded)
        await engine.collect_images(frozenset({kept.digest}))
        config = rig.config(await rig.pull(engine, unneeded), "true")
        with pytest.raises(Exception, match="CannotStartContainerError"):
            await engine.create_container(config)  # it has no such program: its files were there to look in
        await engine.delete_container(config.runtime_id)
        return image, image.snapshot

    image, snapshot = rig.run(again, knobs=SHORT)
    assert image.digest == lost.digest and snapshot in store(rig)[1], "pulled once more after it was taken twice"


def test_a_disk_with_room_keeps_all(rig: ContainerRig) -> None:
    reference = pushed(rig, "roomy")

    async def story(engine: ContainerdSandbox) -> tuple[Image, tuple[str, ...]]:
        return await rig.pull(engine, reference), await engine.collect_images(frozenset())

    roomy = Knobs(image_free_low_fraction=0.0, image_free_goal_fraction=1.0, image_spared_s=-5.0)
    image, gone = rig.run(story, knobs=roomy)
    assert gone == () and image.snapshot in store(rig)[1]


def test_what_was_used_lately_stays_also_for_the_next_agent(rig: ContainerRig) -> None:
    reference = pushed(rig, "lately")

    async def use(engine: ContainerdSandbox) -> Image:
        image = await rig.pull(engine, reference)
        await engine.collect_images(frozenset())  # writes down when it was used
        return image

    image = rig.run(use, knobs=Knobs(image_free_low_fraction=0.0))

    async def story(engine: ContainerdSandbox) -> tuple[str, ...]:
        return await engine.collect_images(frozenset())

    patient = Knobs(image_free_low_fraction=1.1, image_free_goal_fraction=1.1, image_spared_s=3600.0)
    assert all(not name.endswith(image.digest) for name in rig.run(story, knobs=patient))
    assert image.snapshot in store(rig)[1]


def test_what_a_task_gets_while_images_are_collected_stays(rig: ContainerRig) -> None:
    reference = pushed(rig, "wanted")

    async def story(engine: ContainerdSandbox) -> tuple[Image, tuple[str, ...]]:
        known = await rig.pull(engine, reference)
        by_digest = f"{reference.removesuffix(':latest')}@{known.digest}"
        await rig.pull(engine, by_digest)
        collecting = asyncio.ensure_future(engine.collect_images(frozenset()))
        await asyncio.sleep(0)  # it has begun
        return await rig.pull(engine, by_digest), await collecting  # which waits for nothing, so it is sooner

    image, gone = rig.run(story, knobs=SHORT)
    assert not any(name.endswith(image.digest) for name in gone)
    assert image.snapshot in store(rig)[1]


def test_the_disk_can_be_looked_at_after_containerd_tidied_up(rig: ContainerRig) -> None:
    async def story(engine: ContainerdSandbox) -> None:
        await engine.collect_images(frozenset())
        client = rig.client()
        open_lease(client, "neargate-test-tidy", time.time())
        client.delete_lease("neargate-test-tidy", collect=True)
        client.close()
        assert await engine.collect_images(frozenset()) == ()

    rig.run(story, knobs=Knobs(image_free_low_fraction=0.0))
