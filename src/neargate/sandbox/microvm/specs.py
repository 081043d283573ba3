"""The OCI specification of a container as the guest's runtime is given it. Pure.

It is the one that the container engine makes (`sandbox.oci_spec`), with three differences: paths are the guest's, all
containers are in the guest's own network, and what the kernel allows is the guest's kernel's matter.
"""

import json
from typing import Any

from msgspec.structs import replace

from ...interfaces.sandbox import ContainerConfig, PauseConfig
from ..oci_spec import HostFacts, oci_spec
from ..pause import pause_spec
from ..users import ResolvedUser
from . import places
from .record import Blueprint, Given
from .rights import with_rights

_NR_OPEN = 1024 * 1024


def guest_facts(architecture: str, *, has_init: bool = True) -> HostFacts:
    """A guest of ours: cgroup version 2, no swap, a first process that may raise every limit."""
    return HostFacts(
        architecture=architecture,
        cgroup_v2=True,
        may_raise_limits=True,
        nr_open=_NR_OPEN,
        hard_limits=(),
        limits_swap=False,
        init_path=f"{places.DISK}/{places.INIT}" if has_init else None,
        pause_program=f"{places.DISK}/{places.PAUSE}",
    )


def container_blueprint(config: ContainerConfig, user: ResolvedUser, facts: HostFacts) -> Blueprint:
    given = given_files(config)
    return Blueprint(
        runtime_id=config.runtime_id,
        task_id=config.task_id,
        name=config.name,
        spec=json.dumps(container_spec(config, user, facts, given)).encode(),
        host_cgroup=config.cgroup_path.rpartition("/")[0],
        image=config.image,
        disk_path=config.disk_path,
        given=given,
        size=config.task_size,
        terminal=config.terminal,
        interactive=config.interactive,
        may_restart=config.may_restart,
        network_controls=config.network_controls,
        kernel=config.kernel,
        share_pid_with=config.share_pid_with,
        log_path=config.log_path,
        labels=config.labels,
    )


def pause_blueprint(config: PauseConfig, facts: HostFacts) -> Blueprint:
    cgroup, _, name = config.cgroup_path.rpartition("/")
    return Blueprint(
        runtime_id=config.runtime_id,
        task_id=config.task_id,
        name=name,
        spec=json.dumps(pause_container_spec(config, facts)).encode(),
        host_cgroup=cgroup,
        labels=config.labels,
    )


def given_files(config: ContainerConfig) -> tuple[Given, ...]:
    """Those of its mounts that the host holds in memory: the guest gets what they hold, not the files."""
    sources = [mount.source for mount in config.mounts if places.on_disk(mount.source, config.disk_path) is None]
    return tuple(
        Given(source=source, place=places.given(config.runtime_id, number)) for number, source in enumerate(sources)
    )


def container_spec(
    config: ContainerConfig, user: ResolvedUser, facts: HostFacts, given: tuple[Given, ...]
) -> dict[str, Any]:
    held = {file.source: file.place for file in given}
    mounts = tuple(
        replace(mount, source=places.on_disk(mount.source, config.disk_path) or held[mount.source])
        for mount in config.mounts
    )
    inside = replace(config, mounts=mounts, cgroup_path=places.cgroup(config.name))
    made = _in_guest(oci_spec(inside, user, facts, pid_namespace=None, shim_group=""))
    if config.kernel is None:
        return made
    return with_rights(made, config.kernel, config.capabilities_add, config.capabilities_drop)


def pause_container_spec(config: PauseConfig, facts: HostFacts) -> dict[str, Any]:
    name = config.cgroup_path.rpartition("/")[2]
    inside = replace(config, cgroup_path=places.cgroup(name))
    return _in_guest(pause_spec(inside, facts, places.PAUSE_ROOT, shim_group=""))


def _in_guest(spec: dict[str, Any]) -> dict[str, Any]:
    linux = spec["linux"]
    namespaces = [item for item in linux["namespaces"] if item["type"] != "network"]
    made = {**spec, "linux": {**linux, "namespaces": namespaces}}
    del made["annotations"]  # containerd's
    return made


def sharing_processes(spec: dict[str, Any], pid: int) -> dict[str, Any]:
    """The same, in the process namespace of the guest's process `pid`."""
    linux = spec["linux"]
    namespaces = [item for item in linux["namespaces"] if item["type"] != "pid"]
    namespaces.append({"type": "pid", "path": f"/proc/{pid}/ns/pid"})
    return {**spec, "linux": {**linux, "namespaces": namespaces}}
