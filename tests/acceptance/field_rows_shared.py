"""The table's fourth part: `pidMode`. Containers of a task see each other's processes, or they do not."""

from typing import Any

from .field_rows import METADATA, ONE_VOLUME, SHARED, Row, needs, shell
from .fleet import Outcome

SHARES: dict[str, Any] = {"pidMode": "task"}
FIRST = "tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-15"
PAUSE = "/bin/busybox sh"
HEALTHY_BY_FILE: dict[str, Any] = {
    "healthCheck": {"command": ["CMD", "test", "-e", "/shared/ready"], "interval": 5, "timeout": 2, "retries": 10}
}


def until(condition: str) -> str:
    """A bounded wait of a container's shell."""
    return f"for n in $(seq 200); do {condition} && break; sleep 0.1; done"


def sees(args: str) -> str:
    return f"ps -o args | grep -q '^{args}'"


def names(outcome: Outcome) -> list[str]:
    return [item["name"] for item in outcome.document["containers"]]


SHARED_ROWS = (
    Row(
        id="pidMode task",
        covers="task.pidMode",
        task=SHARES,
        # The one that is seen comes first in the list and is not essential.
        c0={"command": ["sleep", "98"], "essential": False, "stopTimeout": 2},
        siblings=[
            shell(f"{until(sees('sleep 98'))}; ps -o args | grep '^sleep 98'; {FIRST}; echo $$ | grep -vx 1 | wc -l")
        ],
        check=lambda o: o.logs["c1"] == ["sleep 98", PAUSE, "1"],
    ),
    Row(
        id="pidMode task shows its own process nowhere",
        covers="task.pidMode",
        task=SHARES,
        c0=needs("c1", "START"),
        shell=f"{METADATA}/task",
        siblings=[shell("sleep 96", essential=False)],
        check=lambda o: (
            sorted(item["Name"] for item in o.json["Containers"]) == ["c0", "c1"]
            and sorted(names(o)) == ["c0", "c1"]
            # Not a namespace's first process, so it dies of a SIGTERM that it does not handle.
            and (o.exit_code(), o.exit_code("c1")) == (0, 143)
        ),
    ),
    Row(
        id="pidMode task of one container",
        covers="task.pidMode",
        task=SHARES,
        shell=FIRST,
        lines=(PAUSE,),
    ),
    Row(
        id="pidMode task reaps orphans",
        covers="task.pidMode",
        task=SHARES,
        # Their parents are gone before they end.
        shell="for n in 1 2 3 4 5; do (sleep 0.2 &); done; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status; echo none",
        siblings=[shell("sleep 95", essential=False)],
        lines=("none",),
    ),
    Row(
        id="pidMode task, a container's processes end with its first",
        covers="task.pidMode",
        task={**SHARES, **ONE_VOLUME},
        c0={"mountPoints": SHARED},
        shell=f"{until('test -e /shared/begun')}; {until('! ' + sees('sleep 94'))}; ps -o args | grep -c '^sleep 94';"
        f" {until(sees('sleep 93'))}; ps -o args | grep -c '^sleep 93'",
        siblings=[
            shell("sleep 94 & sleep 94 & touch /shared/begun; exit 3", essential=False, mountPoints=SHARED),
            # Comes when another one has gone.
            shell("sleep 93 & sleep 93", essential=False, **needs("c1", "COMPLETE")),
        ],
        check=lambda o: o.lines[0] == "0" and o.lines[1] in ("1", "2") and o.exit_code("c1") == 3,
    ),
    Row(
        id="pidMode task where the essential one waits for those that run",
        covers="task.pidMode dependsOn.condition",
        task={**SHARES, **ONE_VOLUME},
        c0={
            "dependsOn": [
                {"containerName": "c1", "condition": "SUCCESS"},
                {"containerName": "c2", "condition": "START"},
                {"containerName": "c3", "condition": "HEALTHY"},
            ],
            "volumesFrom": [{"sourceContainer": "c2"}],
        },
        shell=f"{until(sees('sleep 92'))}; ps -o args | grep '^sleep 9' | sort -u; ls /shared",
        siblings=[
            shell("sleep 0.1", essential=False, **needs("c2", "START")),
            shell("sleep 92", essential=False, mountPoints=SHARED),
            shell("touch /shared/ready; sleep 91", essential=False, mountPoints=SHARED, **HEALTHY_BY_FILE),
        ],
        lines=("sleep 91", "sleep 92", "ready"),
    ),
    Row(
        id="processes are apart unless asked for",
        covers="task.pidMode",
        shell="sleep 1; ps -o args | grep -c '^[s]leep 97'",
        siblings=[shell("sleep 97", essential=False)],
        lines=("0",),
    ),
)
