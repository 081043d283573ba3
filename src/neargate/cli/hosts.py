"""`neargate hosts`: whose own hosts are and what is said of them, asked and changed at the operator's socket."""

from collections.abc import Iterator
from typing import Any

from . import config as configs
from .admin import ask
from .host_use import used
from .inspect import table
from .paths import RegionPaths
from .problems import Problem
from .stories.task import moment

_COLUMNS = (
    *("HOST", "ZONE", "STATE", "TASKS", "KEPT FOR", "NODES", "TASKS OF", "SANDBOX", "MEMORY USED/RESERVED/ALL MiB"),
    "SOFTWARE",
)

_GO = (
    "those of services go when others run in their places; the others stay as long as their account's "
    "fargateTaskRetirementWaitPeriod says (7 days unless it says otherwise), and are stopped then: neargate hosts"
)


def listed(paths: RegionPaths) -> str:
    rows: list[tuple[str, ...]] = [_COLUMNS]
    hosts = ask(paths, "hosts-list")["hosts"]
    for host in hosts:
        kept, nodes = host["pool"] or "-", str(host.get("nodes", "-"))
        whose = ",".join(host.get("accounts") or ()) or "-"
        rows.append(
            (
                host["host_id"],
                host["zone"] or "any",
                _state(host),
                str(host["tasks"]),
                kept,
                nodes,
                whose,
                host.get("sandbox") or "-",
                _memory(host),
                _software(host),
            )
        )
    if len(rows) == 1:
        return "no host has joined this region"
    machines = [*used(hosts), *_machines(hosts), *_old_machines(hosts), *_retiring(hosts)]
    return "\n".join([*table(rows), *machines, *_strays(hosts), *_refused(hosts)])


def _state(host: dict[str, Any]) -> str:
    """A server of the release before knows no words."""
    state, word = "connected" if host["connected"] else "away", host.get("word") or ""
    return f"{state},{word}" if word else state


def _memory(host: dict[str, Any]) -> str:
    """What its tasks use, what is reserved for them, what there is. A server of the release before says it not here."""
    if "reserved" not in host:
        return "-"
    return f"{host['used_memory_mib']}/{host['reserved']['memory_mib']}/{host['offered']['memory_mib']}"


def _machines(hosts: list[dict[str, Any]]) -> list[str]:
    """Where tasks have machines: how many run, and what each costs."""
    return [
        f"{host['host_id']}: {host['machines']} machine{'s' if host['machines'] != 1 else ''}; each takes {needs}"
        for host in hosts
        if (needs := _beside(host.get("overhead") or {}))
    ]


def _beside(overhead: dict[str, int]) -> str:
    if not any(overhead.values()):
        return ""
    part = f" and a part in {overhead['memory_part']} of its size" if overhead["memory_part"] else ""
    return f"{overhead['memory_mib']} MiB{part} beside its task, which is in what is reserved"


def _software(host: dict[str, Any]) -> str:
    """The agent's release, and those of what is below the tasks as far as it said them."""
    below = host.get("platform") or {}
    named = [("", host.get("software")), ("kernel ", below.get("kernel"))]
    named += [("guest image ", below.get("guest_image")), ("VMM ", below.get("vmm"))]
    return ", ".join(f"{name}{release}" for name, release in named if release) or "-"


def _old_machines(hosts: list[dict[str, Any]]) -> Iterator[str]:
    """A server of the release before says nothing of them."""
    for host in hosts:
        if host.get("old_machines"):
            how = "" if host["is_rolled_out"] else "; they stay until: neargate hosts rollout"
            yield f"{host['host_id']}: {_machines_with_old(host['old_machines'])}{how}"


def _machines_with_old(count: int) -> str:
    return (
        f"{_tasks(count)} in {'a machine' if count == 1 else 'machines'} of another guest image or VMM than it has now"
    )


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _retiring(hosts: list[dict[str, Any]]) -> Iterator[str]:
    for host in hosts:
        told = host.get("retiring") or {"served": 0, "alone": 0}
        parts = (
            [f"{_tasks(told['served'])} of services, as soon as others run in their places"] if told["served"] else []
        )
        if told["alone"]:
            parts.append(f"{_tasks(told['alone'])} of none, the first on {moment(told['next_at'])}")
        if parts:
            yield f"{host['host_id']} loses {'; '.join(parts)}"


def _strays(hosts: list[dict[str, Any]]) -> list[str]:
    """A server of the release before says nothing of them."""
    return [
        f"{host['host_id']}: its underlay dropped {host['strays']} packets of tasks that were neither overlay nor "
        f"link; the last that was seen: {host['last_stray'] or 'none'} (its agent's log/underlay.log has their flows)"
        for host in hosts
        if host.get("strays")
    ]


def _refused(hosts: list[dict[str, Any]]) -> list[str]:
    told = [(host["host_id"], host["refused_pools"]) for host in hosts if host.get("refused_pools")]
    return [f"{host_id} refuses pools of public addresses: {why}" for host_id, why in told]


def keep(paths: RegionPaths, host: str, account: str, cluster: str) -> str:
    if not account and not cluster:
        raise Problem("write whom the host is for: --account ID, --cluster NAME, or both")
    account = account or configs.load(paths).account
    made = ask(paths, "hosts-keep", host=host, account=account, cluster=cluster)
    lines = [f"{made['host']} is kept for {made['pool']}: it takes no other tasks, and those go to no other hosts"]
    if made["tasks"]:
        lines.append(f"{made['tasks']} tasks run there; they stay until they end, whoever's they are")
    return "\n".join(lines)


def share(paths: RegionPaths, host: str) -> str:
    made = ask(paths, "hosts-share", host=host)
    return f"{made['host']} takes the tasks of all who have no hosts of their own"


def drain(paths: RegionPaths, host: str) -> str:
    made = ask(paths, "hosts-drain", host=host)
    lines = [f"{made['host']} takes nothing new from now on"]
    if made["nodes"]:
        others = [host for host in ask(paths, "hosts-list")["hosts"] if host["host_id"] != made["host"]]
        go = "go to other hosts" if any(map(_takes, others)) else "stay, as no other host takes them"
        lines.append(f"{made['nodes']} nodes of load balancers and gateways there {go}: neargate hosts")
    if made["tasks"]:
        lines.append(f"{made['tasks']} tasks run there: {_GO}")
    return "\n".join(lines)


def rollout(paths: RegionPaths) -> str:
    """An older host is emptied by hand: how many at a time may go, its operator knows."""
    made = ask(paths, "hosts-rollout")
    lines = [f"machines of tasks are to have what new ones get: {'; '.join(made['software'])}"]
    lines += [f"{host}: {_machines_with_old(count)}" for host, count in sorted(made["old_machines"].items())]
    lines.append(_GO if made["old_machines"] else "no host that is connected says that any task has another")
    for host in made["older_hosts"]:
        lines.append(
            f"{host} itself has older software than another host: neargate hosts drain {host}, renew it, neargate "
            f"hosts resume {host}"
        )
    return "\n".join(lines)


def call_off(paths: RegionPaths) -> str:
    ask(paths, "hosts-rollout-off")
    return "tasks stay in the machines that they have; what was stopped already is not started again"


def _takes(host: dict[str, Any]) -> bool:
    """Something new; its zone is not looked at."""
    return bool(host["connected"]) and not host.get("word")


def give_up(paths: RegionPaths, host: str) -> str:
    made = ask(paths, "hosts-give-up", host=host)
    lines = [f"{made['host']} is given up: other hosts take over addresses of load balancers that it had"]
    if made["tasks"]:
        lines.append(f"{made['tasks']} tasks are recorded there; they are over, and STOPPED within some seconds")
    return "\n".join(lines)


def resume(paths: RegionPaths, host: str) -> str:
    made = ask(paths, "hosts-resume", host=host)
    return f"{made['host']} takes tasks again as soon as it is connected"
