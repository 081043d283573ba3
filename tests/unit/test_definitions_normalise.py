"""The stored document: AWS's defaults written in, and nothing that AWS's TaskDefinition does not have."""

from typing import Any

import botocore.session
import botocore.validate

from neargate.definitions.normalise import stored_definition

ACCOUNT = "123456789012"


def stored(**members: Any) -> dict[str, Any]:
    request: dict[str, Any] = {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": ".25 vCPU",
        "memory": "0.5 GB",
        "containerDefinitions": [{"name": "web", "image": "web:1"}],
    } | members
    return stored_definition(
        request, account=ACCOUNT, region="us-east-1", revision=3, registered_at=1.5, registered_by="arn:aws:iam::1:root"
    )


def test_the_smallest_definition_as_aws_shows_it() -> None:
    assert stored() == {
        "taskDefinitionArn": f"arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/web:3",
        "containerDefinitions": [
            {
                "name": "web",
                "image": "web:1",
                "cpu": 0,
                "portMappings": [],
                "essential": True,
                "environment": [],
                "mountPoints": [],
                "volumesFrom": [],
                "systemControls": [],
            }
        ],
        "family": "web",
        "networkMode": "awsvpc",
        "revision": 3,
        "volumes": [],
        "status": "ACTIVE",
        "requiresAttributes": [
            {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"},
            {"name": "ecs.capability.task-eni"},
        ],
        "placementConstraints": [],
        "compatibilities": ["EC2", "FARGATE"],
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "registeredAt": 1.5,
        "registeredBy": "arn:aws:iam::1:root",
    }


def test_defaults_of_what_is_given() -> None:
    document = stored(
        volumes=[{"name": "data"}],
        containerDefinitions=[
            {
                "name": "web",
                "image": "web:1",
                "essential": False,
                "links": [],
                "user": "",
                "privileged": False,
                "portMappings": [{"containerPort": 80}, {"containerPort": 53, "protocol": "udp"}],
                "environment": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
                "healthCheck": {"command": ["CMD", "a"], "retries": 9},
            }
        ],
    )
    container = document["containerDefinitions"][0]
    assert document["volumes"] == [{"name": "data", "host": {}}]
    assert container["portMappings"] == [
        {"containerPort": 80, "hostPort": 80, "protocol": "tcp"},
        {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
    ]
    assert container["essential"] is False and container["privileged"] is False
    assert container["environment"] == [{"name": "A", "value": "2"}]
    assert container["healthCheck"] == {"command": ["CMD", "a"], "interval": 30, "timeout": 5, "retries": 9}
    assert "links" not in container and "user" not in container


def test_a_definition_that_says_little_shows_little() -> None:
    document = stored(networkMode=None, requiresCompatibilities=[], cpu=None, memory=None)
    assert not {"networkMode", "requiresCompatibilities", "cpu", "memory", "taskRoleArn"} & document.keys()
    assert document["compatibilities"] == ["EC2"]


def test_a_bridge_gives_any_port_of_the_host() -> None:
    container = {"name": "web", "image": "web:1", "portMappings": [{"containerPort": 80}]}
    document = stored(networkMode="bridge", containerDefinitions=[container])
    assert document["containerDefinitions"][0]["portMappings"] == [
        {"containerPort": 80, "hostPort": 0, "protocol": "tcp"}
    ]


def test_roles_are_shown_in_full() -> None:
    assert stored(taskRoleArn="app")["taskRoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/app"


def test_the_document_shares_nothing_with_the_request() -> None:
    request: dict[str, Any] = {"containerDefinitions": [{"name": "w", "image": "w", "command": ["a"]}]}
    document = stored(**request)
    request["containerDefinitions"][0]["command"].append("b")
    assert document["containerDefinitions"][0]["command"] == ["a"]


def test_the_document_is_of_awss_shape() -> None:
    shape: Any = botocore.session.get_session().get_service_model("ecs").shape_for("TaskDefinition")
    document = stored(
        taskRoleArn="app",
        pidMode="task",
        ephemeralStorage={"sizeInGiB": 21},
        runtimePlatform={"cpuArchitecture": "X86_64"},
        volumes=[{"name": "data"}],
    )
    assert set(document) <= set(shape.members)
    report = botocore.validate.ParamValidator().validate(document, shape)
    assert not report.has_errors(), report.generate_report()


def test_a_file_system_is_mounted_at_its_root_unless_told_otherwise() -> None:
    volumes = [
        {"name": "a", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}},
        {"name": "b", "efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/x"}},
    ]
    shown = stored(volumes=volumes)["volumes"]
    assert [volume["efsVolumeConfiguration"]["rootDirectory"] for volume in shown] == ["/", "/x"]
    assert "rootDirectory" not in volumes[0]["efsVolumeConfiguration"]
