"""Every field that registration accepts reaches the agent; none is silent."""

from typing import Any

import botocore.session
import pytest

from neargate.definitions.containers_fargate import FORBIDDEN, NOT_YET
from neargate.definitions.launch import TaskResources, task_launch, task_resources
from neargate.definitions.normalise import stored_definition
from neargate.definitions.overrides import checked_overrides
from neargate.definitions.rules import check_definition
from neargate.model.capacity import Reservation
from neargate.model.launch import (
    AwsLogs,
    ContainerLaunch,
    Dependency,
    HealthCheck,
    InjectedSecret,
    KernelRights,
    MountPoint,
    PortMapping,
    RestartPolicy,
    SplunkLogs,
    TaskLaunch,
    Tmpfs,
    Ulimit,
    VolumesFrom,
)
from neargate.model.network import Eni

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/run"
ENI = Eni(
    eni_id="eni-0a",
    attachment_id="11111111-1111-4111-8111-111111111111",
    mac="0e:00:00:00:00:01",
    vpc_id="vpc-0a",
    subnet_id="subnet-0a",
    subnet_cidr="172.31.0.0/20",
    private_ipv4="172.31.0.5",
)
SECRET_ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:app-AbCdEf"
TASK_ID = "0123456789abcdef0123456789abcdef"
OTHER = {"name": "other", "image": "busybox", "essential": False, "healthCheck": {"command": ["CMD", "true"]}}


def launched(
    container: dict[str, Any] | None = None, overrides: dict[str, Any] | None = None, **task: Any
) -> TaskLaunch:
    """A request all the way: checked, stored, launched. The container under test comes first."""
    request: dict[str, Any] = {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": ROLE,
        "volumes": [{"name": "data"}],
        "containerDefinitions": [{"name": "web", "image": "web:1"} | (container or {}), OTHER],
    } | task
    check_definition(request, account=ACCOUNT, own_kernel=True)
    definition = stored_definition(
        request, account=ACCOUNT, region=REGION, revision=7, registered_at=1.0, registered_by="arn:aws:iam::1:root"
    )
    checked = checked_overrides(definition, overrides or {}, account=ACCOUNT)
    return task_launch(
        definition=definition,
        overrides=checked,
        resources=task_resources(definition, checked),
        task_id=TASK_ID,
        task_arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/blue/{TASK_ID}",
        incarnation="i1",
        reservation=Reservation(capacity_id="cap", task_id=TASK_ID, zone="us-east-1a", host_id="h", eni=ENI),
        account=ACCOUNT,
        region=REGION,
        zone="us-east-1a",
        zone_id="use1-az1",
        cluster="blue",
        group="family:web",
        started_by="me",
        tags=(("a", "b"),),
        created_at=2.0,
        container_uuids=("u1", "u2"),
    )


# Member of ContainerDefinition -> (what is registered, the field of ContainerLaunch, its value).
CONTAINER_FIELDS: dict[str, list[tuple[Any, str, Any]]] = {
    "name": [("api", "name", "api")],
    "image": [("busybox:2", "image", "busybox:2")],
    "cpu": [(64, "cpu_units", 64)],
    "memory": [(100, "memory_mib", 100)],
    "memoryReservation": [(50, "memory_reservation_mib", 50)],
    "essential": [(True, "essential", True)],
    "entryPoint": [(["/bin/sh", "-c"], "entry_point", ("/bin/sh", "-c")), ([], "entry_point", None)],
    "command": [(["a", "b"], "command", ("a", "b")), ([], "command", None)],
    "environment": [
        ([{"name": "A", "value": "1"}, {"name": "B"}], "environment", (("A", "1"), ("B", ""))),
        ([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], "environment", (("A", "2"),)),
    ],
    "user": [("1000:1000", "user", "1000:1000")],
    "workingDirectory": [("/srv", "working_directory", "/srv")],
    "readonlyRootFilesystem": [(True, "readonly_root", True)],
    "interactive": [(True, "interactive", True)],
    "pseudoTerminal": [(True, "pseudo_terminal", True)],
    "ulimits": [
        ([{"name": "nofile", "softLimit": 1, "hardLimit": 2}], "ulimits", (Ulimit(name="nofile", soft=1, hard=2),))
    ],
    "portMappings": [
        ([{"containerPort": 80}], "port_mappings", (PortMapping(container_port=80, host_port=80),)),
        (
            [{"containerPort": 53, "hostPort": 53, "protocol": "udp", "name": "dns"}],
            "port_mappings",
            (PortMapping(container_port=53, host_port=53, protocol="udp", name="dns"),),
        ),
        (
            [{"containerPort": 80, "name": "web", "appProtocol": "http2"}],
            "port_mappings",
            (PortMapping(container_port=80, host_port=80, name="web", app_protocol="http2"),),
        ),
    ],
    "mountPoints": [
        (
            [{"sourceVolume": "data", "containerPath": "/data", "readOnly": True}],
            "mount_points",
            (MountPoint(source_volume="data", container_path="/data", read_only=True),),
        )
    ],
    "volumesFrom": [
        (
            [{"sourceContainer": "other", "readOnly": True}],
            "volumes_from",
            (VolumesFrom(source_container="other", read_only=True),),
        )
    ],
    "dockerLabels": [({"team": "a"}, "docker_labels", (("team", "a"),))],
    "dependsOn": [
        (
            [{"containerName": "other", "condition": condition}],
            "depends_on",
            (Dependency(container_name="other", condition=condition),),
        )
        for condition in ("START", "COMPLETE", "SUCCESS", "HEALTHY")
    ],
    "startTimeout": [(60, "start_timeout_s", 60)],
    "stopTimeout": [(90, "stop_timeout_s", 90)],
    "healthCheck": [
        ({"command": ["CMD", "a"]}, "health_check", HealthCheck(command=("CMD", "a"))),
        (
            {"command": ["CMD-SHELL", "a"], "interval": 6, "timeout": 3, "retries": 2, "startPeriod": 1},
            "health_check",
            HealthCheck(command=("CMD-SHELL", "a"), interval_s=6, timeout_s=3, retries=2, start_period_s=1),
        ),
    ],
    "linuxParameters": [
        ({"initProcessEnabled": True}, "init_process", True),
        ({"capabilities": {"add": ["SYS_PTRACE"]}}, "capabilities_add", ("SYS_PTRACE",)),
        ({"capabilities": {"drop": ["ALL"]}}, "capabilities_drop", ("ALL",)),
        (
            {"tmpfs": [{"containerPath": "/run", "size": 8, "mountOptions": ["noexec"]}]},
            "tmpfs",
            (Tmpfs(container_path="/run", size_mib=8, mount_options=("noexec",)),),
        ),
    ],
    "logConfiguration": [
        (
            {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "/g", "awslogs-region": "eu-west-1", "awslogs-stream-prefix": "p"},
            },
            "logs",
            AwsLogs(group="/g", region="eu-west-1", stream=f"p/web/{TASK_ID}"),
        ),
        (
            {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/g",
                    "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": "p",
                    "awslogs-create-group": "true",
                    "mode": "non-blocking",
                    "max-buffer-size": "25m",
                },
            },
            "logs",
            AwsLogs(
                group="/g",
                region="us-east-1",
                stream=f"p/web/{TASK_ID}",
                create_group=True,
                max_buffer_bytes=25 * 1024 * 1024,
            ),
        ),
        (
            {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/g",
                    "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": "p",
                    "mode": "blocking",
                },
            },
            "logs",
            AwsLogs(group="/g", region="us-east-1", stream=f"p/web/{TASK_ID}", blocking=True),
        ),
        (
            {
                "logDriver": "splunk",
                "options": {"splunk-url": "https://10.0.0.9:8088", "mode": "blocking"},
                "secretOptions": [{"name": "splunk-token", "valueFrom": "/hec/token"}],
            },
            "splunk",
            SplunkLogs(
                options=(("splunk-url", "https://10.0.0.9:8088"),),
                secret_options=(InjectedSecret(name="splunk-token", value_from="/hec/token"),),
                blocking=True,
            ),
        ),
    ],
}

# Accepted and without effect on a task by AWS's own definition: it pins the images of a *service's* deployment.
OF_SERVICES = {"versionConsistency"}
# Refused with words of their own (test_definitions_rules).
REFUSED_APART = {"resourceRequirements", "firelensConfiguration"}

CONTAINER_FIELDS |= {
    "secrets": [
        (
            [{"name": "A", "valueFrom": "/a"}, {"name": "B", "valueFrom": SECRET_ARN}],
            "secrets",
            (InjectedSecret(name="A", value_from="/a"), InjectedSecret(name="B", value_from=SECRET_ARN)),
        ),
    ],
    "systemControls": [
        ([{"namespace": "kernel.msgmax", "value": "1"}], "ipc_controls", (("kernel.msgmax", "1"),)),
        ([{"namespace": "net.core.somaxconn", "value": "1"}], "network_controls", (("net.core.somaxconn", "1"),)),
        ([{"namespace": "net.ipv4.ip_forward", "value": "1"}], "network_controls", ()),
        (
            [{"namespace": "net.ipv4.ip_forward", "value": "1"}, {"namespace": "kernel.msgmax", "value": "1"}],
            "kernel",
            KernelRights(controls=(("net.ipv4.ip_forward", "1"),)),
        ),
    ],
    "restartPolicy": [
        ({"enabled": True}, "restart_policy", RestartPolicy()),
        ({"enabled": False, "restartAttemptPeriod": 60}, "restart_policy", None),
        (
            {"enabled": True, "restartAttemptPeriod": 60, "ignoredExitCodes": [0, 7]},
            "restart_policy",
            RestartPolicy(attempt_period_s=60, ignored_exit_codes=(0, 7)),
        ),
    ],
    "repositoryCredentials": [({"credentialsParameter": SECRET_ARN}, "repository_credentials", SECRET_ARN)],
}
CASES = [(member, *case) for member, cases in CONTAINER_FIELDS.items() for case in cases]


@pytest.mark.parametrize(
    ("member", "registered", "field", "value"), CASES, ids=[f"{case[0]}-{place}" for place, case in enumerate(CASES)]
)
def test_a_container_field_reaches_the_agent(member: str, registered: Any, field: str, value: Any) -> None:
    container = launched({member: registered}).containers[0]
    assert getattr(container, field) == value


def test_a_container_that_is_not_essential() -> None:
    assert launched().containers[1].essential is False


def test_every_member_of_a_container_has_an_effect_or_a_refusal() -> None:
    shape: Any = botocore.session.get_session().get_service_model("ecs").shape_for("ContainerDefinition")
    known = set(shape.members)
    assert known == set(CONTAINER_FIELDS) | set(FORBIDDEN) | set(NOT_YET) | OF_SERVICES | REFUSED_APART


def test_every_field_of_a_container_launch_is_tested() -> None:
    fields = set(ContainerLaunch.__struct_fields__)
    assert fields == {field for _, _, field, _ in CASES} | {"arn", "image_pin", "files"}


def test_what_a_container_does_not_say_is_as_the_image_says() -> None:
    assert launched().containers[0] == ContainerLaunch(
        name="web", image="web:1", arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:container/blue/{TASK_ID}/u1"
    )


@pytest.mark.parametrize(
    ("task", "field", "value"),
    [
        ({"cpu": ".5 vCPU", "memory": "1 GB"}, "cpu_units", 512),
        ({"cpu": ".5 vCPU", "memory": "1 GB"}, "memory_mib", 1024),
        ({"ephemeralStorage": {"sizeInGiB": 42}}, "ephemeral_gib", 42),
        ({}, "ephemeral_gib", 20),
        ({"pidMode": "task"}, "share_pid_namespace", True),
        ({}, "share_pid_namespace", False),
        ({"taskRoleArn": "app"}, "task_role_arn", f"arn:aws:iam::{ACCOUNT}:role/app"),
        ({}, "execution_role_arn", ROLE),
        ({"volumes": [{"name": "data"}, {"name": "cache"}]}, "volumes", ("data", "cache")),
        ({}, "family", "web"),
        ({}, "revision", 7),
        ({}, "cluster_arn", f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/blue"),
        ({}, "capacity_id", "cap"),
        ({}, "incarnation", "i1"),
        ({}, "group", "family:web"),
        ({}, "started_by", "me"),
        ({}, "tags", (("a", "b"),)),
        ({}, "created_at", 2.0),
        ({}, "eni", ENI),
        ({}, "platform_version", "1.4.0"),
        ({}, "launch_type", "FARGATE"),
    ],
)
def test_a_field_of_the_task_reaches_the_agent(task: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(launched(**task), field) == value


CONTAINER_OVERRIDE = {
    "name": "web",
    "command": ["x"],
    "environment": [{"name": "A", "value": "2"}, {"name": "C", "value": "3"}],
    "cpu": 32,
    "memory": 200,
    "memoryReservation": 100,
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("command", ("x",)),
        ("environment", (("A", "2"), ("B", "1"), ("C", "3"))),
        ("cpu_units", 32),
        ("memory_mib", 200),
        ("memory_reservation_mib", 100),
        ("entry_point", ("sh",)),
    ],
)
def test_an_override_of_a_container_wins(field: str, value: Any) -> None:
    registered = {
        "command": ["y"],
        "entryPoint": ["sh"],
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        "cpu": 64,
        "memory": 300,
    }
    launch = launched(registered, {"containerOverrides": [CONTAINER_OVERRIDE]})
    assert getattr(launch.containers[0], field) == value
    assert launch.containers[1].command is None


@pytest.mark.parametrize(
    ("overrides", "field", "value"),
    [
        ({"cpu": "512", "memory": "1 GB"}, "cpu_units", 512),
        ({"cpu": "512", "memory": "1 GB"}, "memory_mib", 1024),
        ({"ephemeralStorage": {"sizeInGiB": 30}}, "ephemeral_gib", 30),
        ({"taskRoleArn": "other"}, "task_role_arn", f"arn:aws:iam::{ACCOUNT}:role/other"),
        (
            {"executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/x"},
            "execution_role_arn",
            f"arn:aws:iam::{ACCOUNT}:role/x",
        ),
    ],
)
def test_an_override_of_the_task_wins(overrides: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(launched(overrides=overrides), field) == value


def test_the_claim_of_a_task() -> None:
    definition = {"cpu": "256", "memory": "512", "ephemeralStorage": {"sizeInGiB": 30}}
    assert task_resources(definition, {}) == TaskResources(cpu_units=256, memory_mib=512, disk_gib=30)
    assert task_resources(definition, {"memory": "1 GB"}).memory_mib == 1024


def test_a_task_without_an_interface_is_never_launched() -> None:
    with pytest.raises(AssertionError, match="without an interface"):
        task_launch(
            definition={"cpu": "256", "memory": "512", "containerDefinitions": []},
            overrides={},
            resources=TaskResources(cpu_units=256, memory_mib=512, disk_gib=20),
            task_id=TASK_ID,
            task_arn="",
            incarnation="",
            reservation=Reservation(capacity_id="c", task_id=TASK_ID, zone="z", host_id="h", eni=None),
            account=ACCOUNT,
            region=REGION,
            zone="z",
            zone_id="z",
            cluster="c",
            group="g",
            started_by=None,
            tags=(),
            created_at=0.0,
            container_uuids=(),
        )
