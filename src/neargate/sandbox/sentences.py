"""What a task's owner reads of a container, or of a command in one, that does not start: AWS's sentences. Pure.

Shared by the engines. Must not know either of them.
"""

import re

from ..interfaces.sandbox import SandboxError
from ..model.lifecycle import REASON_MAX_CHARS

_CANNOT_EXECUTE = (
    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process:"
)
_CANNOT_EXECUTE_IN = "OCI runtime exec failed: exec failed: unable to start container process:"


def cannot_start(detail: str) -> SandboxError:
    prefix = "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: "
    if "OCI runtime create failed" not in detail:
        detail = f"failed to create shim task: OCI runtime create failed: runc create failed: {detail}: unknown"
    return SandboxError((prefix + detail)[:REASON_MAX_CHARS])


def as_runc(detail: str, program: str = "") -> str:
    """crun's sentences in the words that AWS shows (they are runc's). `program` is what was to be executed."""
    beginning = _CANNOT_EXECUTE_IN if "OCI runtime exec failed" in detail else _CANNOT_EXECUTE
    found = re.search(r"executable file `([^`]*)` not found in \$PATH", detail)
    if found:
        name = found.group(1)
        missing = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
        return f'{beginning} exec: "{name}": {missing}: unknown'
    # crun says the second of a directory.
    if program and re.search(r"open executable: (Permission denied|Operation not permitted)", detail):
        return f'{beginning} exec: "{program}": permission denied: unknown'
    return detail
