"""The command `neargate`: errors become one line; the two long-running halves start without the other imports."""

import sys


def main() -> None:
    """Exit status 0 on success, 1 on a Problem, 2 on wrong usage."""
    from .problems import Problem

    try:
        if len(sys.argv) > 1 and sys.argv[1] == "server":
            from .server import main as server

            server(sys.argv[2:])
        elif len(sys.argv) > 1 and sys.argv[1] == "agent":
            from .agent import main as agent

            agent(sys.argv[2:])
        else:
            from .commands import run

            sys.exit(run(sys.argv[1:]))
    except Problem as problem:
        print(f"neargate: {problem}", file=sys.stderr)
        sys.exit(1)
