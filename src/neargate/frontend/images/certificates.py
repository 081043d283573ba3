"""The certificate that the registry shows to other machines: the region's authority's own, or the operator's files.

Owns when another one is due and the TLS settings. Must not know sockets. Invariants: a key of ours is on no disk; a
certificate that cannot be used never takes the place of one that can.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ...log import get_logger
from ...model.knobs import Knobs
from ...world import World
from .authority import Authority, Issued

Source = Callable[[], Issued | None]  # None: nothing newer than what it gave the last time
PEM_MAX_BYTES = 1024 * 1024


class CertificateUnusable(Exception):
    """The message says which file, and shows nothing of it."""


class OwnCertificates:
    """Of the region's authority, a new one in time."""

    def __init__(self, authority: Authority, region: str, world: World) -> None:
        self._authority = authority
        self._region = region
        self._world = world
        self._until = 0.0

    def __call__(self) -> Issued | None:
        if self._world.now() < self._until:
            return None
        found = self._authority.issue(self._region, self._world)
        self._until = found.until
        return found


class OperatorFiles:
    """The operator's own certificate (with those between it and its authority) and key, again when they change.

    Read at once, while the process may still be root's, who reads every key; later as whoever it is by then.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises CertificateUnusable."""
        self._certificate = certificate
        self._key = key
        self._seen: tuple[object, ...] = ()
        self._first = self._look()

    def __call__(self) -> Issued | None:
        """Raises CertificateUnusable."""
        found, self._first = self._first, None
        return found or self._look()

    def _look(self) -> Issued | None:
        try:
            seen = self._versions()
            if seen == self._seen:
                return None
            found = Issued(certificate=_read(self._certificate), key=_read(self._key), until=float("inf"))
        except OSError as error:
            raise CertificateUnusable(f"{error.filename} cannot be read: {error.strerror}") from None
        self._seen = seen
        return found

    def _versions(self) -> tuple[object, ...]:
        facts = [os.stat(path) for path in (self._certificate, self._key)]
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in facts)


def context_of(issued: Issued) -> ssl.SSLContext:
    """Raises CertificateUnusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _file(issued.certificate) as certificate, _file(issued.key) as key:
            context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise CertificateUnusable(f"certificate and key cannot be used: {why}") from None
    return context


class Certificates:
    """`source` is asked at once, and then whenever there may be another one."""

    def __init__(self, world: World, knobs: Knobs, source: Source) -> None:
        """Raises CertificateUnusable."""
        first = source()
        assert first is not None, "a source has one at the beginning"
        self._world = world
        self._knobs = knobs
        self._source = source
        self._context = context_of(first)
        self._log = get_logger(__name__)
        self._complaint = ""

    @property
    def context(self) -> ssl.SSLContext:
        return self._context

    async def run(self) -> None:
        while True:
            await self._world.sleep(self._knobs.registry_certificate_look_s)
            self.look()

    def look(self) -> None:
        """Take what is new. What cannot be used is said once, and the old one stays."""
        try:
            found = self._source()
            if found is not None:
                self._context = context_of(found)
            complaint = ""
        except CertificateUnusable as error:
            complaint = str(error)
        if complaint and complaint != self._complaint:
            self._log.warning("the registry's certificate stays as it was", why=complaint)
        self._complaint = complaint


@contextmanager
def _file(text: bytes) -> Iterator[str]:
    """In memory: Python's ssl reads files only."""
    with closing(open(os.memfd_create("pem", os.MFD_CLOEXEC), "wb", buffering=0)) as file:
        file.write(text)
        yield f"/proc/self/fd/{file.fileno()}"


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    return ""


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(PEM_MAX_BYTES + 1)
    if len(text) > PEM_MAX_BYTES:
        raise CertificateUnusable(f"{path} is longer than a certificate")
    return text
