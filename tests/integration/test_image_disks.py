"""Images as read-only disks: what a kernel reads from the disk is what a container of the image would see."""

import asyncio
import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import Image
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.microvm import image_disks
from neargate.sandbox.microvm.image_disks import ImageDisks
from neargate.sandbox.rootfs import Views, mounted_image
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import LAYER_TAR, BuiltImage, Layer, build_image, sha256
from neargate.world import OsWorld

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("mkfs.erofs") is None, reason="needs mkfs.erofs of erofs-utils"),
]

# Version 2 of the attribute, effective and permitted: cap_net_raw.
CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
LONG = "n" * 254  # mkfs.erofs 1.5 refuses the longest of all
MTIME = 981_173_106.789  # a fraction, and long before the disk


class Tar:
    """One layer, entry by entry. `gnu`: its names are bytes."""

    def __init__(self, *, gnu: bool = False) -> None:
        self._raw = io.BytesIO()
        kind = tarfile.GNU_FORMAT if gnu else tarfile.PAX_FORMAT
        self._tar = tarfile.TarFile(fileobj=self._raw, mode="w", format=kind, errors="surrogateescape")

    def add(self, path: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **facts: object) -> "Tar":
        info = tarfile.TarInfo(path)
        info.type, info.size, info.mode, info.mtime = kind, len(content), 0o644, MTIME
        for name, value in facts.items():
            setattr(info, name, value)
        self._tar.addfile(info, io.BytesIO(content))
        return self

    def directory(self, path: str, mode: int = 0o755, **facts: object) -> "Tar":
        return self.add(path, tarfile.DIRTYPE, mode=mode, **facts)

    def layer(self) -> Layer:
        self._tar.close()
        data = self._raw.getvalue()
        return Layer(blob=data, media_type=LAYER_TAR, diff_id=sha256(data))


def xattrs(**values: str) -> dict[str, str]:
    return {f"SCHILY.xattr.{name.replace('__', '.')}": value for name, value in values.items()}


def ten_layers() -> BuiltImage:
    base = Tar().directory("bin").directory("etc").directory("var").directory("var/app").directory("tmp", 0o1777)
    base.add("bin/su", content=b"su", mode=0o4755).add("bin/old-su", tarfile.LNKTYPE, linkname="bin/su", mode=0o4755)
    base.add("etc/motd", content=b"first").add("etc/gone", content=b"gone").directory("etc/whole-gone")
    base.add("etc/whole-gone/file").add("var/app/old").directory("var/app/dir").add("var/app/dir/old")
    devices = Tar().directory("dev").add("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    devices.add("dev/disk", tarfile.BLKTYPE, devmajor=259, devminor=70_000).add("dev/pipe", tarfile.FIFOTYPE)
    whiteouts = Tar().add("etc/.wh.gone").add("etc/.wh.whole-gone").add("etc/motd", content=b"second")
    opaque = Tar().directory("var/app").add("var/app/.wh..wh..opq").add("var/app/new", content=b"new")
    attributes = Tar()
    attributes.add("bin/tool", content=b"tool", pax_headers=xattrs(user__colour="green", user__size="large"))
    attributes.add("bin/like", content=b"like", pax_headers=xattrs(user__colour="green", user__size="large"))
    attributes.directory("var/labelled", pax_headers=xattrs(user__colour="red"))
    names = Tar(gnu=True).directory("names").add("names/caf\udce9", content=b"latin").add("names/new\nline")
    names.add(f"names/{LONG}", content=b"long").add("names/\udcff\udcfe").add("names/ ")
    links = (
        Tar()
        .add("etc/passwd", tarfile.SYMTYPE, linkname="/etc/passwd")
        .add("var/run", tarfile.SYMTYPE, linkname="../../../../run")
    )
    links.add("bin/dangling", tarfile.SYMTYPE, linkname="x" * 1000)
    kinds = Tar().add("var/app/.wh.new").directory("var/app/new").add("var/app/new/inner", content=b"inner")
    kinds.add("var/labelled.file", uid=1_000_000, gid=4_000_000_000, mode=0o2711)
    deep = Tar().add("empty").add("linked", tarfile.LNKTYPE, linkname="empty").directory("deep")
    for depth in range(1, 60):
        deep.directory("deep/" + "d/" * depth)
    large = Tar().add(
        "large", content=b"".join(hashlib.sha256(bytes([n % 251, n // 251])).digest() for n in range(60_000))
    )
    stack = (base, devices, whiteouts, opaque, attributes, names, links, kinds, deep, large)
    return build_image([tar.layer() for tar in stack])


def facts_of(path: bytes) -> tuple[object, ...]:
    found = os.lstat(path)
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith("trusted.")
    }
    content: object = None
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path)
    links = None if stat.S_ISDIR(found.st_mode) else found.st_nlink
    size = None if stat.S_ISDIR(found.st_mode) else found.st_size
    owner = (found.st_uid, found.st_gid)
    return (
        found.st_mode,
        owner,
        found.st_rdev,
        size,
        found.st_mtime_ns,
        links,
        content,
        tuple(sorted(attributes.items())),
    )


def tree_of(root: str) -> dict[bytes, tuple[object, ...]]:
    """Every path below, with all that a process may see of it, and which paths are one file."""
    top = os.fsencode(root)
    found: dict[bytes, tuple[object, ...]] = {b".": facts_of(top)}
    files: dict[int, list[bytes]] = {}
    for place, directories, names in os.walk(top):
        for name in (*directories, *names):
            path = os.path.join(place, name)
            found[os.path.relpath(path, top)] = facts_of(path)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                files.setdefault(os.lstat(path).st_ino, []).append(os.path.relpath(path, top))
    groups = tuple(sorted(tuple(sorted(paths)) for paths in files.values() if len(paths) > 1))
    return found | {b"<links>": groups}


@contextmanager
def mounted(disk: str, place: Path) -> Iterator[str]:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", disk, str(place)], check=True, timeout=60)
    try:
        yield str(place)
    finally:
        subprocess.run(["umount", str(place)], check=True, timeout=60)


def made(rig: ContainerRig, built: BuiltImage, name: str, directory: Path) -> tuple[Image, str]:
    async def story(engine: ContainerdSandbox) -> tuple[Image, str]:
        image = await rig.pull(engine, rig.push(name, built))
        client = rig.client()
        try:
            disks = ImageDisks(OsWorld({"image-disks": 2}), views=Views(client), directory=str(directory))
            return image, await disks.disk(image)
        finally:
            client.close()

    return rig.run(story)


def test_a_disk_has_what_a_container_would_see(rig: ContainerRig, tmp_path: Path) -> None:
    image, disk = made(rig, ten_layers(), "ten", tmp_path / "disks")
    client = rig.client()
    lowers = Views(client).lowers(image.snapshot)
    client.close()
    assert len(lowers) == 10
    with mounted_image(lowers, str(tmp_path / "view")) as view, mounted(disk, tmp_path / "mnt") as seen:
        expected, found = tree_of(view), tree_of(seen)
        assert found.keys() == expected.keys()
        assert {path: facts for path, facts in found.items() if facts != expected[path]} == {}
    paths = set(found)
    assert {b"bin/su", b"names/caf\xe9", b"names/new\nline", b"names/\xff\xfe", b"names/ "} <= paths
    assert not {b"etc/gone", b"etc/whole-gone", b"var/app/old", b"var/app/dir"} & paths
    assert not [path for path in paths if b".wh." in path]
    assert found[b"etc/motd"][6] == hashlib.sha256(b"second").hexdigest()
    assert found[b"bin/su"][0] == stat.S_IFREG | 0o4755 and found[b"tmp"][0] == stat.S_IFDIR | 0o1777
    assert found[b"dev/disk"][2] == os.makedev(259, 70_000) and found[b"dev/null"][2] == os.makedev(1, 3)
    assert found[b"var/labelled.file"][1] == (1_000_000, 4_000_000_000)
    assert found[b"bin/tool"][7] == (("user.colour", b"green"), ("user.size", b"large"))
    assert found[b"bin/su"][4] == int(MTIME * 1000) * 1_000_000
    assert (b"bin/old-su", b"bin/su") in found[b"<links>"] and found[b"bin/su"][5] == 2
    assert found[b"etc/passwd"][6] == b"/etc/passwd"


def test_whiteouts_and_capabilities_of_an_image_of_one_layer(rig: ContainerRig, tmp_path: Path) -> None:
    tar = Tar().directory("etc").add("etc/.wh.never").add("etc/.wh..wh..opq").add("ping", content=b"ping", mode=0o755)
    image, disk = made(rig, build_image([tar.layer()]), "one", tmp_path / "disks")
    client = rig.client()
    (lower,) = Views(client).lowers(image.snapshot)
    client.close()
    with mounted(disk, tmp_path / "mnt") as seen:
        assert sorted(os.listdir(seen)) == ["etc", "ping"] and os.listdir(f"{seen}/etc") == []
    # In a tar it would be bytes, which tarfile does not write.
    os.setxattr(f"{lower}/ping", "security.capability", CAP_NET_RAW)
    _, disk = made(rig, build_image([tar.layer()]), "one", tmp_path / "others")
    with mounted(disk, tmp_path / "mnt") as seen:
        assert os.getxattr(f"{seen}/ping", "security.capability") == CAP_NET_RAW


def test_the_same_image_gives_the_same_bytes_and_nothing_lies_beside_it(rig: ContainerRig, tmp_path: Path) -> None:
    built = ten_layers()
    _, first = made(rig, built, "bytes", tmp_path / "first")
    _, second = made(rig, built, "bytes", tmp_path / "second")
    assert Path(first).read_bytes() == Path(second).read_bytes()
    assert os.path.basename(first).startswith(f"sha256-{built.digest[7:]}.")
    found = os.stat(first)
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_nlink) == (0o444, 0, 0, 1)
    assert stat.S_IMODE(os.stat(tmp_path / "first").st_mode) == 0o711
    assert sorted(os.listdir(tmp_path / "first")) == ["mounts", os.path.basename(first)]
    assert os.listdir(tmp_path / "first" / "mounts") == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_it_is_made_once_for_all_who_ask_and_not_again(
    rig: ContainerRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[str] = []
    real = image_disks.pack

    def counted(tree: str, *rest: object) -> None:
        packed.append(tree)
        real(tree, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(image_disks, "pack", counted)

    async def story(engine: ContainerdSandbox) -> None:
        image = await rig.pull(engine, rig.push("once", ten_layers()))
        client = rig.client()
        disks = ImageDisks(OsWorld({"image-disks": 2}), views=Views(client), directory=str(tmp_path / "disks"))
        impatient = asyncio.create_task(disks.disk(image))
        asked = [asyncio.create_task(disks.disk(image)) for _ in range(5)]
        await asyncio.sleep(0)
        impatient.cancel()  # who asked first goes away; the others get theirs
        assert len(set(await asyncio.gather(*asked))) == 1
        again = ImageDisks(OsWorld(), views=Views(client), directory=str(tmp_path / "disks"))
        assert await again.disk(image) == await disks.disk(image)
        client.close()

    rig.run(story)
    assert len(packed) == 1
