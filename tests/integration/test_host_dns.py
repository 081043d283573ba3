"""The C library's own lookups on a machine whose /etc/resolv.conf is told of the region: in namespaces of the test's,
with a file of the test's in the place of /etc/resolv.conf."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from neargate.agent.names.for_the_host import HOST_DNS_FILE, HostDns, HostDnsSettings
from neargate.cli import host_dns_ways as ways
from neargate.model.knobs import Knobs
from neargate.model.network import DnsRecords, DnsZone, VpcDns, VpcPlan
from neargate.testing.netlab import eni
from neargate.world import OsWorld

pytestmark = pytest.mark.root

INSTANCE = "0a1b2c"
OTHERS = "# the operator's own\nnameserver 127.0.0.2\noptions timeout:1 attempts:1\n"
WEB = DnsRecords(name="web.prod.local", type="A", ttl_s=10, values=("172.31.1.1",), most=8)
DOMAINS = ("neargate.internal", "ec2.internal", "prod.local")
PLAN = VpcPlan(
    vpc_id="vpc-0a",
    generation=1,
    cidrs=("172.31.0.0/16",),
    groups=(),
    dns=VpcDns(
        domain="ec2.internal",
        hostnames=True,
        endpoints=(("neargate.internal", "169.254.170.10"),),
        zones=(DnsZone(name="prod.local", ttl_s=10, records=(WEB,)),),
    ),
)
# Of the operator's server: whatever is asked is 192.0.2.7, so that it is seen who answered.
_OTHER_SERVER = """
def answer(data):
    end = 12 + data[12:].index(0) + 5
    is_a = data[end - 4 : end - 2] == b"\\0\\1"
    record = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\7" if is_a else b""
    return data[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([is_a]) + b"\\0\\0\\0\\0" + data[12:end] + record
"""


def test_what_the_c_library_finds(tmp_path: Path) -> None:
    """In a process of its own, in a network and a mount namespace of its own: nothing of this machine is touched."""
    words = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-P", __file__, str(tmp_path)]
    paths = os.pathsep.join(filter(None, sys.path))
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 0, done.stderr
    before, installed, gone, uninstalled = (dict(pair) for pair in msgspec.json.decode(done.stdout))
    others = dict.fromkeys(("web.prod.local", "ip-172-31-1-1.ec2.internal", "www.example.com"), "192.0.2.7")
    assert {name: before[name] for name in others} == others
    assert installed == {
        "web.prod.local": "198.18.0.5",
        "ip-172-31-1-1.ec2.internal": "198.18.0.5",
        "ip-172-31-1-2.ec2.internal": "",
        "neargate.internal": "127.0.0.1",
        "www.example.com": "192.0.2.7",
    }
    assert gone["www.example.com"] == "192.0.2.7", "a region that is down leaves the machine its lookups"
    assert uninstalled == before


def prepare(root: Path) -> None:
    """The files of the test in the place of this machine's, in this process's own mount namespace."""
    (root / "etc").mkdir(parents=True)
    (root / ways.RESOLV_CONF).write_text(OTHERS)
    (root / "etc/nsswitch.conf").write_text("hosts: dns\n")
    for name in ("resolv.conf", "nsswitch.conf"):
        subprocess.run(["mount", "--bind", str(root / "etc" / name), f"/etc/{name}"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


async def played(directory: Path) -> list[dict[str, str]]:
    """As the machine: what is found before, with a region, when that is down, and after `uninstall`."""
    root, hosted = directory / "root", directory / HOST_DNS_FILE
    code = (
        f"import socket\n{_OTHER_SERVER}\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.bind(('127.0.0.2', 53))\nprint('', flush=True)\nwhile True:\n    d, a = s.recvfrom(4096)\n"
        "    s.sendto(answer(d), a)\n"
    )
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        await server.stdout.readline()
        found = [await lookups()]
        enis = (eni(1, public="198.18.0.5"), eni(2))
        dns = HostDns(OsWorld(), Knobs(), hosted, {"vpc-0a": PLAN}.get, lambda: enis, lambda _: None)
        listens = ways.address(INSTANCE)
        hosted.write_bytes(msgspec.json.encode(HostDnsSettings(vpc_id="vpc-0a", address=listens, domains=DOMAINS)))
        assert await dns.look() == listens
        way = ways.find_way(root, INSTANCE)
        ways.put(root, way, INSTANCE, listens, DOMAINS)
        found.append(await lookups())
        dns.close()
        found.append(await lookups())
        ways.take_out(root, INSTANCE)
        assert (root / ways.RESOLV_CONF).read_text() == OTHERS
        found.append(await lookups())
    finally:
        server.kill()
        await server.wait()
    return found


async def lookups() -> dict[str, str]:
    names = ["web.prod.local", "ip-172-31-1-1.ec2.internal", "ip-172-31-1-2.ec2.internal", "neargate.internal"]
    return {name: await lookup(name) for name in (*names, "www.example.com")}


async def lookup(name: str) -> str:
    """By a program that reads /etc/resolv.conf itself, as all do."""
    made = await asyncio.create_subprocess_exec("getent", "hosts", name, stdout=subprocess.PIPE)
    said, _ = await made.communicate()
    return said.decode().split()[0] if said else ""


if __name__ == "__main__":
    prepare(Path(sys.argv[1]) / "root")
    seen = asyncio.run(played(Path(sys.argv[1])))
    sys.stdout.write(msgspec.json.encode([list(one.items()) for one in seen]).decode())
