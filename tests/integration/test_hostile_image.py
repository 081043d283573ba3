"""Images that are small as they come and fill the machine when they are unpacked: real containerd, real registry.

What is left free is told by the file system itself; the test never lets it come near its end.
"""

import os

import pytest

from neargate.interfaces.sandbox import Image, PullRequest, SandboxError
from neargate.model.knobs import Knobs
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer

pytestmark = pytest.mark.root

MIB = 1 << 20
BOMB_MIB = 512
ALLOWED_MIB = 48


def pull(rig: ContainerRig, image: BuiltImage, name: str, free_fraction: float) -> Image:
    reference = rig.push(name, image)

    async def story(engine: ContainerdSandbox) -> Image:
        return await engine.pull_image(PullRequest(reference=reference, account="123456789012"), lambda *_: None)

    return rig.run(story, knobs=Knobs(pull_retry_base_s=0.01, pull_free_fraction=free_fraction))


def fraction_that_leaves(rig: ContainerRig, room_bytes: int) -> float:
    """What must stay free so that an image may take `room_bytes`."""
    found = os.statvfs(rig.base)
    return (found.f_bavail - room_bytes / found.f_frsize) / found.f_blocks


def test_a_layer_that_unpacks_to_more_than_there_is_is_given_up(rig: ContainerRig) -> None:
    bomb = build_image([build_layer([Entry(path="zeros", content=b"\0" * (BOMB_MIB * MIB))])])
    assert sum(map(len, bomb.blobs.values())) < 4 * MIB, "small as it comes"
    before = os.statvfs(rig.base)
    with pytest.raises(SandboxError, match="no space left on device") as caught:
        pull(rig, bomb, "bomb", fraction_that_leaves(rig, ALLOWED_MIB * MIB))
    assert caught.value.reason.startswith("CannotPullContainerError: failed to unpack image")
    client = rig.client()
    try:
        assert client.list_leases() == []
        assert not [name for name in client.list_snapshots() if "neargate-unpack" in name], "nothing of it is kept"
    finally:
        client.close()
    after = os.statvfs(rig.base)
    assert (before.f_bavail - after.f_bavail) * after.f_frsize < BOMB_MIB * MIB // 2


def test_layers_that_are_too_big_as_they_come_are_not_fetched(rig: ContainerRig) -> None:
    big = build_image([build_layer([Entry(path="noise", content=os.urandom(8 * MIB))])])
    with pytest.raises(SandboxError, match="bytes of layers: no space left on device"):
        pull(rig, big, "big", fraction_that_leaves(rig, 2 * MIB))


def test_the_same_image_is_pulled_when_there_is_room(rig: ContainerRig) -> None:
    image = build_image([build_layer([Entry(path=f"file-{n}", content=b"x" * MIB)]) for n in range(2)])
    assert pull(rig, image, "fits", 0.05).unpacked_bytes > 2 * MIB
