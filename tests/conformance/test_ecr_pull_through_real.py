"""Images of a real registry through a cache rule: open, behind a password, behind a token server; and a silent one."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing import oci_image
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_index, build_layer
from neargate.testing.registry import RunningRegistry, free_port

from ..acceptance.token_server import ISSUER, SERVICE, TokenServer
from .ecr_rig import Region, live_region, needs_registry
from .scripted_upstream import Handler, upstream

pytestmark = needs_registry
USER, PASSWORD = "puller", "pa55word"


def image(text: str) -> BuiltImage:
    return build_image([build_layer([Entry(path="file", content=text.encode())])])


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    running = RunningRegistry(str(tmp_path_factory.mktemp("open")))
    try:
        yield running
    finally:
        running.stop()


def pulled(region: Region, name: str, tag: str, wanted: BuiltImage) -> None:
    """As a client does: the manifest, then all that it names."""
    found = region.ask("GET", f"{name}/manifests/{tag}")
    assert (found.status, found.body) == (200, wanted.manifest), found.body
    for part in wanted.parts:
        assert region.ask("GET", f"{name}/manifests/{part.digest}").body == part.manifest
    for one in (wanted, *wanted.parts):
        for digest, content in one.blobs.items():
            assert region.ask("GET", f"{name}/blobs/{digest}").body == content


def test_an_open_registry_also_below_no_prefix(registry: RunningRegistry) -> None:
    listed = build_index([("amd64", image("for amd64")), ("arm64", image("for arm64"))])
    oci_image.push(registry.address, "team/web", "1", image("one"))
    oci_image.push(registry.address, "team/web", "all", listed)
    with live_region(upstreams=(registry.address,)) as region:
        for prefix in ("mine", "ROOT"):
            region.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl=registry.address)
        assert region.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="mine")["isValid"] is True
        for name in ("mine/team/web", "team/web"):
            pulled(region, name, "1", image("one"))
            pulled(region, name, "all", listed)
        assert region.ask("GET", "mine/web/manifests/1").status == 404


def test_what_was_cached_outlives_its_registry(tmp_path: Path) -> None:
    running = RunningRegistry(str(tmp_path))
    try:
        oci_image.push(running.address, "web", "1", image("kept"))
        with live_region(upstreams=(running.address,)) as region:
            region.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=running.address)
            pulled(region, "far/web", "1", image("kept"))
            _recorded(region, "far/web")
            running.stop()
            pulled(region, "far/web", "1", image("kept"))
            region.ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix="far")
            pulled(region, "far/web", "1", image("kept"))
            assert region.ask("GET", "far/web/manifests/2").status == 404
            running.restart()
    finally:
        running.stop()


def test_behind_a_password(tmp_path: Path) -> None:
    running = RunningRegistry(str(tmp_path), users=((USER, PASSWORD),))
    try:
        oci_image.push(running.address, "team/closed", "1", image("closed"), username=USER, password=PASSWORD)
        with live_region(upstreams=(running.address,)) as region:
            _rule(region, running.address, "wrong")
            assert region.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="far")["isValid"] is False
            assert region.ask("GET", "far/team/closed/manifests/1").error[0] == "DENIED"
            region.client(region.root, "secretsmanager").put_secret_value(
                SecretId="ecr-pullthroughcache/far", SecretString=_login(PASSWORD)
            )
            assert region.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="far")["isValid"] is True
            pulled(region, "far/team/closed", "1", image("closed"))
    finally:
        running.stop()


def test_behind_a_token_server(tmp_path: Path) -> None:
    server = TokenServer(tmp_path, USER, PASSWORD)
    storage = tmp_path / "registry"
    filling = RunningRegistry(str(storage))
    oci_image.push(filling.address, "team/tokens", "1", image("behind a token"))
    filling.stop()
    running = RunningRegistry(str(storage), tokens=(server.realm, SERVICE, ISSUER, str(server.bundle)))
    named = (running.address, server.realm.removeprefix("http://").removesuffix("/token"))
    try:
        with live_region(upstreams=named) as region:
            _rule(region, running.address, PASSWORD)
            pulled(region, "far/team/tokens", "1", image("behind a token"))
            assert set(server.asked) == {"repository:team/tokens:pull"}
    finally:
        running.stop()
        server.close()


def test_a_silent_registry_holds_nobody_for_ever() -> None:
    knobs = replace(DEFAULT_KNOBS, image_import_s=0.5, pull_head_timeout_s=1.0, pull_read_timeout_s=0.5)
    over = threading.Event()

    def silent(_: Handler) -> None:
        over.wait(60)

    with upstream() as far:
        try:
            with live_region(knobs, upstreams=(far.address,)) as region:
                region.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=far.address)
                far.odd["/v2/mute/"] = silent
                for _ in range(2):
                    said = region.ask("GET", "far/mute/manifests/1")
                    assert (said.status, said.error[0]) == (503, "UNAVAILABLE")
                digest = far.image("loud", "1", b"a layer")
                assert region.ask("GET", "far/loud/manifests/1").headers["docker-content-digest"] == digest
        finally:
            over.set()


def test_a_registry_that_is_not_there() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with live_region(upstreams=(nobody,)) as region:
        region.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=nobody)
        said = region.ask("GET", "far/web/manifests/1")
        assert (said.status, said.error[0]) == (503, "UNAVAILABLE")
        assert "connection refused" in said.error[1]
        failure = region.ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="far")["failure"]
        assert "connection refused" in failure


def _login(password: str) -> str:
    return f'{{"username":"{USER}","accessToken":"{password}"}}'


def _rule(region: Region, host: str, password: str) -> None:
    secrets = region.client(region.root, "secretsmanager")
    arn = secrets.create_secret(Name="ecr-pullthroughcache/far", SecretString=_login(password))["ARN"]
    region.ecr.create_pull_through_cache_rule(ecrRepositoryPrefix="far", upstreamRegistryUrl=host, credentialArn=arn)


def _recorded(region: Region, name: str) -> None:
    for _ in range(600):
        if region.ecr.list_images(repositoryName=name)["imageIds"]:
            return
        region.thread.do(region.live.door.world.sleep(0.05))
    raise AssertionError(f"{name} has no image")
