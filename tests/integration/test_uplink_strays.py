"""What a task sends to the machine itself is dropped on the underlay, counted, written to its flow log and told."""

import logging
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest

from neargate.hostnet.underlay import read_state
from neargate.hostnet.uplink.pasta import program
from neargate.model.network import ENI_MAC_GATEWAY
from neargate.testing.netlab import connect, listener_in, reaches, socket_in

from .uplink_lab import HOST_ADDRESS, SERVER, TASK, UplinkLab, run

USER = pytest.param("user", marks=pytest.mark.skipif(program() is None, reason="passt is not installed"))
pytestmark = pytest.mark.root
MODES = pytest.mark.parametrize("mode", ["none", "nat", USER])
PRIVATE = "172.31.1.1"
VXLAN, GRE, UDP = 4789, 47, 17


@MODES
def test_a_tasks_packets_to_the_machine_are_dropped_counted_and_told(
    tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A frame for another VPC in an envelope of VXLAN, a tunnel, and a plain connection."""

    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        own = lab.pool_host_address()
        others = {own, HOST_ADDRESS} if mode == "nat" else {own}
        with listener_in(lab.host, "0.0.0.0", 8080):
            assert await reaches(lab.host, own, 8080)
            for address in others:
                assert await connect(lab.task, address, 8080, 0.5) is None
                datagram = struct.pack("!HHHH", 5555, VXLAN, 16, 0) + struct.pack("!II", 0x0800_0000, 77 << 8)
                _send(lab, ip(PRIVATE, address, UDP, datagram))
                _send(lab, ip(PRIVATE, address, GRE, bytes(8)))

        async def is_told() -> bool:
            return all(f"dst={address} proto={name}" in _lines(lab) for address in others for name in ("udp", "tcp"))

        await lab.until(is_told, "the flow log says nothing")
        lines = _lines(lab)
        if mode == "none":
            for address in others:
                [vxlan] = [line for line in lines.splitlines() if f"dport={VXLAN}" in line and address in line]
                assert f"src={TASK} dst={address} proto=udp sport=5555 dport={VXLAN} packets=1 bytes=36" in vxlan
                assert " DROP in=edge:v" in vxlan and " out=edge:host0 " in vxlan
        state = read_state(lab.directory)
        assert state.packets >= 2 * len(others)
        assert lab.network.strays.packets == state.packets
        assert TASK in lab.network.strays.last
        assert "neither overlay nor link" in caplog.text and TASK in caplog.text

    with caplog.at_level(logging.WARNING, "neargate"):
        run(tmp_path, mode, scenario)


@MODES
def test_what_everybody_may_do_is_no_stray(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        with listener_in(lab.task, "0.0.0.0", 8080):
            assert await reaches(lab.host, TASK, 8080)
            assert await connect(lab.host, TASK, 8081, 0.5) is None
        assert await lab.gets_out() == ("" if mode == "none" else HOST_ADDRESS)
        # An address that nobody has: its task may just have ended.
        assert await connect(lab.task, lab.public(9), 80, 0.3) is None
        assert await connect(lab.host, lab.public(9), 80, 0.3) is None
        assert await connect(lab.task, SERVER, 81, 0.3) is None
        await lab.network.detach_eni("a")
        await lab.restart()
        assert read_state(lab.directory).packets == 0
        assert _lines(lab) == ""

    run(tmp_path, mode, scenario)


def test_what_was_counted_outlives_the_agent(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        _send(lab, ip(PRIVATE, lab.pool_host_address(), UDP, struct.pack("!HHHH", 1, 2, 8, 0)))

        async def one() -> bool:
            return lab.network.strays.packets == 1

        await lab.until(one, "nothing was counted")
        await lab.network.close()
        for port in (3, 4):  # while no agent runs
            _send(lab, ip(PRIVATE, lab.pool_host_address(), UDP, struct.pack("!HHHH", 1, port, 8, 0)))
        lab.network = lab.another_agent()
        await lab.network.start()

        async def three() -> bool:
            return lab.network.strays.packets == 3

        await lab.until(three, "what was counted meanwhile is lost")
        assert len(_lines(lab).splitlines()) == 1, "nobody listened to the others"

    run(tmp_path, "none", scenario)


def _lines(lab: UplinkLab) -> str:
    return lab.flow_log.read_text() if lab.flow_log.exists() else ""


def _send(lab: UplinkLab, packet: bytes) -> None:
    """A packet made by hand, as a frame to the router."""
    with socket_in(lab.task, socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        gateway = bytes.fromhex(ENI_MAC_GATEWAY.replace(":", ""))
        raw.send(gateway + bytes.fromhex("0a0000000001") + b"\x08\x00" + packet)


def ip(source: str, to: str, protocol: int, payload: bytes) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    head += ip_address(source).packed + ip_address(to).packed
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", 0xFFFF - ((total & 0xFFFF) + (total >> 16))) + head[12:] + payload
