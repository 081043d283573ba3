"""Layers of every kind that registries have today, looked at from inside a container: compression, whiteouts, depth."""

import io
import shutil
import subprocess
import tarfile

import pytest

from neargate.interfaces.sandbox import SandboxError
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.pull.manifest import LAYERS_MAX
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import (
    BuiltImage,
    Entry,
    Layer,
    build_image,
    build_index,
    build_layer,
    busybox_layer,
    sha256,
)

from .engine_waits import stopped

pytestmark = pytest.mark.root

LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
# What a reader of zstd passes over: eStargz-like images keep their table of contents in one at the end.
SKIPPED_FRAME = b"\x50\x2a\x4d\x18" + (8).to_bytes(4, "little") + b"contents"

needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the program zstd")


def zstd(layer: Layer, *, media_type: str = LAYER_ZSTD, options: tuple[str, ...] = ()) -> Layer:
    """An uncompressed layer, compressed."""
    done = subprocess.run(["zstd", "-q", "-c", *options], input=layer.blob, capture_output=True, check=True, timeout=60)
    return Layer(blob=done.stdout, media_type=media_type, diff_id=layer.diff_id)


def plain(*entries: Entry) -> Layer:
    return build_layer(entries, compress=False)


def said(text: str) -> Layer:
    return plain(Entry(path="word", content=text.encode(), mode=0o644))


def inside(rig: ContainerRig, built: BuiltImage, script: str) -> str:
    """What a shell script prints in a container of the image."""

    async def story(engine: ContainerdSandbox) -> str:
        image = await rig.pull(engine, rig.push(f"layers-{built.digest[7:19]}", built))
        config = rig.config(image, "sh", "-c", script, environment=(("PATH", "/bin"),))
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        state = await stopped(engine, config.runtime_id)
        await engine.delete_container(config.runtime_id)
        assert state.exit_code == 0, rig.log(config)
        return rig.log(config)

    return rig.run(story)


def refusal(rig: ContainerRig, built: BuiltImage) -> str:
    """Why the image is not taken. Nothing of the attempt may be left behind."""

    async def story(engine: ContainerdSandbox) -> str:
        with pytest.raises(SandboxError) as caught:
            await rig.pull(engine, rig.push("refused", built))
        return caught.value.reason

    reason = rig.run(story)
    client = rig.client()
    assert client.get_image(f"neargate/amd64/{rig.registry.address}/refused@{built.digest}") is None
    assert client.list_leases() == []
    assert not [name for name in client.list_snapshots() if "unpack" in name]
    client.close()
    assert reason.startswith("CannotPullContainerError: failed to unpack image on snapshotter overlayfs: ")
    return reason


# -------------------------------------------------------------------- compression


@needs_zstd
@pytest.mark.parametrize("media_type", [LAYER_ZSTD, DOCKER_LAYER_ZSTD])
def test_zstd(rig: ContainerRig, media_type: str) -> None:
    layers = [busybox_layer(), zstd(said(f"by {media_type}\n"), media_type=media_type)]
    assert inside(rig, build_image(layers), "cat /word") == f"by {media_type}\n"


@needs_zstd
def test_zstd_as_builders_write_it(rig: ContainerRig) -> None:
    """A long window, a checksum, several frames, and frames that are to be passed over."""
    whole = said("in parts\n" * 30_000)
    half = len(whole.blob) // 2
    frames = b"".join(
        zstd(Layer(blob=part, media_type="", diff_id=""), options=("--check", "--long=27")).blob
        for part in (whole.blob[:half], whole.blob[half:])
    )
    layer = Layer(blob=SKIPPED_FRAME + frames + SKIPPED_FRAME, media_type=LAYER_ZSTD, diff_id=whole.diff_id)
    assert inside(rig, build_image([busybox_layer(), layer]), "wc -l < /word; tail -n 1 /word").split() == [
        "30000",
        "in",
        "parts",
    ]


@needs_zstd
@pytest.mark.parametrize("damage", ["truncated", "corrupt", "no zstd at all", "somebody else's"])
def test_zstd_that_is_damaged(rig: ContainerRig, damage: str) -> None:
    """The registry and the digests agree: it was built like this."""
    good = zstd(said("never to be seen\n" * 5000), options=("--check",))
    bad = {
        "truncated": good.blob[: len(good.blob) // 2],
        "corrupt": good.blob[:40] + bytes([good.blob[40] ^ 0xFF]) + good.blob[41:],
        "no zstd at all": b"\x28\xb5\x2f\xfd" + b"\xff" * 200,
        "somebody else's": zstd(said("another content")).blob,
    }[damage]
    reason = refusal(rig, build_image([busybox_layer(), Layer(blob=bad, media_type=LAYER_ZSTD, diff_id=good.diff_id)]))
    expected = "wrong diff id" if damage == "somebody else's" else f"failed to extract layer {good.diff_id}: "
    assert expected in reason


@pytest.mark.parametrize("cut", [10, 200])
def test_gzip_that_is_truncated(rig: ContainerRig, cut: int) -> None:
    good = build_layer([Entry(path="noise", content=bytes(range(256)) * 50)])
    blob = good.blob[:-cut]
    bad = Layer(blob=blob, media_type=good.media_type, diff_id=good.diff_id)
    reason = refusal(rig, build_image([busybox_layer(), bad]))
    assert good.diff_id in reason and ("unexpected EOF" in reason or "unpigz" in reason), reason


# -------------------------------------------------------------------- what layers say to each other


def test_an_index_of_several_platforms_with_attestations_is_run(rig: ContainerRig) -> None:
    ours = build_image([busybox_layer(), said("ours\n")])
    others = [(name, build_image([said(name)], architecture=name)) for name in ("arm64", "s390x", "riscv64")]
    index = build_index([*others, ("amd64", ours)])
    assert inside(rig, index, "cat /word") == "ours\n"


def test_whiteouts_and_opaque_directories(rig: ContainerRig) -> None:
    lower = plain(
        Entry(path="kept"),
        Entry(path="kept/old", content=b"1"),
        Entry(path="kept/gone", content=b"1"),
        Entry(path="emptied"),
        Entry(path="emptied/below"),
        Entry(path="emptied/below/deep", content=b"1"),
        Entry(path="emptied/.hidden", content=b"1"),
        Entry(path="removed"),
        Entry(path="removed/file", content=b"1"),
        Entry(path="was-directory"),
        Entry(path="was-directory/file", content=b"1"),
        Entry(path="was-file", content=b"1"),
    )
    upper = plain(
        Entry(path="kept"),
        Entry(path="kept/.wh.gone", content=b""),
        Entry(path="kept/new", content=b"2"),
        Entry(path="emptied"),
        Entry(path="emptied/.wh..wh..opq", content=b""),
        Entry(path="emptied/fresh", content=b"2"),
        Entry(path=".wh.removed", content=b""),
        Entry(path="was-directory", content=b"2"),
        Entry(path="was-file"),
        Entry(path="was-file/inside", content=b"2"),
    )
    again = plain(Entry(path="removed"), Entry(path="removed/back", content=b"3"))
    script = "find /kept /emptied /removed /was-directory /was-file | sort"
    assert inside(rig, build_image([busybox_layer(), lower, upper, again]), script).split() == [
        "/emptied",
        "/emptied/fresh",
        "/kept",
        "/kept/new",
        "/kept/old",
        "/removed",
        "/removed/back",
        "/was-directory",
        "/was-file",
        "/was-file/inside",
    ]


def test_links_modes_owners_and_times(rig: ContainerRig) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        file = tarfile.TarInfo("data/one")
        file.size, file.mode, file.uid, file.gid, file.mtime = 5, 0o4751, 1000, 1001, 86400
        tar.addfile(file, io.BytesIO(b"first"))
        for name, kind, target in (
            ("data/two", tarfile.LNKTYPE, "data/one"),
            ("data/three", tarfile.SYMTYPE, "one"),
            ("data/pipe", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            # As every builder writes it, a hard link says again what its file is.
            info.mode, info.uid, info.gid, info.mtime = file.mode, file.uid, file.gid, file.mtime
            tar.addfile(info)
        long = tarfile.TarInfo("data/" + "n" * 200 + "/" + "ü" * 60)
        tar.addfile(long, io.BytesIO())
    layer = Layer(
        blob=raw.getvalue(), media_type="application/vnd.oci.image.layer.v1.tar", diff_id=sha256(raw.getvalue())
    )
    script = (
        "cd /data; stat -c '%a %u %g %h %s %Y' one; test one -ef two && test one -ef three && test -p pipe && "
        "echo same; cat two; echo; ls */ | wc -c"
    )
    assert inside(rig, build_image([busybox_layer(), layer]), script).split() == [
        *("4751", "1000", "1001", "2", "5", "86400"),
        "same",
        "first",
        "121",
    ]


def test_the_deepest_image_that_is_taken(rig: ContainerRig) -> None:
    """Every layer counts: each adds a file, replaces one, and removes its predecessor's."""
    layers = [busybox_layer()]
    for number in range(1, LAYERS_MAX):
        entries = [
            Entry(path="deep"),
            Entry(path=f"deep/{number}", content=b"x"),
            Entry(path="last", content=f"{number}\n".encode()),
        ]
        if number % 2 == 0:
            entries.append(Entry(path=f"deep/.wh.{number - 1}", content=b""))
        layers.append(plain(*entries))
    seen = inside(rig, build_image(layers), "cat /last; ls /deep | wc -l").split()
    assert seen == [str(LAYERS_MAX - 1), str(LAYERS_MAX // 2)]
