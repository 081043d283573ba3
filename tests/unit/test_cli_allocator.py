"""What a process that keeps little keeps of what it freed, as glibc itself tells."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neargate.cli.allocator import LARGE_BYTES

# Four threads allocate a little; then a large block comes and goes, and six megabytes in small ones.
PROGRAM = """
import ctypes, json, sys, threading
from neargate.cli.allocator import keep_little
little, heaps = sys.argv[1:]
if little:
    keep_little()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc.mallinfo2.restype = Info
all_there = threading.Barrier(4)
threads = [threading.Thread(target=lambda: (libc.malloc(1000), all_there.wait())) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.free(ctypes.c_void_p(libc.malloc(8 << 20)))
for block in [ctypes.c_void_p(libc.malloc(100_000)) for _ in range(60)]:
    libc.free(block)
file = ctypes.c_void_p(libc.fopen(heaps.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(json.dumps({"end_bytes": libc.mallinfo2().keepcost}))
"""


def told(little: str, heaps: Path) -> tuple[int, int]:
    """How many heaps there are, and how much is free at the main one's end."""
    argv = [sys.executable, "-c", PROGRAM, little, str(heaps)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return heaps.read_text().count("<heap nr="), int(found["end_bytes"])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_it_has_one_heap_and_gives_its_end_back(tmp_path: Path) -> None:
    heaps, end_bytes = told("little", tmp_path / "told.xml")
    assert heaps == 1 and end_bytes <= LARGE_BYTES + 200_000
    heaps, end_bytes = told("", tmp_path / "told.xml")
    assert heaps > 1 and end_bytes > 5_000_000, "or the C library does it by itself now"
