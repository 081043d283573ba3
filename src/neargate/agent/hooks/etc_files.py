"""/etc/hosts, /etc/resolv.conf and /etc/hostname of the task, on its disk, mounted into each of its containers."""

import os
from pathlib import Path

from ...interfaces.sandbox import BindMount
from ..container_config import hostname_of
from ..points import Point
from ..task_context import TaskContext

LANE = "agent-files"


class EtcFilesHook:
    name = "etc-files"
    up_point = Point.ETC_WRITTEN
    down_point = Point.ETC_REMOVED
    gated = False

    async def up(self, task: TaskContext) -> None:
        disk = task.resources.disk
        assert disk is not None, "the disk's step comes before"
        root = Path(disk.path) / "etc"
        resolver = task.parts.plans.resolver(task.launch.eni.vpc_id)
        files = etc_files(hostname_of(task.launch), task.launch.eni.private_ipv4, resolver)
        await task.parts.world.offload(LANE, _write_all, root, files)
        task.resources.etc = tuple(BindMount(source=str(root / name), target=f"/etc/{name}") for name in files)

    async def down(self, task: TaskContext) -> None:
        """The files are on the task's disk and go with it."""
        task.resources.etc = ()


def etc_files(hostname: str, address: str, resolver: str | None) -> dict[str, str]:
    """Contents by file name."""
    short, _, domain = hostname.partition(".")
    names = f"{hostname} {short}" if domain else hostname
    resolv = (f"search {domain}\n" if domain else "") + (f"nameserver {resolver}\n" if resolver else "")
    return {
        "hosts": f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {names}\n",
        "resolv.conf": resolv,
        "hostname": f"{hostname}\n",
    }


def _write_all(root: Path, files: dict[str, str]) -> None:
    """A container of an adopted launch may have these files mounted: what exists is not replaced."""
    root.mkdir(mode=0o755, exist_ok=True)
    for name, text in files.items():
        path = root / name
        if path.exists():
            continue
        temporary = root / f".{name}"
        temporary.write_text(text)
        temporary.chmod(0o644)
        os.rename(temporary, path)
