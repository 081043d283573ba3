"""From inside a real task's network to the region's endpoint: the execution role's calls, and the region's registry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.execution.exchange import EndpointExchange, Reply, Unreachable
from neargate.interfaces.sandbox import Image, PullRequest, RegistryEndpoint, SandboxError
from neargate.model.knobs import Knobs
from neargate.model.network import REGION_ENDPOINT_ADDRESS, SecurityGroup
from neargate.sandbox.engine import ContainerdSandbox
from neargate.testing.container_rig import ContainerRig
from neargate.testing.netlab import NetLab, eni, plan
from neargate.testing.oci_image import Entry, build_image, build_layer, push
from neargate.testing.registry import RunningRegistry

from .scripted_http import Serve, scripted

pytestmark = pytest.mark.root

PORT = 4566
SHUT = SecurityGroup(group_id="sg-0shut", ingress=(), egress=())
KNOBS = Knobs(execution_call_timeout_s=60.0, execution_answer_max_bytes=1000)  # a slow machine is no silent server
IMPATIENT = replace(KNOBS, execution_call_timeout_s=0.5)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-amzn-RequestId: r-1\r\n\r\n{}"


@asynccontextmanager
async def task_network(directory: Path, serve: Serve | None) -> AsyncIterator[NetLab]:
    """Task `a` (172.31.1.1), whose groups let nothing through, and what serves at its region's endpoint."""
    lab = await NetLab.open(directory)
    try:
        await lab.network.apply_vpc(plan(1, SHUT))
        await lab.attach("a", eni(1, "sg-0shut"))
        if serve is None:
            yield lab
            return
        listener = await lab.network.listen("vpc-0a", REGION_ENDPOINT_ADDRESS, PORT)
        server = await asyncio.start_server(serve, sock=listener)
        yield lab
        server.close()
    finally:
        await lab.close()


def asked(directory: Path, serve: Serve | None, task_id: str = "a", knobs: Knobs = KNOBS) -> Reply | str:
    """What a call is answered, or why there is no answer."""

    async def whole() -> Reply | str:
        async with task_network(directory, serve) as lab:
            exchange = EndpointExchange(lab.network, knobs, PORT)
            headers = [(b"host", exchange.host.encode()), (b"x-amz-target", b"AmazonSSM.GetParameters")]
            try:
                return await exchange.post(task_id, headers, b'{"Names": []}')
            except Unreachable as error:
                return str(error)

    return asyncio.run(whole())


def test_a_call_comes_from_the_task(tmp_path: Path) -> None:
    seen: list[tuple[str, bytes]] = []
    assert asked(tmp_path, scripted(GOOD, seen, hold=True)) == Reply(status=200, request_id="r-1", body=b"{}")
    [(source, request)] = seen
    assert source == "172.31.1.1"
    assert request == (
        b"POST / HTTP/1.1\r\nhost: 169.254.170.10:4566\r\nx-amz-target: AmazonSSM.GetParameters\r\n"
        b'content-length: 13\r\nconnection: close\r\n\r\n{"Names": []}'
    )


FAILED = f'request send failed, Post "http://{REGION_ENDPOINT_ADDRESS}:{PORT}/": '


@pytest.mark.parametrize(
    ("answer", "hold", "why"),
    [
        (b"", False, FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\n", False, FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", True, FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", True, FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", False, FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", True, FAILED + "EOF"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 5000 + b"\r\n\r\n", True, FAILED + "EOF"),
        (b"SSH-2.0-x\r\n\r\n", True, FAILED + "EOF"),
    ],
    ids=["nothing", "half a head", "too long", "negative", "half", "chunked", "long head", "no HTTP"],
)
def test_an_answer_that_is_none(tmp_path: Path, answer: bytes, hold: bool, why: str) -> None:
    assert asked(tmp_path, scripted(answer, [], hold=hold)) == why


def test_silence_has_its_time(tmp_path: Path) -> None:
    answer = asked(tmp_path, scripted(b"", [], hold=True), knobs=IMPATIENT)
    assert answer == "canceled, context deadline exceeded"


def test_nobody_serves(tmp_path: Path) -> None:
    where = f"{REGION_ENDPOINT_ADDRESS}:{PORT}"
    assert asked(tmp_path, None) == f"{FAILED}dial tcp {where}: connect: connection refused"
    assert asked(tmp_path, None, "b") == f"{FAILED}dial tcp {where}: connect: task b has no interface on this host"


def test_the_regions_registry_is_asked_at_the_endpoint_with_the_tasks_own_token(
    rig: ContainerRig, tmp_path: Path
) -> None:
    """Whatever its name means to others, and whoever has the image already: with the wrong token there is none."""
    registry = RunningRegistry(rig.made("own-registry"), users=(("AWS", "token"),))
    built = build_image([build_layer([Entry(path="file", content=b"own")])])
    push(registry.address, "team/web", "1", built, username="AWS", password="token")
    host, _, port = registry.address.partition(":")
    sources: list[str] = []

    async def splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sources.append(writer.get_extra_info("peername")[0])
        from_registry, to_registry = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, to_registry), _copy(from_registry, writer))

    async def story(engine: ContainerdSandbox) -> list[Image | str]:
        async with task_network(tmp_path, splice) as lab:
            [network] = await lab.network.list_tasks()
            waited: list[bool] = []

            async def netns_path() -> str:
                waited.append(True)
                return network.netns_path

            endpoint = RegistryEndpoint(address=REGION_ENDPOINT_ADDRESS, port=PORT)

            async def pull(target: str, account: str, password: str) -> Image | str:
                request = PullRequest(
                    reference=f"123456789012.dkr.ecr.us-east-1.localhost:4566/team/web{target}",
                    account=account,
                    username="AWS",
                    password=password,
                    endpoint=endpoint,
                    netns_path=netns_path,
                )
                try:
                    return await engine.pull_image(request, lambda *_: None)
                except SandboxError as error:
                    return error.reason

            by_digest = f"@{built.digest}"
            pulled = [await pull(":1", "1" * 12, "token"), await pull(by_digest, "2" * 12, "wrong")]
            asks = len(waited)
            pulled.append(await pull(by_digest, "1" * 12, "token"))
            assert len(waited) == asks, "what is cached and authorised waits for no network"
            return pulled

    try:
        own, refused, again = rig.run(story)
    finally:
        registry.stop()
    assert isinstance(own, Image) and isinstance(again, Image)
    assert own.digest == again.digest == built.digest
    assert isinstance(refused, str) and "pull access denied" in refused and refused.startswith("CannotPullContainer")
    assert set(sources) == {"172.31.1.1"}


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()
