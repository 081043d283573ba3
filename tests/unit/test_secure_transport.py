"""aws:SecureTransport and aws:SourceIp: the connection's own, unless the operator named a proxy that ends TLS."""

import asyncio
import json

import pytest

from neargate.frontend.callers.forwarded import seen_by_proxy
from neargate.testing.front_door import ACCOUNT, REGION, Keys, open_front_door
from neargate.testing.signing import json_headers, signed
from neargate.wire.sigv4 import SignedRequest

ONLY_BY_TLS = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "ecs:*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ],
}
ONLY_FROM_HOME = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Action": "ecs:*",
        "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
    },
}
HTTPS = [(b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-For", b"198.51.100.7, 203.0.113.9")]
LOOPBACK, TASK = "127.0.0.1", "172.31.4.5"


async def status(*, tls_proxy: bool, policy: dict[str, object], peer: str, more: list[tuple[bytes, bytes]]) -> int:
    """Of ListClusters by a user with the policy."""
    door = await open_front_door(tls_proxy=tls_proxy)
    who: Keys = await door.user("ann", policy)
    headers = json_headers("ecs", "ListClusters")
    request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=b"{}")
    now = door.world.now()
    headers = signed(request, key=who.key, secret=who.secret, region=REGION, service="ecs", now=now)
    answer = await door.region.frontend.handle("POST", b"/", b"", [*headers, *more], b"{}", peer)
    if answer.status != 200:
        message = json.loads(answer.body)["message"]
        assert f"arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: ecs:ListClusters" in message
    return answer.status


@pytest.mark.parametrize(
    ("tls_proxy", "peer", "more", "expected"),
    [
        (False, LOOPBACK, [], 400),
        (False, LOOPBACK, HTTPS, 400),
        (True, LOOPBACK, HTTPS, 200),
        (True, LOOPBACK, [], 400),
        (True, TASK, HTTPS, 400),
        (True, LOOPBACK, [*HTTPS, (b"x-forwarded-proto", b"http")], 400),
    ],
)
def test_what_must_come_by_tls(tls_proxy: bool, peer: str, more: list[tuple[bytes, bytes]], expected: int) -> None:
    assert asyncio.run(status(tls_proxy=tls_proxy, policy=ONLY_BY_TLS, peer=peer, more=more)) == expected
    assert asyncio.run(status(tls_proxy=tls_proxy, policy=ONLY_FROM_HOME, peer=peer, more=more)) == (
        200 if tls_proxy and peer == LOOPBACK and more else 400
    )


@pytest.mark.parametrize(
    ("headers", "peer", "expected"),
    [
        ({}, "::1", ("::1", False)),
        ({b"x-forwarded-proto": b"https"}, "::1", ("::1", True)),
        ({b"x-forwarded-proto": b"https, http"}, LOOPBACK, (LOOPBACK, False)),
        ({b"x-forwarded-proto": b"HTTPS"}, LOOPBACK, (LOOPBACK, True)),
        ({b"x-forwarded-for": b"not an address\xff"}, LOOPBACK, (LOOPBACK, False)),
        ({b"x-forwarded-for": b"1.2.3.4,2001:db8::1"}, LOOPBACK, ("2001:db8::1", False)),
        ({b"x-forwarded-proto": b"https"}, "10.0.0.1", ("10.0.0.1", False)),
        ({b"x-forwarded-proto": b"https"}, "", ("", False)),
    ],
)
def test_only_the_last_word_of_a_neighbour_is_believed(
    headers: dict[bytes, bytes], peer: str, expected: tuple[str, bool]
) -> None:
    assert seen_by_proxy(headers, peer) == expected
