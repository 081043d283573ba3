"""Private keys of a load balancer's certificates on a host: who reads them, what their proxy leaves, when they go."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.hostnet.proxy_users import is_fresh
from neargate.model.balancing import PlannedCertificate
from neargate.testing.balancer_lab import ENI, BalancerLab

from .balancer_rig import Rig

pytestmark = pytest.mark.root
STRANGERS = (1000, 65534, 1_900_000_000)


@pytest.fixture
def lab() -> Iterator[BalancerLab]:
    made = BalancerLab(targets=1)
    try:
        yield made
    finally:
        made.close()


def certificate() -> PlannedCertificate:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/stdout -out /dev/stdout"
    command = ["openssl", *words.split(), "-subj", "/CN=first.test"]
    pem = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return PlannedCertificate(arn="certificate", names=("first.test",), pem=pem)


def key_line(pem: str) -> bytes:
    lines = pem.splitlines()
    return lines[lines.index("-----BEGIN PRIVATE KEY-----") + 1].encode()


def holding(home: Path, line: bytes) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file() and line in path.read_bytes()]


def told_of(pid: int, file: str, row: str) -> list[str]:
    """The words of this row of a process's file."""
    rows = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(one.removeprefix(row).split() for one in rows if one.startswith(row))


def reads(uid: int, path: Path) -> bool:
    who = [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return subprocess.run(["setpriv", *who, "cat", str(path)], check=False, capture_output=True).returncode == 0


def test_a_key_is_read_by_its_own_node_s_user_alone_and_goes_with_its_listener(lab: BalancerLab) -> None:
    async def story() -> None:
        rig = Rig(lab)
        shown = certificate()
        line = key_line(shown.pem)
        try:
            await rig.open(1)
            await rig.apply(listeners=(rig.listener(port=443, protocol="HTTPS", certificates=(shown,)),))
            home = Path(lab.proxies.directory(ENI))
            kept = holding(home, line)
            assert [path.suffix for path in kept] == [".pem"]
            proxy = lab.proxies.find(ENI)
            assert proxy is not None
            uids = {int(one) for one in told_of(proxy.pid, "status", "Uid:")}
            assert len(uids) == 1
            uid = uids.pop()
            assert is_fresh(uid) and uid not in (0, *STRANGERS)
            assert reads(uid, kept[0])
            assert not any(reads(other, kept[0]) for other in (*STRANGERS, uid + 1))
            assert told_of(proxy.pid, "limits", "Max core file size")[:2] == ["0", "0"]
            assert line not in (home / "log").read_bytes()
            assert line.decode() not in repr(lab.told)
            await rig.apply()
            assert holding(home, line) == []
        finally:
            await rig.close()

    asyncio.run(story())


def test_two_nodes_of_a_host_are_two_users(lab: BalancerLab) -> None:
    other = ENI[:-1] + "2"
    for eni_id in (ENI, other):
        lab.proxies.write(eni_id, {"certificates/one.pem": "a key"})
    owners = [os.stat(f"{lab.proxies.directory(eni_id)}/sockets").st_uid for eni_id in (ENI, other)]
    assert owners[0] != owners[1] and all(map(is_fresh, owners))
    assert reads(owners[0], Path(lab.proxies.directory(ENI)) / "certificates" / "one.pem")
    assert not reads(owners[0], Path(lab.proxies.directory(other)) / "certificates" / "one.pem")
    lab.proxies.end(other)
    assert not Path(lab.proxies.directory(other)).exists()
