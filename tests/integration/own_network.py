"""A host's network of a test's own: `conftest.py` hands tests what runs their scenarios in one."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from neargate.testing.netlab import NetLab

Scenario = Callable[[NetLab], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


async def in_network(directory: Path, scenario: Scenario) -> None:
    """The network is taken down also when the scenario fails."""
    lab = await NetLab.open(directory)
    try:
        await scenario(lab)
    finally:
        await lab.close()
