"""The registry for other machines, as the server starts it: its socket, its certificate, and the authority's file.

What needs root happens in `Outside.open`, before the server steps down: ports below 1024, and keys that only root may
read. Invariant: the authority is on the disk, whole, before a certificate of it is shown.
"""

import socket
from pathlib import Path

from ..frontend.asgi_types import Application
from ..frontend.envelope import Envelope
from ..frontend.images.authority import Authority, AuthorityBroken, new_authority, open_authority, parse_kept
from ..frontend.images.certificates import (
    Certificates,
    CertificateUnusable,
    OperatorFiles,
    OwnCertificates,
    Source,
    context_of,
)
from ..frontend.images.outside import OutsideListener
from ..model.knobs import Knobs
from ..world import World
from . import private_files
from .config import RegionConfig
from .paths import RegionPaths
from .ports import bind_tcp
from .problems import Problem
from .registry_options import name_of, parse_listen


class Outside:
    """The listener of a region that has one. `open` as root, `start` as the server's own user."""

    def __init__(self, config: RegionConfig, listener: socket.socket, files: OperatorFiles | None) -> None:
        self._config = config
        self._listener = listener
        self._files = files

    @classmethod
    def open(cls, config: RegionConfig) -> "Outside | None":
        """None where nothing is to listen. Raises Problem."""
        if not config.registry_listen:
            return None
        files = None
        if config.registry_cert:
            files = operator_files(config)
        return cls(config, _bind(config.registry_listen), files)

    def start(
        self, world: World, knobs: Knobs, paths: RegionPaths, envelope: Envelope, door: Application
    ) -> OutsideListener:
        """Raises Problem."""
        source: Source
        if self._files is not None:
            source = self._files
        else:
            source = OwnCertificates(_authority(self._config, paths, envelope, world), self._config.region, world)
        try:
            certificates = Certificates(world, knobs, source)
        except CertificateUnusable as error:
            raise Problem(f"the registry cannot be served: {error}") from None
        world.spawn(certificates.run(), "registry-certificate")
        found = OutsideListener(world, knobs, self._listener, lambda: certificates.context, door)
        found.start()
        return found


def check_files(config: RegionConfig) -> None:
    """Before anything is started: the operator's files can be used now. Raises Problem."""
    if not config.registry_cert:
        return
    found = operator_files(config)()
    assert found is not None, "the first look finds what is there"
    try:
        context_of(found)
    except CertificateUnusable as error:
        raise Problem(f"--registry-cert, --registry-key: {error}") from None


def operator_files(config: RegionConfig) -> OperatorFiles:
    """Raises Problem."""
    try:
        return OperatorFiles(Path(config.registry_cert), Path(config.registry_key))
    except CertificateUnusable as error:
        raise Problem(f"--registry-cert, --registry-key: {error}") from None


def check_listen(listen: str) -> None:
    """Refuse early what the server could only die of. As root. Raises Problem."""
    _bind(listen).close()


def authority_certificate(paths: RegionPaths) -> str:
    """PEM, of the region's own authority. Raises Problem."""
    try:
        return parse_kept(paths.registry_authority.read_bytes()).certificate
    except FileNotFoundError:
        raise Problem(
            "this region has no authority yet: it is made when the registry first listens for other machines; "
            f"neargate up{paths.as_option} --registry-domain NAME --registry-listen ADDRESS:PORT"
        ) from None
    except PermissionError:
        raise Problem(f"{paths.registry_authority} cannot be read by this user; run as root") from None
    except AuthorityBroken as error:
        raise Problem(f"{paths.registry_authority}: {error}; restore it from a backup") from None


def _bind(listen: str) -> socket.socket:
    return bind_tcp("--registry-listen", listen, *parse_listen(listen))


def _authority(config: RegionConfig, paths: RegionPaths, envelope: Envelope, world: World) -> Authority:
    """What is kept, or another one where that is for another domain or soon over. Raises Problem."""
    domain, path = name_of(config.registry_domain), paths.registry_authority
    if path.exists():
        try:
            found = open_authority(path.read_bytes(), envelope)
        except AuthorityBroken as error:
            raise Problem(
                f"{path}: {error}; restore it, or remove it: then another authority is made, which every machine that "
                "uses the registry has to be given"
            ) from None
        if found.is_good(domain, world.now()):
            return found
    made = new_authority(domain, config.region, world)
    private_files.write(path, made.kept(envelope))
    return made
