"""What commands print: lines for whoever reads their output, and notes for the person at the terminal."""

import sys


def say(line: str) -> None:
    print(line, flush=True)


def note(line: str) -> None:
    """Not for what reads the command's output."""
    print(f"neargate: {line}", file=sys.stderr, flush=True)
