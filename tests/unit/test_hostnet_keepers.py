"""What looks after the host's network ends when it is told to, whatever arrives at that moment."""

import asyncio
import socket
from pathlib import Path

import pytest

from neargate.hostnet.underlay import Underlay
from neargate.hostnet.uplink.record import UplinkState
from neargate.hostnet.uplink.uplink import Uplink
from neargate.testing.stepping import STEPS, AtOnce, ends, steps

HEARD = UplinkState(asked="none", mode="none", works=True)


@pytest.mark.parametrize("late", range(STEPS))
def test_the_uplinks_keeper_ends_beside_a_change_of_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: int
) -> None:
    async def scenario() -> None:
        world = AtOnce()
        uplink = Uplink(
            world,
            asked="none",
            instance="abcdef",
            run_dir=tmp_path,
            public_pool="198.18.0.0/24",
            log_file=tmp_path / "log",
        )
        monkeypatch.setattr(uplink, "_look", lambda: HEARD)
        theirs, ours = socket.socketpair()
        with theirs, ours:
            ours.setblocking(False)
            keeper = world.spawn(uplink._keep(ours), "keeper")
            await steps(STEPS)
            theirs.send(b"a change")
            await steps(late)
            assert await ends(keeper)

    asyncio.run(scenario())


@pytest.mark.parametrize("late", range(STEPS))
def test_the_underlays_keeper_ends_beside_a_packet(tmp_path: Path, late: int) -> None:
    async def scenario() -> None:
        world = AtOnce()
        underlay = Underlay(world, instance="abcdef", run_dir=tmp_path, log_file=tmp_path / "log", has_host_table=False)
        arrived = asyncio.Event()
        keeper = world.spawn(underlay._pause(arrived), "keeper")
        await steps(STEPS)
        arrived.set()
        await steps(late)
        assert await ends(keeper)
        assert keeper.cancelled()

    asyncio.run(scenario())
