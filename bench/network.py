"""Packets through a VPC's router against the same path without rules; and an interface's making against `ip` commands.

One TCP stream between two tasks of a VPC, a process each for sender and receiver. All routers stand at the same time
and take turns, so that what else the machine does falls on all of them.
"""

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from neargate.hostnet.netlink import Netlink, veth
from neargate.hostnet.nftables import Nftables
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.network import SecurityGroup
from neargate.testing.netlab import NetLab, eni, entered, plan, rule

from .figures import Figure, Load, foreign_load, quantile, spread

COMMAND = "python -m bench network"
ROUNDS = 25
STREAM_S = 0.4
PORT = 5201
CHUNK = bytes(1 << 18)
FEW, MANY = 10, 10_000
ATTACHED = 40
CROWD, CROWD_RULES = 200, 5000
SETTLED_WITHIN_S = 10.0
EVERYTHING = rule("-1", peer="0.0.0.0/0")
ONLY_TRACKED = """
table inet bench {
  chain c_fwd { type filter hook forward priority 0; policy accept; ct state established accept
  }
}
"""


def measure() -> list[Figure]:
    others = foreign_load()
    with tempfile.TemporaryDirectory() as directory, Load() as load:
        streams, made = asyncio.run(_story(Path(directory)))
    return [*_streams(streams, load.busy, others), *_interfaces(made, load.busy)]


async def _story(directory: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    lab = await NetLab.open(directory)
    try:
        paths = {
            "no rules": await _pair(lab, "vpc-0b", FEW),
            "conntrack alone": await _pair(lab, "vpc-0c", FEW),
            f"{FEW} entries": await _pair(lab, "vpc-0d", FEW),
            f"{MANY} entries": await _pair(lab, "vpc-0e", MANY),
        }
        _only(lab.router("vpc-0b"), "")
        _only(lab.router("vpc-0c"), ONLY_TRACKED)
        streams: dict[str, list[float]] = {name: [] for name in (*paths, "bare veth")}
        with _bare_veth(directory) as bare:
            for turn in range(ROUNDS + 1):
                order = list({**paths, "bare veth": bare}.items())
                for name, (here, there, address) in order[turn % len(order) :] + order[: turn % len(order)]:
                    rate = await asyncio.to_thread(_stream, here, there, address)
                    if turn:
                        streams[name].append(rate)
        return streams, await _attachments(lab)
    finally:
        await lab.close()


async def _pair(lab: NetLab, vpc: str, entries: int) -> tuple[str, str, str]:
    """Two tasks of a VPC whose group has so many entries, the last of which lets the stream in."""
    peers = [f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32" for n in range(2, 2 * entries, 2)]
    ingress = tuple(rule("tcp", PORT, PORT, peer=peer) for peer in (*peers, "172.31.1.5/32"))
    group = SecurityGroup(group_id="sg-0bench", ingress=ingress, egress=(EVERYTHING,))
    await lab.network.apply_vpc(plan(1, group, vpc=vpc))
    sender = await lab.attach(f"{vpc}-5", eni(5, "sg-0bench", vpc=vpc))
    receiver = await lab.attach(f"{vpc}-6", eni(6, "sg-0bench", vpc=vpc))
    return sender.netns_path, receiver.netns_path, "172.31.1.6"


def _only(router: str, rules: str) -> None:
    """The router's own rules are gone, as if there had never been any, but for these."""
    with entered(router):
        kernel = Nftables()
    kernel.run("flush ruleset\n" + rules)
    kernel.close()


@contextmanager
def _bare_veth(directory: Path) -> Iterator[tuple[str, str, str]]:
    """Two namespaces with a link between them as tasks have it, and nothing else."""
    names = [f"{directory.name}-{side}" for side in "ab"]
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        macs = ("0a:00:00:00:00:01", "0a:00:00:00:00:02")
        with entered(f"/run/netns/{names[0]}"), Netlink() as links, open(f"/run/netns/{names[1]}") as other:
            target, mtu = other.fileno(), DEFAULT_KNOBS.eni_mtu
            links.run([veth("eth0", macs[0], peer="eth0", peer_mac=macs[1], peer_namespace=target, mtu=mtu)])
        for number, name in enumerate(names, 1):
            _run("ip", "-n", name, "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
            _run("ip", "-n", name, "link", "set", "eth0", "up")
        yield f"/run/netns/{names[0]}", f"/run/netns/{names[1]}", "10.0.0.2"
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _run(*words: str, given: str | None = None) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, input=given)


def _stream(here: str, there: str, address: str) -> float:
    """Gbit/s that arrive. The receiver is a process of its own, and counts."""
    with entered(there):
        listener = socket.create_server((address, PORT))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(_receive(listener, write))
    os.close(write)
    # Only now: the child must not hold the sender, whose end it waits for.
    with entered(here):
        sender = socket.socket()
        sender.settimeout(10)
    try:
        with listener, sender:
            sender.connect((address, PORT))
            end = time.monotonic() + STREAM_S
            while time.monotonic() < end:
                sender.sendall(CHUNK)
        with os.fdopen(read) as told:
            count, seconds = told.read().split()
    finally:
        os.waitpid(child, 0)
    return int(count) * 8 / float(seconds) / 1e9


def _receive(listener: socket.socket, told: int) -> int:
    listener.settimeout(10)
    taken, _ = listener.accept()
    buffer = memoryview(bytearray(1 << 20))
    count, begun = 0, time.monotonic()
    while size := taken.recv_into(buffer):
        count += size
    os.write(told, f"{count} {time.monotonic() - begun}".encode())
    return 0


async def _attachments(lab: NetLab) -> dict[str, list[float]]:
    """Milliseconds: interfaces of an empty VPC, the same by `ip` and `nft`, and those of a VPC that is full."""
    found: dict[str, list[float]] = {"neargate": [], "ip commands": [], "in a crowd": []}
    group = SecurityGroup(group_id="sg-0bench", ingress=(EVERYTHING,), egress=(EVERYTHING,))
    await lab.network.apply_vpc(plan(1, group, vpc="vpc-0f"))
    crowded = [
        rule("tcp", 1 + n % 60_000, 1 + n % 60_000, peer=f"10.{n >> 8}.{n & 255}.0/24") for n in range(CROWD_RULES)
    ]
    groups = [
        SecurityGroup(group_id=f"sg-0{n:x}", ingress=tuple(crowded[50 * n : 50 * n + 50]), egress=(EVERYTHING,))
        for n in range(CROWD_RULES // 50)
    ]
    await lab.network.apply_vpc(plan(1, *groups, vpc="vpc-1a"))
    for number in range(10, 10 + CROWD):
        await lab.attach(f"crowd-{number}", eni(number, groups[number % len(groups)].group_id, vpc="vpc-1a"))
    empty, full = lab.router("vpc-0f"), lab.router("vpc-1a")
    for number in range(ATTACHED):
        with _timed(found["neargate"]):
            await lab.attach("timed", eni(10, "sg-0bench", vpc="vpc-0f"))
        await lab.network.detach_eni("timed")
        await asyncio.to_thread(_settle, empty, 0)
        with _timed(found["ip commands"]):
            await asyncio.to_thread(_by_commands, f"{lab.instance}-{number}", empty)
        await asyncio.to_thread(_run, "ip", "netns", "delete", f"{lab.instance}-{number}")
        await asyncio.to_thread(_settle, empty, 0)
        with _timed(found["in a crowd"]):
            await lab.attach("timed", eni(230, groups[number].group_id, vpc="vpc-1a"))
        await lab.network.detach_eni("timed")
        await asyncio.to_thread(_settle, full, CROWD)
    return found


def _settle(router: str, links: int) -> None:
    """Until the kernel has removed what was detached: meanwhile it holds the lock that the next one needs."""
    with entered(router):
        kernel = Netlink()
    end = time.monotonic() + SETTLED_WITHIN_S
    with kernel:
        while sum(link.name.startswith("e") for link in kernel.links()) > links:
            if time.monotonic() > end:
                raise TimeoutError("a detached interface's link does not go")
            time.sleep(0.01)


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    into.append((time.perf_counter() - begun) * 1000)


def _by_commands(name: str, router: str) -> None:
    """What an interface is made of, with as few commands as there are: two batches of `ip`, one of `nft`."""
    mac, gateway = "0a:00:00:00:00:99", "0e:ee:ee:ee:ee:ee"
    _run("ip", "netns", "add", name)
    here = ["nsenter", f"--net={router}"]
    link = f"link add eb{name[-4:]} address {gateway} type veth peer name eth0 address {mac} netns /run/netns/{name}"
    dev = f"dev eb{name[-4:]}"
    outside = [link, f"link set {dev[4:]} arp off up", f"neigh replace 172.31.1.99 lladdr {mac} {dev} nud permanent"]
    outside.append(f"route replace 172.31.1.99/32 {dev}")
    _run(*here, "ip", "-batch", "-", given="\n".join(outside))
    inside = ["link set lo up", "link set eth0 up", "address add 172.31.1.99/32 dev eth0"]
    inside += [f"neigh replace 172.31.0.1 lladdr {gateway} dev eth0 nud permanent"]
    inside += ["route add 172.31.0.1/32 dev eth0", "route add default via 172.31.0.1 dev eth0"]
    _run("ip", "-n", name, "-batch", "-", given="\n".join(inside))
    elements = "add table inet bench\nadd set inet bench own { type ifname . ipv4_addr; }\n"
    elements += f'add element inet bench own {{ "{dev[4:]}" . 172.31.1.99 }}\n'
    _run(*here, "nft", "-f", "-", given=elements)


def _streams(series: dict[str, list[float]], busy: float, others: float) -> list[Figure]:
    notes = [f"others used {others:.0%} of the processors before"]
    notes += [f"{name:15} {spread(rates)} Gbit/s" for name, rates in series.items()]

    def figure(name: str, ours: str, theirs: str, goal: str) -> Figure:
        pairs = [one / other for one, other in zip(series[ours], series[theirs], strict=True)]
        return Figure(
            name=f"network: {name}",
            value=median(series[ours]) / median(series[theirs]),
            unit="x",
            goal=goal,
            against=f"one TCP stream, task to task, {theirs}; {ROUNDS} turns of {STREAM_S} s each",
            samples=series,
            notes=[*notes, f"of a turn's two streams {median(pairs):.2f} ({min(pairs):.2f} .. {max(pairs):.2f})"],
            load=busy,
            command=COMMAND,
        )

    few, many = f"{FEW} entries", f"{MANY} entries"
    return [
        figure(f"throughput with all rules, groups of {FEW}", few, "no rules", ">= 0.92"),
        figure(f"throughput with all rules, groups of {MANY}", many, "no rules", ">= 0.92"),
        figure(f"throughput of {MANY} entries to {FEW}", many, few, ">= 0.98"),
    ]


def _interfaces(series: dict[str, list[float]], busy: float) -> list[Figure]:
    notes = [f"{name:11} {spread(times)} ms" for name, times in series.items()]
    ours, theirs, crowd = (quantile(series[name], 0.5) for name in ("neargate", "ip commands", "in a crowd"))
    return [
        Figure(
            name="network: an interface's making, p50",
            value=ours / theirs,
            unit="x",
            goal="<= 0.3",
            against="the same by `ip netns`, two `ip -batch` and one `nft`",
            samples={name: series[name] for name in ("neargate", "ip commands")},
            notes=notes,
            load=busy,
            command=COMMAND,
        ),
        Figure(
            name=f"network: what {CROWD} interfaces and {CROWD_RULES} rules add to one more",
            value=crowd - ours,
            unit="ms",
            against="an interface of an empty VPC; the goal is 20 % of a launch, which takes hundreds of ms",
            samples={"in a crowd": series["in a crowd"]},
            notes=notes,
            load=busy,
            command=COMMAND,
        ),
    ]
