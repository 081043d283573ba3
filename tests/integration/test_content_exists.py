"""Content that the engine has already: it refuses the write in the middle, and a pull takes that for success."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from neargate.sandbox.containerd_client import Containerd

WRITES = 300  # what gRPC's own thread does when is its own affair: each write ends in another order


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Containerd]:
    """A store that has everything, and says so at the first message."""

    def write(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests)
        context.abort(grpc.StatusCode.ALREADY_EXISTS, "content is there")
        yield b""

    class Everything(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            return grpc.stream_stream_rpc_method_handler(write)

    server = grpc.server(ThreadPoolExecutor(4), handlers=[Everything()])
    server.add_insecure_port(f"unix:{tmp_path}/engine.sock")
    server.start()
    client = Containerd(f"{tmp_path}/engine.sock", "test")
    yield client
    client.close()
    server.stop(None).wait()


def test_what_is_there_already_is_no_failure(engine: Containerd) -> None:
    for number in range(WRITES):
        chunks = (bytes(65536) for _ in range(16))
        engine.write_content(
            ref=f"r{number}", digest="sha256:" + 64 * "0", size=16 * 65536, chunks=chunks, labels={}, lease="l"
        )


def test_chunks_that_are_not_wanted_any_more_are_closed(engine: Containerd) -> None:
    """They hold a connection to a registry, which nobody else would give back."""
    closed = threading.Semaphore(0)

    def chunks() -> Iterator[bytes]:
        try:
            for _ in range(16):
                yield bytes(65536)
        finally:
            closed.release()

    kept = [chunks() for _ in range(WRITES)]  # else they would be closed since nobody knows them any more
    for number, each in enumerate(kept):
        engine.write_content(
            ref=f"r{number}", digest="sha256:" + 64 * "0", size=16 * 65536, chunks=each, labels={}, lease="l"
        )
        assert closed.acquire(timeout=10)


def test_a_failure_of_the_chunks_is_told_as_it_is(engine: Containerd) -> None:
    def broken() -> Iterator[bytes]:
        raise OSError("the registry is gone")
        yield b""

    with pytest.raises(OSError, match="the registry is gone"):
        engine.write_content(ref="r", digest="sha256:" + 64 * "0", size=1, chunks=broken(), labels={}, lease="l")
