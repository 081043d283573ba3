"""Manifests, indexes and configs from hostile registries."""

import json
from typing import Any

import pytest

from neargate.sandbox.pull import manifest
from neargate.sandbox.pull.manifest import BadImage, WrongPlatform
from neargate.testing.oci_image import Entry, build_image, build_index, build_layer

D1, D2, D3 = ("sha256:" + digit * 64 for digit in "123")
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def layer(**more: object) -> dict[str, object]:
    return {"mediaType": LAYER, "digest": D1, "size": 10, **more}


def document(**more: object) -> bytes:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": D2, "size": 5}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": [layer()], **more}).encode()


def config(**more: object) -> bytes:
    return json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [D3]}, **more}
    ).encode()


def test_what_we_build_is_what_we_parse() -> None:
    image = build_image([build_layer([Entry(path="a", content=b"a")])], config={"User": "u"})
    parsed = manifest.parse_manifest(image.manifest)
    assert len(parsed.layers) == 1
    read = manifest.parse_config(image.blobs[parsed.config.digest], "amd64", 1)
    assert read.user == "u" and manifest.chain_ids(read.diff_ids) == read.diff_ids
    index = build_index([("arm64", image), ("amd64", image)])
    assert manifest.media_type_of(index.manifest, "") in manifest.INDEX_TYPES
    assert manifest.choose_platform(index.manifest, "amd64").digest == image.digest


def test_built_images_have_the_same_digest_everywhere() -> None:
    # gzip's bytes may differ between zlib versions, so the reproducible part is pinned uncompressed.
    plain = build_image([build_layer([Entry(path="a", content=b"a"), Entry(path="l", target="/a")], compress=False)])
    assert (
        plain.digest
        == build_image(
            [build_layer([Entry(path="a", content=b"a"), Entry(path="l", target="/a")], compress=False)]
        ).digest
    )
    assert build_layer([Entry(path="a", content=b"a")]).blob == build_layer([Entry(path="a", content=b"a")]).blob


def test_chain_ids() -> None:
    # The example of the OCI image specification's formula, worked by hand: sha256("D1 D2").
    first, second = manifest.chain_ids((D1, D2))
    assert first == D1 and second == manifest.sha256_digest(f"{D1} {D2}".encode())


def test_no_platform() -> None:
    image = build_image([build_layer([])])
    with pytest.raises(WrongPlatform, match="does not contain descriptor matching platform 'linux/amd64'"):
        manifest.choose_platform(build_index([("arm64", image)]).manifest, "amd64")
    with pytest.raises(WrongPlatform):
        manifest.choose_platform(b'{"manifests": []}', "amd64")
    with pytest.raises(WrongPlatform):
        manifest.parse_config(config(architecture="arm64"), "amd64", 1)
    with pytest.raises(WrongPlatform):
        manifest.parse_config(config(os="windows"), "amd64", 1)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        document(schemaVersion=1),
        document(layers=[]),
        document(layers={}),
        document(layers=[layer()] * 300),
        document(layers=[1]),
        document(layers=[layer(digest="sha256:../../x")]),
        document(layers=[layer(digest="md5:1")]),
        document(layers=[layer(digest=[])]),
        document(layers=[layer(size=-1)]),
        document(layers=[layer(size=True)]),
        document(layers=[layer(size="10")]),
        document(layers=[layer(size=10**15)]),
        document(layers=[layer(size=1.5)]),
        document(layers=[layer(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar")]),
        document(layers=[layer(mediaType=None)]),
        document(config=None),
        document(config={"mediaType": "x", "digest": D1, "size": 2 * 1024 * 1024}),
    ],
)
def test_bad_manifests(bad: bytes) -> None:
    with pytest.raises(BadImage):
        manifest.parse_manifest(bad)


@pytest.mark.parametrize(
    "members",
    [
        {"rootfs": None},
        {"rootfs": {"diff_ids": []}},
        {"rootfs": {"diff_ids": [D3, D3]}},
        {"rootfs": {"diff_ids": ["x"]}},
        {"rootfs": {"diff_ids": [5]}},
        {"config": []},
        {"config": {"Env": "A=b"}},
        {"config": {"Env": [1]}},
        {"config": {"Cmd": {}}},
        {"config": {"Entrypoint": ["x"] * 2000}},
        {"config": {"User": 5}},
        {"config": {"User": "u\0"}},
        {"config": {"WorkingDir": "x" * 200_000}},
        {"config": {"Volumes": "x"}},
    ],
)
def test_bad_configs(members: dict[str, Any]) -> None:
    with pytest.raises(BadImage):
        manifest.parse_config(config(**members), "amd64", 1)


def test_unknown_types_are_refused() -> None:
    with pytest.raises(BadImage, match="unsupported manifest media type"):
        manifest.media_type_of(b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws")
    assert manifest.media_type_of(b"{}", manifest.OCI_INDEX + "; charset=utf-8") == manifest.OCI_INDEX
    with pytest.raises(BadImage):
        manifest.choose_platform(json.dumps({"manifests": [{}] * 1000}).encode(), "amd64")
