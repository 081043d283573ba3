"""The Firecracker and the jailer that the operator has installed: where, which version, and whether they may be run.

Blocking, asked once. They are run as root (the jailer) and trusted: only root may be able to change them. None is
brought by Neargate.
"""

import os
import re
import stat

from .firecracker_command import FirecrackerProgram
from .qemu_program import said
from .vmm import VmmMissing

VERSION_MIN = (1, 12)
_HOW = "install a release of github.com/firecracker-microvm/firecracker and name both programs"
_VERSION = re.compile(r"v(\d+)\.(\d+)\.\d+\S*")


def find_programs(path: str, jailer: str) -> FirecrackerProgram:
    """Raises VmmMissing, with what to do."""
    identity = []
    versions = []
    for program in (path, jailer):
        identity.append(_checked(program))
        found = _VERSION.search(said([program, "--version"]))
        if found is None or (int(found[1]), int(found[2])) < VERSION_MIN:
            raise VmmMissing(
                f"{program} is {found[0] if found else 'of no known version'}; 1.12 is the first that will do"
            )
        versions.append(found[0])
    if versions[0] != versions[1]:
        raise VmmMissing(f"{path} is {versions[0]} and {jailer} is {versions[1]}: both must be of one release")
    return FirecrackerProgram(path=path, jailer=jailer, version=versions[0], identity=" ".join(identity))


def _checked(program: str) -> str:
    """What changes with it."""
    if not os.path.isabs(program):
        raise VmmMissing(f"{program!r} is no absolute path; {_HOW}")
    try:
        found = os.stat(program)
    except OSError as error:
        raise VmmMissing(f"{program}: {error.strerror}; {_HOW}") from None
    is_others = found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_others or not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IXUSR:
        raise VmmMissing(f"{program} must be a program of root's that nobody else can write; {_HOW}")
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
