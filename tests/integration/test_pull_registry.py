"""Pulls from a real registry into a real containerd, and from a wicked one."""

import asyncio
import gzip
import hashlib
import http.server
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from neargate.interfaces.sandbox import Image, PullRequest, SandboxError
from neargate.model.knobs import Knobs
from neargate.sandbox.engine import ContainerdSandbox
from neargate.sandbox.pull.credentials import Credentials, RegistryAuth
from neargate.testing.container_rig import ContainerRig
from neargate.testing.oci_image import (
    BuiltImage,
    Entry,
    build_image,
    build_index,
    build_layer,
    busybox_layer,
    push,
    sha256,
)
from neargate.testing.registry import RunningRegistry

from . import scripted_http

pytestmark = pytest.mark.root

ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def private(rig: ContainerRig) -> Iterator[RunningRegistry]:
    registry = RunningRegistry(rig.made("private"), users=(("user", "right"),))
    try:
        yield registry
    finally:
        registry.stop()


def small_image(text: str, **more: object) -> BuiltImage:
    return build_image([build_layer([Entry(path="file", content=text.encode())])], **more)  # type: ignore[arg-type]


def pull(rig: ContainerRig, reference: str, auth: RegistryAuth | None = None, **fields: object) -> Image:
    async def story(engine: ContainerdSandbox) -> Image:
        request = PullRequest(reference=reference, account=ACCOUNT, **fields)  # type: ignore[arg-type]
        return await engine.pull_image(request, lambda *_: None)

    return rig.run(story, auth=auth)


def refusal(rig: ContainerRig, reference: str, auth: RegistryAuth | None = None, **fields: object) -> str:
    with pytest.raises(SandboxError) as caught:
        pull(rig, reference, auth, **fields)
    assert caught.value.reason.startswith("CannotPullContainerError: ")
    return caught.value.reason.removeprefix("CannotPullContainerError: ")


# -------------------------------------------------------------------- what works


def test_an_image_and_what_it_says(rig: ContainerRig) -> None:
    config = {
        "Entrypoint": ["/bin/e"],
        "Cmd": ["c", "d"],
        "Env": ["A=b=c", "EMPTY="],
        "User": "web",
        "WorkingDir": "/w",
        "StopSignal": "SIGQUIT",
        "Volumes": {"/v": {}},
    }
    layers = [busybox_layer(), build_layer([Entry(path="x", content=b"x" * 100_000)], compress=False)]
    built = build_image(layers, config=config)
    seen: list[tuple[int, int]] = []

    async def story(engine: ContainerdSandbox) -> Image:
        request = PullRequest(reference=rig.push("full", built), account=ACCOUNT)
        image = await engine.pull_image(request, lambda done, total: seen.append((done, total)))
        await asyncio.sleep(0)
        return image

    image = rig.run(story)
    assert (image.digest, image.index_digest) == (built.digest, None)
    assert (image.entry_point, image.command) == (("/bin/e",), ("c", "d"))
    assert image.environment == (("A", "b=c"), ("EMPTY", ""))
    assert (image.user, image.working_directory, image.stop_signal) == ("web", "/w", "SIGQUIT")
    assert image.volumes == ("/v",)
    size = sum(len(layer.blob) for layer in layers)
    assert image.compressed_bytes == size and image.unpacked_bytes > 2_000_000
    assert seen and seen[-1] == (size, size) and seen == sorted(seen)
    # A second agent finds it in containerd and says the same.
    assert pull(rig, image.reference) == image


def test_docker_manifests_and_indexes_with_attestations(rig: ContainerRig) -> None:
    amd, arm = small_image("amd", docker=True), small_image("arm", architecture="arm64")
    index = build_index([("arm64", arm), ("amd64", amd)])
    image = pull(rig, rig.push("index", index))
    assert (image.digest, image.index_digest) == (amd.digest, index.digest)
    by_digest = pull(rig, f"{rig.registry.address}/index@{index.digest}")
    assert by_digest.digest == amd.digest


def test_layers_are_shared(rig: ContainerRig) -> None:
    common = build_layer([Entry(path="common", content=b"c" * 500_000)])
    fetched: list[int] = []

    async def story(engine: ContainerdSandbox) -> None:
        for name in ("one", "two"):
            top = build_layer([Entry(path=name, content=name.encode())])
            reference = rig.push(name, build_image([common, top]))
            totals: list[int] = []
            await engine.pull_image(
                PullRequest(reference=reference, account=ACCOUNT), lambda _, total, own=totals: own.append(total)
            )
            await asyncio.sleep(0)
            fetched.append(max(totals))

    rig.run(story)
    assert fetched[0] > len(common.blob) > fetched[1]


def test_basic_authentication(rig: ContainerRig, private: RunningRegistry) -> None:
    built = small_image("private")
    push(private.address, "secret", "latest", built, username="user", password="right")
    reference = f"{private.address}/secret"
    where = f"pull image manifest has been retried 1 time(s): failed to resolve ref {reference}:latest: "
    denied = "pull access denied, repository does not exist or may require authorization: "
    assert refusal(rig, reference) == where + denied + "authorization failed: no basic auth credentials"
    wrong = RegistryAuth(entries=((private.address, Credentials(username="user", password="wrong")),))
    assert refusal(rig, reference, wrong) == where + denied + "authorization failed"
    right = RegistryAuth(entries=((private.address, Credentials(username="user", password="right")),))
    assert pull(rig, reference, right).digest == built.digest
    assert pull(rig, reference, username="user", password="right").digest == built.digest


# -------------------------------------------------------------------- authorisation of what is cached


def test_a_cached_image_is_not_for_everybody(rig: ContainerRig, private: RunningRegistry) -> None:
    built = small_image("only for those who may")
    push(private.address, "mine", "latest", built, username="user", password="right")

    async def story(engine: ContainerdSandbox) -> None:
        async def attempt(account: str, password: str | None, suffix: str = "") -> str:
            user = None if password is None else "user"
            reference = f"{private.address}/mine{suffix}"
            request = PullRequest(reference=reference, account=account, username=user, password=password)
            return (await engine.pull_image(request, lambda *_: None)).digest

        assert await attempt("a", "right") == built.digest
        for account, password in (("a", None), ("a", "wrong"), ("b", None), ("b", "wrong")):
            for suffix in ("", f"@{built.digest}"):
                with pytest.raises(SandboxError, match="pull access denied"):
                    await attempt(account, password, suffix)
        assert await attempt("b", "right") == built.digest

        private.stop()
        try:
            # Granted a moment ago: what is cached can be used, by exactly those.
            assert await attempt("a", "right") == built.digest
            assert await attempt("a", "right", f"@{built.digest}") == built.digest
            assert await attempt("b", "right", f"@{built.digest}") == built.digest
            for account, password in (("c", "right"), ("a", "wrong"), ("a", None)):
                with pytest.raises(SandboxError, match="connection refused"):
                    await attempt(account, password, f"@{built.digest}")
        finally:
            private.restart()

    rig.run(story)


def test_a_grant_ends(rig: ContainerRig, private: RunningRegistry) -> None:
    built = small_image("for a moment")
    push(private.address, "moment", "latest", built, username="user", password="right")

    async def story(engine: ContainerdSandbox) -> None:
        request = PullRequest(
            reference=f"{private.address}/moment@{built.digest}", account=ACCOUNT, username="user", password="right"
        )
        await engine.pull_image(request, lambda *_: None)
        private.stop()
        try:
            with pytest.raises(SandboxError, match="connection refused"):
                await engine.pull_image(request, lambda *_: None)
        finally:
            private.restart()

    rig.run(story, knobs=Knobs(pull_retry_base_s=0.01, pull_authorisation_s=0.0))


def test_a_moved_tag_is_noticed(rig: ContainerRig) -> None:
    old, new = small_image("old"), small_image("new")

    async def story(engine: ContainerdSandbox) -> None:
        assert (await rig.pull(engine, rig.push("moving", old))).digest == old.digest
        assert (await rig.pull(engine, rig.push("moving", new))).digest == new.digest

    rig.run(story)


def test_many_pulls_at_once_fetch_once(rig: ContainerRig) -> None:
    built = small_image("at once" * 1000)
    asked: list[str] = []

    def answer(path: str) -> "Reply":
        asked.append(path)
        return honest(built)(path)

    with wicked_registry(answer) as address:

        async def story(engine: ContainerdSandbox) -> None:
            requests = [PullRequest(reference=f"{address}/x", account=str(number)) for number in range(6)]
            async with asyncio.TaskGroup() as group:
                pulls = [group.create_task(engine.pull_image(request, lambda *_: None)) for request in requests]
            assert {pull.result().digest for pull in pulls} == {built.digest}

        rig.run(story)
    for digest in built.blobs:
        assert asked.count(f"/v2/x/blobs/{digest}") == 1
    # Each account asked for itself.
    assert asked.count("/v2/x/manifests/latest") == 6


# -------------------------------------------------------------------- what does not work, in AWS's words


def test_sentences(rig: ContainerRig) -> None:
    host = rig.registry.address
    assert refusal(rig, f"{host}/nope") == (
        "pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {host}/nope:latest: {host}/nope:latest: not found"
    )
    missing = "sha256:" + "0" * 64
    assert refusal(rig, f"{host}/nope@{missing}").endswith(f"{host}/nope@{missing}: not found")
    assert refusal(rig, "127.0.0.1:1/x:y") == (
        "pull image manifest has been retried 3 time(s): failed to resolve ref 127.0.0.1:1/x:y: failed to do request: "
        'Head "http://127.0.0.1:1/v2/x/manifests/y": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    assert refusal(rig, "Not/A@Reference") == (
        'failed to normalize image reference "Not/A@Reference": invalid reference format'
    )
    arm = build_index([("arm64", small_image("only arm", architecture="arm64"))])
    platform = "image Manifest does not contain descriptor matching platform 'linux/amd64'"
    assert refusal(rig, rig.push("arm", arm)) == f"pull image manifest has been retried 1 time(s): {platform}"
    plain_arm = rig.push("plain-arm", small_image("plain arm", architecture="arm64"))
    assert refusal(rig, plain_arm) == f"pull image manifest has been retried 1 time(s): {platform}"


def test_the_sockets_are_in_the_given_namespace(rig: ContainerRig) -> None:
    # The registry listens on the host's loopback; the namespace's own loopback is another (and down).
    reference = rig.push("elsewhere", small_image("elsewhere"))

    async def inside() -> str:
        return rig.netns_path

    reason = refusal(rig, reference, netns_path=inside)
    assert "connect: network is unreachable" in reason or "connection refused" in reason
    assert pull(rig, reference).digest


class Reply:
    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.status, self.body, self.headers = status, body, headers


def honest(built: BuiltImage) -> Callable[[str], Reply]:
    def answer(path: str) -> Reply:
        if "/manifests/" in path:
            return Reply(200, built.manifest, Content_Type=built.media_type, Docker_Content_Digest=built.digest)
        blob = built.blobs.get(path.rpartition("/")[2])
        return Reply(404) if blob is None else Reply(200, blob)

    return answer


@contextmanager
def wicked_registry(answer: Callable[[str], Reply]) -> Iterator[str]:
    def handle(handler: http.server.BaseHTTPRequestHandler) -> None:
        reply = answer(handler.path)
        scripted_http.answer(handler, reply.status, reply.body, **reply.headers)

    with scripted_http.serving(handle) as address:
        yield address


def check_nothing_was_kept(rig: ContainerRig, built: BuiltImage) -> None:
    client = rig.client()
    assert client.get_image(f"neargate/amd64/x@{built.digest}") is None
    assert client.list_leases() == []
    assert not [name for name in client.list_snapshots() if "unpack" in name]
    client.close()


def test_a_tampered_layer_is_refused(rig: ContainerRig) -> None:
    built = small_image("tampered with")
    layer = json.loads(built.manifest)["layers"][0]["digest"]

    def answer(path: str) -> Reply:
        reply = honest(built)(path)
        if path.endswith(layer):
            reply.body = bytes(len(reply.body))
        return reply

    with wicked_registry(answer) as address:
        reason = refusal(rig, f"{address}/x")
    assert "unexpected commit digest" in reason
    check_nothing_was_kept(rig, built)
    client = rig.client()
    assert client.content_size(layer) is None
    client.close()


def test_a_layer_that_unpacks_to_something_else(rig: ContainerRig) -> None:
    built = small_image("claims another diff id")
    config = json.loads(built.blobs[json.loads(built.manifest)["config"]["digest"]])
    config["rootfs"]["diff_ids"] = [sha256(b"something else")]
    body = json.dumps(config).encode()
    manifest = json.loads(built.manifest)
    manifest["config"] |= {"digest": sha256(body), "size": len(body)}
    lying = BuiltImage(
        manifest=json.dumps(manifest).encode(), media_type=built.media_type, blobs=built.blobs | {sha256(body): body}
    )
    with wicked_registry(honest(lying)) as address:
        assert "wrong diff id calculated on extraction" in refusal(rig, f"{address}/x")
    check_nothing_was_kept(rig, lying)


def test_a_manifest_with_another_digest(rig: ContainerRig) -> None:
    built, asked = small_image("sent"), small_image("asked for")
    with wicked_registry(honest(built)) as address:
        reason = refusal(rig, f"{address}/x@{asked.digest}")
    assert f"the registry sent a manifest with digest {built.digest} for {asked.digest}" in reason


def test_more_than_the_descriptor_says(rig: ContainerRig) -> None:
    built = small_image("too long")
    layer = json.loads(built.manifest)["layers"][0]["digest"]

    def answer(path: str) -> Reply:
        reply = honest(built)(path)
        if path.endswith(layer):
            reply.body += b"more"
        return reply

    with wicked_registry(answer) as address:
        reason = refusal(rig, f"{address}/x")
    assert reason == (
        f"ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: blob {layer} is longer than its "
        "descriptor says"
    )


def test_a_blob_store_that_fails_for_a_moment(rig: ContainerRig) -> None:
    built = small_image("patience")
    failures = {"left": 2}

    def answer(path: str) -> Reply:
        if "/blobs/" in path and failures["left"]:
            failures["left"] -= 1
            return Reply(503)
        return honest(built)(path)

    with wicked_registry(answer) as address:
        assert pull(rig, f"{address}/x").digest == built.digest
    failures["left"] = 100
    other = small_image("no patience")

    def always(path: str) -> Reply:
        return Reply(503) if "/blobs/" in path else honest(other)(path)

    with wicked_registry(always) as address:
        reason = refusal(rig, f"{address}/x")
    assert reason.startswith("ref pull has been retried 3 time(s): failed to copy: httpReadSeeker: failed open: ")
    assert reason.endswith("503 Service Unavailable")


def test_tokens_and_redirects(rig: ContainerRig) -> None:
    """The token goes to the registry only; the blob store behind a redirect never sees it."""
    built = small_image("behind a token")
    stored: list[str | None] = []
    asked: list[tuple[str, str | None]] = []

    def store(handler: http.server.BaseHTTPRequestHandler) -> None:
        stored.append(handler.headers.get("Authorization"))
        scripted_http.answer(handler, 200, built.blobs[handler.path.rpartition("/")[2]])

    with scripted_http.serving(store) as blobs:

        def front(handler: http.server.BaseHTTPRequestHandler) -> None:
            authorization, host = handler.headers.get("Authorization"), handler.headers["Host"]
            asked.append((handler.path.partition("?")[0], authorization))
            if handler.path.startswith("/token"):
                scripted_http.answer(handler, 200, json.dumps({"token": "the-token"}).encode())
            elif authorization != "Bearer the-token":
                challenge = f'Bearer realm="http://{host}/token",service="s",scope="repository:x:pull"'
                scripted_http.answer(handler, 401, b"{}", WWW_Authenticate=challenge)
            elif "/blobs/" in handler.path:
                scripted_http.answer(handler, 307, b"", Location=f"http://{blobs}{handler.path}")
            else:
                scripted_http.answer(handler, 200, built.manifest, Content_Type=built.media_type)

        with scripted_http.serving(front) as host:
            image = pull(rig, f"{host}/x", username="me", password="mine")
    assert image.digest == built.digest
    assert stored == [None, None]
    tokens = [authorization for path, authorization in asked if path == "/token"]
    assert tokens and set(tokens) == {Credentials(username="me", password="mine").basic}


def test_a_bomb_of_a_layer_is_just_a_layer(rig: ContainerRig) -> None:
    """Highly compressed content unpacks onto disk, never into our memory: the sizes that count are told."""
    layer = build_layer([Entry(path="zeros", content=bytes(20_000_000))])
    assert len(layer.blob) < 100_000 and gzip.decompress(layer.blob)
    image = pull(rig, rig.push("bomb", build_image([layer])))
    assert image.unpacked_bytes > 19_000_000
    assert image.snapshot == "sha256:" + hashlib.sha256(gzip.decompress(layer.blob)).hexdigest()
