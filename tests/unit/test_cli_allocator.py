"""Threads of a process that shares one heap get none of their own, as glibc itself tells."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import ctypes, sys, threading
from neargate.cli.allocator import share_one_heap
shared, told = sys.argv[1:]
if shared:
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
all_there = threading.Barrier(4)
threads = [threading.Thread(target=lambda: (libc.malloc(1000), all_there.wait())) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(told.encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_threads_share_one_heap(tmp_path: Path) -> None:
    heaps = {}
    for shared in ("", "shared"):
        told = tmp_path / "told.xml"
        subprocess.run([sys.executable, "-c", PROGRAM, shared, str(told)], check=True, timeout=60)
        heaps[shared] = told.read_text().count("<heap nr=")
    assert heaps["shared"] == 1 < heaps[""]
