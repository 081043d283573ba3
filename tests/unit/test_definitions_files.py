"""Files by labels: what is refused and in which words, and what a launch carries of the rest."""

from typing import Any

import pytest

from neargate.definitions.files import FILES_MAX, PATH_MAX_CHARS, check_files, is_file_path, paths_problem, with_files
from neargate.definitions.rules import check_definition
from neargate.model.errors import ClientError
from neargate.model.launch import ContainerLaunch, InjectedSecret, InlineFile

ACCOUNT = "123456789012"
SECRETS = [{"name": "DB_PASSWORD", "valueFrom": "/db/password"}, {"name": "KEY", "valueFrom": "/key"}]
TEXT, SECRET = "neargate.file:", "neargate.secret-file:"


def request(labels: dict[str, str], *others: dict[str, Any], **container: Any) -> dict[str, Any]:
    web = {"name": "web", "image": "web:1", "secrets": SECRETS, "dockerLabels": labels} | container
    definition: dict[str, Any] = {
        "family": "web",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/execution",
        "volumes": [{"name": "data"}],
        "containerDefinitions": [web, *others],
    }
    check_definition(definition, account=ACCOUNT)
    return definition


def problem(labels: dict[str, str], *others: dict[str, Any], **container: Any) -> str:
    with pytest.raises(ClientError) as refused:
        check_files(request(labels, *others, **container))
    return refused.value.message


@pytest.mark.parametrize(
    "path",
    [
        *("", "etc/app.ini", "//etc/app.ini", "/etc//app.ini", "/etc/app/", "/etc/./app", "/etc/../app", "/.."),
        *("/", "/proc/self/x", "/proc", "/sys/x", "/dev/null", "/dev", "/etc/hosts", "/etc/hostname"),
        *("/etc/resolv.conf", "/a\x7fb", "/a\nb", "/" + "a" * 256, "/" + "ä" * 128, "/a" * 33, "/\ud800"),
        "/" + "/".join(["a" * 200] * 3),
    ],
)
def test_what_is_no_path_of_a_file(path: str) -> None:
    assert not is_file_path(path)


@pytest.mark.parametrize(
    "path", ["/a", "/etc/app/config.ini", "/run/secrets/db", "/process/x", "/etc/hosts.d", "/ä/x y", "/..a", "/a:b=c"]
)
def test_what_is_a_path_of_a_file(path: str) -> None:
    assert is_file_path(path) and len(path) <= PATH_MAX_CHARS


def test_the_words_of_a_refusal() -> None:
    head = "Invalid 'dockerLabels' setting for container 'web'. "
    path = "a path must be absolute and normalised, without control characters, and not below /proc, /sys or /dev"
    cover = "it lies at, above or below the mount point '/data'"
    mounted = {"mountPoints": [{"sourceVolume": "data", "containerPath": "/data/"}]}
    assert problem({f"{TEXT}etc/a": "x"}) == f"{head}'{TEXT}etc/a': {path}."
    assert problem({f"{SECRET}/etc/a": "OTHER"}) == (
        f"{head}'{SECRET}/etc/a': its value is no name of the container's 'secrets'."
    )
    for covered in ("/data", "/data/app.ini"):
        assert problem({TEXT + covered: "x"}, **mounted) == f"{head}'{TEXT}{covered}': {cover}."
    assert problem({"neargate.secretfile:/run/key": "KEY"}) == (
        f"{head}'neargate.secretfile:/run/key': only '{TEXT}PATH' and '{SECRET}PATH' begin with 'neargate.'."
    )


def test_a_typing_error_never_leaves_a_secret_in_the_environment() -> None:
    for label in (
        "neargate.secret-file",
        "neargate.secret-files:/a",
        "neargate.Secret-File:/a",
        "neargate.",
        "neargate.x",
    ):
        assert "begin with 'neargate.'" in problem({label: "KEY"})


def test_two_files_are_not_in_each_others_way() -> None:
    same = "two files have the same path, or one lies below the other"
    assert same in problem({f"{TEXT}/a/b": "x", f"{SECRET}/a/b": "KEY"})
    assert same in problem({f"{TEXT}/a/b": "x", f"{TEXT}/a": "x"})
    assert same in problem({f"{TEXT}/a": "x", f"{TEXT}/a/b": "x"})
    check_files(request({f"{TEXT}/a/b": "x", f"{TEXT}/a/bc": "x"}))


def test_mounts_that_others_have_in_their_hands() -> None:
    """A volume that comes from another container, over two; and a tmpfs, below which a file may lie."""
    far = {"name": "far", "image": "a", "mountPoints": [{"sourceVolume": "data", "containerPath": "/shared"}]}
    near = {"name": "near", "image": "a", "volumesFrom": [{"sourceContainer": "far"}]}
    inherits = {"volumesFrom": [{"sourceContainer": "near"}]}
    assert "the mount point '/shared'" in problem({f"{TEXT}/shared/a": "x"}, far, near, **inherits)
    check_files(request({f"{TEXT}/share/a": "x"}, far, near, **inherits))
    tmpfs = {"linuxParameters": {"tmpfs": [{"containerPath": "/run/x", "size": 1}]}}
    for path in ("/run/x", "/run"):
        assert "it lies at or above the tmpfs '/run/x'" in problem({TEXT + path: "x"}, **tmpfs)
    check_files(request({f"{SECRET}/run/x/key": "KEY"}, **tmpfs))


def test_a_source_of_volumes_that_is_named_again_and_again_costs_nothing() -> None:
    """Ten containers, each of which names the one before it a hundred times: as paths that is 10^18."""
    far = {"name": "c0", "image": "a", "mountPoints": [{"sourceVolume": "data", "containerPath": "/shared"}]}
    chain = [
        {"name": f"c{number}", "image": "a", "volumesFrom": [{"sourceContainer": f"c{number - 1}"}] * 100}
        for number in range(1, 9)
    ]
    last = {"volumesFrom": [{"sourceContainer": "c8"}] * 100}
    assert "the mount point '/shared'" in problem({f"{TEXT}/shared/a": "x"}, far, *chain, **last)


def test_their_number_is_bounded() -> None:
    many = {f"{TEXT}/etc/app/{number}": "x" for number in range(FILES_MAX)}
    check_files(request(many))
    assert "there are more than 32 files" in problem(many | {f"{SECRET}/run/key": "KEY"})
    assert paths_problem([f"/a{number}" for number in range(FILES_MAX + 1)]) == "there are more than 32 files"


def test_each_container_is_judged_and_other_labels_are_labels() -> None:
    side = {"name": "side", "image": "a", "dockerLabels": {f"{SECRET}/a": "KEY"}}
    assert "for container 'side'" in problem({}, side)
    check_files(request({"team": "neargate.file:/a", "com.neargate.x": "y", "Neargate.x": "y"}))


def test_what_the_platform_writes_is_said() -> None:
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        assert problem({TEXT + path: "x"}).endswith(
            f"'{TEXT}{path}': the platform itself writes this file into every container."
        )


def test_a_long_label_is_not_said_whole() -> None:
    assert len(problem({TEXT + "a" * 1000: "x"})) < 700


def test_what_a_launch_carries() -> None:
    labels = {f"{TEXT}/etc/app.ini": "[a]\nb = ä\n", f"{SECRET}/run/key": "KEY", f"{SECRET}/run/again": "KEY", "x": "y"}
    definition = request(labels)
    plain = ContainerLaunch(
        name="web",
        image="web:1",
        arn="arn",
        secrets=tuple(InjectedSecret(name=item["name"], value_from=item["valueFrom"]) for item in SECRETS),
    )
    [found] = with_files([plain], definition)
    assert found.files == (InlineFile(path="/etc/app.ini", text="[a]\nb = ä\n"),)
    assert [(secret.name, secret.file_paths) for secret in found.secrets] == [
        ("DB_PASSWORD", ()),
        ("KEY", ("/run/key", "/run/again")),
    ]
