"""Which registries are asked through the operator's proxy, and how the way through it is opened."""

import base64
import socket
import threading

import pytest

from neargate.sandbox.pull.dialling import Dialler, NotAllowed
from neargate.sandbox.pull.proxies import Proxies, Proxy, ProxyFailed, Ways, open_tunnel, proxies_of

PROXY = Proxy(host="proxy.lan", port=3128)


def test_the_variables_that_every_tool_reads() -> None:
    found = proxies_of({"HTTPS_PROXY": "http://up:p%40ss@proxy.lan:3128/", "NO_PROXY": " Nas.lan, 10.0.0.0/8 ,,"})
    assert found.http is None
    assert found.https is not None and (found.https.host, found.https.port) == ("proxy.lan", 3128)
    assert found.https.authorization == "Basic " + base64.b64encode(b"up:p@ss").decode()
    assert found.no_proxy == ("nas.lan", "10.0.0.0/8")
    assert "p@ss" not in repr(found) and "dXA6" not in repr(found)
    lower = proxies_of({"http_proxy": "other:8080", "HTTP_PROXY": "http://one"})
    assert lower.http is not None and (lower.http.host, lower.http.port) == ("other", 8080)
    assert proxies_of({}) == Proxies()


@pytest.mark.parametrize(
    "written",
    [
        *("https://proxy.lan", "socks5://p:1", "http://", "http://user:secret@"),
        *("http://user:secret/more@proxy.lan:3128", "http://proxy.lan:99999", "http://[secret"),
    ],
)
def test_a_proxy_that_is_none_is_refused_without_its_password(written: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY must be the URL of an HTTP proxy") as refused:
        proxies_of({"HTTPS_PROXY": written})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "port", "near"),
    [
        ("docker.io", 443, False),
        ("localhost", 5000, True),
        ("1.dkr.ecr.eu.localhost", 4566, True),
        ("127.0.0.1", 4567, True),
        ("::1", 443, True),
        ("nas.lan", 443, True),
        ("a.nas.lan", 443, True),
        ("banas.lan", 443, False),
        ("deep.corp.example", 443, True),
        ("corp.example", 443, True),
        ("port.lan", 5000, True),
        ("port.lan", 5001, False),
        ("10.1.2.3", 443, True),
        ("11.1.2.3", 443, False),
        ("192.0.2.7", 443, True),
        ("192.0.2.8", 443, False),
        ("2001:db8::1", 443, True),
        ("2001:db8::2", 443, False),
        ("2001:db8::2", 5000, True),
    ],
)
def test_who_is_asked_directly(host: str, port: int, near: bool) -> None:
    written = "nas.lan,*.corp.example,port.lan:5000,10.0.0.0/8,no/network,192.0.2.7,2001:db8::1,[2001:db8::2]:5000"
    proxies = Proxies(https=PROXY, no_proxy=tuple(written.split(",")))
    assert (proxies.way_to("https", host, port) is None) is near
    assert proxies.way_to("http", host, port) is None, "there is none for http"
    assert Proxies(https=PROXY, no_proxy=("*",)).way_to("https", host, port) is None


def test_plain_http_is_asked_with_the_whole_url() -> None:
    proxy = Proxy(host="proxy.lan", port=3128, authorization="Basic eDp5")
    dialler = Dialler(monotonic=lambda: 0.0, timeout_s=1, named=())
    ways = Ways(dialler=dialler, proxies=Proxies(http=proxy, https=proxy))
    url = "http://r.example/v2/"
    assert ways.request_line(url, "http", "r.example", 80) == (url, {"Proxy-Authorization": "Basic eDp5"})
    assert ways.request_line(url, "https", "r.example", 443) == (None, {}), "TLS hides it from the proxy"
    assert ways.request_line(url, "http", "localhost", 80) == (None, {})


def test_a_name_of_this_machine_is_refused_before_the_proxy_is_asked() -> None:
    dialler = Dialler(monotonic=lambda: 0.0, timeout_s=1, named=("[::1]:5000",))
    with pytest.raises(NotAllowed):
        dialler.refuse_own("169.254.169.254", 80)
    with pytest.raises(NotAllowed):
        dialler.refuse_own("::1", 22)
    dialler.refuse_own("::1", 5000)
    dialler.refuse_own("192.0.2.1", 443)


def _conversation(answer: bytes) -> tuple[bytes, bytes | ProxyFailed]:
    """What the proxy heard, and what came after its head or was made of it."""
    ours, theirs = socket.socketpair()
    heard = bytearray()

    def proxy() -> None:
        while not heard.endswith(b"\r\n\r\n") and (came := theirs.recv(4096)):
            heard.extend(came)
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=proxy)
    thread.start()
    try:
        open_tunnel(ours, Proxy(host="p", port=1, authorization="Basic eDp5"), "r.example", 443, lambda: 10.0)
        left: bytes | ProxyFailed = ours.recv(4096)
    except ProxyFailed as failed:
        left = failed
    finally:
        thread.join()
        ours.close()
        theirs.close()
    return bytes(heard), left


def test_a_tunnel_leaves_the_first_byte_of_the_registry_where_it_is() -> None:
    heard, left = _conversation(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nTLS")
    assert heard == b"CONNECT r.example:443 HTTP/1.1\r\nHost: r.example:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
    assert left == b"TLS"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxyconnect tcp: 407 Proxy Authentication Required"),
        (b"HTTP/1.1 503\r\n\r\n", "proxyconnect tcp: 503"),
        (b"nonsense\r\n\r\n", "proxyconnect tcp: malformed HTTP response"),
        (b"SSH-2.0 200 OK\r\n\r\n", "proxyconnect tcp: 200 OK"),
        (b"HTTP/1.1 200 OK\r\n", "proxyconnect tcp: EOF"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000, "proxyconnect tcp: EOF"),
        (b"", "proxyconnect tcp: EOF"),
    ],
)
def test_a_proxy_that_opens_nothing(answer: bytes, said: str) -> None:
    _, failed = _conversation(answer)
    assert isinstance(failed, ProxyFailed) and str(failed) == said
