"""Real packets from a task to "the internet" through `--uplink nat`, and what is left of it on the host."""

from pathlib import Path

import pytest

from .uplink_lab import HOST_ADDRESS, UplinkLab, run

pytestmark = pytest.mark.root


def test_plain(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.state().works, lab.state()
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.footprint() != before
        await lab.network.remove_all()
        assert lab.footprint() == before

    run(tmp_path, "nat", scenario)


def test_none_leads_nowhere(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.footprint() == before
        assert await lab.gets_out() == ""

    run(tmp_path, "none", scenario)
