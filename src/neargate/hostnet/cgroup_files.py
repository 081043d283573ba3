"""Reading and writing cgroup files. Knows no version; a file that a kernel lacks has the caller's default."""

from collections.abc import Iterator
from pathlib import Path

PERIOD_US = 100_000
_QUOTA_MIN_US = 1000


def make(root: Path, *paths: str) -> None:
    """The directories, outermost first. A concurrent removal of the emptied parent is answered by making it again."""
    for path in paths:
        (root / path).mkdir(mode=0o755, parents=True, exist_ok=True)


def quota_us(cpu_units: int) -> int:
    """CPU time per period: 1024 units are one core."""
    return max(_QUOTA_MIN_US, cpu_units * PERIOD_US // 1024)


def write(path: Path, value: str) -> None:
    # One write without truncation: cgroup files take a value per write call.
    with path.open("r+b" if path.exists() else "wb", buffering=0) as file:
        file.write(value.encode())


def read_int(path: Path, default: int | None = None) -> int:
    """`max` reads as 0, no limit. A missing file raises FileNotFoundError unless there is a default."""
    try:
        text = path.read_text().strip()
    except (FileNotFoundError, OSError):
        if default is None:
            raise
        return default
    return 0 if text == "max" else int(text)


def read_table(path: Path) -> dict[str, int]:
    """`name value` lines; empty when the file is missing or its cgroup has just gone."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def read_devices(path: Path) -> Iterator[tuple[int, int, list[str]]]:
    """`MAJOR:MINOR word...` lines as numbers and words; others are passed over. Nothing when the file is missing."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        device, *words = line.split() or [""]
        major, colon, minor = device.partition(":")
        if colon and major.isdigit() and minor.isdigit():
            yield int(major), int(minor), words
