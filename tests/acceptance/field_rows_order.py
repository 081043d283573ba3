"""The table's third part: the order containers start and stop in, how long that may take, health."""

from typing import Any

from .field_rows import FIELDS_IMAGE, METADATA, ONE_VOLUME, SHARED, Row, needs, seconds, shell
from .fleet import READY, Outcome

NOT_READY = "dependency graph: container ordering dependency [c1] for target [c0] has timed out."
NOT_DONE = (
    "dependency graph: failed to resolve container ordering dependency [c1] for target [c0]"
    " as dependency did not exit successfully."
)


def check(*command: str, **members: int) -> dict[str, Any]:
    health = {"command": list(command), "interval": 5, "timeout": 2, "retries": 1, **members}
    return {"healthCheck": health, "stopTimeout": 2}


def _metadata_of(outcome: Outcome, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in outcome.json["Containers"] if item["Name"] == name)
    return found


def started(outcome: Outcome, name: str) -> str:
    return str(_metadata_of(outcome, name)["StartedAt"])


def created(outcome: Outcome, name: str) -> str:
    return str(_metadata_of(outcome, name)["CreatedAt"])


def state(outcome: Outcome, name: str) -> str:
    return str(_metadata_of(outcome, name)["KnownStatus"])


ORDER_ROWS = (
    Row(
        id="dependsOn START",
        covers="dependsOn.containerName dependsOn.condition",
        c0={**needs("c1", "START"), "mountPoints": SHARED},
        shell=f"{METADATA}/task",
        siblings=[shell("sleep 99", essential=False, mountPoints=SHARED)],
        task=ONE_VOLUME,
        check=lambda o: started(o, "c1") <= created(o, "c0") and state(o, "c1") == "RUNNING",
    ),
    Row(
        id="dependsOn COMPLETE, whatever the exit code",
        covers="dependsOn.condition essential",
        c0={**needs("c1", "COMPLETE"), "mountPoints": SHARED},
        shell="cat /shared/done",
        siblings=[shell("sleep 1; echo done > /shared/done; exit 3", essential=False, mountPoints=SHARED)],
        task=ONE_VOLUME,
        lines=("done",),
        check=lambda o: o.exit_code("c1") == 3,
    ),
    Row(
        id="dependsOn SUCCESS",
        covers="dependsOn.condition",
        c0={**needs("c1", "SUCCESS"), "mountPoints": SHARED},
        shell="cat /shared/done",
        siblings=[shell("sleep 1; echo done > /shared/done", essential=False, mountPoints=SHARED)],
        task=ONE_VOLUME,
        lines=("done",),
    ),
    Row(
        id="dependsOn SUCCESS of one that fails",
        covers="dependsOn.condition",
        c0=needs("c1", "SUCCESS"),
        shell="echo never",
        siblings=[shell("exit 4", essential=False)],
        lines=(),
        check=lambda o: (
            o.document["stopCode"] == "TaskFailedToStart" and o.reason == NOT_DONE and o.exit_code("c1") == 4
        ),
    ),
    Row(
        id="dependsOn HEALTHY",
        covers="dependsOn.condition healthCheck.command healthCheck.interval",
        c0={**needs("c1", "HEALTHY"), "mountPoints": SHARED},
        shell="cat /shared/checked",
        siblings=[
            shell(
                "sleep 99",
                essential=False,
                mountPoints=SHARED,
                **check("CMD-SHELL", "echo checked > /shared/checked; exit 0"),
            )
        ],
        task=ONE_VOLUME,
        lines=("checked",),
        check=lambda o: "HEALTHY" in o.health["c1"],
    ),
    Row(
        id="startTimeout of the container depended on",
        covers="startTimeout",
        c0=needs("c1", "COMPLETE"),
        shell="echo never",
        siblings=[shell("exec sleep 99", essential=False, startTimeout=2, stopTimeout=2)],
        lines=(),
        check=lambda o: (
            o.document["stopCode"] == "TaskFailedToStart" and o.reason == NOT_READY and o.exit_code("c1") == 137
        ),
    ),
    Row(
        id="a container that is not essential",
        covers="essential",
        shell="sleep 2; echo went on",
        siblings=[shell("exit 5", essential=False)],
        lines=("went on",),
        check=lambda o: o.exit_code() == 0 and o.exit_code("c1") == 5,
    ),
    Row(
        id="an essential one stops the others",
        covers="essential",
        c0={"essential": False},
        shell="trap 'echo told; exit 9' TERM; sleep 99 & wait",
        siblings=[shell("sleep 2", essential=True)],
        lines=("told",),
        check=lambda o: o.exit_code() == 9 and o.reason == "Essential container in task exited",
    ),
    Row(
        id="stopTimeout",
        covers="stopTimeout",
        c0={"stopTimeout": 2},
        shell=f"trap 'echo told' TERM; echo {READY}; while true; do sleep 0.2; done",
        stop=READY,
        check=lambda o: (
            o.lines == [READY, "told"]
            and o.exit_code() == 137
            and 2 <= seconds(o, "stoppingAt", "executionStoppedAt") < 20
        ),
    ),
    Row(
        id="the image's STOPSIGNAL",
        covers="image",
        c0={
            "image": FIELDS_IMAGE,
            "entryPoint": ["sh", "-c"],
            "command": [f"trap 'echo INT; exit 6' INT; trap 'echo TERM; exit 7' TERM; echo {READY}; sleep 99 & wait"],
        },
        stop=READY,
        lines=(READY, "INT"),
        check=lambda o: o.exit_code() == 6,
    ),
    Row(
        id="healthCheck CMD",
        covers="healthCheck.command",
        c0=check("CMD", "test", "-e", "/tmp"),
        shell="exec sleep 99",
        stop="HEALTHY",
        check=lambda o: o.health["c0"] == ["UNKNOWN", "HEALTHY"],
    ),
    Row(
        id="healthCheck CMD-SHELL and retries",
        covers="healthCheck.command healthCheck.retries",
        c0=check("CMD-SHELL", "exit 1", retries=2),
        shell="exec sleep 99",
        stop="UNHEALTHY",
        check=lambda o: o.health["c0"] == ["UNKNOWN", "UNHEALTHY"],
    ),
    Row(
        id="healthCheck retries that are not used up",
        covers="healthCheck.retries",
        c0=check("CMD-SHELL", "exit 1", retries=3),
        shell="sleep 12",
        check=lambda o: o.health["c0"] == ["UNKNOWN"],
    ),
    Row(
        id="healthCheck interval",
        covers="healthCheck.interval",
        c0=check("CMD-SHELL", "exit 1", interval=10),
        shell="sleep 8",
        check=lambda o: o.health["c0"] == ["UNKNOWN"],
    ),
    Row(
        id="healthCheck startPeriod",
        covers="healthCheck.startPeriod",
        c0=check("CMD-SHELL", "exit 1", startPeriod=60),
        shell="sleep 8",
        check=lambda o: o.health["c0"] == ["UNKNOWN"],
    ),
    Row(
        id="healthCheck timeout",
        covers="healthCheck.timeout",
        c0=check("CMD-SHELL", "sleep 4", timeout=2),
        shell="exec sleep 99",
        stop="UNHEALTHY",
        check=lambda o: o.health["c0"] == ["UNKNOWN", "UNHEALTHY"],
    ),
    Row(
        id="healthCheck CMD-SHELL with parameters runs its first word",
        covers="healthCheck.command",
        c0=check("CMD-SHELL", 'echo "$0 $1" > /proc/1/fd/1', "curl", "||"),
        shell="exec sleep 99",
        stop="HEALTHY",
        check=lambda o: o.lines[0] == "curl ||" and o.health["c0"] == ["UNKNOWN", "HEALTHY"],
    ),
    Row(
        id="healthCheck that begins with no known word is never asked",
        covers="healthCheck.command",
        c0=check("false", "x"),
        shell="sleep 8",
        lines=(),
        check=lambda o: o.health["c0"] == ["UNKNOWN"],
    ),
    Row(
        id="healthCheck NONE",
        covers="healthCheck.command",
        c0={"healthCheck": {"command": ["NONE"]}},
        shell="sleep 1",
        check=lambda o: o.health["c0"] == ["UNKNOWN"],
    ),
)
