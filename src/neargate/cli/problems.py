"""What a command cannot do and how its user mends it: printed as one line, never as a stack."""

from pathlib import Path


class Problem(Exception):
    """The text says what is wrong, where, and what to type."""


class NoServer(Problem):
    """The region's server does not run or does not answer; what is known without it may be added."""


def no_room(data: Path) -> str:
    """What a full disk means for its user."""
    return f"no room is left on the disk of {data}; make some there (df -h shows how much), or choose another --data"
