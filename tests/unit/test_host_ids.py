"""A task's range of the host's user ids, and what its containers are told of it."""

from pathlib import Path
from typing import Any

import pytest

from neargate.hostnet.namespaces import Namespaces
from neargate.hostnet.task_namespaces import TaskNamespaces, seen_from_host
from neargate.hostnet.user_namespaces import UserNamespaces
from neargate.interfaces.hostnet import HostError
from neargate.interfaces.sandbox import BindMount, PauseConfig
from neargate.model.host_ids import IDS, RANGES, UserNamespace, first_of, given_away, mounts_map, task_map
from neargate.sandbox.id_mapped import Twins
from neargate.sandbox.oci_spec import oci_spec
from neargate.sandbox.pause import pause_spec
from neargate.sandbox.users import ResolvedUser

from .test_sandbox_spec import container, host

USERS = UserNamespace(path="/run/users", mounts_path="/run/users.mounts", first=first_of(3))


def test_ranges_are_apart_and_fit_into_31_bits() -> None:
    assert first_of(0) == 1879048192 > 65535, "above what systemd gives containers"
    assert [first_of(n + 1) - first_of(n) for n in (0, RANGES - 2)] == [IDS, IDS]
    assert first_of(RANGES - 1) + IDS - 1 == 2**31 - 1
    for number in (-1, RANGES):
        with pytest.raises(ValueError, match="none of 4096 ranges"):
            first_of(number)


def test_only_a_tasks_own_ids_are_some_of_the_hosts() -> None:
    assert (USERS.of_host(0), USERS.of_host(65535)) == (USERS.first, first_of(4) - 1)
    for inside in (-1, 65536):
        with pytest.raises(ValueError, match="none of a task's 65536 ids"):
            USERS.of_host(inside)


@pytest.mark.parametrize(
    ("subids", "line"),
    [
        ("ana:100000:65536\nroot:1879048191:1\n", None),
        ("ana:100000:65536\nbob:1879048191:2\n", "bob:1879048191:2"),
        ("ana:2147483647:5", "ana:2147483647:5"),
        ("ana:2147483648:5\nbad:line\nbob:1879048192:0", None),
    ],
)
def test_ids_that_users_of_the_machine_have_are_seen(subids: str, line: str | None) -> None:
    assert given_away(subids) == line


def test_root_of_the_host_has_a_place_among_the_owners_of_files_alone() -> None:
    assert task_map(USERS.first) == f"0 {USERS.first} 65536\n"
    assert mounts_map(USERS.first) == f"0 {USERS.first} 65536\n65536 0 1\n"


def test_a_container_joins_by_path_and_is_told_the_maps() -> None:
    user = ResolvedUser(uid=0, gid=0)
    config = container(user_namespace=USERS)
    pause = PauseConfig(runtime_id="r", task_id="t", netns_path="/n", cgroup_path="/c", user_namespace=USERS)
    for spec in (
        oci_spec(config, user, host(), pid_namespace=None, shim_group="g"),
        pause_spec(pause, host(pause_program="/bin/busybox"), "/pause", shim_group="g"),
    ):
        assert {"type": "user", "path": "/run/users"} in spec["linux"]["namespaces"]
        ids = [{"containerID": 0, "hostID": USERS.first, "size": 65536}]
        assert (spec["linux"]["uidMappings"], spec["linux"]["gidMappings"]) == (ids, ids)


def test_a_container_without_one_is_as_ever() -> None:
    mounts = (BindMount(source="/disk/v", target="/v", read_only=True),)
    bare = container(mounts=mounts)
    spec = oci_spec(bare, ResolvedUser(uid=0, gid=0), host(), pid_namespace=None, shim_group="g")
    linux = spec["linux"]
    assert "uidMappings" not in linux and "user" not in {item["type"] for item in linux["namespaces"]}
    assert options(spec, "/v") == ["rbind", "rprivate", "ro"]


def test_a_mount_says_again_what_its_disk_is_or_an_older_runc_may_not_make_it_read_only() -> None:
    mounts = (BindMount(source="/disk/v", target="/v", read_only=True),)
    config = container(mounts=mounts, init_process=True, user_namespace=USERS)
    spec = oci_spec(config, ResolvedUser(uid=0, gid=0), host(), pid_namespace=None, shim_group="g")
    assert options(spec, "/v") == options(spec, "/dev/init") == ["rbind", "rprivate", "ro", "nodev"]


def options(spec: dict[str, Any], target: str) -> list[str]:
    [mount] = [item for item in spec["mounts"] if item["destination"] == target]
    return list(mount["options"])


def test_paths_of_the_disk_and_of_layers_lead_to_their_twins() -> None:
    twins = Twins("/disks/mnt/task")
    assert twins.on_disk("/disks/mnt/task/v/a") == "/disks/mnt/task.ids/v/a"
    assert twins.on_disk("/disks/mnt/task") == "/disks/mnt/task.ids"
    for other in ("/disks/mnt/task.memory/0-0", "/disks/mnt/task2/v", "/usr/bin/tini-static"):
        assert twins.on_disk(other) == other
    assert twins.of_images(("/c/snapshots/12/fs", "/c/snapshots/3/fs")) == (
        "/disks/mnt/task.images/12/fs",
        "/disks/mnt/task.images/3/fs",
    )
    with pytest.raises(OSError, match="not in one directory"):
        twins.of_images(("/c/snapshots/12/fs", "/d/snapshots/3/fs"))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0 2147483647", f"{USERS.first} {USERS.first + 65535}"),
        ("100\t200", f"{USERS.first + 100} {USERS.first + 200}"),
        ("1 0", "1 0"),
        # As groups of the host these were those of other tasks, or its own.
        ("65536 2147483647", "1 0"),
        ("no groups", "no groups"),
    ],
)
def test_groups_in_a_kernel_parameter_are_the_tasks_own(value: str, written: str) -> None:
    assert seen_from_host(USERS, "net.ipv4.ping_group_range", value) == written
    assert seen_from_host(USERS, "net.core.somaxconn", value) == value


def test_a_range_has_one_holder_whatever_the_instance(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    one, other = (UserNamespaces(tmp_path / name, claims) for name in ("one", "other"))
    numbers = [side._claim("task-a") for side in (one, other)]
    assert numbers[1] == numbers[0] + 1, "the same name begins at the same place"
    one.delete("task-a")
    one.delete("task-a")
    assert other._number("task-a") == numbers[1] and other.names() == ["task-a"] and one.names() == []
    assert one._claim("task-a") == numbers[0], "what is given back can be had again"


def test_a_claim_without_a_name_is_given_back_and_that_of_another_instance_only_with_its_directory(
    tmp_path: Path,
) -> None:
    claims = tmp_path / "claims"
    one, other = (UserNamespaces(tmp_path / name, claims) for name in ("one", "other"))
    killed, kept = one._claim("task-a"), one._claim("task-b")
    others = other._claim("task-c")
    (tmp_path / "one" / "task-a.range").unlink()  # as a kill between the two leaves it
    one.sweep()
    assert {int(path.name) for path in claims.iterdir()} == {kept, others} and killed not in (kept, others)
    (tmp_path / "other" / "task-c.range").unlink()
    one.sweep()
    assert (claims / str(others)).is_symlink(), "its own agent may be about to write it"
    (tmp_path / "other").rmdir()
    one.sweep()
    assert [int(path.name) for path in claims.iterdir()] == [kept]
    one.delete("task-b")
    one.sweep()
    assert not claims.exists(), "nothing of it stays on a machine"


def test_a_machine_has_so_many_ranges_and_no_more(tmp_path: Path) -> None:
    claims = tmp_path / "claims"
    claims.mkdir()
    for number in range(RANGES):
        (claims / str(number)).symlink_to("/elsewhere/task")
    with pytest.raises(HostError, match="all 4096 ranges of user ids"):
        UserNamespaces(tmp_path / "one", claims)._claim("task-a")


def test_half_a_namespace_is_none(tmp_path: Path) -> None:
    users = UserNamespaces(tmp_path / "users", tmp_path / "claims")
    users._claim("task-a")
    (tmp_path / "users" / "task-a").touch()
    kept = TaskNamespaces(Namespaces(tmp_path / "netns", lambda _: None), users)
    assert kept.users_of("task-a") is None
    kept.delete_strays(set())
    assert not (tmp_path / "claims").exists() and list((tmp_path / "users").iterdir()) == []


def test_where_users_have_ids_of_tasks_no_task_gets_any(tmp_path: Path) -> None:
    (tmp_path / "subgid").write_text("ana:1900000000:65536\n")
    users = UserNamespaces(tmp_path / "users", tmp_path / "claims")
    kept = TaskNamespaces(
        Namespaces(tmp_path / "netns", lambda _: None), users, (tmp_path / "none", tmp_path / "subgid")
    )
    with pytest.raises(HostError, match="subgid gives ids of tasks to users: ana:1900000000:65536"):
        kept.begin_trial()
