"""Real packets from a task to "the internet" through `--uplink user`: pasta, which changes nothing of the host."""

import os
import signal
from pathlib import Path

import pytest

from neargate.hostnet.uplink_pasta import program

from .uplink_lab import HOST_ADDRESS, UplinkLab, run

pytestmark = [pytest.mark.root, pytest.mark.skipif(program() is None, reason="passt is not installed")]


def _processes(lab: UplinkLab) -> list[str]:
    """Command lines that name this instance's pasta, and what it started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(lab.directory / "tap").encode() in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_plain(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.state().works, lab.state()
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.footprint() == before
        status = _status(lab.state().pid)
        assert "\nUid:\t65534\t65534\t65534\t65534\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        await lab.network.remove_all()
        assert lab.footprint() == before
        assert _processes(lab) == []

    run(tmp_path, "user", scenario, forwards=False)


def test_a_pasta_that_is_killed_is_started_again(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        first = lab.state().pid
        os.kill(first, signal.SIGKILL)

        async def another_works() -> bool:
            return lab.state().works and lab.state().pid != first

        await lab.until(another_works, "pasta was not started again")
        assert await lab.gets_out() == HOST_ADDRESS
        assert len(_processes(lab)) == 1

    run(tmp_path, "user", scenario)
