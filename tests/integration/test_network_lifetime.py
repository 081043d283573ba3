"""What is left on the machine: after everything is removed, and after an agent was killed between any two steps."""

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.definitions.system_controls import NETWORK_CONTROLS
from neargate.hostnet.conntrack import Conntrack
from neargate.hostnet.edge import host_link_name, router_port
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.network import LinuxNetwork, Step
from neargate.hostnet.nftables import Nftables
from neargate.hostnet.router import interface_name
from neargate.interfaces.hostnet import HostError
from neargate.model.network import Eni, PlannedNat, SecurityGroup
from neargate.testing.netlab import (
    NetLab,
    connect,
    eni,
    entered,
    listener_in,
    plan,
    reaches,
    rule,
    socket_in,
)

pytestmark = pytest.mark.root
OPEN = SecurityGroup(
    group_id="sg-0open", ingress=(rule("-1", peer="0.0.0.0/0"),), egress=(rule("-1", peer="0.0.0.0/0"),)
)
ATTACH_STEPS, DETACH_STEPS = 6, 7
REMOVED_WITHIN_S = 10.0
_SETTINGS = ("rp_filter", "forwarding", "send_redirects", "accept_redirects", "accept_source_route", "proxy_arp")


class KilledAgent(LinuxNetwork):
    """Stops between two steps, as kill -9 does: nothing is undone, nothing more is done."""

    attach_until = ATTACH_STEPS
    detach_until = DETACH_STEPS + 1

    def _attach_steps(self, task_id: str, eni: Eni) -> list[Step]:
        steps = super()._attach_steps(task_id, eni)
        assert len(steps) == ATTACH_STEPS, "walk the new steps as well"
        return steps[: self.attach_until]

    def _detach_steps(self, task_id: str) -> list[Step]:
        return super()._detach_steps(task_id)[: self.detach_until]


class FilteringConntrack(Conntrack):
    """Without the way for kernels that cannot filter, which would hide a filter that the kernel refuses."""

    def cut_one_by_one(self, text: str, marks: Sequence[int | None] = (None,)) -> None:
        raise AssertionError(f"the kernel refused to filter for {text}")


class KilledLab(NetLab):
    def another_agent(self) -> LinuxNetwork:
        return KilledAgent(self.world, instance=self.instance, run_dir=self.directory, public_pool=self.pool)

    async def restart(self) -> None:
        await self.network.close()
        self.network = super().another_agent()
        await self.network.start()


def _run(lab_kind: type[NetLab], directory: Path, scenario: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        lab = await lab_kind.open(directory)
        try:
            await scenario(lab)
        finally:
            await lab.close()

    asyncio.run(whole())


def test_remove_all_leaves_the_machine_as_it_was(tmp_path: Path) -> None:
    before = _sysctls()

    async def scenario(lab: NetLab) -> None:
        assert len(_of_instance(lab)) == 3, "a link, a route, a mount of the edge"
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open", public=lab.public(5)))
        await lab.attach("b", eni(2, "sg-0open"))
        assert len(_of_instance(lab)) == 6
        await lab.network.remove_all()
        assert _of_instance(lab) == []
        assert _sysctls() == before
        assert not (lab.directory / "netns").exists()
        await lab.network.remove_all()

    _run(NetLab, tmp_path / "run", scenario)


def test_a_vpc_without_tasks_is_forgotten_by_the_next_agent(tmp_path: Path) -> None:
    """It may be deleted by now, and its gateways' addresses others'. Who needs it again is told its plan again."""

    async def scenario(lab: NetLab) -> None:
        nat = PlannedNat(nat_id="nat-1", subnet_id="subnet-0a", private_ipv4="172.31.0.9", public_ipv4=lab.public(9))
        await lab.network.apply_vpc(replace(plan(1, OPEN), nats=(nat,)))
        await lab.network.apply_vpc(plan(1, OPEN, vpc="vpc-0b"))
        await lab.attach("a", eni(1, "sg-0open", vpc="vpc-0b"))
        namespaces = lab.directory / "netns"
        await lab.restart()
        assert sorted(path.name for path in namespaces.iterdir()) == ["edge", "task-a", "vpc-vpc-0b"]
        assert [path.name for path in (lab.directory / "vpcs").iterdir()] == ["vpc-0b"]
        with entered(str(namespaces / "edge")):
            edge = Netlink()
        with edge as links:
            assert f"{lab.public(9)}/32" not in links.routes()
            await _until(lab, lambda: links.link(router_port("vpc-0a").edge_end) is None)
        await lab.network.apply_vpc(plan(1, OPEN))
        b, c = await lab.attach("b", eni(1, "sg-0open")), await lab.attach("c", eni(2, "sg-0open"))
        with listener_in(c.netns_path, "0.0.0.0", 80):
            assert await reaches(b.netns_path, "172.31.1.2", 80)

    _run(NetLab, tmp_path / "run", scenario)


def test_a_route_of_another_instance_is_not_taken_over(tmp_path: Path) -> None:
    async def scenario(lab: NetLab) -> None:
        other = NetLab(lab.world, tmp_path / "other", f"{int(lab.instance, 16) ^ 1:06x}", lab.pool)
        with Netlink() as links:
            own = links.links_to(lab.pool)
            assert own == [links.existing(host_link_name(lab.instance)).index]
            try:
                with pytest.raises(HostError, match=f"{lab.pool} leads to somebody else's network interface"):
                    await other.network.start()
                assert links.links_to(lab.pool) == own
            finally:
                await other.close()
            assert links.links_to(lab.pool) == own, "nor does it go with what the other one leaves"
            await lab.restart()
            assert links.links_to(lab.pool) == own
            await lab.network.remove_all()
            assert links.links_to(lab.pool) == []

    _run(NetLab, tmp_path / "run", scenario)


@pytest.mark.parametrize("done", range(ATTACH_STEPS))
@pytest.mark.parametrize("then", ["attach", "detach", "detach by the old agent"])
def test_an_agent_killed_while_attaching(tmp_path: Path, done: int, then: str) -> None:
    async def scenario(lab: KilledLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        other = await lab.attach("other", eni(2, "sg-0open"))
        links_before = _router_links(lab)
        half = eni(1, "sg-0open", public=lab.public(5))
        assert isinstance(lab.network, KilledAgent)
        lab.network.attach_until = done
        await lab.attach("a", half)
        if then != "detach by the old agent":
            await lab.restart()
        if then == "attach":
            task = await lab.attach("a", half)
            with listener_in(task.netns_path, "0.0.0.0", 80):
                assert await reaches(other.netns_path, "172.31.1.1", 80)
                assert await reaches(None, lab.public(5), 80)
        await lab.network.detach_eni("a")
        assert await lab.network.list_tasks() == [other]
        assert sorted(path.name for path in (lab.directory / "netns").iterdir()) == ["edge", "task-other", "vpc-vpc-0a"]
        await _until(lab, lambda: _router_links(lab) == links_before)
        # The address is free for the next task.
        await lab.restart()
        await lab.attach("next", eni(1, "sg-0open", public=lab.public(5)))

    _run(KilledLab, tmp_path / "run", scenario)


@pytest.mark.parametrize("done", range(DETACH_STEPS + 1))
def test_an_agent_killed_while_detaching(tmp_path: Path, done: int) -> None:
    async def scenario(lab: KilledLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        kept = await lab.attach("kept", eni(2, "sg-0open"))
        links_before = _router_links(lab)
        await lab.attach("a", eni(1, "sg-0open", public=lab.public(5)))
        assert isinstance(lab.network, KilledAgent)
        lab.network.detach_until = done
        await lab.network.detach_eni("a")
        await lab.restart()
        await lab.network.detach_eni("a")
        assert await lab.network.list_tasks() == [kept]
        assert sorted(path.name for path in (lab.directory / "netns").iterdir()) == [
            "edge",
            "task-kept",
            "vpc-vpc-0a",
        ]
        await _until(lab, lambda: _router_links(lab) == links_before)
        with entered(str(lab.directory / "netns" / "edge")), Netlink() as links:
            assert f"{lab.public(5)}/32" not in links.routes()

    _run(KilledLab, tmp_path / "run", scenario)


def test_a_record_whose_namespace_is_gone_is_forgotten(tmp_path: Path) -> None:
    """As after a reboot with a run directory that was not emptied."""

    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        records = {path: path.read_bytes() for path in (lab.directory / "enis").iterdir()}
        await lab.network.detach_eni("a")
        for path, content in records.items():
            path.write_bytes(content)
        assert len(await lab.network.list_tasks()) == 1
        await lab.restart()
        assert await lab.network.list_tasks() == []

    _run(NetLab, tmp_path / "run", scenario)


def test_strays_without_a_record_are_removed_at_start(tmp_path: Path) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("kept", eni(1, "sg-0open", public=lab.public(5)))
        stray = await lab.attach("stray", eni(2, "sg-0open", public=lab.public(6)))
        (lab.directory / "enis" / "stray").unlink()
        # Held open by a process that outlived its task: the namespace alone would not take the link with it.
        with socket_in(stray.netns_path):
            await lab.restart()
            assert sorted(os.listdir(lab.directory / "netns")) == ["edge", "task-kept", "vpc-vpc-0a"]
            with entered(str(lab.directory / "netns" / "edge")), Netlink() as links:
                routes = links.routes()
            assert f"{lab.public(5)}/32" in routes
            assert f"{lab.public(6)}/32" not in routes
            assert [name for name in _router_links(lab) if name.startswith("e")] == [
                interface_name("eni-0a" + "1".zfill(15))
            ]

    _run(NetLab, tmp_path / "run", scenario)


def test_flows_end_with_their_address(tmp_path: Path) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a = await lab.attach("a", eni(1, "sg-0open", public=lab.public(5)))
        b = await lab.attach("b", eni(2, "sg-0open"))
        with entered(lab.router()):
            table = FilteringConntrack()
        with listener_in(b.netns_path, "0.0.0.0", 80), listener_in(a.netns_path, "0.0.0.0", 81):
            clients = [
                await connect(a.netns_path, "172.31.1.2", 80),
                await connect(b.netns_path, "172.31.1.1", 81),
                await connect(None, lab.public(5), 81),
            ]
            assert all(client is not None for client in clients)
            assert table.count() == 3
            for cut in (table.cut, lambda text: Conntrack.cut_one_by_one(table, text)):
                cut("172.31.1.99")
                assert table.count() == 3
                # By the address before translation, then by the one after it.
                for address in (lab.public(5), "172.31.1.1"):
                    cut(address)
                    left = 2 if address == lab.public(5) else 0
                    assert table.count() == left
                    clients.append(await connect(None, lab.public(5), 81))
                    assert table.count() == left + 1
                clients.append(await connect(a.netns_path, "172.31.1.2", 80))
                clients.append(await connect(b.netns_path, "172.31.1.1", 81))
                assert table.count() == 3
            await lab.network.detach_eni("a")
            assert table.count() == 0
            for client in clients:
                if client is not None:
                    client.close()
        table.close()

    _run(NetLab, tmp_path / "run", scenario)


def test_kernel_parameters_are_the_tasks_own(tmp_path: Path) -> None:
    """Each that a definition may name: written in the task's namespace, nothing of the machine is another then."""

    def values() -> dict[str, str]:
        paths = {name: Path("/proc/sys", *name.split(".")) for name in sorted(NETWORK_CONTROLS)}
        return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}

    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a, b = await lab.attach("a", eni(1)), await lab.attach("b", eni(2))
        before = values()
        with entered(b.netns_path):
            other = values()
        with entered(a.netns_path):
            own = values()
        refused: list[str] = []
        changed = {"net.core.somaxconn": "777", "net.ipv4.ip_local_port_range": "20000 20999"}
        for name, text in own.items():
            numbers = re.findall(r"\d+", text)
            if len(numbers) == 1 and name not in changed:
                changed[name] = "1" if text != "1" else "2"
        for name, text in changed.items():
            try:
                await lab.network.set_controls("a", [(name, text)])
            except HostError as error:
                refused.append(str(error))  # out of that one's range
                del own[name]
        assert all("invalid argument" in text for text in refused)
        with entered(a.netns_path):
            now = values()
        wrong = [name for name in own.keys() & changed.keys() if now[name].split() != changed[name].split()]
        assert wrong == []
        with entered(b.netns_path):
            assert values() == other
        assert values() == before
        for name in ("net.core.nothing", "kernel.msgmax"):
            with pytest.raises(HostError):
                await lab.network.set_controls("a", [(name, "1")])
        with pytest.raises(HostError, match="has no interface"):
            await lab.network.set_controls("c", [("net.core.somaxconn", "1")])

    _run(NetLab, tmp_path / "run", scenario)


def test_what_cannot_be_attached_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def scenario(lab: NetLab) -> None:
        with pytest.raises(HostError, match="no plan of vpc-0a"):
            await lab.attach("a", eni(1))
        await lab.network.apply_vpc(plan(1, OPEN))
        a = await lab.attach("a", eni(1, "sg-0open", public=lab.public(5)))
        assert await lab.attach("a", eni(1, "sg-0open", public=lab.public(5))) == a
        with pytest.raises(HostError, match="still belongs to task a"):
            await lab.attach("b", eni(1, "sg-0open"))
        with pytest.raises(HostError, match="still belongs to task a"):
            await lab.attach("b", eni(2, "sg-0open", public=lab.public(5)))
        with pytest.raises(HostError, match="no address for tasks"):
            await lab.attach("b", eni(2, "sg-0open", public="192.0.2.1"))
        with pytest.raises(HostError, match="no address for tasks"):
            await lab.attach("b", eni(2, "sg-0open", public=lab.pool_host_address()))
        with pytest.raises(HostError, match="already has"):
            await lab.attach("a", eni(3, "sg-0open"))
        with pytest.raises(HostError, match="cannot name anything"):
            await lab.attach("../a", eni(4, "sg-0open"))
        assert await lab.network.list_tasks() == [a]

    _run(NetLab, tmp_path / "run", scenario)


def _of_instance(lab: NetLab) -> list[str]:
    """Everything of this instance in the host's own namespace; other instances may live beside it."""
    with Netlink() as links:
        found = [link.name for link in links.links() if lab.instance in link.name]
        found += [route for route in links.routes() if route == lab.pool]
    rules = Nftables()
    found += [line for line in rules.run("list tables").splitlines() if "neargate" in line]
    rules.close()
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [line for line in mounts if str(lab.directory) in line]


def _sysctls() -> dict[str, str]:
    """The host's settings that routing depends on."""
    names = ["ip_forward", *(f"conf/{scope}/{key}" for scope in ("all", "default") for key in _SETTINGS)]
    return {name: Path(f"/proc/sys/net/ipv4/{name}").read_text() for name in names}


def _router_links(lab: NetLab) -> list[str]:
    with entered(lab.router()), Netlink() as links:
        return sorted(link.name for link in links.links())


async def _until(lab: NetLab, condition: Callable[[], bool]) -> None:
    """The kernel removes links of a namespace that ended in its own time."""
    async with asyncio.timeout(REMOVED_WITHIN_S):
        while not condition():
            await lab.world.sleep(0.02)
