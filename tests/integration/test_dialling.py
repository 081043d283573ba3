"""The first of a name's addresses that answers is taken; what this machine cannot reach is passed over."""

import socket
from typing import Any, cast

import pytest

from neargate.sandbox.pull.dialling import Address, Dialler, connect_first

NO_FAMILY = cast(socket.AddressFamily, 4095)  # as IPv6 where a kernel is built without it


def entry(address: Any, family: socket.AddressFamily = socket.AF_INET) -> Address:
    return family, socket.SOCK_STREAM, 0, "", address


def test_addresses_that_cannot_be_reached_are_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = closed.getsockname()
        closed.close()
        tried = [entry(("::1", 1, 0, 0), NO_FAMILY), entry(refusing), entry(listener.getsockname())]
        with connect_first(tried, lambda: 10.0) as connection:
            assert connection.getpeername() == listener.getsockname()
        with pytest.raises(ConnectionRefusedError):
            connect_first(tried[:2], lambda: 10.0)
        with pytest.raises(TimeoutError):
            connect_first(tried, lambda: 0.0)


def test_what_tasks_are_not_led_to_is_dialled_from_the_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        dialler = Dialler(monotonic=lambda: 0.0, timeout_s=10.0, named=(host,))
        with pytest.raises(FileNotFoundError):
            dialler.dial("/no/namespace", host, port)
        from_host = Dialler(monotonic=lambda: 0.0, timeout_s=10.0, named=(host,), carried=lambda _: False)
        with from_host.dial("/no/namespace", host, port) as connection:
            assert connection.getpeername() == (host, port)
        with pytest.raises(FileNotFoundError):
            from_host.dial_trusted("/no/namespace", host, port)  # the region's own endpoint is in the task's network
