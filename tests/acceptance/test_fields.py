"""Every member that registration and RunTask accept has an effect; every other one is refused in words.

The effects are the rows of `field_rows*.py`, run as real tasks, many at once. That no member is missing, in neither
list, is held against botocore's model: a member that is new there, or newly accepted here, fails a test until it has a
row.
"""

from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape

from neargate.testing import oci_image

from .field_rows import PROCESS_ROWS, Row, fields_image
from .field_rows_image import IMAGE_ROWS
from .field_rows_order import ORDER_ROWS
from .field_rows_shared import SHARED_ROWS
from .field_rows_task import DISK_ROWS, NAME_ROWS, RESOURCE_ROWS
from .fleet import Order, Outcome, run_all
from .region import LiveRegion

ROWS = (*PROCESS_ROWS, *DISK_ROWS, *RESOURCE_ROWS, *ORDER_ROWS, *NAME_ROWS, *SHARED_ROWS, *IMAGE_ROWS)
# Members that every row's request has.
ALWAYS = (
    "name",
    "image",
    "logConfiguration.logDriver",
    "logConfiguration.options",
    "task.family",
    "task.networkMode",
    "task.requiresCompatibilities",
    "task.cpu",
    "task.memory",
    "task.executionRoleArn",
    "run.cluster",
    "run.taskDefinition",
    "run.launchType",
)
# Accepted and not seen by a process of the task, with the place where their effect is tested.
ELSEWHERE = {
    "secrets.name": "in a task's environment: test_walkthrough_secrets.py",
    "secrets.valueFrom": "what they name: tests/unit/test_agent_secrets.py",
    "logConfiguration.secretOptions.name": "a collector's token: test_splunk.py",
    "logConfiguration.secretOptions.valueFrom": "the same",
    "repositoryCredentials.credentialsParameter": "what opens a registry: tests/unit/test_agent_registry_logins.py",
    "run.enableExecuteCommand": "a shell in its container: test_exec.py",
    "restartPolicy.enabled": "tests/unit/test_agent_restarts.py, tests/integration/test_sandbox_containers.py",
    "restartPolicy.ignoredExitCodes": "the same",
    "restartPolicy.restartAttemptPeriod": "the same",
    "run.clientToken": "the same tasks for the same call: tests/unit/test_cell_launching.py",
    "run.networkConfiguration.awsvpcConfiguration.subnets": "zones and addresses: tests/unit/test_cell_launching.py",
    "run.networkConfiguration.awsvpcConfiguration.securityGroups": "packets: tests/integration/test_network_packets.py",
    "run.networkConfiguration.awsvpcConfiguration.assignPublicIp": "a page is fetched: test_first_task.py",
    "versionConsistency": "of a service's deployment; on a task none, as on AWS: test_version_consistency.py",
    "run.referenceId": "AWS shows it nowhere either",
}

# Members below each of these paths are refused; the value is what a request says to try it.
REFUSED_CONTAINER: dict[str, Any] = {
    "links": ["other"],
    "portMappings.containerPortRange": [{"containerPortRange": "80-90"}],
    "environmentFiles": [{"value": "arn:aws:s3:::bucket/x.env", "type": "s3"}],
    "linuxParameters.devices": {"devices": [{"hostPath": "/dev/fuse"}]},
    "linuxParameters.sharedMemorySize": {"sharedMemorySize": 64},
    "linuxParameters.maxSwap": {"maxSwap": 0},
    "linuxParameters.swappiness": {"swappiness": 0},
    "hostname": "name",
    "disableNetworking": True,
    "privileged": True,
    "dnsServers": ["10.0.0.2"],
    "dnsSearchDomains": ["example.com"],
    "extraHosts": [{"hostname": "a", "ipAddress": "10.0.0.1"}],
    "dockerSecurityOptions": ["no-new-privileges"],
    "resourceRequirements": [{"type": "GPU", "value": "1"}],
    "firelensConfiguration": {"type": "fluentbit"},
    "credentialSpecs": ["credentialspec:arn"],
}
_VOLUME = {"name": "v"}
REFUSED_TASK: dict[str, Any] = {
    "volumes.host": [_VOLUME | {"host": {"sourcePath": "/etc"}}],
    "volumes.dockerVolumeConfiguration": [_VOLUME | {"dockerVolumeConfiguration": {"scope": "task"}}],
    "volumes.efsVolumeConfiguration": [_VOLUME | {"efsVolumeConfiguration": {"fileSystemId": "fs-1"}}],
    "volumes.s3filesVolumeConfiguration": [_VOLUME | {"s3filesVolumeConfiguration": {"fileSystemArn": "arn"}}],
    "volumes.fsxWindowsFileServerVolumeConfiguration": [
        _VOLUME
        | {
            "fsxWindowsFileServerVolumeConfiguration": {
                "fileSystemId": "fs-1",
                "rootDirectory": "/",
                "authorizationConfig": {"credentialsParameter": "arn", "domain": "d"},
            }
        }
    ],
    "volumes.configuredAtLaunch": [_VOLUME | {"configuredAtLaunch": True}],
    "placementConstraints": [{"type": "memberOf", "expression": "attribute:a == b"}],
    "ipcMode": "task",
    "proxyConfiguration": {"containerName": "c0"},
    "inferenceAccelerators": [{"deviceName": "a", "deviceType": "b"}],
    "enableFaultInjection": True,
    "trustedExecutionConfiguration": {"isolationMode": "SHARED"},
}
_ONE = {"name": "c0"}
REFUSED_RUN: dict[str, Any] = {
    "placementConstraints": [{"type": "distinctInstance"}],
    "placementStrategy": [{"type": "random"}],
    "volumeConfigurations": [{"name": "v", "managedEBSVolume": {"roleArn": "arn:aws:iam::123456789012:role/r"}}],
    "overrides.inferenceAcceleratorOverrides": {"inferenceAcceleratorOverrides": [{"deviceName": "a"}]},
    "overrides.containerOverrides.environmentFiles": {
        "containerOverrides": [_ONE | {"environmentFiles": [{"value": "arn:aws:s3:::b/x.env", "type": "s3"}]}]
    },
    "overrides.containerOverrides.resourceRequirements": {
        "containerOverrides": [_ONE | {"resourceRequirements": [{"type": "GPU", "value": "1"}]}]
    },
}


@pytest.fixture(scope="module")
def outcomes(region: LiveRegion) -> dict[str, Outcome]:
    """Every row's task, run to its end."""
    oci_image.push(region.registry, "fields", "1", fields_image())
    for name in ("one", "two", "app"):  # as the rows name them
        region.task_role(name)
    orders = [
        Order(id=row.id, containers=row.containers(region.registry), task=row.task, run=row.run, stop=row.stop)
        for row in ROWS
    ]
    return run_all(region, orders)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_member_has_its_effect(row: Row, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[row.id]
    if row.lines is not None:
        assert tuple(outcome.lines) == row.lines, outcome
    assert row.lines is not None or row.check is not None, "a row that expects nothing proves nothing"
    assert row.check is None or row.check(outcome), outcome


def test_no_member_is_accepted_and_silent() -> None:
    """Proved by a row that says it, tested elsewhere, or refused: one of the three, for every member of the models."""
    refused = {
        path
        for path in members_of_the_models()
        for prefix in refused_paths()
        if path == prefix or path.startswith(f"{prefix}.")
    }
    proved = {path for row in ROWS for path in row.covers.split() if path in said_by(row)}
    claimed = {path for row in ROWS for path in row.covers.split()}
    assert claimed == proved, "claimed by rows that do not say it"
    assert not proved & refused and not proved & ELSEWHERE.keys()
    assert proved | refused | ELSEWHERE.keys() == members_of_the_models()


@pytest.mark.parametrize("path", REFUSED_CONTAINER)
def test_a_container_member_is_refused(region: LiveRegion, path: str) -> None:
    said: dict[str, Any] = {path.partition(".")[0]: REFUSED_CONTAINER[path]}
    with pytest.raises(ClientError) as refused:
        region.register(said)
    assert_refused_in_words(refused.value, path)


@pytest.mark.parametrize("path", REFUSED_TASK)
def test_a_task_member_is_refused(region: LiveRegion, path: str) -> None:
    with pytest.raises(ClientError) as refused:
        region.register({}, **{path.partition(".")[0]: REFUSED_TASK[path]})
    assert_refused_in_words(refused.value, path)


@pytest.mark.parametrize("path", REFUSED_RUN)
def test_a_run_member_is_refused(region: LiveRegion, path: str) -> None:
    definition = region.register({})
    with pytest.raises(ClientError) as refused:
        region.run(definition, **{path.partition(".")[0]: REFUSED_RUN[path]})
    assert_refused_in_words(refused.value, path)


@pytest.mark.parametrize(
    "members",
    [
        {"runtimePlatform": {"cpuArchitecture": "ARM64"}},
        {"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}},
        {"pidMode": "host"},
        {"networkMode": "bridge"},
    ],
    ids=str,
)
def test_a_value_that_no_host_can_give_is_refused(region: LiveRegion, members: dict[str, Any]) -> None:
    with pytest.raises(region.ecs.exceptions.ClientException):
        region.register({}, **members)


@pytest.mark.parametrize("driver", ["json-file", "syslog", "journald", "gelf", "fluentd", "awsfirelens"])
def test_a_log_driver_that_would_be_silent_is_refused(region: LiveRegion, driver: str) -> None:
    with pytest.raises(region.ecs.exceptions.ClientException, match=driver):
        region.register({"logConfiguration": {"logDriver": driver}})


def assert_refused_in_words(refused: ClientError, path: str) -> None:
    """A modelled error of the service that names the member, not a failure of the shape."""
    error = refused.response["Error"]
    assert error["Code"] in ("ClientException", "InvalidParameterException", "UnsupportedFeatureException"), error
    words = "".join(error["Message"].lower().split())
    names = [path.rpartition(".")[2], path.partition(".")[0].rstrip("s"), *OTHER_WORDS.get(path, ())]
    assert any(name.lower() in words for name in names), error


# AWS's sentences that do not name the member as the model does.
OTHER_WORDS = {
    "volumes.host": ("host.sourcepath",),
    "resourceRequirements": ("resourcerequirements", "gpu"),
    "placementConstraints": ("placementconstraints",),
    "placementStrategy": ("placementstrateg",),
}


def refused_paths() -> set[str]:
    return {
        *REFUSED_CONTAINER,
        *(f"task.{path}" for path in REFUSED_TASK),
        *(f"run.{path}" for path in REFUSED_RUN),
    }


def members_of_the_models() -> set[str]:
    """Leaves of both operations' input: container definitions' bare, the others below `task.` and `run.`."""
    service = botocore.session.get_session().get_service_model("ecs")
    task = set(_leaves(service.operation_model("RegisterTaskDefinition").input_shape, "task"))
    run = set(_leaves(service.operation_model("RunTask").input_shape, "run"))
    return {path.removeprefix("task.containerDefinitions.") for path in task} | run


def _leaves(shape: Shape, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from _leaves(member, f"{path}.{name}")
    elif shape.type_name == "list":
        yield from _leaves(shape.member, path)
    else:
        yield path


def said_by(row: Row) -> set[str]:
    """Members of the row's own requests."""
    given = [dict(container) for container in row.containers("")]
    return {*ALWAYS, *_said(given, ""), *_said(row.task, "task."), *_said(row.run, "run.")}


def _said(value: Any, prefix: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _said(item, prefix)
    elif isinstance(value, dict) and prefix not in ("dockerLabels.", "logConfiguration.options."):
        for name, item in value.items():
            yield from _said(item, f"{prefix}{name}.")
    else:
        yield prefix.rstrip(".")
