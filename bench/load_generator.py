"""Sends one JSON call again and again over a few connections, each with one call in flight, and counts the answers.

A process of its own (order on stdin, result on stdout as JSON), so that its CPU is known. A request is signed once a
second: within that second a real client's bytes would be the same.
"""

import json
import resource
import selectors
import socket
import sys
import time
from typing import Any

from .client import encode, says_close, whole_answer


class Caller:
    """One connection with at most one call in flight."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60.0)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = bytearray()
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.data.clear()
        self.sent_at = time.perf_counter()
        self.connection.sendall(request)


class Generator:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._body = json.dumps(order["request"]).encode()
        self._signed_at = 0
        self._request = b""
        self.took_ms: list[float] = []
        self.accepted = 0
        self.refused = 0
        self.first_refusal = ""

    def request(self) -> bytes:
        now = int(time.time())
        if now != self._signed_at:
            key, secret = self._order["keys"]
            host = f"127.0.0.1:{self._order['port']}"
            self._request = encode(host, key, secret, "ecs", "RunTask", self._body, now)
            self._signed_at = now
        return self._request

    def run(self) -> dict[str, Any]:
        selector = selectors.DefaultSelector()
        begun = time.perf_counter()
        end = begun + self._order["seconds"]
        for _ in range(self._order["callers"]):
            caller = self._connect(selector)
            caller.send(self.request())
        waiting = self._order["callers"]
        while waiting:
            for key, _ in selector.select():
                caller = key.data
                part = caller.connection.recv(262144)
                if not part:
                    raise RuntimeError("the server closed a connection in the middle of a call")
                caller.data += part
                found = whole_answer(caller.data)
                if found is None:
                    continue
                self._count(caller, *found)
                if says_close(caller.data):
                    selector.unregister(caller.connection)
                    caller.connection.close()
                    caller = self._connect(selector)
                if time.perf_counter() < end:
                    caller.send(self.request())
                else:
                    waiting -= 1
        return self._result(time.perf_counter() - begun)

    def _connect(self, selector: selectors.BaseSelector) -> Caller:
        caller = Caller(self._order["port"])
        selector.register(caller.connection, selectors.EVENT_READ, caller)
        return caller

    def _count(self, caller: Caller, status: int, body: bytes) -> None:
        self.took_ms.append((time.perf_counter() - caller.sent_at) * 1000)
        if status == 200 and b'"taskArn"' in body:
            self.accepted += 1
        else:
            self.refused += 1
            self.first_refusal = self.first_refusal or f"{status} {body[:300]!r}"

    def _result(self, seconds: float) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        ordered = sorted(self.took_ms)
        return {
            "seconds": seconds,
            "accepted": self.accepted,
            "refused": self.refused,
            "first_refusal": self.first_refusal,
            "p50_ms": ordered[len(ordered) // 2],
            "p99_ms": ordered[int(len(ordered) * 0.99)],
            "client_cpu_s": used.ru_utime + used.ru_stime,
        }


if __name__ == "__main__":
    print(json.dumps(Generator(json.loads(sys.stdin.read())).run()))
