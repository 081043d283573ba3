"""Directories for the files of a run, which must not outlive it: not even where its process was killed.

Owns their names, which say whose they are. Must not know what lies in them.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "neargate-sim-"


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for the files of this process's run. Those of processes that were killed go with the next batch."""
    root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def remove_abandoned() -> None:
    """What processes that were killed could not remove themselves."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = path.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            shutil.rmtree(path, ignore_errors=True)
