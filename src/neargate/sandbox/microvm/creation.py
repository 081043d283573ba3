"""What the host makes of a container before its machine starts: its layer on the task's disk, its user, its blueprint.

Blocking. The same steps as the container engine's (`sandbox.rootfs`), as long as the disk is the host's. Must not know
machines. Invariant: each step may be repeated, and nothing of the image is run.
"""

import os
import shutil

from ...interfaces.sandbox import ContainerConfig, PauseConfig
from .. import rootfs
from ..oci_spec import HostFacts
from ..sentences import cannot_start
from ..users import UnknownUser
from . import places
from .record import Blueprint
from .rights import SWAP_PAGE, swap_header
from .specs import container_blueprint, guest_facts, pause_blueprint

_PROGRAM_MODE = 0o755


class Creation:
    """Implements parts.Creates. `host`: this machine's facts, for the static programs that it lends to guests."""

    def __init__(self, views: rootfs.Views, host: HostFacts) -> None:
        self._views = views
        self._host = host
        self._facts = guest_facts(host.architecture, has_init=host.init_path is not None)

    def container(self, config: ContainerConfig) -> Blueprint:
        """Raises SandboxError, EngineError."""
        layer = rootfs.layer_of(config.disk_path, config.name)
        lowers = self._views.lowers(config.image.snapshot)
        try:
            os.makedirs(layer.upper, mode=0o755, exist_ok=True)
            os.makedirs(layer.work, mode=0o700, exist_ok=True)
            user = rootfs.prepare(config, lowers, layer)
            _make_swap(config)
            if config.init_process and self._host.init_path is not None:
                _lend(self._host.init_path, os.path.join(config.disk_path, places.INIT))
            if config.share_pid_with is not None and self._host.pause_program is not None:
                _lend(self._host.pause_program, os.path.join(config.disk_path, places.PAUSE))
        except UnknownUser as error:
            raise cannot_start(f"unable to start container process: {error}") from None
        except OSError as error:
            raise cannot_start(f"error preparing rootfs: {error.filename}: {error.strerror}") from None
        if config.log_path is not None:
            os.close(os.open(config.log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o640))
        return container_blueprint(config, user, self._facts)

    def pause(self, config: PauseConfig) -> Blueprint:
        """Raises SandboxError."""
        if self._host.pause_program is None:
            raise cannot_start("pidMode task needs a static busybox on the host (package busybox-static)")
        return pause_blueprint(config, self._facts)

    def clear(self, blueprint: Blueprint) -> None:
        rootfs.clear(rootfs.layer_of(blueprint.disk_path, blueprint.name))


def _make_swap(config: ContainerConfig) -> None:
    mib = config.kernel.max_swap_mib if config.kernel is not None else None
    if not mib:
        return
    place = os.open(os.path.join(config.disk_path, places.swap(config.name)), os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.posix_fallocate(place, 0, (mib << 20) + SWAP_PAGE)  # the kernel takes none with a hole in it
        os.pwrite(place, swap_header(mib), 0)
    finally:
        os.close(place)


def _lend(program: str, place: str) -> None:
    os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
    unfinished = f"{place}.copy"
    shutil.copyfile(program, unfinished)
    os.chmod(unfinished, _PROGRAM_MODE)
    os.replace(unfinished, place)
