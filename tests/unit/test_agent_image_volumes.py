"""An image's VOLUME lines: which become directories of the container's own, and what Fargate fills from the image."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.container_config import mounts
from neargate.agent.image_volumes import BadVolumes, declared_volumes, own_volumes, volume_name
from neargate.interfaces.sandbox import Image
from neargate.model.launch import MountPoint, Tmpfs, VolumesFrom
from neargate.testing.agent_host import TASK_ID, AgentHost, container, launch, play

IMAGE = Image(
    reference="x",
    digest="sha256:1",
    index_digest=None,
    config_digest="sha256:2",
    snapshot="sha256:3",
    unpacked_bytes=1,
    compressed_bytes=1,
)


def saying(*paths: str) -> Image:
    return replace(IMAGE, volumes=paths)


def test_paths_are_made_normal() -> None:
    assert declared_volumes(saying("/a/", "//a", "b/../c", "/a/./b", "/../d")) == ("/a", "/c", "/a/b", "/d")


def test_what_the_definition_mounts_is_left_to_it() -> None:
    web = container(
        mount_points=(MountPoint(source_volume="v", container_path="/a/"),),
        tmpfs=(Tmpfs(container_path="/b", size_mib=1),),
    )
    assert own_volumes(web, saying("/a", "/b", "/c"), 64) == ("/c",)


@pytest.mark.parametrize("path", ["/", "", "/proc", "/proc/self", "/x/../sys/fs", "/dev", "/sys", "/proc/"])
def test_what_the_runtime_guards_is_never_hidden(path: str) -> None:
    with pytest.raises(BadVolumes, match=r"^CannotCreateVolumeError: "):
        own_volumes(container(), saying("/fine", path), 64)


def test_there_is_a_bound() -> None:
    many = saying(*(f"/v{number}" for number in range(5)))
    assert len(own_volumes(container(), many, 5)) == 5
    with pytest.raises(BadVolumes, match="5 volumes, more than 4"):
        own_volumes(container(), many, 4)


def test_they_are_handed_on_and_give_way() -> None:
    first = container("first")
    second = container(
        "second",
        volumes_from=(VolumesFrom(source_container="first", read_only=True),),
        mount_points=(MountPoint(source_volume="v", container_path="/c"),),
    )
    volumes = {
        "v": "/host/v",
        volume_name("first", "/a"): "/host/first-a",
        volume_name("first", "/c"): "/host/first-c",
        volume_name("second", "/a"): "/host/second-a",
        volume_name("second", "/b"): "/host/second-b",
    }
    assert [(item.target, item.source, item.read_only) for item in mounts((first, second), second, volumes)] == [
        ("/a", "/host/first-a", True),
        ("/b", "/host/second-b", False),
        ("/c", "/host/v", False),
    ]
    assert [item.target for item in mounts((first, second), first, volumes)] == ["/a", "/c"]


def test_they_are_filled_and_others_are_not(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        files = {path: {"hello": path.encode()} for path in ("/said", "/mounted", "/unsaid")}
        host.sandbox.add_image("full", command=("/x",), volumes=("/said", "/mounted"), files=files)
        points = tuple(MountPoint(source_volume=path[1:], container_path=path) for path in ("/mounted", "/unsaid"))
        web = container(image="full", mount_points=points)
        host.server.run(launch(web, container("side", image="full"), volumes=("mounted", "unsaid")))
        await host.server.status(TASK_ID, "RUNNING")

        def shown(name: str) -> dict[str, list[str]]:
            found = {bind.target: Path(bind.source) for bind in host.sandbox.named(name).config.mounts}
            return {
                target: [item.read_text() for item in place.iterdir()]
                for target, place in found.items()
                if place.is_dir()
            }

        assert shown("web") == {"/said": ["/said"], "/mounted": ["/mounted"], "/unsaid": []}
        assert shown("side") == {"/said": ["/said"], "/mounted": ["/mounted"]}

    play(tmp_path, scenario)


def test_a_bad_one_fails_the_launch(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.sandbox.add_image("bad", command=("/x",), volumes=("/proc",))
        host.server.run(launch(container(image="bad")))
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stopped_reason == "CannotCreateVolumeError: the image declares a volume at /proc"
        await host.clock.sleep(5)
        assert host.leftovers() == []

    play(tmp_path, scenario)
