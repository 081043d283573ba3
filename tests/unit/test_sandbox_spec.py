"""The OCI specification of a container, users of hostile images, and containerd's own configuration."""

import tomllib
from pathlib import Path

import pytest

from neargate.interfaces.sandbox import BindMount, ContainerConfig, Image
from neargate.model.launch import Tmpfs, Ulimit
from neargate.sandbox.containerd_process import ContainerdInstance
from neargate.sandbox.oci_spec import HostFacts, effective_capabilities, environment, oci_spec, rlimits
from neargate.sandbox.seccomp import seccomp_profile
from neargate.sandbox.users import ResolvedUser, UnknownUser, resolve_user

IMAGE = Image(
    reference="x",
    digest="sha256:1",
    index_digest=None,
    config_digest="sha256:2",
    snapshot="sha256:3",
    unpacked_bytes=1,
    compressed_bytes=1,
)
ROOT = ResolvedUser(uid=0, gid=0)


def host(**more: object) -> HostFacts:
    fields: dict[str, object] = {
        "architecture": "amd64",
        "cgroup_v2": False,
        "may_raise_limits": False,
        "nr_open": 1048576,
        "hard_limits": (("nofile", 20000),),
        "limits_swap": True,
        "init_path": "/usr/bin/tini-static",
    }
    return HostFacts(**(fields | more))  # type: ignore[arg-type]


def container(**more: object) -> ContainerConfig:
    fields: dict[str, object] = {
        "runtime_id": "r",
        "task_id": "t",
        "name": "n",
        "image": IMAGE,
        "disk_path": "/disk",
        "netns_path": "/run/netns/x",
        "hostname": "h",
        "args": ("a",),
        "environment": (),
    }
    return ContainerConfig(**(fields | more))  # type: ignore[arg-type]


def test_capabilities() -> None:
    default = effective_capabilities((), ())
    assert len(default) == 14 and "CAP_SYS_ADMIN" not in default and "CAP_NET_ADMIN" not in default
    assert set(effective_capabilities(("SYS_PTRACE", "SYS_ADMIN", "ALL"), ())) == {*default, "CAP_SYS_PTRACE"}
    assert effective_capabilities((), ("ALL",)) == ()
    assert "CAP_CHOWN" not in effective_capabilities((), ("chown",))


def test_seccomp_is_an_allow_list_without_the_dangerous() -> None:
    profile = seccomp_profile("amd64", ())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    freely = {name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]}
    forbidden = "mount umount2 pivot_root setns unshare bpf kexec_load init_module reboot keyctl add_key clone"
    assert not freely & {*forbidden.split(), "open_by_handle_at", "perf_event_open", "userfaultfd", "io_uring_setup"}
    assert {"read", "execve", "openat", "futex", "epoll_wait", "clone3"} <= freely
    with_ptrace = seccomp_profile("arm64", ("CAP_SYS_PTRACE",))
    assert "process_madvise" in with_ptrace["syscalls"][1]["names"]
    first, *others = profile["syscalls"]
    assert (first["names"], first["errnoRet"]) == (["socketcall"], 38), "before libseccomp makes rules of its own"
    assert not any("socketcall" in rule["names"] for rule in others)


def test_rlimits_are_clamped_to_ours() -> None:
    (nofile,) = rlimits(container(), host())
    assert nofile == {"type": "RLIMIT_NOFILE", "soft": 20000, "hard": 20000}
    assert rlimits(container(), host(may_raise_limits=True))[0]["hard"] == 65535
    given = container(ulimits=(Ulimit(name="nofile", soft=5, hard=2**31), Ulimit(name="memlock", soft=-1, hard=-1)))
    limits = {limit["type"]: limit for limit in rlimits(given, host(may_raise_limits=True))}
    assert limits["RLIMIT_NOFILE"] == {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 1048576}
    assert limits["RLIMIT_MEMLOCK"]["hard"] == 2**64 - 1


def test_environment_defaults_do_not_override() -> None:
    user = ResolvedUser(uid=1, gid=1, home="/home/u")
    shown = dict(environment(container(environment=(("HOME", "/mine"), ("A", "b")), terminal=True), user))
    assert (
        shown["HOME"] == "/mine" and shown["HOSTNAME"] == "h" and shown["TERM"] == "xterm" and "/bin" in shown["PATH"]
    )


def test_mounts_are_ordered_from_outside_to_inside() -> None:
    spec = oci_spec(
        container(
            mounts=(BindMount(source="/s", target="/a/b/c"), BindMount(source="/s", target="/a")),
            tmpfs=(Tmpfs(container_path="/a/b", size_mib=1),),
            init_process=True,
        ),
        ROOT,
        host(),
        pid_namespace=None,
        shim_group="g",
    )
    own = [mount["destination"] for mount in spec["mounts"]][-4:]
    assert own.index("/a") < own.index("/a/b") < own.index("/a/b/c") and "/dev/init" in own
    assert spec["process"]["args"] == ["/dev/init", "--", "a"]


def test_a_word_of_mount_is_no_option_of_the_kernel() -> None:
    tmpfs = Tmpfs(container_path="/t", size_mib=1, mount_options=("defaults", "exec"))
    spec = oci_spec(container(tmpfs=(tmpfs,)), ROOT, host(), pid_namespace=None, shim_group="g")
    assert spec["mounts"][-1]["options"] == ["nosuid", "nodev", "exec", "size=1m"]


def test_namespaces_and_limits() -> None:
    spec = oci_spec(
        container(memory_limit_bytes=64, memory_reservation_bytes=32, cpu_shares=0),
        ROOT,
        host(),
        pid_namespace="/proc/7/ns/pid",
        shim_group="of-the-task",
    )
    assert spec["annotations"] == {"io.containerd.runc.v2.group": "of-the-task"}
    namespaces = {entry["type"]: entry.get("path") for entry in spec["linux"]["namespaces"]}
    assert namespaces == {"pid": "/proc/7/ns/pid", "ipc": None, "uts": None, "mount": None, "network": "/run/netns/x"}
    assert spec["linux"]["resources"]["memory"] == {"limit": 64, "swap": 64, "reservation": 32}
    assert spec["linux"]["resources"]["cpu"] == {"shares": 2}
    modern = oci_spec(
        container(memory_limit_bytes=64),
        ROOT,
        host(cgroup_v2=True, limits_swap=False),
        pid_namespace=None,
        shim_group="g",
    )
    assert {"type": "cgroup"} in modern["linux"]["namespaces"]
    assert modern["linux"]["resources"]["memory"] == {"limit": 64}
    assert modern["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}


PASSWD = b"""root:x:0:0:root:/root:/bin/sh
web:x:1000:1001::/home/web:
# a comment
broken
big:x:99999999999:0::/:
rel:x:5:5::home:
"""
GROUP = b"root:x:0:\nextra:x:7:web,other\nmore:x:8:web\nbad:x:y:web\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", ResolvedUser(uid=0, gid=0, home="/root")),
        ("root", ResolvedUser(uid=0, gid=0, home="/root")),
        ("web", ResolvedUser(uid=1000, gid=1001, additional_gids=(7, 8), home="/home/web")),
        ("1000", ResolvedUser(uid=1000, gid=1001, additional_gids=(7, 8), home="/home/web")),
        ("web:extra", ResolvedUser(uid=1000, gid=7, home="/home/web")),
        ("web:42", ResolvedUser(uid=1000, gid=42, home="/home/web")),
        (":7", ResolvedUser(uid=0, gid=7, home="/root")),
        ("4711", ResolvedUser(uid=4711, gid=0)),
        ("4711:4712", ResolvedUser(uid=4711, gid=4712)),
        ("5", ResolvedUser(uid=5, gid=5)),
        ("2147483647", ResolvedUser(uid=2147483647, gid=0)),
    ],
)
def test_users(user: str, expected: ResolvedUser) -> None:
    assert resolve_user(user, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    "user", ["nobody", "big", "broken", "-1", "2147483648", "99999999999999999999", "٣", "web:none", "0x1"]
)
def test_unknown_users(user: str) -> None:
    with pytest.raises(UnknownUser, match=r"no matching entries in (passwd|group) file"):
        resolve_user(user, PASSWD, GROUP)


def test_accounts_of_garbage() -> None:
    for garbage in (b"", b"\0\xff\xfe", b":" * 100_000, b"a:b:c\n" * 1000):
        assert resolve_user("3", garbage, garbage) == ResolvedUser(uid=3, gid=0)


def test_containerd_configuration(tmp_path: Path) -> None:
    instance = ContainerdInstance(data_dir=str(tmp_path / 'da"ta'), run_dir=str(tmp_path / "run"))
    written = tomllib.loads(Path(instance.write_config()).read_text())
    assert written["root"].startswith(instance.data_dir) and written["state"].startswith(instance.run_dir)
    assert written["grpc"]["address"] == instance.address
    assert "io.containerd.grpc.v1.cri" in written["disabled_plugins"]
    assert instance.command() == ["containerd", "--config", instance.write_config()]
    with pytest.raises(ValueError, match="too long"):
        ContainerdInstance(data_dir=str(tmp_path), run_dir="/run/" + "x" * 200).write_config()
