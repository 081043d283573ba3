"""The table's fifth part: what an image says, and what a definition makes of it; not all of it is as with Docker."""

from typing import Any

from .field_rows import (
    DEFAULT_CAPABILITIES,
    FIELDS_IMAGE,
    ONE_VOLUME,
    SHARED,
    SYS_PTRACE,
    Row,
    capabilities,
    needs,
    shell,
)

SHELL: dict[str, Any] = {"image": FIELDS_IMAGE, "entryPoint": ["sh", "-c"]}


def runs(script: str, **members: Any) -> dict[str, Any]:
    """A container of the image that says something everywhere; its user may not write to the root."""
    return {**SHELL, "command": [f"exec 2>&1; {script}"], **members}


IMAGE_ROWS = (
    Row(
        id="a volume is seeded where the image says VOLUME",
        covers="task.volumes.name",
        c0=runs(
            "cat /seeded/file; stat -c %u:%g:%a /seeded /seeded/file; touch /seeded/mine && echo mine",
            mountPoints=[{"sourceVolume": "shared", "containerPath": "/seeded"}],
        ),
        task=ONE_VOLUME,
        lines=("from the image", "1000:1000:750", "1000:1000:640", "mine"),
    ),
    Row(
        id="a volume is empty where the image does not",
        covers="task.volumes.name",
        c0=runs(
            "ls /plain | wc -l; stat -c %u:%g:%a /plain; touch /plain/x; cat /seeded/file",
            mountPoints=[{"sourceVolume": "shared", "containerPath": "/plain"}],
        ),
        task=ONE_VOLUME,
        lines=("0", "0:0:755", "touch: /plain/x: Permission denied", "from the image"),
    ),
    Row(
        id="the image's own volume is writable below a root that is not",
        covers="readonlyRootFilesystem volumesFrom.sourceContainer",
        c0=runs("cat /seeded/file /seeded/from-c1; touch /srv/x", volumesFrom=[{"sourceContainer": "c1"}])
        | needs("c1", "SUCCESS"),
        siblings=[
            runs("touch /srv/x; echo c1 > /seeded/from-c1", essential=False, readonlyRootFilesystem=True, user="web")
        ],
        check=lambda o: (
            o.lines == ["from the image", "c1", "touch: /srv/x: Permission denied"]
            and o.logs["c1"] == ["touch: /srv/x: Read-only file system"]
        ),
    ),
    Row(
        id="each container has the image's volume for itself",
        covers="image",
        c0=runs("ls /seeded") | needs("c1", "SUCCESS"),
        siblings=[runs("touch /seeded/from-c1", essential=False)],
        lines=("file",),
    ),
    Row(
        id="readonlyRootFilesystem closes the files of the platform too",
        covers="readonlyRootFilesystem",
        c0={"readonlyRootFilesystem": True, "linuxParameters": {"tmpfs": [{"containerPath": "/scratch", "size": 1}]}},
        shell="for f in /etc/hosts /etc/resolv.conf /etc/hostname; do touch $f; done;"
        " touch /scratch/x /dev/shm/x; ls /scratch",
        check=lambda o: (
            [line.endswith("Read-only file system") for line in o.lines] == [True] * 3 + [False] and o.lines[3] == "x"
        ),
    ),
    Row(
        id="an empty user is the image's",
        covers="user",
        c0=runs("id -un", user=""),
        lines=("web",),
    ),
    Row(
        id="user by name and group by number, by number and by name",
        covers="user",
        c0=runs("id -u; id -G", user="web:2345") | needs("c1", "COMPLETE"),
        siblings=[runs("id -u; id -G", user="77:extra", essential=False)],
        check=lambda o: o.lines == ["1000", "2345"] and o.logs["c1"] == ["77", "1001"],
    ),
    Row(
        id="the last of two variables with one name counts",
        covers="environment.name environment.value",
        c0={"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "A", "value": "3"}]},
        shell="echo $A$B; env | grep -c ^A=",
        lines=("32", "1"),
    ),
    Row(
        id="a run's command keeps the image's entry point",
        covers="run.overrides.containerOverrides.command",
        c0={"image": FIELDS_IMAGE, "command": ["defined"]},
        run={"overrides": {"containerOverrides": [{"name": "c0", "command": ["of the run"]}]}},
        lines=("entry of the run",),
    ),
    Row(
        id="SYS_PTRACE stays when all others are dropped",
        covers="linuxParameters.capabilities.drop linuxParameters.capabilities.add",
        c0={"linuxParameters": {"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}},
        shell="grep -E 'CapBnd|CapEff' /proc/self/status",
        check=lambda o: capabilities(o) == [SYS_PTRACE] * 2 and SYS_PTRACE & DEFAULT_CAPABILITIES == 0,
    ),
    Row(
        id="the init hands on SIGTERM and the exit code",
        covers="linuxParameters.initProcessEnabled",
        c0={"mountPoints": SHARED},
        # It ends, and so the other one is told to, only when that one listens.
        shell="until test -e /shared/ready; do sleep 0.1; done",
        siblings=[
            shell(
                "trap 'echo told; exit 6' TERM; touch /shared/ready; while :; do sleep 0.1; done",
                essential=False,
                linuxParameters={"initProcessEnabled": True},
                mountPoints=SHARED,
            )
        ],
        task=ONE_VOLUME,
        check=lambda o: o.logs["c1"] == ["told"] and o.exit_code("c1") == 6,
    ),
    Row(
        id="the image's HEALTHCHECK is ignored",
        covers="image",
        c0=runs("sleep 3; echo done"),
        lines=("done",),
        check=lambda o: o.health["c0"] == ["UNKNOWN"],
    ),
    Row(
        id="a volume at the image's path serves both",
        covers="mountPoints.sourceVolume",
        c0=runs(
            "cat /seeded/file; ls /shared",
            mountPoints=[*SHARED, {"sourceVolume": "shared", "containerPath": "/seeded"}],
        ),
        task=ONE_VOLUME,
        lines=("from the image", "file"),
    ),
)
