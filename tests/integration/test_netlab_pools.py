"""Tests' own networks on one machine, begun by several processes at once: no two of them have one public pool."""

import asyncio
import subprocess
import sys

from neargate.testing.netlab import free_public_pool
from neargate.world import OsWorld

CHOOSE = """
import asyncio
from neargate.testing.netlab import free_public_pool
from neargate.world import OsWorld
print(asyncio.run(free_public_pool(OsWorld())), flush=True)
input()
"""


def test_processes_that_begin_together_choose_different_pools() -> None:
    mine = asyncio.run(free_public_pool(OsWorld()))
    command = [sys.executable, "-c", CHOOSE]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        chosen = [other.stdout.readline().strip() for other in others if other.stdout]
    finally:
        for other in others:
            other.communicate("\n")
    assert len({mine, *chosen}) == 4 and all(pool.startswith("198.19.") for pool in chosen)


def test_a_process_has_its_pool_again() -> None:
    mine = asyncio.run(free_public_pool(OsWorld()))
    assert asyncio.run(free_public_pool(OsWorld())) == mine
