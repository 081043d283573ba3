"""What only a kernel of the task's own gives: refused as on AWS without leave, carried to the guest whole with it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from msgspec.structs import replace

from neargate.definitions.own_kernel import kernel_rights, needs_own_kernel
from neargate.definitions.rules import check_definition, check_leave, compatibilities
from neargate.interfaces.sandbox import SandboxError
from neargate.model.errors import ClientError
from neargate.model.launch import Device, KernelRights
from neargate.placement.feasible import NO_KERNEL, HostView, Wanted, refusal
from neargate.placement.rank import choose
from neargate.placement.tenancy import GIVES_KERNEL, OWN_KERNEL
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.microvm import rights
from neargate.sandbox.microvm.specs import container_blueprint
from neargate.sandbox.users import ResolvedUser

from .test_definitions_rules import ACCOUNT, container, request
from .test_microvm_specs import FACTS, config

ROOT = ResolvedUser(uid=0, gid=0)
TUN = {"hostPath": "/dev/net/tun"}


def linux(**members: Any) -> dict[str, Any]:
    return container(linuxParameters=members)


def control(name: str, value: str = "1") -> dict[str, Any]:
    return container(systemControls=[{"namespace": name, "value": value}])


ASKED: list[tuple[dict[str, Any], str, KernelRights]] = [
    (container(privileged=True), "Fargate requires that the 'privileged'", KernelRights(privileged=True)),
    (
        linux(capabilities={"add": ["NET_ADMIN", "SYS_PTRACE"]}),
        "NET_ADMIN is not allowed on Fargate.",
        KernelRights(capabilities=("NET_ADMIN",)),
    ),
    (linux(capabilities={"add": ["ALL"]}), "ALL is not allowed on Fargate.", KernelRights(capabilities=("ALL",))),
    (
        linux(devices=[TUN, {"hostPath": "/dev/fuse", "containerPath": "/f", "permissions": ["read", "mknod"]}]),
        "Fargate compatible task definitions do not support devices",
        KernelRights(
            devices=(
                Device(kind="/dev/net/tun", path="/dev/net/tun"),
                Device(kind="/dev/fuse", path="/f", access="rm"),
            )
        ),
    ),
    (
        linux(maxSwap=64, swappiness=70),
        "Fargate compatible task definitions do not support maxSwap",
        KernelRights(max_swap_mib=64, controls=(("vm.swappiness", "70"),)),
    ),
    (
        linux(maxSwap=0),
        "Fargate compatible task definitions do not support maxSwap",
        KernelRights(max_swap_mib=0),
    ),
    (
        control("vm.max_map_count", "262144"),
        "Invalid 'systemControls' setting",
        KernelRights(controls=(("vm.max_map_count", "262144"),)),
    ),
    (
        control("net.ipv4.ip_forward"),
        "The system control 'net.ipv4.ip_forward'",
        KernelRights(controls=(("net.ipv4.ip_forward", "1"),)),
    ),
]


@pytest.mark.parametrize(("asked", "refused", "carried"), ASKED)
def test_what_aws_refuses_stays_refused_unless_the_operator_gave_leave(
    asked: dict[str, Any], refused: str, carried: KernelRights
) -> None:
    definition = request(asked)
    with pytest.raises(ClientError) as error:
        check_definition(definition, account=ACCOUNT)
    assert error.value.message.startswith(refused)
    with pytest.raises(ClientError) as later:
        check_leave(definition, own_kernel=False)
    assert later.value.message == error.value.message
    check_definition(definition, account=ACCOUNT, own_kernel=True)
    check_leave(definition, own_kernel=True)
    assert compatibilities(definition) == ["EC2"]
    assert compatibilities(definition, own_kernel=True) == ["EC2", "FARGATE"]
    assert kernel_rights(asked) == carried and needs_own_kernel(definition)


def test_what_every_task_may_have_needs_no_kernel_of_its_own() -> None:
    plain = container(
        privileged=False,
        linuxParameters={"devices": [], "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}},
        systemControls=[
            {"namespace": "net.core.somaxconn", "value": "1"},
            {"namespace": "kernel.msgmax", "value": "1"},
        ],
    )
    assert not needs_own_kernel(request(plain))


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (linux(devices=[{"hostPath": "/dev/kvm"}]), "The device '/dev/kvm' of container 'web' is not supported"),
        (linux(devices=[{"hostPath": "/dev/vda"}]), "The device '/dev/vda' of container 'web' is not supported"),
        (linux(devices=[TUN, TUN]), "Invalid 'linuxParameters.devices.containerPath'"),
        (linux(devices=[TUN | {"containerPath": "/dev/../x"}]), "Invalid 'linuxParameters.devices.containerPath'"),
        (linux(devices=[TUN] * 17), "Invalid 'linuxParameters.devices'"),
        (linux(capabilities={"add": ["FLY"]}), "Invalid 'linuxParameters.capabilities.add'"),
        (linux(maxSwap=-1), "the 'maxSwap' setting for container 'web' must be between 0 and"),
        (linux(maxSwap=1, swappiness=101), "the 'swappiness' setting for container 'web' must be between 0 and 100"),
        (linux(sharedMemorySize=64), "Fargate compatible task definitions do not support sharedMemorySize"),
        (control("vm/../../etc/passwd"), "Invalid 'systemControls'"),
        (control("vm...x"), "Invalid 'systemControls'"),
        (control("vm"), "Invalid 'systemControls'"),
        (control("vm.swappiness", ""), "Invalid 'systemControls'"),
        (control("vm.swappiness", "1\n2"), "Invalid 'systemControls'"),
        (container(dockerSecurityOptions=["x"]), "Fargate compatible task definitions do not support dockerSec"),
    ],
)
def test_leave_is_for_what_a_guest_has_and_for_nothing_else(asked: dict[str, Any], refused: str) -> None:
    with pytest.raises(ClientError) as error:
        check_definition(request(asked), account=ACCOUNT, own_kernel=True)
    assert error.value.message.startswith(refused)


# -- placement


def host(host_id: str, *, gives_kernel: bool) -> HostView:
    return HostView(
        host_id=host_id, free_cpu_units=1024, free_memory_mib=1024, free_disk_gib=100, gives_kernel=gives_kernel
    )


def test_such_a_task_goes_only_where_each_task_has_a_kernel() -> None:
    wanted = Wanted(zone="a", account=ACCOUNT, cpu_units=256, memory_mib=512, disk_gib=20, needs_kernel=True)
    shared, own = host("a", gives_kernel=False), host("b", gives_kernel=True)
    assert refusal(shared, wanted) == NO_KERNEL and refusal(own, wanted) is None
    assert choose([shared, own], wanted) == own and choose([shared], wanted) is None
    plain = replace(wanted, needs_kernel=False)
    assert choose([shared, own], plain) == shared and refusal(shared, plain) is None


def test_an_emulated_machine_gives_a_kernel_and_is_no_boundary_between_accounts() -> None:
    assert "emulated" in GIVES_KERNEL and "emulated" not in OWN_KERNEL and "container" not in GIVES_KERNEL


# -- the guest's specification


def spec(given: KernelRights, user: ResolvedUser = ROOT, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(container_blueprint(config(kernel=given, **fields), user, FACTS).spec)
    return found


def calls(made: dict[str, Any]) -> set[str]:
    rules = made["linux"]["seccomp"]["syscalls"]
    return {
        name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule for name in rule["names"]
    }


def test_privileged_has_all_of_the_guest() -> None:
    made = spec(KernelRights(privileged=True))
    held = made["process"]["capabilities"]
    assert len(held["bounding"]) == 41 and held["effective"] == held["bounding"] == held["permitted"]
    assert "seccomp" not in made["linux"]
    assert made["linux"]["maskedPaths"] == made["linux"]["readonlyPaths"] == []
    assert made["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert sorted(item["path"] for item in made["linux"]["devices"]) == ["/dev/fuse", "/dev/net/tun"]
    system = {item["destination"]: item["options"] for item in made["mounts"] if item["destination"].startswith("/sys")}
    assert "ro" not in system["/sys"] + system["/sys/fs/cgroup"]


def test_a_privileged_container_of_another_user_begins_without_capabilities() -> None:
    held = spec(KernelRights(privileged=True), ResolvedUser(uid=1000, gid=1000))["process"]["capabilities"]
    assert held["effective"] == [] and len(held["bounding"]) == 41


def test_a_device_alone_opens_that_device_and_nothing_else() -> None:
    plain: dict[str, Any] = json.loads(container_blueprint(config(), ROOT, FACTS).spec)
    made = spec(KernelRights(devices=(Device(kind="/dev/net/tun", path="/tun", access="rw"),)))
    [node] = made["linux"]["devices"]
    assert (node["path"], node["type"], node["major"], node["minor"]) == ("/tun", "c", 10, 200)
    allowed = [item for item in made["linux"]["resources"]["devices"] if item.get("major") == 10]
    assert allowed == [{"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"}]
    assert made["linux"]["maskedPaths"] == plain["linux"]["maskedPaths"] != []
    held = [sorted(one["process"]["capabilities"]["effective"]) for one in (made, plain)]
    assert held[0] == held[1]
    assert not calls(made) & {"mount", "unshare", "bpf", "init_module"}


def test_a_capability_brings_the_calls_that_need_it() -> None:
    made = spec(
        KernelRights(capabilities=("SYS_ADMIN",)), capabilities_add=("SYS_ADMIN",), capabilities_drop=("CHOWN",)
    )
    held = made["process"]["capabilities"]["effective"]
    assert "CAP_SYS_ADMIN" in held and "CAP_CHOWN" not in held and "CAP_SYS_MODULE" not in held
    assert {"mount", "umount2", "unshare", "setns", "clone"} <= calls(made)
    assert not calls(made) & {"init_module", "reboot"}
    with_arguments = [rule for rule in made["linux"]["seccomp"]["syscalls"] if rule.get("args")]
    assert all(rule["names"] != ["clone"] for rule in with_arguments)


@pytest.mark.parametrize(
    ("added", "dropped", "has", "lacks"),
    [
        (("ALL",), (), {"CAP_SYS_ADMIN", "CAP_BPF", "CAP_CHOWN"}, set()),
        (("ALL",), ("SYS_ADMIN",), {"CAP_BPF"}, {"CAP_SYS_ADMIN"}),
        (("NET_ADMIN",), ("ALL",), {"CAP_NET_ADMIN"}, {"CAP_CHOWN", "CAP_SYS_ADMIN"}),
        (("NET_ADMIN",), (), {"CAP_NET_ADMIN", "CAP_CHOWN"}, {"CAP_SYS_ADMIN"}),
    ],
)
def test_capabilities_are_combined_as_docker_does(
    added: tuple[str, ...], dropped: tuple[str, ...], has: set[str], lacks: set[str]
) -> None:
    found = set(rights.capabilities_of(added, dropped))
    assert has <= found and not lacks & found


def test_parameters_are_written_in_the_guest_before_the_container_starts() -> None:
    written = {step.path: step.content for step in rights.steps(KernelRights(controls=(("vm.max_map_count", "9"),)))}
    assert written == {"/proc/sys/kernel/modprobe": b"/usr/sbin/modprobe", "/proc/sys/vm/max_map_count": b"9"}
    assert rights.steps(None) == ()


def test_swap_is_counted_beside_memory() -> None:
    assert spec(KernelRights(max_swap_mib=3))["linux"]["resources"]["unified"] == {"memory.swap.max": str(3 << 20)}
    assert "unified" not in spec(KernelRights(privileged=True))["linux"]["resources"]
    header = rights.swap_header(3)
    assert len(header) == rights.SWAP_PAGE and header.endswith(b"SWAPSPACE2")
    assert header[1024:1036] == bytes([1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0])


def test_an_engine_whose_kernel_is_the_hosts_refuses_it() -> None:
    asked = config(kernel=KernelRights(privileged=True))
    create: Callable[..., Any] = ContainerdSandbox.create_container
    with pytest.raises(SandboxError, match="CannotCreateContainerError: it asks for what only a kernel"):
        asyncio.run(create(cast("ContainerdSandbox", None), asked))


def test_a_parameter_without_a_name_is_refused_as_by_fargate() -> None:
    """On EC2 nobody looks at it."""
    for nameless in ({"value": "1"}, {"namespace": "kernel.pid_max"}, {}):
        with pytest.raises(ClientError, match="systemControls"):
            check_leave(request(container(systemControls=[nameless])), own_kernel=False)
