"""Which words are in a file or in a process: for tests that look for what a task left behind.

Reads only what a sparse file has of its own, since disks of tasks are mostly holes. Invariant: a word is found wherever
it lies, also over the border of two pieces; what cannot be read (a namespace's file, one that just went) has none.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIECE = 1 << 20


class _Wanted:
    """Words that begin alike are looked for at once: where that beginning is not, none of them is."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = {word: word.encode() for word in words}
        least, most = min(self._words.values()), max(self._words.values())
        alike = (number for number, pair in enumerate(zip(least, most, strict=False)) if pair[0] != pair[1])
        self._beginning = least[: next(alike, len(least))]
        self.overlap = max(map(len, self._words.values()))

    def among(self, data: bytes) -> set[str]:
        if self._beginning not in data:
            return set()
        return {word for word, text in self._words.items() if text in data}


def words_in(path: str | Path, words: Iterable[str]) -> set[str]:
    """Those of the words that the file holds."""
    wanted = _Wanted(words)
    found: set[str] = set()
    try:
        with open(path, "rb", buffering=0) as file:
            for start, end in _written(file.fileno()):
                kept = b""
                for at in range(start, end, _PIECE):
                    seen = kept + os.pread(file.fileno(), min(_PIECE, end - at), at)
                    found |= wanted.among(seen)
                    kept = seen[-wanted.overlap :]
    except OSError:
        pass
    return found


def files_with(directories: Iterable[Path], words: Iterable[str]) -> dict[Path, set[str]]:
    """Of the regular files below: which have which. No link is followed."""
    wanted = tuple(words)
    paths = (Path(top, name) for place in directories for top, _, names in os.walk(place) for name in names)
    found = {path: words_in(path, wanted) for path in paths if path.is_file() and not path.is_symlink()}
    return {path: has for path, has in found.items() if has}


def words_in_memory(pid: int, words: Iterable[str]) -> set[str]:
    """Those that are in whatever a process can read: of a machine's monitor, all memory of its guest among it."""
    wanted = _Wanted(words)
    found: set[str] = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if "r" not in rights or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(edge, 16) for edge in span.split("-"))
            kept = b""
            for at in range(start, end, _PIECE):
                try:
                    seen = kept + os.pread(memory.fileno(), min(_PIECE, end - at), at)
                except OSError:
                    continue  # a part of a mapping that nothing is behind
                found |= wanted.among(seen)
                kept = seen[-wanted.overlap :]
    return found


def _written(file: int) -> Iterator[tuple[int, int]]:
    """From where to where there is anything but holes."""
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError:
            return  # nothing more; or a file that knows no holes and has no size
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end
