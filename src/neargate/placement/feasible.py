"""May this host take this task? Each refusal is one named sentence, for logs and `why`.

Pure: knows nothing of databases, sessions or clocks. A view's free columns are what is left after every reservation,
CPU and disk counted with their overcommit factors, memory strictly.
"""

import msgspec

from ..model.capacity import TaskOverhead
from . import tenancy
from .software import Software
from .tenancy import may_share

NOT_CONNECTED = "the host's agent is not connected"
NOT_ACCEPTING = "the host takes no tasks"
DRAINING = "the host is being emptied by its operator"
OTHER_ZONE = "the host is in another zone"
OTHER_ARCHITECTURE = "the host has another CPU architecture"
NO_KERNEL = "the host's tasks have no kernel of their own, which this one asks for"
OTHER_ACCOUNT = "the host runs tasks of another account on the same kernel"
HAS_ITS_TASK = "the host has a task, and the region is run with one task on a host"
KEPT_FOR_OTHERS = "the host is kept for another account or cluster"
NOT_ITS_OWN = "the host is none of those that the account or the cluster has of its own"
NO_CPU = "the host has too little CPU left"
NO_MEMORY = "the host has too little memory left"
NO_DISK = "the host has too little disk left"


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """A host at one instant. `zone` None: it serves every zone of its shard. A newer release has a higher `software`.

    `tenant`: whose it is by the operator's tenancy (tenancy.tenant_of); None: anybody's task may come. `pool`: whose
    own the host is (empty: it is kept for nobody). A task goes to the hosts of one pool. `overhead`: what each task
    takes there beside its size. `is_draining`: its operator wants nothing new on it.
    """

    host_id: str
    free_cpu_units: int
    free_memory_mib: int
    free_disk_gib: int
    architecture: str = "X86_64"
    software: Software = ()
    zone: str | None = None
    tenant: str | None = None
    pool: str = ""
    overhead: TaskOverhead = TaskOverhead()
    connected: bool = True
    accepts_tasks: bool = True
    is_draining: bool = False
    gives_kernel: bool = False  # each task has a kernel of its own


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What one task claims of a host."""

    zone: str
    account: str
    cpu_units: int
    memory_mib: int
    disk_gib: int
    architecture: str = "X86_64"
    pool: str = ""
    needs_kernel: bool = False


def memory_on(host: HostView, wanted: Wanted) -> int:
    """MiB that the task takes of this host: its own, and what the host needs beside it."""
    return wanted.memory_mib + host.overhead.of(wanted.memory_mib)


def refusal(host: HostView, wanted: Wanted) -> str | None:
    """The first unmet condition as a sentence, or None when the host may take the task."""
    checks = (
        (host.connected, NOT_CONNECTED),
        (host.accepts_tasks, NOT_ACCEPTING),
        (not host.is_draining, DRAINING),
        (host.zone is None or host.zone == wanted.zone, OTHER_ZONE),
        (host.architecture == wanted.architecture, OTHER_ARCHITECTURE),
        (host.gives_kernel or not wanted.needs_kernel, NO_KERNEL),
        (host.pool in ("", wanted.pool), KEPT_FOR_OTHERS),
        (host.pool == wanted.pool, NOT_ITS_OWN),
        (may_share(host.tenant, wanted.account), HAS_ITS_TASK if host.tenant == tenancy.ONE_TASK else OTHER_ACCOUNT),
        (host.free_memory_mib >= memory_on(host, wanted), NO_MEMORY),
        (host.free_cpu_units >= wanted.cpu_units, NO_CPU),
        (host.free_disk_gib >= wanted.disk_gib, NO_DISK),
    )
    return next((sentence for holds, sentence in checks if not holds), None)
