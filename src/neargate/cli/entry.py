"""The command `neargate`: errors become one line; the two long-running halves start without the other imports."""

import gc
import os
import sys
from collections.abc import Callable, Sequence


def _told(run: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """What the system refuses a command (no room, no right, no file) is the user's to mend, like a Problem."""
    from .problems import Problem

    try:
        return run(words)
    except BrokenPipeError:
        raise
    except PermissionError as error:
        raise Problem(f"{error.filename or 'the region'} is not open to this user; run as root") from error
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise Problem(f"{what}{error.strerror or error}") from error


def main() -> None:
    """Exit status 0 on success, 1 on a Problem, 2 on wrong usage."""
    from .problems import Problem

    is_root = os.geteuid() == 0  # the server steps down later
    try:
        if len(sys.argv) > 1 and sys.argv[1] == "server":
            gc.disable()  # modules are no garbage, and to look for some takes a tenth of their time; main enables it
            from .server_start import start

            started = start(sys.argv[2:])
            from .server import main as server  # what it loads, its writing process is spared

            server(started)
        elif len(sys.argv) > 1 and sys.argv[1] == "agent":
            gc.disable()
            from .agent import main as agent

            agent(sys.argv[2:])
        else:
            from .commands.parser import run

            sys.exit(_told(run, sys.argv[1:]))
    except Problem as problem:
        print(f"neargate: {problem}", file=sys.stderr)
        sys.exit(1)
    except PermissionError as error:
        if is_root:
            raise  # of a half that runs: where it came from is wanted in its log
        print(f"neargate: {error.filename or 'the region'} is not open to this user; run as root", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C in a command that waits; what it waited for goes on
    except BrokenPipeError:
        # Whoever read the output, for example head, has seen enough. Nothing must be flushed into it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
