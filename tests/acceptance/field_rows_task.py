"""The table's second part: disks, resources, overrides, and how a task is named, tagged and logged."""

import json
from typing import Any

from .field_rows import METADATA, MIB, ONE_VOLUME, SHARED, Row, needs, shell
from .fleet import Outcome

# The container's own cgroup, whichever version the machine has.
CPU_SHARE = "cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2> /dev/null"
MEMORY_MAX = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2> /dev/null"
MEMORY_LOW = "cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes /sys/fs/cgroup/memory.low 2> /dev/null"


def weight(cpu_units: int) -> set[str]:
    """As shares (version 1) or as the weight that runtimes make of them (version 2)."""
    return {str(cpu_units), str(1 + (cpu_units - 2) * 9999 // 262142)}


def labels(outcome: Outcome) -> dict[str, str]:
    found: dict[str, str] = outcome.json["Labels"]
    return found


DISK_ROWS = (
    Row(
        id="tmpfs",
        covers="linuxParameters.tmpfs.containerPath linuxParameters.tmpfs.size linuxParameters.tmpfs.mountOptions",
        c0={
            "linuxParameters": {
                "tmpfs": [
                    {"containerPath": "/scratch", "size": 7, "mountOptions": ["exec", "mode=700", "uid=5", "noatime"]},
                    {"containerPath": "/made/ro", "size": 3, "mountOptions": ["defaults", "ro"]},
                ]
            }
        },
        shell="grep -E ' /(scratch|made/ro) ' /proc/mounts | cut -d ' ' -f 2-4; df -m /scratch | tail -n 1;"
        " stat -c %u:%a /scratch; dd if=/dev/zero of=/scratch/x bs=1M count=8 2>&1 | grep -c 'No space';"
        " cp /bin/busybox /scratch/echo 2> /dev/null || { rm /scratch/x; cp /bin/busybox /scratch/echo; };"
        " /scratch/echo run; touch /made/ro/x",
        check=lambda o: (
            # In a user namespace the kernel shows the host's number here.
            o.lines[0].startswith("/scratch tmpfs rw,nosuid,nodev,noatime,size=7168k,mode=700,uid=")
            and o.lines[1].startswith("/made/ro tmpfs ro,nosuid,nodev,noexec,")
            and o.lines[2].split()[1] == "7"
            and o.lines[3:6] == ["5:700", "1", "run"]
            and "Read-only" in o.lines[6]
        ),
    ),
    Row(
        id="a volume shared by containers, read-only in one",
        covers="mountPoints.sourceVolume mountPoints.containerPath mountPoints.readOnly task.volumes.name",
        c0={
            "mountPoints": [{"sourceVolume": "shared", "containerPath": "/in", "readOnly": True}],
            **needs("c1", "SUCCESS"),
        },
        shell="cat /in/file; touch /in/other",
        siblings=[shell("echo from c1 > /shared/file", essential=False, mountPoints=SHARED)],
        task=ONE_VOLUME,
        check=lambda o: o.lines[0] == "from c1" and "Read-only file system" in o.lines[1],
    ),
    Row(
        id="volumesFrom",
        covers="volumesFrom.sourceContainer volumesFrom.readOnly",
        c0={"volumesFrom": [{"sourceContainer": "c1"}, {"sourceContainer": "c2", "readOnly": True}]},
        shell="sleep 1; cat /shared/file /second/file; echo x > /shared/mine && echo written; echo x > /second/mine",
        siblings=[
            shell("echo one > /shared/file", essential=False, mountPoints=SHARED),
            shell("echo two > /second/file", essential=False, volumesFrom=[{"sourceContainer": "c3"}]),
            shell("true", essential=False, mountPoints=[{"sourceVolume": "second", "containerPath": "/second"}]),
        ],
        task={"volumes": [{"name": "shared"}, {"name": "second"}]},
        check=lambda o: o.lines[:3] == ["one", "two", "written"] and "Read-only file system" in o.lines[3],
    ),
    Row(
        id="ephemeralStorage",
        covers="task.ephemeralStorage.sizeInGiB",
        task={"ephemeralStorage": {"sizeInGiB": 23}, **ONE_VOLUME},
        c0={"mountPoints": SHARED},
        shell="df -m / /shared | tail -n 2 | tr -s ' ' | cut -d ' ' -f 2",
        check=lambda o: (
            all(21_000 < int(line) <= 23 * 1024 for line in o.lines)
            and o.document["ephemeralStorage"] == {"sizeInGiB": 23}
        ),
    ),
    Row(
        id="20 GiB unless asked for",
        covers="task.ephemeralStorage.sizeInGiB",
        shell="df -m / | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2",
        check=lambda o: 18_000 < int(o.lines[0]) <= 20 * 1024,
    ),
)

RESOURCE_ROWS = (
    Row(
        id="cpu, memory and memoryReservation of a container",
        covers="cpu memory memoryReservation",
        c0={"cpu": 100, "memory": 128, "memoryReservation": 64},
        shell=f"{CPU_SHARE}; {MEMORY_MAX}; {MEMORY_LOW}; {METADATA}",
        check=lambda o: (
            o.lines[0] in weight(100)
            and o.lines[1:3] == [str(128 * MIB), str(64 * MIB)]
            and json.loads(o.lines[3])["Limits"] == {"CPU": 100, "Memory": 128}
        ),
    ),
    Row(
        id="cpu and memory of the task",
        covers="task.cpu task.memory",
        task={"cpu": ".5 vCPU", "memory": "1 GB"},
        shell=f"{METADATA}/task",
        check=lambda o: (
            o.json["Limits"] == {"CPU": 0.5, "Memory": 1024}
            and (o.document["cpu"], o.document["memory"]) == ("512", "1024")
        ),
    ),
    Row(
        id="the task's memory is a limit",
        covers="task.memory",
        shell="head -c 600m /dev/zero | tail",
        check=lambda o: o.exit_code() == 137 and "OutOfMemoryError" in o.container()["reason"],
    ),
    Row(
        id="overrides of a container",
        covers="run.overrides.containerOverrides.name run.overrides.containerOverrides.command "
        "run.overrides.containerOverrides.environment.name "
        "run.overrides.containerOverrides.environment.value run.overrides.containerOverrides.cpu "
        "run.overrides.containerOverrides.memory run.overrides.containerOverrides.memoryReservation",
        c0={
            "cpu": 10,
            "memory": 256,
            "memoryReservation": 200,
            "command": ["false"],
            "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        },
        run={
            "overrides": {
                "containerOverrides": [
                    {
                        "name": "c0",
                        "command": ["sh", "-c", f"echo $A$B$C; {CPU_SHARE}; {MEMORY_MAX}; {MEMORY_LOW}"],
                        "environment": [{"name": "B", "value": "x"}, {"name": "C", "value": "y"}],
                        "cpu": 50,
                        "memory": 64,
                        "memoryReservation": 32,
                    }
                ]
            }
        },
        check=lambda o: (
            o.lines[0] == "1xy"
            and o.lines[1] in weight(50)
            and o.lines[2:] == [str(64 * MIB), str(32 * MIB)]
            and (o.container()["cpu"], o.container()["memory"]) == ("50", "64")
        ),
    ),
    Row(
        id="overrides of the task",
        covers="run.overrides.cpu run.overrides.memory run.overrides.ephemeralStorage.sizeInGiB "
        "run.overrides.taskRoleArn run.overrides.executionRoleArn",
        shell=f"{METADATA}/task",
        run={
            "overrides": {
                "cpu": "512",
                "memory": "2048",
                "ephemeralStorage": {"sizeInGiB": 22},
                "taskRoleArn": "arn:aws:iam::123456789012:role/one",
                "executionRoleArn": "arn:aws:iam::123456789012:role/two",
            }
        },
        check=lambda o: (
            o.json["Limits"] == {"CPU": 0.5, "Memory": 2048}
            and 21_000 < o.json["EphemeralStorageMetrics"]["Reserved"] <= 22 * 1024
            and o.document["overrides"]["taskRoleArn"].endswith("/one")
            and o.document["overrides"]["executionRoleArn"].endswith("/two")
        ),
    ),
)


def tags(outcome: Outcome) -> dict[str, str]:
    return {item["key"]: item["value"] for item in outcome.document["tags"]}


def logs_to(group: str, prefix: str, **options: str) -> dict[str, Any]:
    given = {
        "awslogs-group": group,
        "awslogs-region": "us-east-1",
        "awslogs-stream-prefix": prefix,
        "awslogs-create-group": "true",
    }
    return {
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": given | {name.replace("_", "-"): value for name, value in options.items()},
        }
    }


NAME_ROWS = (
    Row(
        id="dockerLabels",
        covers="dockerLabels",
        c0={"dockerLabels": {"com.example.team": "blue", "empty": ""}},
        shell=METADATA,
        check=lambda o: (
            labels(o)["com.example.team"] == "blue"
            and labels(o)["empty"] == ""
            and labels(o)["com.amazonaws.ecs.container-name"] == "c0"
        ),
    ),
    Row(
        id="portMappings",
        covers="portMappings.containerPort portMappings.hostPort portMappings.protocol portMappings.name "
        "portMappings.appProtocol",
        c0={
            "portMappings": [
                {"containerPort": 8080, "name": "web", "appProtocol": "http2"},
                {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
            ]
        },
        shell=METADATA,
        check=lambda o: (
            o.json["Ports"]
            == [
                {"ContainerPort": 8080, "HostPort": 8080, "Protocol": "tcp", "Name": "web", "AppProtocol": "http2"},
                {"ContainerPort": 53, "HostPort": 53, "Protocol": "udp"},
            ]
        ),
    ),
    Row(
        id="containers share localhost",
        covers="task.networkMode",
        shell="for n in 1 2 3 4 5; do wget -qO- http://127.0.0.1:8081/ && break; sleep 0.5; done",
        siblings=[shell("echo here > /tmp/index.html; httpd -f -p 127.0.0.1:8081 -h /tmp", essential=False)],
        check=lambda o: o.lines[-1:] == ["here"],
    ),
    Row(
        id="family, name, group",
        covers="task.family name run.cluster run.group task.requiresCompatibilities run.launchType run.taskDefinition "
        "run.count run.platformVersion",
        shell=f"{METADATA}/task",
        run={"group": "my-group", "count": 1, "platformVersion": "1.4.0"},
        check=lambda o: (
            (o.json["Family"], o.json["Group"], o.json["LaunchType"]) == (family(o), "my-group", "FARGATE")
            and (o.json["Revision"], o.json["Cluster"]) == ("1", o.document["clusterArn"])
            and o.json["Containers"][0]["Name"] == "c0"
            and (o.document["group"], o.document["platformVersion"]) == ("my-group", "1.4.0")
        ),
    ),
    Row(
        id="the image's digest",
        covers="image",
        shell=METADATA,
        check=lambda o: o.json["ImageID"] == o.container()["imageDigest"] and o.json["Image"] == o.container()["image"],
    ),
    Row(
        id="tags of the run",
        covers="run.tags.key run.tags.value run.startedBy run.enableECSManagedTags",
        shell=f"{METADATA}/taskWithTags",
        task={"tags": [{"key": "of", "value": "the definition"}]},
        run={"tags": [{"key": "a", "value": "1"}], "startedBy": "somebody", "enableECSManagedTags": True},
        check=lambda o: (
            o.json["TaskTags"] == tags(o) == {"a": "1", "aws:ecs:clusterName": "fleet"}
            and o.document["startedBy"] == "somebody"
        ),
    ),
    Row(
        id="tags propagated from the definition",
        covers="run.propagateTags task.tags.key task.tags.value",
        shell=f"{METADATA}/taskWithTags",
        task={"tags": [{"key": "of", "value": "the definition"}, {"key": "b", "value": "2"}]},
        run={"propagateTags": "TASK_DEFINITION", "tags": [{"key": "b", "value": "3"}]},
        check=lambda o: o.json["TaskTags"] == tags(o) == {"of": "the definition", "b": "3"},
    ),
    Row(
        id="capacityProviderStrategy",
        covers="run.capacityProviderStrategy.capacityProvider run.capacityProviderStrategy.weight "
        "run.capacityProviderStrategy.base",
        shell="true",
        run={"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1, "base": 1}]},
        check=lambda o: o.document["capacityProviderName"] == "FARGATE",
    ),
    Row(
        id="roles",
        covers="task.taskRoleArn task.executionRoleArn",
        task={"taskRoleArn": "arn:aws:iam::123456789012:role/app"},
        shell="true",
        check=lambda o: o.exit_code() == 0,
    ),
    Row(
        id="logConfiguration",
        covers="logConfiguration.logDriver logConfiguration.options",
        c0=logs_to("/test/fields/other", "prefix/of-mine"),
        shell=f"echo line; {METADATA}",
        check=lambda o: (
            o.lines[0] == "line"
            and json.loads(o.lines[1])["LogDriver"] == "awslogs"
            and json.loads(o.lines[1])["LogOptions"]["awslogs-stream"].startswith("prefix/of-mine/c0/")
        ),
    ),
    Row(
        id="what is said to stderr after stdout ended is kept",
        covers="logConfiguration.logDriver",
        c0={"command": ["sh", "-c", "echo out; exec 1>&-; sleep 0.3; echo last words >&2"]},
        lines=("out", "last words"),
    ),
    Row(
        id="logConfiguration mode blocking loses nothing",
        covers="logConfiguration.options",
        c0=logs_to("/test/fields/blocking", "t", mode="blocking"),
        shell="seq 200000",
        check=lambda o: o.lines == [str(n) for n in range(1, 200_001)],
    ),
    Row(
        id="logConfiguration max-buffer-size drops the oldest",
        covers="logConfiguration.options",
        c0=logs_to("/test/fields/dropping", "t", mode="non-blocking", max_buffer_size="64k"),
        shell="yes 0123456789012345678901234567890123456789 | head -n 1000000; echo end",
        check=lambda o: o.lines[-1] == "end" and len(o.lines) < 1_000_000,
    ),
)


def family(outcome: Outcome) -> str:
    return str(outcome.document["taskDefinitionArn"]).rpartition("/")[2].partition(":")[0]
