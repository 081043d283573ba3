"""What no image names goes, what one names stays: with a real keeper of bytes, whose files are then collected."""

import asyncio
import http.client
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from neargate.cli import config as configs
from neargate.cli import locks
from neargate.cli.config import RegionConfig
from neargate.cli.image_storage import settle
from neargate.cli.images.collect import collect
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.supervisor import images_program
from neargate.cli.up import images_kept
from neargate.frontend.images.backend import SocketBackend
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer, push
from neargate.testing.registry import RunningRegistry

pytestmark = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs docker-registry")


def image(content: bytes) -> BuiltImage:
    return build_image([build_layer([Entry(path="a", content=content)], compress=False)])


def blobs(directory: Path) -> set[str]:
    return {f"sha256:{found.parent.name}" for found in directory.glob("docker/registry/v2/blobs/sha256/*/*/data")}


def test_only_what_no_manifest_names_is_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1)  # these files are not the control plane's user's
    paths = RegionPaths(tmp_path / "data")
    paths.data.mkdir()
    kept, gone = image(b"kept" * 50_000), image(b"gone" * 50_000)
    keeper = RunningRegistry(str(tmp_path / "keeper"))
    try:
        for one in (kept, gone):
            push(keeper.address, "1/u", one.digest, one)
        with closing(http.client.HTTPConnection(keeper.address, timeout=30)) as connection:
            connection.request("DELETE", f"/v2/1/u/manifests/{gone.digest}")
            assert connection.getresponse().status == 202
    finally:
        keeper.stop()
    shutil.move(tmp_path / "keeper" / "storage", paths.images)
    assert set(gone.blobs) <= blobs(paths.images)
    lock = locks.take(paths.up_lock)
    assert lock is not None
    with pytest.raises(Problem, match="while the region is down"):
        collect(paths, lambda line: None)
    os.close(lock)
    said: list[str] = []
    collect(paths, said.append)
    assert blobs(paths.images) == {kept.digest, *kept.blobs}
    assert said[0].startswith("0.2 MiB of 0.4 MiB")


def test_images_in_another_directory_are_collected_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--image-storage` with docker-registry's own `filesystem`: pushed through its socket, collected when down."""
    monkeypatch.setattr("os.geteuid", lambda: 1)
    with tempfile.TemporaryDirectory(prefix="ngc") as short:  # the socket's path has 107 bytes at most
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        paths, there = RegionPaths(tmp_path / "data"), tmp_path / "nas"
        for directory in (paths.data, paths.images, paths.server_run, there):
            directory.mkdir(parents=True)
        file = tmp_path / "storage.yml"
        file.write_text(f"storage: {{filesystem: {{rootdirectory: {there}}}}}")
        config = settle(paths, RegionConfig(image_storage=str(file)), None, lambda: None)
        configs.save(paths, config)
        keeper = images_program(paths, None)
        with subprocess.Popen(keeper.argv, env=keeper.environment) as running:
            try:
                one = image(b"gone" * 50_000)
                wait_until(lambda: images_kept(paths))
                asyncio.run(stored_and_deleted(paths, one))
            finally:
                running.terminate()
        assert set(one.blobs) <= blobs(there)
        said: list[str] = []
        collect(paths, said.append)
        assert blobs(there) == set() and said[0].startswith("0.2 MiB of 0.2 MiB")
        assert not list(paths.images.iterdir())


def wait_until(look: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not look():
        assert time.monotonic() < until
        time.sleep(0.02)


async def stored_and_deleted(paths: RegionPaths, one: BuiltImage) -> None:
    backend = SocketBackend(str(paths.images_socket), DEFAULT_KNOBS)
    for digest, content in one.blobs.items():
        async with backend.exchange("POST", f"/v2/1/u/blobs/uploads/?digest={digest}", body=b"") as begun:
            place = begun.headers["location"]
        octets = (("content-type", "application/octet-stream"),)
        async with backend.exchange("PUT", f"{place}&digest={digest}", octets, content) as stored:
            assert stored.status == 201
    target, kind = f"/v2/1/u/manifests/{one.digest}", (("content-type", one.media_type),)
    async with backend.exchange("PUT", target, kind, one.manifest) as stored:
        assert stored.status == 201
    async with backend.exchange("DELETE", target) as deleted:
        assert deleted.status == 202


def test_a_region_without_images_has_nothing_to_collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1)
    paths = RegionPaths(tmp_path)
    paths.images.mkdir()
    said: list[str] = []
    collect(paths, said.append)
    assert said == ["0.0 MiB of 0.0 MiB are free again"]
