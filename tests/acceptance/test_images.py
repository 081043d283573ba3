"""Images of tasks from real registries: who may pull what, in which form, and what an image costs the task's disk."""

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from neargate.testing import oci_image
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_index, build_layer
from neargate.testing.registry import RunningRegistry

from .region import LiveRegion, wait_for
from .token_server import ISSUER, SERVICE, TokenServer

USER, PASSWORD = "operator", "correct horse"
SAY: dict[str, Any] = {"command": ["cat", "/word"]}


@contextmanager
def running(registry: RunningRegistry) -> Iterator[RunningRegistry]:
    try:
        yield registry
    finally:
        registry.stop()


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with one user."""
    with running(RunningRegistry(str(tmp_path_factory.mktemp("private")), users=((USER, PASSWORD),))) as registry:
        yield registry


@pytest.fixture
def credentials(region: LiveRegion) -> Iterator["AuthFile"]:
    file = AuthFile(region.paths.registry_auth)
    yield file
    file.path.unlink(missing_ok=True)


class AuthFile:
    """The operator's file. Written in place, as an editor may do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, registry: str, password: str, user: str = USER) -> None:
        self.path.write_text(json.dumps({"auths": {registry: {"username": user, "password": password}}}))


def image(word: str, *more: oci_image.Layer) -> BuiltImage:
    """busybox with a file /word in a layer of its own."""
    said = build_layer([Entry(path="word", content=f"{word}\n".encode(), mode=0o644)])
    config: dict[str, object] = {"Cmd": ["cat", "/word"], "Env": ["PATH=/bin"]}
    return build_image([oci_image.busybox_layer(), said, *more], config=config)


def says(region: LiveRegion, reference: str) -> str:
    [line] = region.output({"image": reference, **SAY})
    return line


def refused(region: LiveRegion, reference: str) -> str:
    """The reason of a task whose image may not be pulled; what it held is returned."""
    task = region.run_to_end({"image": reference, **SAY})
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert task["containers"][0]["reason"] == task["stoppedReason"]
    assert "exitCode" not in task["containers"][0]
    return str(task["stoppedReason"])


def push(registry: RunningRegistry, name: str, built: BuiltImage) -> str:
    oci_image.push(registry.address, name, "1", built, username=USER, password=PASSWORD)
    return f"{registry.address}/{name}:1"


def test_an_index_with_attestations_and_its_digests(region: LiveRegion) -> None:
    inner = image("from an index")
    index = build_index([("arm64", build_image([], architecture="arm64")), ("amd64", inner)])
    oci_image.push(region.registry, "images/index", "1", index)
    name = f"{region.registry}/images/index"
    for reference in (f"{name}:1", f"{name}@{index.digest}", f"{name}:1@{index.digest}", f"{name}@{inner.digest}"):
        task = region.run_to_end({"image": reference, **SAY})
        assert region.output_of(task["taskArn"]) == ["from an index"]
        assert task["containers"][0]["image"] == reference
        assert task["containers"][0]["imageDigest"] in (index.digest, inner.digest)


def test_layers_cover_each_other_in_order(region: LiveRegion) -> None:
    layers = [build_layer([Entry(path="word", content=f"layer {n}\n".encode(), mode=0o644)]) for n in range(12)]
    hidden = build_layer([Entry(path="tmp/.wh.gone", content=b"")])
    shown = build_layer([Entry(path="tmp/gone", content=b"x")])
    built = image("covered", *layers, shown, hidden)
    oci_image.push(region.registry, "images/layers", "1", built)
    script = "cat /word; ls -A /tmp | wc -l"
    lines = region.output({"image": f"{region.registry}/images/layers:1", "command": ["sh", "-c", script]})
    assert [line.strip() for line in lines] == ["layer 11", "0"]


def test_a_password_from_the_operators_file_counts_at_once(
    region: LiveRegion, private: RunningRegistry, credentials: AuthFile
) -> None:
    """Written, changed and removed while the agent runs. What is cached is not for whoever may not pull it."""
    reference = push(private, "basic", image("behind a password"))
    assert "pull access denied" in refused(region, reference)
    credentials.write(private.address, "wrong")
    assert "authorization failed" in refused(region, reference)
    credentials.write(private.address, PASSWORD)
    assert says(region, reference) == "behind a password"
    digest = region.run_to_end({"image": reference, **SAY})["containers"][0]["imageDigest"]
    by_digest = f"{reference.rpartition(':')[0]}@{digest}"
    assert says(region, by_digest) == "behind a password"
    for password in ("wrong", None):
        if password is None:
            credentials.path.unlink()
        else:
            credentials.write(private.address, password)
        refused(region, reference)
        refused(region, by_digest)
    credentials.path.write_text("{ half a")
    refused(region, reference)
    credentials.write(private.address, PASSWORD)
    assert says(region, by_digest) == "behind a password"


def test_a_registry_that_is_away_does_not_matter_to_what_is_cached_and_authorised(
    region: LiveRegion, private: RunningRegistry, credentials: AuthFile
) -> None:
    reference = push(private, "away", image("cached"))
    never = push(private, "never-pulled", image("not cached"))
    credentials.write(private.address, PASSWORD)
    assert says(region, reference) == "cached"
    private.stop()
    try:
        assert says(region, reference) == "cached"
        assert "connection refused" in refused(region, never)
    finally:
        private.restart()
    assert says(region, never) == "not cached"


def test_tokens(region: LiveRegion, credentials: AuthFile, tmp_path: Path) -> None:
    """The registry sends its client to a token server, which wants the operator's password."""
    server = TokenServer(tmp_path, USER, PASSWORD)
    storage = tmp_path / "registry"
    with running(RunningRegistry(str(storage))) as filling:
        oci_image.push(filling.address, "team/tokens", "1", image("behind a token"))
    tokens = (server.realm, SERVICE, ISSUER, str(server.bundle))
    try:
        with running(RunningRegistry(str(storage), tokens=tokens)) as registry:
            reference = f"{registry.address}/team/tokens:1"
            credentials.write(registry.address, "wrong")
            assert "failed to fetch oauth token" in refused(region, reference)
            assert not server.asked
            credentials.write(registry.address, PASSWORD)
            assert says(region, reference) == "behind a token"
            assert set(server.asked) == {"repository:team/tokens:pull"}
    finally:
        server.close()


def test_an_image_counts_against_the_tasks_disk(region: LiveRegion) -> None:
    """Twice in a task it counts once; another image counts on top."""
    size_kib = 40 * 1024
    noise = random.Random(1).randbytes(size_kib * 1024)
    big = image("big", build_layer([Entry(path="noise", content=noise, mode=0o644)], compress=False))
    oci_image.push(region.registry, "images/big", "1", big)
    reference = f"{region.registry}/images/big:1"
    ask: dict[str, Any] = {"command": ["sh", "-c", "df -k / | tail -1"]}

    def used_kib(*images: str) -> int:
        [line] = region.output(*({"image": name, "essential": n == 0, **ask} for n, name in enumerate(images)))
        return int(line.split()[2])

    small, once, twice = used_kib(region.busybox), used_kib(reference), used_kib(reference, reference)
    assert size_kib <= once - small < 2 * size_kib
    assert twice - once < size_kib // 2


def test_two_tasks_pull_the_same_image_at_once(region: LiveRegion) -> None:
    noise = build_layer([Entry(path="noise", content=random.Random(2).randbytes(8 << 20), mode=0o644)])
    oci_image.push(region.registry, "images/shared", "1", image("shared", noise))
    definition = region.register(
        {
            "image": f"{region.registry}/images/shared:1",
            "logConfiguration": region.log_config("/test/output"),
            **SAY,
        }
    )
    arns = [
        task["taskArn"]
        for task in region.ecs.run_task(
            taskDefinition=definition, launchType="FARGATE", count=4, networkConfiguration=region.network()
        )["tasks"]
    ]
    digests = {region.wait_status(arn, "STOPPED")["containers"][0]["imageDigest"] for arn in arns}
    assert len(digests) == 1
    for arn in arns:
        wait_for("its line", lambda: region.output_of(arn) == ["shared"] or None, 10)  # noqa: B023


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("images/nowhere:1", "not found"),
        ("images/index:other", "not found"),
        ("images/index@sha256:" + "0" * 64, "not found"),
    ],
)
def test_what_is_not_there(region: LiveRegion, name: str, words: str) -> None:
    assert words in refused(region, f"{region.registry}/{name}")


def test_another_architecture(region: LiveRegion) -> None:
    other = build_index([("arm64", build_image([oci_image.busybox_layer()], architecture="arm64"))])
    oci_image.push(region.registry, "images/arm", "1", other)
    assert "platform" in refused(region, f"{region.registry}/images/arm:1")


def test_a_registry_that_forgot_a_layer(region: LiveRegion, tmp_path: Path) -> None:
    with running(RunningRegistry(str(tmp_path))) as registry:
        built = image("torn", build_layer([Entry(path="only-here", content=b"1")]))
        oci_image.push(registry.address, "torn", "1", built)
        layer = list(built.blobs)[-1].removeprefix("sha256:")
        for path in tmp_path.glob(f"storage/docker/registry/v2/blobs/sha256/*/{layer}"):
            shutil.rmtree(path)
        reason = refused(region, f"{registry.address}/torn:1")
        assert "404" in reason or "not found" in reason


@pytest.mark.parametrize("host", ["localhost:{api}", "169.254.169.254", "127.1:{api}"])
def test_an_image_name_that_leads_into_this_machine(region: LiveRegion, host: str) -> None:
    """The region of these tests names 127.0.0.1 only."""
    reason = refused(region, f"{host.format(api=region.port)}/latest/meta-data")
    assert "dial tcp" in reason
    assert "no such host" in reason or "only for registries that the operator named (--insecure-registries)" in reason
