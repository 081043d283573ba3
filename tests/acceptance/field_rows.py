"""The table of what a task definition and a run may say, and what each says to a process in the container.

Owns what a row is and the rows of a single process; the others are in `field_rows_task.py`, `field_rows_order.py`,
`field_rows_shared.py` and `field_rows_image.py`.
How rows are run is `fleet.py`'s; that none is missing is checked by `test_fields.py`. A row names the members it proves
(`covers`: paths in RegisterTaskDefinition's container definition, below `task.` in its request, below `run.` in
RunTask's) and holds facts that only a member with an effect can produce.
"""

import json
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from neargate.testing import oci_image

from .fleet import Outcome

FIELDS_IMAGE = "fields:1"
METADATA = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4"
# Docker's fourteen; Fargate adds SYS_PTRACE (bit 19) and nothing else.
DEFAULT_CAPABILITIES = 0xA80425FB
SYS_PTRACE = 1 << 19
NET_RAW = 1 << 13
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Row:
    """`c0` are the first container's members, `shell` its command; `lines` or `check` what must come out."""

    id: str
    covers: str
    c0: dict[str, Any] = field(default_factory=dict)
    siblings: Sequence[dict[str, Any]] = ()
    shell: str | None = None
    task: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    stop: str = ""  # when StopTask is called: see fleet.Order
    lines: tuple[str, ...] | None = None
    check: Callable[[Outcome], object] | None = None

    def containers(self, registry: str) -> list[dict[str, Any]]:
        first = dict(self.c0)
        if self.shell is not None:
            # One stream: the order of two is not kept, by AWS as little as here.
            first["command"] = ["sh", "-c", f"exec 2>&1; {self.shell}"]
        given = [first, *self.siblings]
        return [{**item, "image": f"{registry}/{item['image']}"} if "image" in item else item for item in given]


def shell(script: str, **members: Any) -> dict[str, Any]:
    """A sibling container; a shell ignores SIGTERM, so it is not waited for long."""
    return {"command": ["sh", "-c", script], "stopTimeout": 2, **members}


def needs(name: str, condition: str) -> dict[str, Any]:
    """Members of a container that waits for another one."""
    return {"dependsOn": [{"containerName": name, "condition": condition}]}


def fields_image() -> oci_image.BuiltImage:
    """Says something in every member of an image's configuration, and has a directory to seed a volume from."""
    files = [
        oci_image.Entry(path="seeded", mode=0o750, uid=1000, gid=1000),
        oci_image.Entry(path="seeded/file", content=b"from the image\n", mode=0o640, uid=1000, gid=1000),
        oci_image.Entry(path="plain", mode=0o777),
        oci_image.Entry(path="plain/file", content=b"hidden by a mount\n"),
        oci_image.Entry(path="srv", mode=0o755),
    ]
    return oci_image.build_image(
        [oci_image.busybox_layer(), oci_image.build_layer(files)],
        config={
            "Entrypoint": ["echo", "entry"],
            "Cmd": ["from-image"],
            "Env": ["PATH=/bin:/usr/bin", "FROM_IMAGE=1", "KEPT=1"],
            "User": "web",
            "WorkingDir": "/srv",
            "StopSignal": "SIGINT",
            "Volumes": {"/seeded": {}},
            "Healthcheck": {"Test": ["CMD", "false"], "Interval": 1_000_000_000},
        },
    )


def hard_limit(name: str) -> int:
    """Of this process; what a task can have at most where the agent may not raise limits."""
    value = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    return 2**63 if value == resource.RLIM_INFINITY or _may_raise() else value


def _may_raise() -> bool:
    with open("/proc/self/status", encoding="ascii") as file:
        mask = next(line.split()[1] for line in file if line.startswith("CapEff:"))
    return bool(int(mask, 16) >> 24 & 1)


NOFILE_MAX = hard_limit("nofile")

# Name of the ulimit, its row in /proc/self/limits, soft and hard as asked for.
ULIMITS = (
    ("core", "Max core file size", 4096, 8192),
    ("cpu", "Max cpu time", 100, 200),
    ("data", "Max data size", 200 * MIB, 300 * MIB),
    ("fsize", "Max file size", 4 * MIB, 8 * MIB),
    ("locks", "Max file locks", 50, 60),
    ("memlock", "Max locked memory", 32768, 65536),
    ("msgqueue", "Max msgqueue size", 40960, 81920),
    ("nice", "Max nice priority", 5, 10),
    ("nofile", "Max open files", 5000, 1_000_000),
    ("nproc", "Max processes", 900, 1000),
    ("rss", "Max resident set", 100 * MIB, 200 * MIB),
    ("rtprio", "Max realtime priority", 1, 2),
    ("rttime", "Max realtime timeout", 100_000, 200_000),
    ("sigpending", "Max pending signals", 500, 600),
    ("stack", "Max stack size", 4 * MIB, 6 * MIB),
)


def shown_limits(lines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """/proc/self/limits by the name of the ulimit."""
    found = {}
    for name, title, _, _ in ULIMITS:
        row = next(line for line in lines if line.startswith(title))
        soft, hard, *_ = row[len("Max realtime priority    ") :].split()
        found[name] = (soft, hard)
    return found


def asked_limits() -> dict[str, tuple[str, str]]:
    def bound(name: str, value: int) -> str:
        known = hasattr(resource, f"RLIMIT_{name.upper()}")
        return str(min(value, hard_limit(name)) if known else value)

    return {name: (bound(name, soft), bound(name, hard)) for name, _, soft, hard in ULIMITS}


def capabilities(outcome: Outcome) -> list[int]:
    return [int(line.split()[1], 16) for line in outcome.lines]


def seconds(outcome: Outcome, first: str, last: str) -> float:
    return float((outcome.document[last] - outcome.document[first]).total_seconds())


SHARED = [{"sourceVolume": "shared", "containerPath": "/shared"}]
ONE_VOLUME: dict[str, Any] = {"volumes": [{"name": "shared"}]}

PROCESS_ROWS = (
    Row(id="command", covers="command", c0={"command": ["echo", "a", "b  c", ""]}, lines=("a b  c ",)),
    Row(id="image's own words", covers="image", c0={"image": FIELDS_IMAGE}, lines=("entry from-image",)),
    Row(
        id="command keeps the image's entry point",
        covers="command",
        c0={"image": FIELDS_IMAGE, "command": ["mine"]},
        lines=("entry mine",),
    ),
    Row(
        id="entryPoint clears the image's command",
        covers="entryPoint",
        c0={"image": FIELDS_IMAGE, "entryPoint": ["echo", "only", "mine"]},
        lines=("only mine",),
    ),
    Row(
        id="entryPoint and command",
        covers="entryPoint command",
        c0={"image": FIELDS_IMAGE, "entryPoint": ["sh", "-c"], "command": ["id -un; pwd; echo $KEPT"]},
        lines=("web", "/srv", "1"),
    ),
    Row(
        id="environment over the image's and the platform's",
        covers="environment.name environment.value",
        c0={
            "image": FIELDS_IMAGE,
            "entryPoint": ["sh", "-c"],
            "command": ['echo "$FROM_IMAGE|$KEPT|$SPACED|$AWS_REGION|$EMPTY|${UNSET-unset}"'],
            "environment": [
                {"name": "FROM_IMAGE", "value": "2"},
                {"name": "SPACED", "value": "x=y  z"},
                {"name": "AWS_REGION", "value": "eu-west-9"},
                {"name": "EMPTY", "value": ""},
            ],
        },
        lines=("2|1|x=y  z|eu-west-9||unset",),
    ),
    Row(
        id="environment of every task",
        covers="environment.name",
        shell='echo "$AWS_REGION $AWS_DEFAULT_REGION $AWS_EXECUTION_ENV"; echo $ECS_CONTAINER_METADATA_URI;'
        " echo $ECS_CONTAINER_METADATA_URI_V4; echo $ECS_AGENT_URI; wget -qO- $AWS_ENDPOINT_URL/ 2>&1 | head -n 1",
        check=lambda o: (
            o.lines[0] == "us-east-1 us-east-1 AWS_ECS_FARGATE"
            and o.lines[1].startswith("http://169.254.170.2/v3/")
            and o.lines[2].startswith("http://169.254.170.2/v4/")
            and o.lines[3].startswith("http://169.254.170.2/api/")
            and "HTTP/1.1 4" in o.lines[4]
        ),
    ),
    Row(
        id="the region's endpoint is opted out of",
        covers="environment.value",
        c0={"environment": [{"name": "AWS_ENDPOINT_URL", "value": ""}]},
        shell='echo "[$AWS_ENDPOINT_URL]"',
        lines=("[]",),
    ),
    Row(
        id="workingDirectory",
        covers="workingDirectory",
        c0={"workingDirectory": "/tmp"},
        shell="pwd",
        lines=("/tmp",),
    ),
    Row(
        id="workingDirectory that the image lacks",
        covers="workingDirectory",
        c0={"workingDirectory": "/made/for it"},
        shell="pwd; stat -c %u:%g:%a .",
        lines=("/made/for it", "0:0:755"),
    ),
    Row(id="user by number", covers="user", c0={"user": "1234"}, shell="id -u; id -g", lines=("1234", "0")),
    Row(
        id="user and group by number",
        covers="user",
        c0={"user": "1234:2345"},
        shell="id -u; id -G; grep CapEff /proc/self/status",
        lines=("1234", "2345", "CapEff:\t0000000000000000"),
    ),
    Row(
        id="user by name",
        covers="user",
        c0={"user": "web"},
        shell="id -u; id -G; echo $HOME",
        lines=("1000", "1000 1001", "/home/web"),
    ),
    Row(id="group by name", covers="user", c0={"user": "web:extra"}, shell="id -u; id -G", lines=("1000", "1001")),
    Row(
        id="readonlyRootFilesystem",
        covers="readonlyRootFilesystem mountPoints.sourceVolume",
        c0={"readonlyRootFilesystem": True, "mountPoints": SHARED},
        task=ONE_VOLUME,
        shell="touch /file; touch /etc/hosts; touch /shared/file && echo written",
        check=lambda o: "Read-only file system" in o.lines[0] and o.lines[-1] == "written",
    ),
    Row(
        id="system-controls",
        covers="systemControls.namespace systemControls.value",
        c0={
            "systemControls": [
                {"namespace": "net.core.somaxconn", "value": "777"},
                {"namespace": "net.ipv4.ip_local_port_range", "value": "20000 20999"},
                {"namespace": "kernel.msgmax", "value": "9000"},
                {"namespace": "fs.mqueue.msg_max", "value": "17"},
            ]
        },
        shell="cd /proc/sys; cat net/core/somaxconn net/ipv4/ip_local_port_range kernel/msgmax fs/mqueue/msg_max",
        lines=("777", "20000\t20999", "9000", "17"),
    ),
    Row(
        id="ulimits",
        covers="ulimits.name ulimits.softLimit ulimits.hardLimit",
        c0={"ulimits": [{"name": name, "softLimit": soft, "hardLimit": hard} for name, _, soft, hard in ULIMITS]},
        shell="cat /proc/self/limits",
        check=lambda o: shown_limits(o.lines) == asked_limits(),
    ),
    Row(
        id="open files unless told otherwise",
        covers="ulimits.name",
        shell="ulimit -Sn; ulimit -Hn",
        lines=(str(min(65535, NOFILE_MAX)), str(min(65535, NOFILE_MAX))),
    ),
    Row(
        id="initProcessEnabled",
        covers="linuxParameters.initProcessEnabled",
        c0={"linuxParameters": {"initProcessEnabled": True}},
        # The orphan's parent is gone before it ends: only PID 1 can reap it.
        shell="tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-12; (sleep 0.2 &) ; sleep 1;"
        " grep -l '^State:.Z' /proc/*/status",
        lines=("/dev/init --",),
    ),
    Row(
        id="no init unless asked for",
        covers="linuxParameters.initProcessEnabled",
        shell="tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-5",
        lines=("sh -c",),
    ),
    Row(
        id="interactive keeps the input open",
        covers="interactive",
        c0={"interactive": True},
        shell="timeout 1 cat 2> /dev/null; echo $?; test -t 0; echo $?",
        check=lambda o: o.lines[-2:] == ["143", "1"],
    ),
    Row(
        id="the input is closed unless asked for",
        covers="interactive",
        shell="timeout 1 cat; echo $?",
        lines=("0",),
    ),
    Row(
        id="pseudoTerminal",
        covers="pseudoTerminal interactive",
        c0={"pseudoTerminal": True, "interactive": True},
        shell="test -t 0 && test -t 1 && echo $TERM; ls -l /dev/console | cut -c 1",
        check=lambda o: [line.rstrip("\r") for line in o.lines] == ["xterm", "c"],
    ),
    Row(
        id="capabilities by default",
        covers="linuxParameters.capabilities.drop",
        shell="grep -E 'CapBnd|CapEff|CapPrm' /proc/self/status",
        check=lambda o: capabilities(o) == [DEFAULT_CAPABILITIES] * 3,
    ),
    Row(
        id="capabilities dropped and added",
        covers="linuxParameters.capabilities.drop linuxParameters.capabilities.add",
        c0={"linuxParameters": {"capabilities": {"drop": ["NET_RAW"], "add": ["SYS_PTRACE"]}}},
        shell="grep -E 'CapBnd|CapEff' /proc/self/status",
        check=lambda o: capabilities(o) == [DEFAULT_CAPABILITIES & ~NET_RAW | SYS_PTRACE] * 2,
    ),
    Row(
        id="all capabilities dropped",
        covers="linuxParameters.capabilities.drop",
        c0={"linuxParameters": {"capabilities": {"drop": ["ALL"]}}},
        shell="grep -E 'CapBnd' /proc/self/status; chown 1 /tmp 2> /dev/null; test $? -ne 0 && grep -c 0 /dev/null",
        check=lambda o: o.lines[0].endswith("0000000000000000") and o.lines[1:] == ["0"],
    ),
    Row(
        id="hostname and hosts",
        covers="task.networkMode",
        shell="hostname; cat /etc/hostname; echo $HOSTNAME; grep $(hostname) /etc/hosts; cat /etc/resolv.conf;"
        f" {METADATA}; touch /etc/hosts && echo; echo writable",
        check=lambda o: _names_agree(o),
    ),
    Row(
        id="runtimePlatform",
        covers="task.runtimePlatform.cpuArchitecture task.runtimePlatform.operatingSystemFamily",
        task={"runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}},
        shell="uname -sm",
        lines=("Linux x86_64",),
        check=lambda o: o.document["platformFamily"] == "Linux",
    ),
)


def _names_agree(outcome: Outcome) -> bool:
    names = outcome.lines
    network = json.loads(next(line for line in names if line.startswith("{")))["Networks"][0]
    address, name = network["IPv4Addresses"][0], network["PrivateDNSName"]
    short, _, domain = name.partition(".")
    return (
        names[:4] == [name, name, name, f"{address} {name} {short}"]
        and f"search {domain}" in names
        and f"nameserver {network['DomainNameServers'][0]}" in names
        and names[-1] == "writable"
    )
