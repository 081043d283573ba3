"""Registries that mean ill, over real sockets: slow ones, such that lead into this machine; and pulls given up.

Needs no root: containerd is the shipped fake.
"""

import asyncio
import gc
import http.server
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from neargate.interfaces.sandbox import Image, PullRequest, SandboxError
from neargate.model.knobs import Knobs
from neargate.sandbox.pull.credentials import RegistryAuth
from neargate.sandbox.pull.puller import Puller
from neargate.testing.fake_containerd import FakeContainerd
from neargate.testing.oci_image import BuiltImage, Entry, build_image, build_layer
from neargate.world import OsWorld

from .scripted_http import answer, serving

T = TypeVar("T")
LANES = {"pull": 8, "pull-net": 64}
IMPATIENT = Knobs(
    pull_attempts=1,
    pull_head_timeout_s=0.3,
    pull_read_timeout_s=0.3,
    pull_connect_timeout_s=1.0,
    pull_blob_timeout_s=2.0,
)
BUILT = build_image([build_layer([Entry(path=f"file-{n}", content=b"x" * 100)]) for n in range(3)])


def honest(handler: http.server.BaseHTTPRequestHandler, built: BuiltImage = BUILT) -> None:
    if "/manifests/" in handler.path:
        answer(handler, 200, built.manifest, Content_Type=built.media_type, Docker_Content_Digest=built.digest)
    else:
        answer(handler, 200, built.blobs[handler.path.rpartition("/")[2]])


class Dripping:
    """Sends one byte now and then, until the test is over."""

    def __init__(self, start: bytes, drop: bytes) -> None:
        self._start, self._drop = start, drop
        self.over = threading.Event()
        self.full = threading.Event()  # asked as often as one registry may be at a time
        self.asked = 0

    def __call__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        self.asked += 1
        if self.asked == Knobs().pull_requests_per_registry:
            self.full.set()
        handler.close_connection = True
        try:
            handler.wfile.write(self._start)
            while not self.over.wait(0.02):
                handler.wfile.write(self._drop)
        except OSError:
            return  # the client had enough


class Pullers:
    """Makes them, and closes their connections at the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Puller] = []

    def __call__(
        self, world: OsWorld | None = None, knobs: Knobs = IMPATIENT, named: tuple[str, ...] = ("127.0.0.1",)
    ) -> Puller:
        engine: Any = FakeContainerd(str(self._directory))
        made = Puller(world or OsWorld(LANES), engine, auth=RegistryAuth(), insecure_registries=named, knobs=knobs)
        self._made.append(made)
        return made

    def close(self) -> None:
        for made in self._made:
            made.close()


@pytest.fixture
def puller(tmp_path: Path) -> Iterator[Pullers]:
    made = Pullers(tmp_path)
    yield made
    made.close()


def request(reference: str, account: str = "1") -> PullRequest:
    return PullRequest(reference=reference, account=account)


async def pull(own: Puller, reference: str, account: str = "1") -> Image:
    return await own.pull(request(reference, account), lambda *_: None)


def refusal(own: Puller, reference: str) -> str:
    with pytest.raises(SandboxError) as caught:
        asyncio.run(pull(own, reference))
    assert caught.value.reason.startswith("CannotPullContainerError: ")
    return caught.value.reason


# -------------------------------------------------------------------- slow ones


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("start", "drop", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a", "i/o timeout"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "i/o timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"a", "deadline exceeded"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
            b"T: a\r\n",
            "deadline exceeded",
        ),
    ],
    ids=["head", "continue", "body", "trailers"],
)
def test_an_answer_that_never_ends_is_given_up(puller: Pullers, start: bytes, drop: bytes, words: str) -> None:
    dripping = Dripping(start, drop)
    heads = start.endswith((b"\r\n\r\n", b"0\r\n"))

    def handle(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.command == "HEAD" and heads:
            answer(handler, 200)  # no digest: the document itself is asked for
        else:
            dripping(handler)

    with serving(handle) as address:
        try:
            assert words in refusal(puller(), f"{address}/x")
        finally:
            dripping.over.set()


@pytest.mark.timeout(30)
def test_a_layer_that_drips_is_given_up_and_not_asked_for_again(puller: Pullers) -> None:
    layer = json.loads(BUILT.manifest)["layers"][0]
    dripping = Dripping(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % layer["size"], b"a")

    def handle(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path.endswith(layer["digest"]):
            dripping(handler)
        else:
            honest(handler)

    with serving(handle) as address:
        try:
            own = puller(knobs=Knobs(pull_read_timeout_s=0.3, pull_retry_base_s=0.01))
            assert "context deadline exceeded" in refusal(own, f"{address}/x")
        finally:
            dripping.over.set()
    assert dripping.asked == 1


def test_a_layer_that_comes_byte_by_byte_is_handed_on_as_one(puller: Pullers, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(handler: http.server.BaseHTTPRequestHandler) -> None:
        body = BUILT.blobs.get(handler.path.rpartition("/")[2], b"")
        if not body:
            honest(handler)
            return
        handler.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for byte in body:
            handler.wfile.write(bytes([byte]))

    pieces: list[int] = []
    real = FakeContainerd.write_content

    def write_content(self: FakeContainerd, *, chunks: Any, **rest: Any) -> None:
        come = list(chunks)
        pieces.append(len(come))
        real(self, chunks=come, **rest)

    monkeypatch.setattr(FakeContainerd, "write_content", write_content)
    with serving(handle) as address:
        assert asyncio.run(pull(puller(), f"{address}/x")).digest == BUILT.digest
    assert set(pieces) == {1}


@pytest.mark.timeout(60)
def test_slow_registries_do_not_hold_up_a_good_one(puller: Pullers) -> None:
    """Seven of them, asked by more pulls than there are threads; half of the pulls are given up meanwhile."""
    slow = [Dripping(b"HTTP/1.1 200 OK\r\nX: ", b"a") for _ in range(7)]

    async def story(address: str, others: list[str]) -> Image:
        own = puller(knobs=Knobs(pull_head_timeout_s=600.0, pull_attempts=1))
        waiting = [
            asyncio.ensure_future(pull(own, f"{other}/x", account=str(number)))
            for other in others
            for number in range(20)
        ]
        assert all([await asyncio.to_thread(each.full.wait, 20) for each in slow])
        for task in waiting[::2]:
            task.cancel()
        image = await pull(own, f"{address}/x")
        assert all(each.asked == Knobs().pull_requests_per_registry for each in slow), "a place is held to its end"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for each in slow:
            each.over.set()
        return image

    addresses: list[Any] = [serving(each) for each in slow]
    with serving(honest) as good:
        others = [context.__enter__() for context in addresses]
        try:
            assert asyncio.run(story(good, others)).digest == BUILT.digest
        finally:
            for context in addresses:
                context.__exit__(None, None, None)


# -------------------------------------------------------------------- into this machine


@contextmanager
def untouched() -> Iterator[int]:
    """A port of this machine that nobody may knock at."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        listener.settimeout(0)
        yield listener.getsockname()[1]
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_an_image_name_leads_nowhere_into_this_machine(puller: Pullers) -> None:
    own = puller(named=("127.0.0.1:1",))
    with untouched() as port:
        for host in ("127.0.0.1", "localhost", "127.9.9.9", "0.0.0.0", "[::1]", "[::ffff:7f00:1]", "0177.0.0.1"):
            reason = refusal(own, f"{host}:{port}/x")
            assert "the operator named (--insecure-registries)" in reason or "no such host" in reason, reason
        assert f'Head "http://127.0.0.1:{port}/v2/x/manifests/latest": dial tcp 127.0.0.1:{port}: connect: ' in refusal(
            own, f"127.0.0.1:{port}/x"
        )
        moved = refusal(own, f"127.0.0.1:{port}/x")
        assert "not tried: it is an address of this machine" in moved
        assert "refused" not in moved, "nobody was asked"
    assert "the operator named" in refusal(own, "169.254.169.254/latest/meta-data")
    assert "the operator named" in refusal(own, "169.254.170.2:80/v2")


def test_a_redirect_and_a_token_realm_lead_nowhere_into_this_machine(puller: Pullers) -> None:
    with untouched() as port:
        for host in ("127.0.0.1", "localhost"):
            inside = f"http://{host}:{port}/secret"
            for reply in (
                lambda handler, to=inside: answer(handler, 307, Location=to),
                lambda handler, to=inside: answer(handler, 401, WWW_Authenticate=f'Bearer realm="{to}"'),
            ):
                with serving(reply) as address:
                    assert "the operator named" in refusal(puller(named=(address,)), f"{address}/x")


@pytest.mark.parametrize("far", ["http://127.0.0.1:1/" + "a" * 20_000, "/" + "a" * 20_000])
def test_a_reason_is_short_whatever_a_registry_says(puller: Pullers, far: str) -> None:
    """One that is longer than a report may be would be refused, and its task would never be known to have stopped."""

    def wordy(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(500 if "aaa" in handler.path else 307, "\x1b[2J" + "b" * 30_000)
        handler.send_header("Location", far)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with serving(wordy) as address:
        reason = refusal(puller(), f"{address}/x")
    assert 500 < len(reason) <= 1024 and reason.isprintable()


def test_a_name_that_changes_its_mind_is_dialled_as_it_was_judged(
    puller: Pullers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look-up of a rebinding name would say loopback; there is none."""
    lookups: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: Any, **more: Any) -> Any:
        lookups.append(host)
        return real("192.0.2.1" if len(lookups) == 1 else "127.0.0.1", port, *rest, **more)

    dialled: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        dialled.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    assert "connection refused" in refusal(puller(), "rebinding.example:5000/x")
    assert dialled == ["192.0.2.1"] and lookups == ["rebinding.example"]


def test_of_a_name_s_addresses_only_foreign_ones_are_dialled(puller: Pullers, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, *rest: Any, **more: Any) -> Any:
        both = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*both, (address, port)) for address in ("127.0.0.1", "192.0.2.1", "169.254.169.254")]

    dialled: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        dialled.append(address[0])
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    assert "i/o timeout" in refusal(puller(), "mixed.example:5000/x")
    assert dialled == ["192.0.2.1"]


# -------------------------------------------------------------------- pulls that are given up


class StoppingWorld(OsWorld):
    """Blocking steps are done at once; the one of number `stop_at` never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_at = 0
        self.steps = 0
        self.stopped = asyncio.Event()

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        self.steps += 1
        if self.steps == self.stop_at:
            self.stopped.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        result = function(*args)
        await asyncio.sleep(0)
        return result


async def steps_of_a_pull(address: str, puller: Pullers) -> int:
    world = StoppingWorld()
    await pull(puller(world), f"{address}/x")
    return world.steps


@pytest.mark.timeout(60)
def test_a_pull_may_be_cancelled_at_every_await(puller: Pullers) -> None:
    async def one(address: str, stop_at: int) -> None:
        world = StoppingWorld()
        world.stop_at = stop_at
        own = puller(world)
        engine: Any = own._engine
        pulling, waiting = (asyncio.ensure_future(pull(own, f"{address}/x", account=name)) for name in "ab")
        await world.stopped.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling
        if not waiting.done() and stop_at > 2:
            assert (await waiting).digest == BUILT.digest, "who waited for it leads the next flight"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (await pull(own, f"{address}/x", account="c")).digest == BUILT.digest
        assert not own._flights and not engine.leases and not engine.prepared.keys() - {"x"}

    with serving(honest) as address:
        steps = asyncio.run(steps_of_a_pull(address, puller))
        assert steps > 10
        for stop_at in range(1, steps):
            asyncio.run(one(address, stop_at))


@pytest.mark.timeout(60)
def test_a_pull_that_is_thrown_away_awaits_nothing(puller: Pullers, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the loop is gone: a coroutine that awaits then is a RuntimeError in the garbage collector."""
    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)

    async def one(address: str, stop_at: int) -> None:
        world = StoppingWorld()
        world.stop_at = stop_at
        coroutine: Any = pull(puller(world), f"{address}/x")
        task = asyncio.ensure_future(coroutine)
        await world.stopped.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        coroutine.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with serving(honest) as address:
        for stop_at in range(1, asyncio.run(steps_of_a_pull(address, puller))):
            asyncio.run(one(address, stop_at))
    gc.collect()
    assert [str(each.exc_value) for each in ignored] == []
