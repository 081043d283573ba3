"""Whether a task's disk is mounted. Owns no state."""

from pathlib import Path


def is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly here: one stat, not a walk through mountinfo, as it is asked per start."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False
