"""docker-registry's own storage section from the operator: what of it is taken over, and who reads its credentials."""

import json
import os
import stat
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from neargate.cli import image_storage
from neargate.cli.config import RegionConfig
from neargate.cli.image_storage import kept, local_directory, parse, section, settle
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.cli.supervisor import images_settings

S3 = """
storage:
  s3:
    region: eu-central-1
    regionendpoint: https://minio.lan:9000
    bucket: images
    accesskey: AKIDSAID
    secretkey: "s3cr3t: }\\n{"
    secure: yes
    chunksize: 10485760
"""
SECRET = "s3cr3t: }\n{"


@pytest.fixture
def paths(tmp_path: Path) -> RegionPaths:
    found = RegionPaths(tmp_path / "data")
    found.data.mkdir()
    return found


def nothing() -> None:
    """No keeper runs."""


def written(tmp_path: Path, text: str, mode: int = 0o600) -> RegionConfig:
    file = tmp_path / "storage.yml"
    file.write_text(text)
    file.chmod(mode)
    return RegionConfig(image_storage=str(file))


def test_the_rest_of_the_keepers_settings_stays_ours(tmp_path: Path, paths: RegionPaths) -> None:
    before = yaml.safe_load(images_settings(paths, "0" * 64))
    assert before["storage"]["filesystem"] == {"rootdirectory": str(paths.images)}
    settle(paths, written(tmp_path, S3), None, nothing)
    found = yaml.safe_load(images_settings(paths, "0" * 64))

    def ours(interval: str) -> dict[str, object]:
        purging = {"enabled": True, "age": "24h", "interval": interval, "dryrun": False}
        deleting = {"delete": {"enabled": True}, "redirect": {"disable": True}}
        return deleting | {"maintenance": {"uploadpurging": purging}}

    assert found.pop("storage") == {"s3": yaml.safe_load(S3)["storage"]["s3"]} | ours("24h")
    assert before.pop("storage") == {"filesystem": {"rootdirectory": str(paths.images)}} | ours("1h")
    assert found == before
    assert found["http"]["net"] == "unix" and "auth" not in found


def test_without_a_file_bytes_are_in_the_data_directory(paths: RegionPaths) -> None:
    assert list(section(None, Path("/x"))) == ["filesystem", "delete", "redirect", "maintenance"]
    assert local_directory(paths, RegionConfig()) == paths.images


def test_credentials_are_roots_and_the_keepers_alone(tmp_path: Path, paths: RegionPaths) -> None:
    config = settle(paths, written(tmp_path, S3), None, nothing)
    assert config.images_at == "s3:images"
    assert local_directory(paths, config) is None
    assert stat.S_IMODE(paths.image_storage.stat().st_mode) == 0o600
    storage = kept(paths)
    assert storage is not None and storage.parameters["secretkey"] == SECRET
    assert "s3cr3t" not in repr(storage) and "s3cr3t" not in repr(config)


def test_a_copy_stays_for_the_way_down(tmp_path: Path, paths: RegionPaths) -> None:
    config = settle(paths, written(tmp_path, S3), None, nothing)
    os.unlink(config.image_storage)
    assert "AKIDSAID" in images_settings(paths, "")
    with pytest.raises(Problem, match="No such file"):
        settle(paths, config, None, nothing)
    assert settle(paths, replace(config, image_storage=""), None, nothing).images_at == ""
    assert kept(paths) is None
    paths.image_storage.write_text("{")
    with pytest.raises(Problem, match="damaged"):
        kept(paths)


def test_no_keeper_goes_on_with_what_was_said_before(tmp_path: Path, paths: RegionPaths) -> None:
    """It is ended before the copy says something else: also when a kill or a refusal ends `up` right after."""
    held: list[str] = []  # what the copy said when the keeper was ended

    def end_keeper() -> None:
        storage = kept(paths)
        held.append("" if storage is None else storage.parameters["accesskey"])

    config = settle(paths, written(tmp_path, S3), None, end_keeper)
    assert settle(paths, config, None, end_keeper) == config
    assert held == [""], "nothing changed the second time"
    assert settle(paths, written(tmp_path, S3.replace("AKIDSAID", "AKIDELSE")), None, end_keeper) == config
    assert held == ["", "AKIDSAID"], "credentials alone, too"
    settle(paths, replace(config, image_storage=""), None, end_keeper)
    settle(paths, replace(config, image_storage=""), None, end_keeper)
    assert held == ["", "AKIDSAID", "AKIDELSE"]


def test_a_file_with_credentials_that_others_read_is_refused(tmp_path: Path, paths: RegionPaths) -> None:
    with pytest.raises(Problem, match="chmod 600"):
        settle(paths, written(tmp_path, S3, 0o640), None, nothing)
    assert not paths.image_storage.exists()


def test_another_directory_must_be_there(tmp_path: Path, paths: RegionPaths) -> None:
    """The keeper would make it, on the disk below a mount that is missing."""
    there = tmp_path / "nas" / "images"
    config = written(tmp_path, json.dumps({"storage": {"filesystem": {"rootdirectory": str(there)}}}), 0o644)
    with pytest.raises(Problem, match="is it mounted"):
        settle(paths, config, None, nothing)
    assert not paths.image_storage.exists()
    there.mkdir(parents=True)
    config = settle(paths, config, None, nothing)
    assert local_directory(paths, config) == there
    if os.geteuid() == 0:
        with pytest.raises(Problem, match="must be the user nobody's: chown nobody:"):
            settle(paths, config, "nobody", nothing)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no storage: section"),
        ("[]", "no storage: section"),
        ("storage: s3", "no storage: section"),
        ("storage: {}", "one driver"),
        ("storage: {s3: {bucket: a}, filesystem: {rootdirectory: /x}}", "one driver"),
        ("storage: {inmemory: {}}", "one driver"),
        ("storage: {s3: null}", "has no parameters"),
        ("storage: {s3: {bucket: 2026-01-01}}", r"storage\.s3\.bucket .* in quotes"),
        ("storage: {s3: {deep: {bucket: 2026-01-01}}}", r"storage\.s3\.deep\.bucket "),
        ("storage: {s3: {1: a}}", "its names"),
        ('storage: {s3: {bucket: "a\\x07"}}', "bucket"),
        ("storage: {filesystem: {}}", "rootdirectory"),
        ("storage: {filesystem: {rootdirectory: images}}", "whole path"),
        ("storage: {s3: {bucket: a}, delete: {enabled: false}}", r"storage\.delete is Neargate's own"),
        ("storage: {s3: {bucket: a}, redirect: {disable: false}}", r"storage\.redirect is Neargate's own"),
        ("storage: {s3: {bucket: a}, maintenance: {readonly: {enabled: true}}}", r"storage\.maintenance is"),
        ("storage: {s3: {bucket: a}, cache: {blobdescriptor: redis}}", r"storage\.cache is"),
        ("storage: {s3: {bucket: a}}\nhttp: {addr: ':5000'}", "http: is Neargate's own"),
        ("storage: {s3: {bucket: a}}\nauth: {silly: {}}", "auth: is Neargate's own"),
        ("storage: {s3: {bucket: a}}\nnotifications: {}", "notifications: is Neargate's own"),
        ("storage: {s3: [", "is no YAML"),
        ("storage: !!python/object/apply:os.system [id]", "is no YAML"),
        (
            "storage: {s3: {a: &a [1,1,1,1,1,1,1,1,1], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], "
            "c: [*b,*b,*b,*b,*b,*b,*b,*b,*b]}}",
            "too many members",
        ),
        ("a" * 70_000, "longer than"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(Problem, match=words):
        parse(text.encode(), "FILE")


def test_complaints_show_no_values() -> None:
    for text in (S3.replace("storage:", "storage"), S3 + "\x07", S3.replace("bucket: images", "bucket: 2026-01-01")):
        with pytest.raises(Problem) as caught:
            parse(text.encode(), "FILE")
        assert "s3cr3t" not in str(caught.value) and "AKIDSAID" not in str(caught.value)


def test_what_a_whole_file_begins_with_is_let_through() -> None:
    assert parse(f"version: 0.1\n{S3}".encode(), "FILE").where == "s3:images"
    assert parse(b"storage: {swift: {container: c}}", "FILE").where == "swift:c"
    assert image_storage.DRIVERS[0] == "filesystem"
