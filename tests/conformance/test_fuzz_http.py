"""The fuzz targets with fixed seeds; `make soak` runs them without end."""

import asyncio

import pytest

from neargate.frontend.errors import Response

from . import fuzz


@pytest.mark.timeout(300)
def test_edited_requests_are_answered_in_a_protocol_and_never_by_a_5xx() -> None:
    fuzz.fuzz_requests(fuzz.seeded(1_500))


@pytest.mark.timeout(300)
def test_edited_bytes_are_answered_or_the_connection_is_closed() -> None:
    fuzz.fuzz_bytes(fuzz.seeded(300))


def test_the_seeds_are_right_requests_in_every_protocol() -> None:
    kinds = {dict(request.headers).get(b"content-type", b"").split(b";")[0] for request in fuzz.SEEDS}
    assert kinds == {
        b"",
        b"application/cbor",
        b"application/json",
        b"application/x-amz-json-1.0",
        b"application/x-amz-json-1.1",
        b"application/x-www-form-urlencoded",
    }


def test_the_seeds_reach_operations_in_every_protocol() -> None:
    """A fuzz target whose requests all end at the door would find nothing."""
    reached = set()
    with asyncio.Runner() as runner:
        front = runner.run(fuzz.front_end())
        for kind, seeds in fuzz.BY_TYPE.items():
            for seed in seeds[:60]:
                headers = [(b"host", b"127.0.0.1"), *seed.headers]
                response = runner.run(front.handle(seed.method, seed.path, seed.query, headers, seed.body))
                if response.status == 200 or b"There are no things." in response.body:
                    reached.add(kind)
    assert reached == set(fuzz.BY_TYPE)


def test_a_5xx_and_an_answer_in_no_protocol_are_found() -> None:
    with pytest.raises(AssertionError):
        fuzz.check_response(Response(status=500, headers=(), body=b""))
    with pytest.raises(AssertionError):
        fuzz.check_response(Response(status=400, headers=(), body=b"no"))
