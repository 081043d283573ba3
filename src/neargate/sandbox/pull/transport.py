"""HTTP to registries: one request at a time per connection, connections kept between pulls, redirects followed safely.

Owns: connections and TLS, and the rule that credentials never follow a redirect to another host. Must not know
manifests or authentication schemes. Blocking: runs on a lane of the world. Invariant: no answer takes longer than its
`Patience`, whatever the server does, and no connection leads to an address that `Ways` refuses.
"""

import collections
import http.client
import socket
import ssl
import threading
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from .dialling import NotAllowed, host_and_port
from .failures import PullFailure, transport_failure
from .pace import Pace, PacedSocket, Patience, TooSlow
from .proxies import ProxyFailed, Ways

_REDIRECTS_MAX = 5
_IDLE_MAX = 64  # of all registries together; one has no more than its share of threads
_DRAIN_READS_MAX = 4
_DRAIN_BYTES = 64 * 1024
_USER_AGENT = "neargate"
_NOT_ALLOWED = (
    "connect: not tried: it is an address of this machine, and those are only for registries that the operator named "
    "(--insecure-registries)"
)


Pinned = tuple[str, int]  # address and port that are dialled whatever the URL's name means


class Origin(Struct, frozen=True, kw_only=True):
    """Where a connection leads: also the key under which idle ones are kept. Namespaces never share connections."""

    netns_path: str | None
    scheme: str
    host: str  # with port if the URL has one
    pinned: Pinned | None = None


class Answer(Struct):
    """A response whose body is read with `read`; `close` must be called (it returns the connection).

    `pace` bounds the whole body; a caller who wants it sooner says so there.
    """

    status: int
    reason: str
    url: str
    headers: http.client.HTTPMessage
    pace: Pace
    _response: http.client.HTTPResponse
    _connection: http.client.HTTPConnection
    _origin: Origin
    _transport: "Transport"

    def read(self, amount: int) -> bytes:
        """The next `amount`, less only at the end; then empty. A server that sends byte by byte does not get a message
        to containerd and a look at the disk made for each of them; how long it may take is `pace`'s matter.
        """
        try:
            data = self._response.read(amount)
            if self._response.length == 0:
                self._response.read()  # at its end: frees the connection for the next request
        except TooSlow:
            raise PullFailure(f'failed to read "{self.url}": context deadline exceeded') from None
        except (OSError, http.client.HTTPException) as error:
            raise transport_failure("GET", self.url, self._origin.host, _as_os_error(error)) from None
        if not data and self._response.length:
            raise transport_failure("GET", self.url, self._origin.host, ConnectionResetError())
        return data

    def drain(self) -> None:
        """A short body to its end, so that the connection is kept; a long one costs the connection."""
        for _ in range(_DRAIN_READS_MAX):
            if not self.read(_DRAIN_BYTES):
                return

    def close(self) -> None:
        """Keep the connection when the body was read to its end, otherwise drop it."""
        if self._response.isclosed() and not self._response.will_close:
            self._transport.keep(self._origin, self._connection)
        else:
            self._connection.close()


class Transport:
    """Shared by all pulls of a host; safe for use from many threads."""

    def __init__(self, *, ways: Ways, patience: Patience, monotonic: Callable[[], float]) -> None:
        self._ways = ways
        self._patience = patience
        self._monotonic = monotonic
        self._idle: collections.deque[tuple[Origin, http.client.HTTPConnection]] = collections.deque()  # oldest first
        self._idle_lock = threading.Lock()
        self._is_closed = False
        self._tls = ssl.create_default_context()

    def request(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        *,
        netns_path: str | None,
        pinned: Pinned | None = None,
        follow: bool = True,
    ) -> Answer:
        """Raises PullFailure when the server cannot be reached. Any status is an answer.

        `pinned` holds for the URL's own host, not for where it redirects to.
        """
        first_host = urlsplit(url).netloc
        for _ in range(_REDIRECTS_MAX + 1):
            parts = urlsplit(url)
            own = dict(headers)
            if parts.netloc != first_host:
                # A blob store is another party: it gets no credentials of the registry.
                own.pop("Authorization", None)
            answer = self._once(method, url, own, netns_path, pinned if parts.netloc == first_host else None)
            if not follow or answer.status not in (301, 302, 303, 307, 308):
                return answer
            location = answer.headers.get("Location", "")
            answer.drain()
            answer.close()
            url = _redirected(url, location)
        raise PullFailure(f"stopped after {_REDIRECTS_MAX} redirects of {url}")

    def keep(self, origin: Origin, connection: http.client.HTTPConnection) -> None:
        surplus: http.client.HTTPConnection | None = connection
        # A namespace's connections die with its task, so only the host's are worth keeping.
        if origin.netns_path is None:
            with self._idle_lock:
                self._idle.append((origin, connection))
                surplus = self._idle.popleft()[1] if self._is_closed or len(self._idle) > _IDLE_MAX else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """None is kept any more. The thread of a pull that was given up may still be at an answer."""
        with self._idle_lock:
            self._is_closed = True
            kept = [connection for _, connection in self._idle]
            self._idle.clear()
        for connection in kept:
            connection.close()

    def _kept(self, origin: Origin) -> http.client.HTTPConnection | None:
        """The connection that was idle for the shortest time; now the caller's."""
        with self._idle_lock:
            for place in range(len(self._idle) - 1, -1, -1):
                if self._idle[place][0] == origin:
                    connection = self._idle[place][1]
                    del self._idle[place]
                    return connection
        return None

    def _once(
        self, method: str, url: str, headers: dict[str, str], netns_path: str | None, pinned: Pinned | None
    ) -> Answer:
        parts = urlsplit(url)
        origin = Origin(netns_path=netns_path, scheme=parts.scheme, host=parts.netloc, pinned=pinned)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        # Signed URLs of blob stores cover the Host header, so it says exactly what the URL says.
        own = {"Host": parts.netloc, "User-Agent": _USER_AGENT, **headers}
        try:
            host, port = host_and_port(url)
        except ValueError:
            raise PullFailure(f"no valid host and port in {url[:200]}") from None
        whole, shown = self._ways.request_line(url, parts.scheme, host, port)
        target, own = whole or target, own | shown
        while (connection := self._kept(origin)) is not None:
            try:
                return self._exchange(connection, origin, method, url, target, own)
            except TimeoutError as error:
                # It took the request and is silent: each further idle connection would be as long a wait.
                connection.close()
                raise transport_failure(method, url, origin.host, error) from None
            except (OSError, http.client.HTTPException, UnicodeError):
                connection.close()  # the server closed it while it was idle: the next one, or a new one
        connection = self._connect(origin, method, url, host, port)
        try:
            return self._exchange(connection, origin, method, url, target, own)
        except UnicodeError:
            # A URL that the server gave, with what no request line or header can carry.
            connection.close()
            raise PullFailure(f"cannot ask for {url[:200]!a}") from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise transport_failure(method, url, origin.host, _as_os_error(error)) from None

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        origin: Origin,
        method: str,
        url: str,
        target: str,
        headers: dict[str, str],
    ) -> Answer:
        paced = connection.sock
        if not isinstance(paced, PacedSocket):
            raise http.client.NotConnected  # closed by its own last answer
        paced.pace.expect_head()
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        paced.pace.expect_body()
        return Answer(
            status=response.status,
            reason=response.reason,
            url=url,
            headers=response.headers,
            pace=paced.pace,
            _response=response,
            _connection=connection,
            _origin=origin,
            _transport=self,
        )

    def _connect(self, origin: Origin, method: str, url: str, host: str, port: int) -> http.client.HTTPConnection:
        where = origin.host if ":" in origin.host else f"{origin.host}:{port}"
        connection = http.client.HTTPConnection(host, port)
        try:
            if origin.pinned is not None:
                plain = self._ways.dialler.dial_trusted(origin.netns_path, *origin.pinned)
            else:
                plain = self._ways.dial(origin.netns_path, origin.scheme, host, port)
            connection.sock = PacedSocket(
                self._secured(plain, host, origin.scheme == "https"), Pace(self._patience, self._monotonic)
            )
        except NotAllowed:
            # Not "unreachable": what was granted under this name before does not hold for where it points now.
            failed = f'failed to do request: {method.capitalize()} "{url}": dial tcp {where}: {_NOT_ALLOWED}'
            raise PullFailure(failed) from None
        except ProxyFailed as error:
            raise PullFailure(
                f'failed to do request: {method.capitalize()} "{url}": {error}', retryable=True, unreachable=True
            ) from None
        except (OSError, UnicodeError) as error:
            raise transport_failure(method, url, where, error) from None
        # http.client must not open a connection of its own: it would be in this thread's namespace, and unjudged.
        connection.auto_open = 0
        return connection

    def _secured(self, plain: socket.socket, host: str, secure: bool) -> socket.socket:
        plain.settimeout(self._patience.head_s)  # for the whole handshake
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not secure:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
        scheme, before = urlsplit(target).scheme, urlsplit(url).scheme
    except ValueError:
        raise PullFailure(f"refused the redirect of {url} to {location[:200]}") from None
    if scheme not in ("http", "https") or (before == "https" and scheme != "https"):
        raise PullFailure(f"refused the redirect of {url} to {target[:200]}")
    return target


def _as_os_error(error: Exception) -> Exception:
    return error if isinstance(error, OSError) else ConnectionError(str(error))
