"""`--sandbox microvm`: what it needs of this machine, and the engine with all its parts.

Owns the composition, and the sentences for what is missing. Everything is found out before a process is started.
"""

import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from ..hostnet.cgroups import LinuxCgroups
from ..hostnet.disks import LinuxDisks
from ..interfaces.hostnet import HostNetwork
from ..log import get_logger
from ..model.knobs import DEFAULT_KNOBS
from ..sandbox.containerd_client import Containerd
from ..sandbox.host_facts import host_boot_id, read_host_facts
from ..sandbox.images import HostImages
from ..sandbox.microvm.accelerators import Accelerators, Kept
from ..sandbox.microvm.board import ExitBoard
from ..sandbox.microvm.connecting import connector, spare_connector
from ..sandbox.microvm.creation import Creation
from ..sandbox.microvm.engine import MicroVmSandbox
from ..sandbox.microvm.frames import SPEAKS
from ..sandbox.microvm.image_disks import ImageDisks
from ..sandbox.microvm.parts import GuestFiles, Parts, Spares
from ..sandbox.microvm.qemu import QemuVmm
from ..sandbox.microvm.qemu_program import find_program, kvm_refusal
from ..sandbox.microvm.records import Records
from ..sandbox.microvm.store import ImageStore
from ..sandbox.microvm.vmm import Accelerator, VmmMissing
from ..sandbox.rootfs import Views
from ..world import OsWorld
from .config import RegionConfig
from .paths import RegionPaths
from .problems import Problem

GUEST = "/var/cache/neargate/guest"  # where `make guest` builds, unless NEARGATE_GUEST_DIR says otherwise
_FILES = ("vmlinux", "initramfs.cpio", "tools.erofs")


class _Manifest(Struct):
    """As guest/build writes it; `files`: SHA-256 by name."""

    version: str
    protocol: int
    kernel: str
    files: dict[str, str]


def check(config: RegionConfig) -> None:
    """Refuse what cannot work on this machine. Raises Problem."""
    if config.sandbox != "microvm":
        return
    guest_files()
    _check_guest(_place())
    try:
        find_program()
    except VmmMissing as missing:
        raise Problem(str(missing)) from None
    accelerators(config)


def guest_files() -> GuestFiles:
    """Raises Problem."""
    place = _place()
    missing = [name for name in _FILES if not (place / name).is_file()]
    if missing:
        raise Problem(f"--sandbox microvm needs a guest; {place / missing[0]} is missing; build it with: make guest")
    kernel, initramfs, tools = (str(place / name) for name in _FILES)
    return GuestFiles(kernel=kernel, initramfs=initramfs, tools=tools, release=_release(_manifest(place)))


def _place() -> Path:
    return Path(os.environ.get("NEARGATE_GUEST_DIR") or GUEST)


def _check_guest(place: Path) -> None:
    """It is what was built, whole, and of a protocol that is spoken here. Raises Problem."""
    manifest = _manifest(place)
    wrong = "manifest.json says nothing of it"
    if manifest is not None:
        changed = [name for name in _FILES if _digest(place / name) != manifest.files.get(name)]
        wrong = f"{' and '.join(changed)} changed after the build" if changed else ""
        if not wrong and manifest.protocol not in SPEAKS:
            wrong = f"it speaks protocol {manifest.protocol}, which this release does not"
    if wrong:
        raise Problem(f"--sandbox microvm needs a guest; the one in {place} is broken: {wrong}; build it: make guest")


def _manifest(place: Path) -> _Manifest | None:
    try:
        return msgspec.json.decode((place / "manifest.json").read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _release(manifest: _Manifest | None) -> str:
    """Its kernel's release orders guests (placement/software.py); the version tells two of one kernel apart."""
    return "" if manifest is None else f"{manifest.kernel} {manifest.version[:8]}"


def accelerators(config: RegionConfig) -> tuple[Accelerator, ...]:
    """The best first. Raises Problem."""
    refusal = kvm_refusal()
    emulated: tuple[Accelerator, ...] = ("tcg",) if config.allow_emulated == "yes" else ()
    if refusal is None:
        return ("kvm", *emulated)
    if not emulated:
        raise Problem(
            f"--sandbox microvm needs KVM: {refusal}; for development machines can be emulated, which is slow and no "
            "security boundary: --allow-emulated yes"
        )
    return emulated


def engine(
    world: OsWorld,
    paths: RegionPaths,
    config: RegionConfig,
    *,
    client: Containerd,
    images: HostImages,
    disks: LinuxDisks,
    network: HostNetwork,
) -> MicroVmSandbox:
    """`client`: of the containerd that `images` pulls with. Raises Problem."""
    views = Views(client)
    records = Records(paths.run / "sandbox" / "tasks")
    machines = paths.run / "machines"
    store = ImageStore(
        world,
        client,
        images=images,
        views=views,
        disks=ImageDisks(world, views=views, directory=str(paths.disks / "images"), knobs=DEFAULT_KNOBS),
    )
    return MicroVmSandbox(
        Parts(
            world=world,
            knobs=DEFAULT_KNOBS,
            vmm=QemuVmm(world, machines, allow_emulated=config.allow_emulated == "yes"),
            connect=connector(world, DEFAULT_KNOBS, str(machines), records),
            disks=disks,
            network=network,
            images=store,
            files=guest_files(),
            accelerators=Accelerators(
                accelerators(config), Kept(file=paths.run / "sandbox" / "accelerator", boot_id=host_boot_id())
            ),
            machines=str(machines),
            records=records,
            creation=Creation(views, read_host_facts()),
            board=ExitBoard(),
            note=get_logger(__name__).warning,
            tell=get_logger(__name__).info,
            spares=Spares(
                snapshots=str(paths.agent / "snapshots"),
                cgroups=_spare_cgroups(world, paths),
                connect=spare_connector(world, DEFAULT_KNOBS, str(machines)),
                waiting_mib=config.warm_memory,
            ),
        )
    )


def _spare_cgroups(world: OsWorld, paths: RegionPaths) -> LinuxCgroups:
    """Apart from the tasks': the agent takes away what is in there and no task's."""
    return LinuxCgroups(world, instance=f"{paths.instance}-spare")


async def end_machines(world: OsWorld, paths: RegionPaths) -> None:
    """Those that no agent needs any more, and their records."""
    vmm = QemuVmm(world, paths.run / "machines")
    for machine in await vmm.list_machines():
        await vmm.destroy(machine.machine_id)
    await vmm.close()
    cgroups = _spare_cgroups(world, paths)
    for name in await cgroups.list_tasks():
        await cgroups.delete_task(name)
