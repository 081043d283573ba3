"""A container that a guest runs before any task's: what it reads, makes and translates for that is there afterwards.

It is as the tasks' containers are, by the same steps, and what it runs is the runtime's own version; its layers are in
the guest's memory. Knows no task. A rehearsal that fails is no failure: the first container is slower then.
"""

import json

from ...interfaces.sandbox import ContainerConfig, Image
from ..users import ResolvedUser
from . import places, runtime
from .errors import GuestRefused
from .guest import Guest
from .plan import Directory, File, Mount, Step, spec_step
from .record import Blueprint
from .runtime import CRUN, RuntimeFailed
from .specs import container_blueprint, guest_facts

REHEARSAL = (CRUN, "--version")
_NAME = "rehearsal"
_ARCHITECTURE = "amd64"  # the only one that guests are built for
_TOOLS = "/tools"
_LAYER = "/run/rehearsal"
_IMAGE = Image(
    reference=_NAME,
    digest=_NAME,
    index_digest=None,
    config_digest=_NAME,
    snapshot=_NAME,
    unpacked_bytes=0,
    compressed_bytes=0,
)


async def prepare(guest: Guest) -> None:
    """Once in a guest's life, before it is saved. Raises GuestGone, GuestRefused."""
    for step in _steps():
        await runtime.carry_out(guest, step)


async def rehearse(guest: Guest) -> str | None:
    """As often as is liked; why it failed. Raises GuestGone."""
    blueprint = _blueprint()
    try:
        process = await runtime.create(guest, blueprint, await guest.number())
        await runtime.start(guest, _NAME)
        code = await process.wait()
        await runtime.delete(guest, _NAME)
        await process.forget()
    except RuntimeFailed as failed:
        return failed.said
    except GuestRefused as refused:
        return str(refused)
    return None if code == 0 else f"it ended with {code}"


def _steps() -> tuple[Step, ...]:
    blueprint, bundle, group = _blueprint(), places.bundle(_NAME), places.CGROUPS + places.TASK_CGROUP
    return (
        Directory(path=group),
        File(path=f"{group}/cgroup.subtree_control", content=b"+memory", mode=0o644),
        Directory(path=places.CONTAINERS, mode=0o700),
        Directory(path=bundle, mode=0o700),
        Directory(path=f"{_LAYER}/upper"),
        Directory(path=f"{_LAYER}/work"),
        Mount(
            source="overlay",
            target=f"{bundle}/rootfs",
            kind="overlay",
            data=f"lowerdir={_TOOLS},upperdir={_LAYER}/upper,workdir={_LAYER}/work",
        ),
        *(Directory(path=f"{bundle}/rootfs/{name}") for name in ("proc", "dev", "sys", "etc")),
        spec_step(blueprint, json.loads(blueprint.spec)),
    )


def _blueprint() -> Blueprint:
    config = ContainerConfig(
        runtime_id=_NAME,
        task_id=_NAME,
        name=_NAME,
        image=_IMAGE,
        disk_path=places.DISK,
        netns_path="",
        hostname=_NAME,
        args=REHEARSAL,
        environment=(("PATH", "/usr/bin"),),
        cgroup_path=f"/{_NAME}/{_NAME}",
    )
    return container_blueprint(config, ResolvedUser(uid=0, gid=0), guest_facts(_ARCHITECTURE, has_init=False))
