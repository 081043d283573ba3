"""The gateway's door for real: the UNIX socket's mode, who may enter, and a fleet of simulated hosts through it."""

import asyncio
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import InvalidStatus

from neargate.agent.simulated import SimulatedFleet, SimulatedTimes
from neargate.clusters import gateway as gateway_module
from neargate.clusters.gateway import Gateway
from neargate.interfaces.roles import LogSourceOpened
from neargate.testing.cell_rig import ACCOUNT, ZONES, CellRig, id_of, in_cell
from neargate.testing.fake_task_roles import FakeTaskRoles
from neargate.testing.gateway_rig import VpcPlans, facts_of


class NoLogs:
    async def open_source(self, target: object, source: str) -> LogSourceOpened:
        raise AssertionError("these tasks write no logs")

    async def append(self, *args: object) -> int:
        raise AssertionError("these tasks write no logs")


def leave_file(path: str) -> None:
    Path(path).write_text("left by a server that was killed")


def mode_of(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def gateway_of(rig: CellRig) -> Gateway:
    return Gateway(rig.world, rig.cell, rig.capacities, VpcPlans(), NoLogs(), FakeTaskRoles(), rig.knobs)


def test_a_fleet_runs_and_stops_tasks_through_the_socket() -> None:
    async def body(rig: CellRig) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/link.sock"
            leave_file(path)
            async with gateway_of(rig).listening(path):
                assert mode_of(path) == 0o600
                times = SimulatedTimes(attach_s=0.001, start_s=0.001, stop_s=0.001)
                fleet = SimulatedFleet(
                    rig.world, [facts_of(zone) for zone in ZONES], socket_path=path, knobs=rig.knobs, times=times
                )
                running = rig.world.spawn(fleet.run(), "fleet")
                tasks = [task for _ in range(3) for task in await rig.run(count=10)]

                async def all_are(status: str) -> bool:
                    return all([(await rig.described(id_of(task)))["lastStatus"] == status for task in tasks])

                await rig.until(lambda: all_are("RUNNING"))
                for task in tasks:
                    await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
                await rig.until(lambda: all_are("STOPPED"))
                assert [host.memory.violations for host in fleet.hosts] == [[], [], []]
                running.cancel()

    in_cell(body)


def test_another_path_is_not_found() -> None:
    async def body(rig: CellRig) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/link.sock"
            async with gateway_of(rig).listening(path):
                with pytest.raises(InvalidStatus) as refused:
                    await unix_connect(path, "ws://localhost/elsewhere")
                assert refused.value.response.status_code == 404

    in_cell(body)


def test_another_user_is_turned_away_before_the_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer is the test itself; what the gateway takes for its own user is changed instead."""

    async def body(rig: CellRig) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/link.sock"
            async with gateway_of(rig).listening(path):
                monkeypatch.setattr(gateway_module, "_may_enter", lambda uid: uid == 4_000_000)
                with pytest.raises(InvalidStatus) as refused:
                    await unix_connect(path, "ws://localhost/link")
                assert refused.value.response.status_code == 403

    in_cell(body)


def test_bytes_that_are_no_http_do_not_disturb_the_door() -> None:
    async def body(rig: CellRig) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/link.sock"
            async with gateway_of(rig).listening(path):
                for rubbish in (b"", b"\x00" * 64, b"GET / HTTP/9\r\n\r\n", b"GET /link HTTP/1.1\r\n\r\n"):
                    with socket.socket(socket.AF_UNIX) as peer:
                        peer.setblocking(False)
                        await asyncio.get_running_loop().sock_connect(peer, path)
                        await asyncio.get_running_loop().sock_sendall(peer, rubbish)
                async with unix_connect(path, "ws://localhost/link"):
                    pass

    in_cell(body)
