"""`neargate image load` before a region with a real keeper of bytes: what it prints as loaded is there."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.cli.config import RegionConfig
from neargate.cli.images import load as image_load
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.front_door import ACCOUNT, REGION, ROOT

from .ecr_rig import CONFIG, Region, live_region, needs_registry, sha256

pytestmark = needs_registry
BOUND = 1024 * 1024


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with live_region(replace(DEFAULT_KNOBS, image_layer_max_bytes=BOUND)) as found:
        yield found


@pytest.fixture(autouse=True)
def administrator(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RegionConfig(port=region.port, region=REGION, account=ACCOUNT)
    keys = {"AWS_ACCESS_KEY_ID": ROOT.key, "AWS_SECRET_ACCESS_KEY": ROOT.secret}
    monkeypatch.setattr("neargate.cli.config.load", lambda paths: config)
    monkeypatch.setattr("neargate.cli.images.load.variables", lambda paths: keys)


def saved(path: Path, layer: bytes, *names: str) -> str:
    """An archive as `docker save` writes it."""
    entries = [{"Config": "c.json", "RepoTags": [name], "Layers": ["one/layer.tar"]} for name in names]
    files = {"manifest.json": json.dumps(entries).encode(), "c.json": CONFIG, "one/layer.tar": layer}
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_what_is_loaded_is_there_and_may_be_loaded_again(region: Region, tmp_path: Path) -> None:
    layer = bytes(range(256)) * 2000
    archive = saved(tmp_path / "a.tar", layer, "team/web:1", "docker.io/library/tool:2")
    for _ in range(2):
        said: list[str] = []
        image_load.load(RegionPaths(tmp_path), archive, "", said.append)
        host = f"{ACCOUNT}.dkr.ecr.{REGION}.localhost:{region.port}"
        assert [line.rpartition(" ")[0] for line in said] == [f"loaded {host}/team/web:1", f"loaded {host}/tool:2"]
    manifest = region.ask("GET", "team/web/manifests/1")
    assert said[0].rpartition(" ")[2] == sha256(manifest.body) == manifest.headers["docker-content-digest"]
    assert region.ask("GET", f"tool/blobs/{sha256(layer)}").body == layer


def test_a_name_by_the_registrys_address_is_the_repositorys(region: Region, tmp_path: Path) -> None:
    by_address = f"127.0.0.1:{region.port}/{ACCOUNT}/by/address:1"
    image_load.load(RegionPaths(tmp_path), saved(tmp_path / "a.tar", b"x", by_address), "", lambda line: None)
    archive = saved(tmp_path / "b.tar", b"y", "other:2")
    image_load.load(RegionPaths(tmp_path), archive, by_address.replace(":1", ":3"), lambda line: None)
    found = region.ecr.list_images(repositoryName="by/address")["imageIds"]
    assert sorted(image["imageTag"] for image in found) == ["1", "3"]


def test_what_the_registry_refuses_is_said_in_its_words(region: Region, tmp_path: Path) -> None:
    archive = saved(tmp_path / "a.tar", bytes(BOUND + 1), "large:1")
    said: list[str] = []
    with pytest.raises(Problem, match=f"refused sha256:.*A layer has at most {BOUND} bytes"):
        image_load.load(RegionPaths(tmp_path), archive, "", said.append)
    assert not said and region.ecr.list_images(repositoryName="large")["imageIds"] == []
