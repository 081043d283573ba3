"""What no image names goes, what one names stays: with a real keeper of bytes, whose files are then collected."""

import http.client
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from neargate.cli import locks
from neargate.cli.image_collect import collect
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer, push
from neargate.testing.registry import RunningRegistry

pytestmark = pytest.mark.skipif(shutil.which("docker-registry") is None, reason="needs docker-registry")


def image(content: bytes) -> BuiltImage:
    return build_image([build_layer([Entry(path="a", content=content)], compress=False)])


def blobs(paths: RegionPaths) -> set[str]:
    return {f"sha256:{found.parent.name}" for found in paths.images.glob("docker/registry/v2/blobs/sha256/*/*/data")}


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
    assert set(gone.blobs) <= blobs(paths)
    lock = locks.take(paths.up_lock)
    assert lock is not None
    with pytest.raises(Problem, match="while the region is down"):
        collect(paths, lambda line: None)
    os.close(lock)
    said: list[str] = []
    collect(paths, said.append)
    assert blobs(paths) == {kept.digest, *kept.blobs}
    assert said[0].startswith("0.2 MiB of 0.4 MiB")


def test_a_region_without_images_has_nothing_to_collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1)
    paths = RegionPaths(tmp_path)
    paths.images.mkdir()
    said: list[str] = []
    collect(paths, said.append)
    assert said == ["0.0 MiB of 0.0 MiB are free again"]
