"""/etc/hosts, /etc/resolv.conf and /etc/hostname of the task, on its disk, mounted into each of its containers."""

import os
from pathlib import Path

from ...interfaces.sandbox import BindMount
from ...model.network import VpcPlan
from ..container_config import hostname_of, search_list
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
        plan = task.parts.plans.plan(task.launch.eni.vpc_id)
        files = etc_files(hostname_of(task.launch), task.launch.eni.private_ipv4, plan)
        if not disk.is_given:
            await task.parts.world.offload(LANE, _write_all, root, files)
        task.resources.etc = tuple(BindMount(source=str(root / name), target=f"/etc/{name}") for name in files)

    async def down(self, task: TaskContext) -> None:
        """The files are on the task's disk and go with it."""
        task.resources.etc = ()


def etc_files(hostname: str, address: str, plan: VpcPlan | None) -> dict[str, str]:
    """Contents by file name. `plan`: of the task's VPC, whose DHCP options say whom to ask for names."""
    short, _, domain = hostname.partition(".")
    names = f"{hostname} {short}" if domain else hostname
    search = search_list(plan, domain)
    servers = plan.name_servers if plan is not None else ()
    resolv = f"search {' '.join(search)}\n" if search else ""
    resolv += "".join(f"nameserver {server}\n" for server in servers)
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
