"""Images and programs that want out: each tries what it can on a real region, and the machine is looked at afterwards.

What a program reports is believed only where it says that it failed; what must not have happened is asked of the host.
"""

import gzip
import io
import os
import socket
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neargate.cli import config as configs
from neargate.cli import processes
from neargate.testing import oci_image

from .region import LiveRegion, wait_for

# A line `name=status` each: status 0 means that it worked.
TRY = """
try() { name=$1; shift; ( "$@" ) >/dev/null 2>&1; echo "$name=$?"; }
"""
BREAKOUT = (
    TRY
    + """
mkdir -p /t
mknod /t/disk b MAJOR MINOR; try disk-node head -c 1 /t/disk
try disk-of-the-layer head -c 1 /dev/planted
try disk-elsewhere head -c 1 /planted
mknod /t/mem c 1 1; try memory head -c 1 /t/mem
try kcore head -c 1 /proc/kcore
try mount mount -t tmpfs none /t
try bind mount -o bind / /t
try remount-sys mount -o remount,rw /sys
try remount-proc mount -o remount,rw /proc/sys
try unmount-mask umount /proc/kcore
try sysctl sh -c 'echo 1 > /proc/sys/kernel/sysrq'
try core-pattern sh -c 'echo "|/bin/x" > /proc/sys/kernel/core_pattern'
try sysrq sh -c 'echo h > /proc/sysrq-trigger'
try uevent sh -c 'echo /x > /sys/kernel/uevent_helper'
try cgroup-make sh -c 'for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x && exit 0; done; exit 1'
try cgroup-write sh -c 'for f in $(find /sys/fs/cgroup -name "cgroup.procs"); do echo 1 > $f && exit 0; done; exit 1'
try release-agent sh -c 'for f in $(find /sys/fs/cgroup -name release_agent); do echo /x > $f && exit 0; done; exit 1'
try dmesg dmesg
try user-namespace unshare -U true
try mount-namespace unshare -m true
try net-namespace unshare -n true
try enter nsenter -t 1 -n ip link add x type dummy
try host-name hostname stolen
try address ip address add 172.31.0.99/16 dev eth0
try link ip link set eth0 down
try clock sh -c 'date -s 2001-01-01; test $(date +%Y) = 2001'
try module modprobe dummy
try reboot reboot -f
try swap swapon /etc/hosts
echo processes=$(ls -d /proc/[0-9]* | wc -l)
echo pids=$(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null | head -1)
echo others=$(ls /sys/fs/cgroup/*/neargate* 2>/dev/null | wc -l)
"""
)


def planted_layer() -> oci_image.Layer:
    """Device nodes of this machine's own disk, a set-uid program, and links and hard links that lead upwards."""
    device = os.stat("/").st_dev
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name in ("dev/planted", "planted"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.BLKTYPE, 0o666
            info.devmajor, info.devminor = os.major(device), os.minor(device)
            tar.addfile(info)
        for name, target in (("up", "../../../../../../.."), ("etc/resolv.conf", "../../../../../../../etc/passwd")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    data = raw.getvalue()
    return oci_image.Layer(blob=gzip.compress(data), media_type=oci_image.LAYER_GZIP, diff_id=oci_image.sha256(data))


def pushed(region: LiveRegion, name: str, *layers: oci_image.Layer, **config: object) -> str:
    image = oci_image.build_image([oci_image.busybox_layer(), *layers], config={"Cmd": ["sh"], **config})
    oci_image.push(region.registry, name, "1", image)
    return f"{region.registry}/{name}:1"


def said(lines: list[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if "=" in line)


@contextmanager
def host_listener() -> Iterator[int]:
    """A service of this machine on all its addresses."""
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


def uplink_address() -> str | None:
    """This machine's own address towards others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def agent_descriptors(region: LiveRegion) -> int:
    agent = processes.find(region.paths.pid_file("agent"))
    assert agent is not None, "the agent runs"
    return len(os.listdir(f"/proc/{agent.pid}/fd"))


def test_a_root_in_a_container_gets_nothing_of_the_machine(region: LiveRegion) -> None:
    device = os.stat("/").st_dev
    script = BREAKOUT.replace("MAJOR", str(os.major(device))).replace("MINOR", str(os.minor(device)))
    settings = [Path("/proc/sys/kernel") / name for name in ("core_pattern", "sysrq", "hostname", "modprobe")]
    before = {path: path.read_text() for path in settings if path.exists()}
    passwd = Path("/etc/passwd").read_bytes()
    image = pushed(region, "planted", planted_layer())
    answers = said(region.output({"image": image, "command": ["sh", "-c", script]}))
    numbers = {key: int(answers.pop(key)) for key in ("processes", "pids", "others")}
    worked = sorted(key for key, status in answers.items() if status == "0")
    assert len(answers) == script.count("try "), "every attempt was made"
    assert worked == [], "what worked is a hole"
    assert numbers["processes"] < 10 and 0 < numbers["pids"] <= 4096 and numbers["others"] == 0
    assert {path: path.read_text() for path in before} == before
    assert Path("/etc/passwd").read_bytes() == passwd


def test_no_working_directory_leads_out_of_the_root(region: LiveRegion) -> None:
    """A runtime that keeps descriptors of the host open is left through /proc/self/fd/N."""
    marker = region.paths.data / "marker"
    marker.write_text("the host's own\n")
    up = "../" * 12
    script = f"cat {up}{str(marker).lstrip('/')} && echo out=0; cat /up{marker} && echo out=0; echo done=1"
    image = pushed(region, "upwards", planted_layer())
    containers = [
        {
            "image": image,
            "command": ["sh", "-c", script],
            "workingDirectory": f"/proc/self/fd/{number}",
            "essential": False,
        }
        for number in range(3, 12)
    ]
    holder = {"image": image, "command": ["sleep", "3"]}
    task = region.run_to_end(holder, *containers)
    assert len(task["containers"]) == 10
    ran = 0
    for container in task["containers"]:
        if container["name"] == "c0" or "exitCode" not in container:
            continue  # refused by the runtime, which is as good
        lines = region.output_of(task["taskArn"], container["name"])
        ran += "done=1" in lines
        assert "out=0" not in lines and "the host's own" not in lines
    refused = sum("exitCode" not in container for container in task["containers"])
    assert ran + refused >= 9, "each of them was tried"
    marker.unlink()


def test_a_task_reaches_nothing_of_the_host_without_a_public_address(region: LiveRegion) -> None:
    own = configs.load(region.paths).public_pool.rsplit(".", 1)[0] + ".255"
    with host_listener() as port:
        targets = {f"pool:{port}": (own, port), f"api:{region.port}": (own, region.port)}
        targets |= {"loopback": ("127.0.0.1", region.port), "edge": ("169.254.254.1", port)}
        targets |= {"endpoint-otherwise": ("169.254.170.10", port)}
        targets |= {"metadata-otherwise": ("169.254.170.2", port)}
        uplink = uplink_address()
        if uplink is not None:
            targets["uplink"] = (uplink, port)
        script = TRY + "\n".join(
            f"try '{name}' timeout 2 nc -w 2 {address} {number} </dev/null &"
            for name, (address, number) in targets.items()
        )
        answers = said(region.output({"command": ["sh", "-c", script + "\nwait"]}))
    assert set(answers) == set(targets)
    assert {name for name, status in answers.items() if status == "0"} == set()


def test_metadata_is_a_tasks_own_and_floods_hurt_only_the_flooder(region: LiveRegion) -> None:
    before = agent_descriptors(region)
    quiet = region.run(region.register({"command": ["sleep", "300"], "stopTimeout": 2}))
    region.wait_status(quiet, "RUNNING")
    token = region.task(quiet)["containers"][0]["runtimeId"]
    flood = """
    host=169.254.170.2
    wget -q -O - http://$host/v4/TOKEN >/dev/null 2>&1; echo other=$?
    wget -q -O - $ECS_CONTAINER_METADATA_URI_V4 >/dev/null 2>&1; echo own=$?
    printf 'GET\\r\\n\\r\\n' | timeout 3 nc $host 80 | head -1
    printf 'POST / HTTP/1.1\\r\\n\\r\\n' | timeout 3 nc $host 80 | head -1
    printf 'GET /v4/../../etc/passwd HTTP/1.1\\r\\n\\r\\n' | timeout 3 nc $host 80 | head -1
    printf 'GET /\\0 HTTP/1.1\\r\\n\\r\\n' | timeout 3 nc $host 80 | head -1
    head -c 100000 /dev/zero | timeout 3 nc $host 80 | wc -c
    head -c 100000 /dev/zero | tr '\\0' 'a' | timeout 3 nc $host 80 | wc -c
    n=0; while [ $n -lt 200 ]; do (sleep 100 | nc $host 80 >/dev/null 2>&1) & n=$((n+1)); done
    n=0; while [ $n -lt 100 ]; do (sleep 100 | nc 169.254.170.10 PORT >/dev/null 2>&1) & n=$((n+1)); done
    echo flooding=1
    sleep 100
    """.replace("TOKEN", token).replace("PORT", str(region.port))
    hostile = region.run(
        region.register(
            {"command": ["sh", "-c", flood], "stopTimeout": 2, "logConfiguration": region.log_config("/test/flood")}
        )
    )
    stream = f"t/c0/{hostile.rpartition('/')[2]}"

    def flooding() -> list[str] | None:
        answer = region.logs.filter_log_events(logGroupName="/test/flood", logStreamNames=[stream])
        lines = [event["message"] for event in answer["events"]]
        return lines if "flooding=1" in lines else None

    region.wait_status(hostile, "RUNNING")
    lines = wait_for("the flood", flooding)
    answers = said(lines)
    assert answers["other"] != "0" and answers["own"] == "0"
    assert [line.split(" ")[1] for line in lines if line.startswith("HTTP/1.1")] == ["400", "405", "404", "404"]
    # While it holds all that it can hold, another task asks and is answered, also by the region's endpoint.
    polite = "wget -q -O - $ECS_CONTAINER_METADATA_URI_V4/task >/dev/null && echo metadata=0; "
    polite += "wget -q -O - $AWS_ENDPOINT_URL/_neargate/health >/dev/null && echo endpoint=0"
    assert said(region.output({"command": ["sh", "-c", polite]})) == {"metadata": "0", "endpoint": "0"}
    held = agent_descriptors(region)
    assert held < before + 64 + 2 * 64 + 100, "one task's connections are bounded, whatever it opens"
    region.ecs.stop_task(task=hostile)
    region.ecs.stop_task(task=quiet)
    region.wait_status(hostile, "STOPPED")
    region.wait_status(quiet, "STOPPED")
    wait_for("the agent's descriptors", lambda: agent_descriptors(region) <= before + 16)


def test_a_flood_of_output_of_any_kind_is_cut_into_events(region: LiveRegion) -> None:
    """A line of two mebibytes, bytes that are no text, newlines alone, and a last line without an end."""
    script = (
        "head -c 2097152 /dev/zero | tr '\\0' 'a'; echo; head -c 65536 /dev/urandom; echo; echo after-binary; "
        "yes '' | head -n 100000; yes x | head -n 200000; printf 'no end'"
    )
    logged = region.log_config("/test/output", mode="blocking")
    task = region.run_to_end({"command": ["sh", "-c", script], "logConfiguration": logged})
    first = region.output_of(task["taskArn"])[0]
    assert first == "a" * len(first) and len(first) > 200_000, "the long line is cut, not lost"
    stream = {"logGroupName": "/test/output", "logStreamName": f"t/c0/{task['taskArn'].rpartition('/')[2]}"}
    last = region.logs.get_log_events(**stream, limit=3)["events"]
    assert [event["message"] for event in last] == ["x", "x", "no end"]
    found = list(
        region.logs.get_paginator("filter_log_events").paginate(
            logGroupName="/test/output", logStreamNames=[stream["logStreamName"]], filterPattern='"after-binary"'
        )
    )
    assert [event["message"] for page in found for event in page["events"]] == ["after-binary"]


def test_the_region_is_well_afterwards(region: LiveRegion) -> None:
    assert region.output({"command": ["echo", "well"]}) == ["well"]
