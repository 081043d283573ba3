"""`neargate image load`: what is believed of an archive, and what is refused of a hostile one."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from neargate.cli.images.archive import Archive, Blob, Loaded
from neargate.cli.images.load import _places
from neargate.cli.problems import Problem
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_index, build_layer

ACCOUNT = "123456789012"
LAYER = build_layer([Entry(path="a", content=b"x" * 5000)], compress=False).blob
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


def docker_save(**changes: Any) -> dict[str, bytes]:
    entry = {"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["one/layer.tar"]} | changes
    return {"manifest.json": json.dumps([entry]).encode(), "c.json": CONFIG, "one/layer.tar": LAYER}


def layout(image: BuiltImage, name: str = "web:1") -> dict[str, bytes]:
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def add(one: BuiltImage) -> None:
        for digest, content in [*one.blobs.items(), (one.digest, one.manifest)]:
            files[f"blobs/sha256/{digest[7:]}"] = content
        for part in one.parts:
            add(part)

    add(image)
    notes = {"org.opencontainers.image.ref.name": name}
    entry = {"mediaType": image.media_type, "digest": image.digest, "size": 1, "annotations": notes}
    return files | {"index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()}


def read(path: Path) -> list[tuple[Loaded, list[bytes]]]:
    with closing(Archive(path)) as archive:
        return [(image, [b"".join(archive.pieces(blob)) for blob in image.blobs]) for image in archive.images()]


def refusal(path: Path) -> str:
    with pytest.raises(Problem) as caught:
        read(path)
    return str(caught.value)


def test_docker_save_becomes_a_manifest_of_its_layers(tmp_path: Path) -> None:
    ((image, blobs),) = read(tar(tmp_path / "a.tar", docker_save()))
    assert blobs == [CONFIG, LAYER]
    document = json.loads(image.manifest)
    assert document["config"]["digest"] == sha256(CONFIG)
    assert document["layers"] == [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(LAYER), "size": len(LAYER)}
    ]
    assert [blob.digest for blob in image.blobs] == [sha256(CONFIG), sha256(LAYER)]
    assert _places(image, "", ACCOUNT, several=False) == [("web", "1")]


def test_equal_layers_are_links_in_old_archives(tmp_path: Path) -> None:
    files = docker_save(Layers=["one/layer.tar", "two/layer.tar"])
    ((_, blobs),) = read(tar(tmp_path / "a.tar", files, {"two/layer.tar": "../one/layer.tar"}))
    assert blobs[1:] == [LAYER, LAYER]


def test_a_layer_that_images_share_is_read_once_for_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = docker_save()
    files["manifest.json"] = json.dumps(json.loads(files["manifest.json"]) * 3).encode()
    opened: list[str] = []
    real = Archive.pieces

    def pieces(self: Archive, blob: Blob) -> Iterator[bytes]:
        opened.append(blob.member)
        return real(self, blob)

    monkeypatch.setattr(Archive, "pieces", pieces)
    with closing(Archive(tar(tmp_path / "a.tar", files))) as archive:
        assert len({image.digest for image in archive.images()}) == 1
    assert opened == ["one/layer.tar"]


def test_a_layout_keeps_its_digests_and_its_lists(tmp_path: Path) -> None:
    one = build_image([build_layer([Entry(path="a", content=b"1")])])
    ((image, _),) = read(tar(tmp_path / "a.tar", layout(one)))
    assert image.digest == one.digest and image.manifest == one.manifest
    ((image, _),) = read(tar(tmp_path / "tag.tar", layout(one, "v2")))
    assert image.names == (":v2",)
    index = build_index([("amd64", one)])
    ((image, _),) = read(tar(tmp_path / "b.tar", layout(index)))
    assert image.digest == index.digest
    assert [child.digest for child in image.children] == [
        entry["digest"] for entry in json.loads(index.manifest)["manifests"]
    ]


@pytest.mark.parametrize(
    ("names", "wanted", "places"),
    [
        (("docker.io/library/nginx:1.25",), "", [("nginx", "1.25")]),
        (("localhost:5000/team/web:2", "team/web"), "", [("team/web", "2"), ("team/web", "latest")]),
        (("127.0.0.1:4566/123456789012/team/web:2",), "", [("team/web", "2")]),
        (("123456789012/team/web:2",), "", [("123456789012/team/web", "2")]),
        (("latest",), "web", [("web", "latest")]),
        ((":v2",), "web", [("web", "v2")]),
        (("web:1", "web:2"), "other", [("other", "1"), ("other", "2")]),
        (("web:1",), "other:7", [("other", "7")]),
        ((), "web", [("web", "latest")]),
    ],
)
def test_names_lose_the_other_registrys_host(names: tuple[str, ...], wanted: str, places: list[Any]) -> None:
    image = Loaded(manifest=b"", media_type="m", blobs=(), names=names)
    assert _places(image, wanted, ACCOUNT, several=False) == places


@pytest.mark.parametrize(
    "names", [(), (":v2",), ("UPPER:1",), ("../../etc:1",), ("web:a/b",), ("web:-1",), ("a" * 300 + ":1",)]
)
def test_names_that_are_none_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(Problem):
        _places(Loaded(manifest=b"", media_type="m", blobs=(), names=names), "", ACCOUNT, several=False)


HOSTILE: dict[str, dict[str, bytes]] = {
    "neither": {"a": b"b"},
    "no JSON": {"manifest.json": b"{"},
    "deep JSON": {"manifest.json": b"[" * 200_000},
    "no list": {"manifest.json": b"{}"},
    "empty": {"manifest.json": b"[]"},
    "too many": {"manifest.json": json.dumps([{}] * 101).encode()},
    "no configuration": docker_save(Config=None),
    "a layer that is no name": docker_save(Layers=[1]),
    "a layer elsewhere": docker_save(Layers=["../../../etc/passwd"]),
    "a layer at the root": docker_save(Layers=["/etc/passwd"]),
    "a configuration elsewhere": docker_save(Config="/etc/passwd"),
    "a manifest that is too large": {"manifest.json": b" " * (4 * 1024 * 1024 + 1)},
    "an index without manifests": {"index.json": b"{}"},
    "a digest that climbs": {
        "index.json": json.dumps(
            {"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:../../x"}]}
        ).encode()
    },
}


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "is no archive of images" in refusal(tar(tmp_path / "a.tar", files))


def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    for target in ("/etc/passwd", "../../../../etc/passwd", "layer.tar"):
        files = docker_save(Layers=["two/layer.tar"])
        assert "it has no file" in refusal(tar(tmp_path / "a.tar", files, {"two/layer.tar": target}))


def test_a_manifest_under_anothers_digest_is_refused(tmp_path: Path) -> None:
    image = build_image([build_layer([Entry(path="a", content=b"1")])])
    files = layout(image)
    files[f"blobs/sha256/{image.digest[7:]}"] += b" "
    assert "is not what its digest says" in refusal(tar(tmp_path / "a.tar", files))


def test_lists_in_lists_end(tmp_path: Path) -> None:
    image = build_image([build_layer([Entry(path="a", content=b"1")])])
    for _ in range(4):
        image = build_index([("amd64", image)], attestation=False)
    assert "lists go too deep" in refusal(tar(tmp_path / "a.tar", layout(image)))


def test_lists_that_name_the_same_again_and_again_end(tmp_path: Path) -> None:
    image = build_image([build_layer([Entry(path="a", content=b"1")])])
    files = layout(image)
    index = {"mediaType": image.media_type, "digest": image.digest, "size": 1}
    for _ in range(2):
        content = json.dumps({"schemaVersion": 2, "manifests": [index] * 100}).encode()
        files[f"blobs/sha256/{sha256(content)[7:]}"] = content
        index = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": sha256(content), "size": 1}
    files["index.json"] = json.dumps({"manifests": [index]}).encode()
    assert "it names more than 1000 manifests" in refusal(tar(tmp_path / "a.tar", files))


def test_files_that_are_no_archive(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("noise", b"\0\1\2" * 5000), ("gzip", b"\x1f\x8b" + bytes(2000))):
        path = tmp_path / name
        path.write_bytes(content)
        assert "is no archive of images" in refusal(path)
    assert "cannot be read" in refusal(tmp_path / "nothing")
    whole = tar(tmp_path / "whole", docker_save()).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: whole.index(LAYER[:64]) + 100])
    assert "unexpected end of data" in refusal(tmp_path / "cut")


def test_a_headers_size_is_not_believed(tmp_path: Path) -> None:
    """A long name that claims to be a gigabyte, and a file that claims to be larger than any layer."""
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    (tmp_path / "long").write_bytes(long.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert "is no archive of images" in refusal(tmp_path / "long")
    files = docker_save()
    del files["one/layer.tar"]
    huge = tarfile.TarInfo("one/layer.tar")
    huge.size = 1 << 50
    plain = tar(tmp_path / "huge", files).read_bytes()
    end = -(-len(plain.rstrip(b"\0")) // 512) * 512
    (tmp_path / "huge").write_bytes(plain[:end] + huge.tobuf(tarfile.GNU_FORMAT) + bytes(512))
    assert "is no archive of images" in refusal(tmp_path / "huge")


def test_a_blob_made_here_is_its_content(tmp_path: Path) -> None:
    with closing(Archive(tar(tmp_path / "a.tar", docker_save()))) as archive:
        assert list(archive.pieces(Blob(digest="d", size=1, content=b"x"))) == [b"x"]
