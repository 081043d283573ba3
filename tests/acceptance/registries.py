"""The tests' own registry beside the regions of a run: Debian's docker-registry on loopback, without passwords.

Regions are told of it (`LiveRegion.up`), as an operator names one of his. Started when the first test needs it, ended
with the run; what a killed run left is ended by the next.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path

from neargate.testing.registry import RunningRegistry

PREFIX = "neargate-tests-registry"
_started: list[tuple[RunningRegistry, str]] = []


def registry_of_tests() -> str:
    """Its host and port."""
    if not _started:
        folder = tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-")
        _started.append((RunningRegistry(folder), folder))
    return _started[0][0].address


def end_registry() -> None:
    while _started:
        registry, folder = _started.pop()
        registry.stop()
        shutil.rmtree(folder)


def end_abandoned_registries() -> None:
    """Of runs that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-*"):
        if Path("/proc", folder.name.split("-")[3]).exists() or folder.stat().st_uid != os.geteuid():
            continue
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # ended while we looked
            if words[1:3] == [b"serve", os.fsencode(folder / "config.yml")]:
                os.kill(int(process.name), signal.SIGTERM)
        shutil.rmtree(folder)
