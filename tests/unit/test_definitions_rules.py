"""Every rule of RegisterTaskDefinition on Fargate, with the words that clients match."""

import copy
from typing import Any

import pytest

from neargate.definitions.rules import check_definition, check_role, check_size, compatibilities
from neargate.model.errors import ClientError

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/run"
SECRET_ARN = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/db-AbCdEf"
NOT_APART = "is not supported: it is not one that the kernel keeps apart for each task."
NO_ROLE_FOR = "When you are specifying {}, you must also specify a value for 'executionRoleArn'."
SHARED = (
    "The secret name must be unique and not shared with any new or existing environment variables set on the "
    "container, such as 'A'."
)
BAD_PARAMETER = (
    "The Systems Manager parameter name specified for secret A is invalid. The parameter name can be up to 2048 "
    "characters and include the following letters and symbols: a-zA-Z0-9_.-,"
)
BAD_LOGIN = "Invalid 'repositoryCredentials.credentialsParameter' setting for container 'web'."
AWSLOGS = {"awslogs-group": "/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs"}


def container(**members: Any) -> dict[str, Any]:
    return {"name": "web", "image": "registry.example/web:1"} | members


def request(*containers: dict[str, Any], **members: Any) -> dict[str, Any]:
    base = {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": list(containers) or [container()],
    }
    return {name: value for name, value in (base | members).items() if value is not None}


def linux(**members: Any) -> dict[str, Any]:
    return request(container(linuxParameters=members))


def logs(
    driver: str = "awslogs", *, role: str | None = ROLE, secret_options: Any = None, **options: Any
) -> dict[str, Any]:
    """Options by name with `_` for `-`; None takes one away."""
    given = AWSLOGS | {name.replace("_", "-"): value for name, value in options.items()}
    configuration = {
        "logDriver": driver,
        "options": {name: value for name, value in given.items() if value is not None},
        "secretOptions": secret_options,
    }
    return request(container(logConfiguration=configuration), executionRoleArn=role)


def secrets(*value_froms: str, name: str = "A", role: str | None = ROLE, **members: Any) -> dict[str, Any]:
    given = [{"name": name, "valueFrom": value_from} for value_from in value_froms]
    return request(container(secrets=given, **members), executionRoleArn=role)


def registry_login(arn: str, *, role: str | None = ROLE) -> dict[str, Any]:
    return request(container(repositoryCredentials={"credentialsParameter": arn}), executionRoleArn=role)


def waits(condition: str, **members: Any) -> dict[str, Any]:
    """`app` waits for `init` to reach the condition."""
    init = container(name="init", **members)
    return request(init, container(name="app", dependsOn=[{"containerName": "init", "condition": condition}]))


def refusal(given: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as refused:
        check_definition(given, account=ACCOUNT)
    assert refused.value.code == "ClientException"
    return refused.value.message


ACCEPTED: dict[str, dict[str, Any]] = {
    "a parameter by its name": secrets("/app/db.password,1-x"),
    "a parameter by its ARN": secrets(f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/app/db:3"),
    "a secret": secrets(SECRET_ARN),
    "a key of a secret's version": secrets(f"{SECRET_ARN}:key:AWSPREVIOUS:"),
    "a registry's password": registry_login(SECRET_ARN),
    "the smallest": request(),
    "sizes in words": request(cpu="1 vCpu", memory="2 gb"),
    "ten containers": request(*[container(name=f"c{number}") for number in range(10)]),
    "cpu shared exactly": request(container(name="a", cpu=128), container(name="b", cpu=128)),
    "memory and reservation": request(container(memory=512, memoryReservation=256)),
    "limits add up beyond the task when reservations do not": request(
        container(name="a", memory=512, memoryReservation=100), container(name="b", memory=512, memoryReservation=100)
    ),
    "pid mode of the task": request(pidMode="task"),
    "pid mode of the task in any order": request(
        container(name="side", essential=False),
        container(name="init", essential=False, dependsOn=[{"containerName": "side", "condition": "START"}]),
        container(name="app", dependsOn=[{"containerName": "init", "condition": "COMPLETE"}]),
        pidMode="task",
    ),
    "ephemeral storage low": request(ephemeralStorage={"sizeInGiB": 21}),
    "ephemeral storage high": request(ephemeralStorage={"sizeInGiB": 200}),
    "this platform": request(runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}),
    "role by name": request(taskRoleArn="run", executionRoleArn=ROLE),
    "role with a path": request(taskRoleArn=f"arn:aws:iam::{ACCOUNT}:role/team/a/run"),
    "digest": request(container(image="web@sha256:" + "a" * 64)),
    "registry with a port": request(container(image="127.0.0.1:5000/team/web:1.0")),
    "awslogs": logs(),
    "awslogs with all options": logs(awslogs_create_group="true", mode="non-blocking", max_buffer_size="25m"),
    "blocking": logs(mode="blocking"),
    "START": waits("START"),
    "COMPLETE of one that may end": waits("COMPLETE", essential=False),
    "SUCCESS of one that may end": waits("SUCCESS", essential=False),
    "HEALTHY of a checked one": waits("HEALTHY", healthCheck={"command": ["CMD", "true"]}),
    "timeouts at their bounds": request(container(startTimeout=2, stopTimeout=120)),
    "health check in a shell with parameters": request(container(healthCheck={"command": ["CMD-SHELL", "a", "b"]})),
    "health check of no kind": request(container(healthCheck={"command": ["/healthcheck"]})),
    "health check in a shell": request(container(healthCheck={"command": ["CMD-SHELL", "exit 0"]})),
    "health check at its bounds": request(
        container(
            healthCheck={"command": ["CMD", "a"], "interval": 300, "timeout": 60, "retries": 10, "startPeriod": 300}
        )
    ),
    "ulimits": request(
        container(
            ulimits=[
                {"name": "nofile", "softLimit": 1024, "hardLimit": 1024},
                {"name": "core", "softLimit": 0, "hardLimit": -1},
            ]
        )
    ),
    "ptrace": linux(capabilities={"add": ["SYS_PTRACE"], "drop": ["ALL"]}),
    "tmpfs": linux(tmpfs=[{"containerPath": "/run", "size": 64, "mountOptions": ["noexec", "mode=1777"]}]),
    "init": linux(initProcessEnabled=True),
    "volume": request(
        container(mountPoints=[{"sourceVolume": "data", "containerPath": "/data"}]),
        volumes=[{"name": "data", "host": {}}],
    ),
    "volumes from": request(
        container(name="a"), container(name="b", volumesFrom=[{"sourceContainer": "a", "readOnly": True}])
    ),
    "port": request(
        container(portMappings=[{"containerPort": 80, "hostPort": 80, "name": "web", "appProtocol": "http"}])
    ),
    "one port for each protocol": request(
        container(portMappings=[{"containerPort": 53}, {"containerPort": 53, "protocol": "udp"}])
    ),
    "users": request(
        *[container(name=f"c{n}", user=user) for n, user in enumerate(["root", "1000", "a:b", "1:2", "_x"])]
    ),
    "nothing said in empty lists": request(
        container(
            links=[],
            dnsServers=[],
            secrets=[],
            privileged=False,
            environmentFiles=[],
            resourceRequirements=[],
            systemControls=[],
            linuxParameters={"devices": [], "tmpfs": []},
            dockerSecurityOptions=[],
        ),
        placementConstraints=[],
        inferenceAccelerators=[],
        volumes=[],
        enableFaultInjection=False,
    ),
    "for EC2, as data": request(
        container(privileged=True, memory=128), requiresCompatibilities=["EC2"], networkMode="host"
    ),
    "for no launch type, as data": request(
        container(memory=64, links=["db"]), requiresCompatibilities=None, networkMode=None, cpu=None, memory=None
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    before = copy.deepcopy(ACCEPTED[name])
    check_definition(ACCEPTED[name], account=ACCOUNT)
    assert ACCEPTED[name] == before


AWSVPC = "is not supported on container when networkMode=awsvpc."
PREFIX = "Fargate compatible task definitions do not support"
DEPENDENCY = "A dependency container with"

REFUSED: list[tuple[dict[str, Any], str]] = [
    # names and counts
    (request(family=""), "Family should not be null or blank."),
    (request(family="a b"), "Family contains invalid characters."),
    (request(family="x" * 256), "Family contains invalid characters."),
    (request(containerDefinitions=[]), "Container list cannot be empty."),
    (request(*[container(name=f"c{n}") for n in range(11)]), "Too many containers."),
    (request(container(), container()), "Container names must be unique within a task definition."),
    (request(container(essential=False)), "Task definition doesn't have any essential container."),
    (request(container(name=None)), "Container.name should not be null or empty."),
    (request(container(name="a b")), "Container.name contains invalid characters."),
    (request(container(image="")), "Container.image should not be null or empty."),
    (request(container(image="a b")), "Container.image contains invalid characters."),
    (request(container(image="a@sha256:12")), "Container.image contains invalid characters."),
    (request(container(image="@sha256:" + "a" * 64)), "Container.image repository should not be null or empty."),
    (request(container(image="a" * 256)), "Container.image repository should not be longer than 255 characters."),
    (request(container(command=["a\x00b"])), "The task definition contains a null character."),
    # size
    (request(cpu=None), "Fargate requires that 'cpu' be defined at the task level."),
    (
        request(memory=None, containerDefinitions=[container(memory=64)]),
        "Fargate requires that 'memory' be defined at the task level.",
    ),
    (request(cpu="4096", memory="4096"), "No Fargate configuration exists for given values."),
    (request(cpu="300"), "No Fargate configuration exists for given values."),
    (
        request(cpu="lots"),
        "Invalid 'cpu' setting for task. "
        "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.",
    ),
    (request(memory="lots"), "Invalid 'memory' setting for task."),
    (request(container(memory=513)), "The 'memory' setting for container 'web' is greater than for the task."),
    (
        request(container(memoryReservation=513)),
        "The 'memoryReservation' setting for container 'web' is greater than for the task.",
    ),
    (request(container(memory=5)), "Invalid 'memory' setting for container 'web'."),
    (request(container(cpu=-1)), "Invalid 'cpu' setting for container 'web'."),
    (
        request(container(memory=64, memoryReservation=128)),
        "Invalid setting for container 'web'. 'memoryReservation' must be less than or equal to 'memory'.",
    ),
    (
        request(container(), requiresCompatibilities=None, memory=None),
        "Invalid setting for container 'web'. At least one of 'memory' or 'memoryReservation' must be specified.",
    ),
    (
        request(container(name="a", cpu=200), container(name="b", cpu=57)),
        "The sum of all container 'cpu' values cannot be greater than the task-level 'cpu' value.",
    ),
    (
        request(container(name="a", memory=300), container(name="b", memoryReservation=300)),
        "The sum of all container 'memory' values cannot be greater than the task-level 'memory' value.",
    ),
    (request(ephemeralStorage={"sizeInGiB": 20}), "EphemeralStorage size should be at least 21"),
    (request(ephemeralStorage={"sizeInGiB": 201}), "EphemeralStorage size should be at most 200"),
    (
        request(requiresCompatibilities=["EC2"], ephemeralStorage={"sizeInGiB": 30}),
        "Tasks using the EC2 launch type do not support EphemeralStorage.",
    ),
    # the task on Fargate
    (request(networkMode="bridge"), "Fargate only supports network mode ‘awsvpc’."),
    (request(networkMode=None), "Fargate only supports network mode ‘awsvpc’."),
    (
        request(pidMode="host"),
        "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.",
    ),
    (request(ipcMode="task"), "Tasks using the Fargate launch type do not support ipcMode."),
    (
        request(placementConstraints=[{"type": "memberOf", "expression": "x"}]),
        "Fargate does not support task placement constraints.",
    ),
    (
        request(inferenceAccelerators=[{"deviceName": "a", "deviceType": "b"}]),
        "Unsupported field 'inferenceAccelerators'.",
    ),
    (request(trustedExecutionConfiguration={"isolationMode": "SHARED"}), f"{PREFIX} trustedExecutionConfiguration"),
    (request(proxyConfiguration={"containerName": "web"}), "Neargate does not support proxyConfiguration yet."),
    (request(enableFaultInjection=True), "Neargate does not support enableFaultInjection yet."),
    (
        request(runtimePlatform={"cpuArchitecture": "ARM64"}),
        "The CPU architecture ARM64 is not supported: no host of this region has it.",
    ),
    (
        request(runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        "The operating system family WINDOWS_SERVER_2022_CORE is not supported: no host of this region runs it.",
    ),
    (request(taskRoleArn="arn:aws:s3:::bucket"), "Role is not valid"),
    (request(executionRoleArn=f"arn:aws:iam::{ACCOUNT}:user/x"), "Role is not valid"),
    (request(taskRoleArn="arn:aws:iam::210987654321:role/x"), "Cross-account pass role is not allowed."),
    # what Fargate forbids a container
    (request(container(links=["db"])), "Links are not supported when networkMode=awsvpc."),
    (request(container(hostname="web")), f"hostname {AWSVPC}"),
    (request(container(disableNetworking=True)), f"Disable Networking {AWSVPC}"),
    (request(container(dnsServers=["1.1.1.1"])), "DNS servers are not supported on container when networkMode=awsvpc."),
    (
        request(container(dnsSearchDomains=["x"])),
        "DNS search domains are not supported on container when networkMode=awsvpc.",
    ),
    (
        request(container(extraHosts=[{"hostname": "a", "ipAddress": "1.2.3.4"}])),
        "Extra hosts are not supported on container when networkMode=awsvpc.",
    ),
    (request(container(privileged=True)), "Fargate requires that the 'privileged' setting be 'false'"),
    (request(container(dockerSecurityOptions=["x"])), f"{PREFIX} dockerSecurityOptions"),
    (request(container(credentialSpecs=["x"])), f"{PREFIX} credentialSpecs"),
    (
        request(container(resourceRequirements=[{"type": "GPU", "value": "1"}])),
        "Tasks using the Fargate launch type do not support GPU resource requirements.",
    ),
    (linux(devices=[{"hostPath": "/dev/kvm"}]), f"{PREFIX} devices"),
    (linux(sharedMemorySize=64), f"{PREFIX} sharedMemorySize"),
    (linux(maxSwap=64), f"{PREFIX} maxSwap"),
    (linux(swappiness=0), f"{PREFIX} swappiness"),
    (linux(capabilities={"add": ["NET_ADMIN"]}), "NET_ADMIN is not allowed on Fargate."),
    (linux(capabilities={"add": ["ALL"]}), "ALL is not allowed on Fargate."),
    (linux(capabilities={"drop": ["FLY"]}), "Invalid 'linuxParameters.capabilities.drop' setting for container 'web'."),
    # what Neargate refuses until it has it
    (
        request(container(firelensConfiguration={"type": "fluentbit"})),
        "Neargate does not support firelensConfiguration yet.",
    ),
    (
        request(container(environmentFiles=[{"value": "a", "type": "s3"}])),
        "Neargate does not support environmentFiles yet.",
    ),
    # secrets
    (secrets("b", role=None), f"{NO_ROLE_FOR.format('container secrets')}"),
    (secrets(SECRET_ARN, name=""), "Invalid 'secrets' setting for container 'web'."),
    (secrets(SECRET_ARN, name="A=B"), "Invalid 'secrets' setting for container 'web'."),
    (secrets("b", "c"), SHARED),
    (secrets("b", environment=[{"name": "A", "value": "x"}]), SHARED),
    (secrets(""), BAD_PARAMETER),
    (secrets("a:json-key::"), BAD_PARAMETER),
    (secrets("a b"), BAD_PARAMETER),
    (secrets("x" * 2049), BAD_PARAMETER),
    (secrets("arn:aws:s3:::bucket/key"), BAD_PARAMETER),
    (secrets("arn:aws:ssm:us-east-1:123456789012:document/a"), BAD_PARAMETER),
    (registry_login(SECRET_ARN, role=None), f"{NO_ROLE_FOR.format('repositoryCredentials')}"),
    (registry_login(""), BAD_LOGIN),
    (registry_login("name"), BAD_LOGIN),
    (registry_login(f"{SECRET_ARN}:key::"), BAD_LOGIN),
    (
        logs(secret_options=[{"name": "a", "valueFrom": "b"}]),
        "Neargate does not support secretOptions of log driver awslogs yet.",
    ),
    *(
        (request(container(systemControls=[{"namespace": name, "value": value}])), text)
        for name, value, text in (
            ("vm.overcommit_memory", "1", "Invalid 'systemControls' setting for container 'web'."),
            ("net/core/somaxconn", "1", "Invalid 'systemControls' setting for container 'web'."),
            ("net.core.somaxconn", "", "Invalid 'systemControls' setting for container 'web'."),
            ("net.core.somaxconn", "1\n2", "Invalid 'systemControls' setting for container 'web'."),
            ("kernel.shmmax", "a", "Invalid 'systemControls' setting for container 'web'."),
            ("net.ipv4.ip_forward", "1", f"The system control 'net.ipv4.ip_forward' of container 'web' {NOT_APART}"),
            ("kernel.pid_max", "99", f"The system control 'kernel.pid_max' of container 'web' {NOT_APART}"),
            (
                "net.core.../../kernel",
                "1",
                f"The system control 'net.core.../../kernel' of container 'web' {NOT_APART}",
            ),
            (
                "net.ipv4.tcp_rmem",
                "4096 131072 33554432",
                "The system control 'net.ipv4.tcp_rmem' of container 'web' can be at most 16777216.",
            ),
        )
    ),
    (
        request(container(systemControls=[{"namespace": "kernel.msgmax", "value": "1"}] * 65)),
        "Invalid 'systemControls' setting for container 'web'.",
    ),
    *(
        (
            request(container(restartPolicy={"enabled": True, "restartAttemptPeriod": period})),
            "the 'restartAttemptPeriod' setting for container 'web' must be between 60 and 1800",
        )
        for period in (0, 59, 1801)
    ),
    (
        request(container(restartPolicy={"enabled": True, "ignoredExitCodes": [1] * 51})),
        "Invalid 'restartPolicy.ignoredExitCodes' setting for container 'web'.",
    ),
    # process
    (request(container(user="a b")), "Invalid 'user' setting for container 'web'."),
    (request(container(user="a:b:c")), "Invalid 'user' setting for container 'web'."),
    (request(container(workingDirectory="app")), "Invalid 'workingDirectory' setting for container 'web'."),
    (
        request(container(environment=[{"name": "A=B", "value": ""}])),
        "Invalid 'environment' setting for container 'web'.",
    ),
    (request(container(environment=[{"value": "x"}])), "Invalid 'environment' setting for container 'web'."),
    (request(container(dockerLabels={"": "x"})), "Invalid 'dockerLabels' setting for container 'web'."),
    (
        request(container(ulimits=[{"name": "nofile", "softLimit": 2, "hardLimit": 1}])),
        "Soft limit exceeds hard limit for ulimit nofile",
    ),
    (
        request(container(ulimits=[{"name": "core", "softLimit": -1, "hardLimit": 1}])),
        "Soft limit exceeds hard limit for ulimit core",
    ),
    (
        request(container(ulimits=[{"name": "nofile", "softLimit": 1, "hardLimit": 1}] * 2)),
        "Duplicate ulimit nofile",
    ),
    (
        request(container(startTimeout=1)),
        "the 'startTimeout' setting for container 'web' must be between 2 and 120",
    ),
    (request(container(stopTimeout=121)), "the 'stopTimeout' setting for container 'web' must be between 2 and 120"),
    (request(container(healthCheck={"command": []})), "Invalid 'healthCheck.command' setting for container 'web'."),
    (
        request(container(healthCheck={"command": ["CMD"]})),
        "Invalid 'healthCheck.command' setting for container 'web'.",
    ),
    (
        request(container(healthCheck={"command": ["CMD-SHELL"]})),
        "Invalid 'healthCheck.command' setting for container 'web'.",
    ),
    *[
        (
            request(container(healthCheck={"command": ["CMD", "a"], member: value})),
            f"the 'healthCheck.{member}' setting for container 'web' must be between {low} and {high}",
        )
        for member, low, high in (("interval", 5, 300), ("timeout", 2, 60), ("retries", 1, 10), ("startPeriod", 0, 300))
        for value in (low - 1, high + 1)
    ],
    # dependencies
    (waits("COMPLETE"), f"{DEPENDENCY} SUCCESS or COMPLETE condition cannot be an essential container"),
    (waits("SUCCESS"), f"{DEPENDENCY} SUCCESS or COMPLETE condition cannot be an essential container"),
    (waits("HEALTHY"), f"{DEPENDENCY} HEALTHY condition must have health check configured"),
    (
        request(container(dependsOn=[{"containerName": "db", "condition": "START"}])),
        "Cannot depend on container + 'db' because it does not exist",
    ),
    (
        request(container(dependsOn=[{"containerName": "web", "condition": "START"}])),
        "Container dependencies should not have a cycle.",
    ),
    (
        request(
            container(name="a", dependsOn=[{"containerName": "b", "condition": "START"}]),
            container(name="b", dependsOn=[{"containerName": "c", "condition": "START"}]),
            container(name="c", volumesFrom=[{"sourceContainer": "a"}]),
        ),
        "Container dependencies should not have a cycle.",
    ),
    (
        request(container(volumesFrom=[{"sourceContainer": "db"}])),
        "Invalid 'volumesFrom' setting. Unknown container: 'db'.",
    ),
    # ports
    (
        request(container(portMappings=[{"containerPort": 80, "hostPort": 8080}])),
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
    ),
    (request(container(portMappings=[{"containerPort": 0}])), "Invalid 'containerPort' setting for container 'web'."),
    (
        request(container(portMappings=[{"containerPort": 65536}])),
        "Invalid 'containerPort' setting for container 'web'.",
    ),
    (request(container(portMappings=[{"hostPort": 80}])), "Invalid 'containerPort' setting for container 'web'."),
    (
        request(container(portMappings=[{"containerPortRange": "1-2"}])),
        "Neargate does not support containerPortRange yet.",
    ),
    (
        request(container(portMappings=[{"containerPort": 80, "name": "-x"}])),
        "Invalid 'portMappings.name' setting for container 'web'.",
    ),
    (
        request(
            container(name="a", portMappings=[{"containerPort": 80}]),
            container(name="b", portMappings=[{"containerPort": 80}]),
        ),
        "container port is used multiple times in task",
    ),
    (
        request(container(portMappings=[{"containerPort": 80, "name": "x"}, {"containerPort": 81, "name": "x"}])),
        "port mapping name is already used",
    ),
    # volumes
    (request(container(mountPoints=[{"sourceVolume": "x", "containerPath": "/x"}])), "Unknown volume 'x'."),
    (
        request(container(mountPoints=[{"sourceVolume": "x", "containerPath": "/../x"}]), volumes=[{"name": "x"}]),
        "Invalid 'containerPath' setting for volume 'x'.",
    ),
    (
        request(container(mountPoints=[{"sourceVolume": "x", "containerPath": "/"}]), volumes=[{"name": "x"}]),
        "Invalid 'containerPath' setting for volume 'x'.",
    ),
    (
        request(
            container(
                mountPoints=[
                    {"sourceVolume": "x", "containerPath": "/x"},
                    {"sourceVolume": "x", "containerPath": "/x/"},
                ]
            ),
            volumes=[{"name": "x"}],
        ),
        "Container path '/x/' is used more than once in a container's mount points.",
    ),
    (request(volumes=[{}]), "Volume name should not be null or empty."),
    (request(volumes=[{"name": "a b"}]), "Volume name contains invalid characters."),
    (
        request(volumes=[{"name": "a"}, {"name": "a"}]),
        "Volume names must be unique within a task definition. Duplicate volume 'a'.",
    ),
    (
        request(volumes=[{"name": "a", "host": {"sourcePath": "/etc"}}]),
        "host.sourcePath should not be set for volumes in Fargate.",
    ),
    (request(volumes=[{"name": "a", "dockerVolumeConfiguration": {}}]), f"{PREFIX} dockerVolumeConfiguration"),
    (
        request(volumes=[{"name": "a", "fsxWindowsFileServerVolumeConfiguration": {"fileSystemId": "f"}}]),
        f"{PREFIX} fsxWindowsFileServerVolumeConfiguration",
    ),
    (
        request(volumes=[{"name": "a", "efsVolumeConfiguration": {"fileSystemId": "f"}}]),
        "Neargate does not support volumes with efsVolumeConfiguration yet.",
    ),
    (
        request(volumes=[{"name": "a", "s3filesVolumeConfiguration": {"fileSystemArn": "f"}}]),
        "Neargate does not support volumes with s3filesVolumeConfiguration yet.",
    ),
    (
        request(volumes=[{"name": "a", "configuredAtLaunch": True}]),
        "Neargate does not support volumes with configuredAtLaunch yet.",
    ),
    (linux(tmpfs=[{"containerPath": "run", "size": 1}]), "Invalid 'tmpfs.containerPath' setting for container 'web'."),
    (linux(tmpfs=[{"containerPath": "/run", "size": 0}]), "Invalid 'tmpfs.size' setting for container 'web'."),
    *[
        (
            linux(tmpfs=[{"containerPath": "/run", "size": 1, "mountOptions": [option]}]),
            f"The tmpfs mount option '{option}' of container 'web' is not supported.",
        )
        for option in ("fast", "bind", "remount", "mode=x", "uid=", "size=9999m", "nr_blocks=9")
    ],
    # logs
    (logs("splunk"), "Log driver splunk disallows options: awslogs-group"),
    (logs("awsfirelens"), "Neargate does not support log driver awsfirelens yet."),
    *[
        (logs(driver), f"{PREFIX} log driver {driver}")
        for driver in ("json-file", "syslog", "journald", "gelf", "fluentd")
    ],
    (
        request(
            container(
                logConfiguration={
                    "logDriver": "awslogs",
                    "options": AWSLOGS,
                    "secretOptions": [{"name": "a", "valueFrom": "b"}],
                }
            )
        ),
        "Neargate does not support secretOptions of log driver awslogs yet.",
    ),
    (logs(awslogs_group=None), "Log driver awslogs requires options: awslogs-group"),
    (
        logs(awslogs_region=None, awslogs_stream_prefix=""),
        "Log driver awslogs requires options: awslogs-region, awslogs-stream-prefix",
    ),
    (logs(colour="red"), "Log driver awslogs disallows options: colour"),
    (
        logs(awslogs_multiline_pattern="^a", awslogs_datetime_format="%Y"),
        "you cannot configure log opt 'awslogs-datetime-format' and 'awslogs-multiline-pattern' at the same time",
    ),
    (
        logs(awslogs_multiline_pattern="(a"),
        'awslogs could not parse multiline pattern key "(a": missing closing )',
    ),
    (
        request(container(portMappings=[{"containerPort": 53, "protocol": "udp", "appProtocol": "http"}])),
        "Invalid 'portMappings.appProtocol' setting for container 'web'.",
    ),
    (logs(awslogs_group="a b"), "The value 'a b' of log option 'awslogs-group' is not valid (container 'web')."),
    (logs(awslogs_region="moon"), "The value 'moon' of log option 'awslogs-region' is not valid (container 'web')."),
    (
        request(container(ulimits=[{"name": "nofile", "softLimit": -2, "hardLimit": 1}])),
        "Invalid 'ulimits' setting for container 'web'.",
    ),
    (logs(mode="fast"), "The value 'fast' of log option 'mode' is not valid (container 'web')."),
    (logs(max_buffer_size="25q"), "The value '25q' of log option 'max-buffer-size' is not valid (container 'web')."),
    (logs(max_buffer_size="0"), "The value '0' of log option 'max-buffer-size' is not valid (container 'web')."),
    (
        logs(mode="blocking", max_buffer_size="1m"),
        "The log option 'max-buffer-size' is only supported with mode non-blocking.",
    ),
    (
        logs(awslogs_stream_prefix="a:b"),
        "The value 'a:b' of log option 'awslogs-stream-prefix' is not valid (container 'web').",
    ),
    (
        logs(awslogs_create_group="yes"),
        "The value 'yes' of log option 'awslogs-create-group' is not valid (container 'web').",
    ),
    (logs(role=None), "Fargate requires task definition to have execution role ARN to support log driver awslogs."),
    (
        request(container(image=f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/web:1")),
        "Fargate requires task definition to have execution role ARN to support ECR images.",
    ),
]


@pytest.mark.parametrize(
    ("given", "text"), REFUSED, ids=[f"{place}-{text[:60]}" for place, (_, text) in enumerate(REFUSED)]
)
def test_refused(given: dict[str, Any], text: str) -> None:
    assert refusal(given) == text


def test_a_document_has_a_largest_size() -> None:
    check_size(b"x" * 65536)
    with pytest.raises(ClientError) as refused:
        check_size(b"x" * 65537)
    assert refused.value.message == "Actual length: '65537'. Max allowed length is '65536' bytes."


@pytest.mark.parametrize(
    ("given", "runs_on"),
    [
        (request(), ["EC2", "FARGATE"]),
        (request(requiresCompatibilities=None), ["EC2", "FARGATE"]),
        (request(requiresCompatibilities=["EC2"]), ["EC2", "FARGATE"]),
        (request(container(memory=64), requiresCompatibilities=["EC2"], networkMode="bridge"), ["EC2"]),
        (secrets("b"), ["EC2", "FARGATE"]),
        (request(container(links=["a"]), requiresCompatibilities=["EC2"]), ["EC2"]),
        (request(requiresCompatibilities=["FARGATE", "EXTERNAL"]), ["EC2", "FARGATE", "EXTERNAL"]),
    ],
)
def test_compatibilities_say_what_could_run_it(given: dict[str, Any], runs_on: list[str]) -> None:
    check_definition(given, account=ACCOUNT)
    assert compatibilities(given) == runs_on


def test_no_role_is_right() -> None:
    check_role(None, ACCOUNT)
    check_role("", ACCOUNT)
