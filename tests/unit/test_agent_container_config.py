"""Docker's rules of combining an image and a definition; the environment of every container."""

import pytest
from msgspec.structs import replace

from neargate.agent.container_config import (
    Surroundings,
    arguments,
    container_config,
    environment,
    mounts,
    signal_number,
    ulimits,
)
from neargate.agent.order import next_starts, start_order
from neargate.agent.task_record import ContainerRecord, TaskRecord
from neargate.interfaces.sandbox import BindMount, Image
from neargate.model.launch import Dependency, KernelRights, MountPoint, Ulimit, VolumesFrom
from neargate.testing.agent_host import TASK_ID, container, launch

IMAGE = Image(
    reference="i",
    digest="sha256:1",
    index_digest=None,
    config_digest="sha256:2",
    snapshot="s",
    unpacked_bytes=1,
    compressed_bytes=1,
    entry_point=("/entry",),
    command=("run",),
    environment=(("PATH", "/image/bin"), ("FROM_IMAGE", "1"), ("SHARED", "image")),
    user="app",
    working_directory="/srv",
)
ENDPOINT = "http://169.254.170.10:4566"


@pytest.mark.parametrize(
    ("entry_point", "command", "expected"),
    [
        (None, None, ("/entry", "run")),
        (None, ("other",), ("/entry", "other")),
        (("/mine",), None, ("/mine",)),
        (("/mine",), ("x",), ("/mine", "x")),
        ((), (), ("/entry", "run")),
    ],
)
def test_entry_point_and_command(
    entry_point: tuple[str, ...] | None, command: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    assert arguments(container(entry_point=entry_point, command=command), IMAGE) == expected


AROUND = Surroundings(
    disk_path="/disk",
    netns_path="/netns",
    cgroup_path="/neargate-1/T",
    hostname="host",
    endpoint_url=ENDPOINT,
    etc=(BindMount(source="/disk/etc/hosts", target="/etc/hosts"),),
    volumes=(),
    credentials_id="",
    log_path="/log",
    share_pid_with=None,
)


def test_environment() -> None:
    mine = container(environment=(("SHARED", "mine"), ("AWS_ENDPOINT_URL", "http://elsewhere")), pseudo_terminal=True)
    token = f"{TASK_ID}-0000000001"
    values = dict(environment(launch(), mine, token, IMAGE, AROUND))
    assert values["PATH"] == "/image/bin" and values["FROM_IMAGE"] == "1" and values["SHARED"] == "mine"
    assert values["HOSTNAME"] == "host" and values["TERM"] == "xterm"
    assert values["AWS_REGION"] == values["AWS_DEFAULT_REGION"] == "us-east-1"
    assert values["AWS_EXECUTION_ENV"] == "AWS_ECS_FARGATE"
    assert values["AWS_ENDPOINT_URL"] == "http://elsewhere", "the definition may point elsewhere"
    assert values["ECS_CONTAINER_METADATA_URI_V4"] == f"http://169.254.170.2/v4/{token}"
    assert values["ECS_CONTAINER_METADATA_URI"] == f"http://169.254.170.2/v3/{token}"
    assert values["ECS_AGENT_URI"] == f"http://169.254.170.2/api/{token}"
    plain = dict(environment(launch(), container(), token, IMAGE, AROUND))
    assert plain["AWS_ENDPOINT_URL"] == ENDPOINT and "TERM" not in plain
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI" not in plain, "without a task role there is nothing to get"
    around = replace(AROUND, credentials_id="0b6b")
    with_role = dict(environment(launch(), container(), token, IMAGE, around))
    assert with_role["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] == "/v2/credentials/0b6b"


def test_limits_user_and_directory() -> None:
    around = AROUND
    plain = container_config(launch(), container(), "id", IMAGE, around)
    assert (plain.user, plain.working_directory, plain.cpu_shares) == ("app", "/srv", 2)
    assert plain.cgroup_path == "/neargate-1/T/web" and plain.memory_limit_bytes is None
    assert plain.ulimits == (Ulimit(name="nofile", soft=65535, hard=65535),)
    mine = container(user="0", working_directory="/w", cpu_units=512, memory_mib=64, memory_reservation_mib=32)
    config = container_config(launch(), mine, "id", IMAGE, around)
    assert (config.user, config.working_directory, config.cpu_shares) == ("0", "/w", 512)
    assert (config.memory_limit_bytes, config.memory_reservation_bytes) == (64 << 20, 32 << 20)
    assert container_config(launch(), container(user=""), "id", IMAGE, around).user == "app"


def test_what_needs_a_kernel_of_its_own_reaches_the_engine_as_it_is() -> None:
    rights = KernelRights(privileged=True, controls=(("vm.swappiness", "1"),))
    assert container_config(launch(), container(kernel=rights), "id", IMAGE, AROUND).kernel == rights
    assert container_config(launch(), container(), "id", IMAGE, AROUND).kernel is None


@pytest.mark.parametrize("closed", [False, True])
def test_the_platforms_files_are_closed_with_the_root(closed: bool) -> None:
    around = replace(AROUND, volumes=(("v", "/disk/volumes/0"),))
    point = MountPoint(source_volume="v", container_path="/data")
    config = container_config(launch(), container(readonly_root=closed, mount_points=(point,)), "id", IMAGE, around)
    assert [(mount.target, mount.read_only) for mount in config.mounts] == [("/etc/hosts", closed), ("/data", False)]


def test_own_ulimits_replace_the_default() -> None:
    own = (Ulimit(name="nofile", soft=10, hard=20), Ulimit(name="core", soft=0, hard=0))
    assert ulimits(own) == own


def test_mounts_are_inherited_and_own_ones_win() -> None:
    source = container(
        "source",
        mount_points=(
            MountPoint(source_volume="a", container_path="/a"),
            MountPoint(source_volume="b", container_path="/a/b"),
        ),
    )
    mine = container(
        mount_points=(MountPoint(source_volume="c", container_path="/a"),),
        volumes_from=(VolumesFrom(source_container="source", read_only=True),),
    )
    found = mounts((source, mine), mine, {"a": "/v/0", "b": "/v/1", "c": "/v/2"})
    assert [(mount.target, mount.source, mount.read_only) for mount in found] == [
        ("/a", "/v/2", False),
        ("/a/b", "/v/1", True),
    ]


def test_inherited_mounts_are_handed_on() -> None:
    first = container("first", mount_points=(MountPoint(source_volume="a", container_path="/a"),))
    second = container("second", volumes_from=(VolumesFrom(source_container="first", read_only=True),))
    third = container("third", volumes_from=(VolumesFrom(source_container="second"),))
    found = mounts((third, second, first), third, {"a": "/v/0"})
    assert [(mount.target, mount.source, mount.read_only) for mount in found] == [("/a", "/v/0", True)]


def test_a_source_of_volumes_that_is_named_again_and_again_costs_nothing() -> None:
    """Ten containers, each of which names the one before it a hundred times: as paths that is 10^18. The last holds."""
    point = MountPoint(source_volume="v", container_path="/v")
    chain = [container("c0", mount_points=(point,))]
    for number in range(1, 10):
        source = VolumesFrom(source_container=f"c{number - 1}", read_only=True)
        chain.append(container(f"c{number}", volumes_from=(source,) * 99 + (replace(source, read_only=False),)))
    assert mounts(chain, chain[-1], {"v": "/host/v"}) == (BindMount(source="/host/v", target="/v"),)
    assert [item.name for item in start_order(chain)] == [item.name for item in chain]


def test_containers_start_after_those_whose_volumes_they_take() -> None:
    first = container("first")
    second = container("second", volumes_from=(VolumesFrom(source_container="first"),))
    assert [item.name for item in start_order((second, first))] == ["first", "second"]


def test_a_shared_process_namespace_changes_no_order() -> None:
    side = container("side", essential=False)
    init = container("init", essential=False)
    web = container("web", depends_on=(Dependency(container_name="init", condition="COMPLETE"),))
    told = replace(launch(side, init, web), share_pid_namespace=True)
    records = tuple(ContainerRecord(name=item.name, runtime_id=item.name) for item in told.containers)
    assert next_starts(TaskRecord(launch=told, containers=records), 0.0, 60.0).start == ("side", "init")


@pytest.mark.parametrize(
    ("name", "number"),
    [("", 15), ("SIGQUIT", 3), ("quit", 3), ("9", 9), ("SIGRTMIN+3", 37), ("900", 15), ("nonsense", 15)],
)
def test_stop_signals(name: str, number: int) -> None:
    assert signal_number(name) == number
