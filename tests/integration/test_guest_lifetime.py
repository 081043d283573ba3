"""What is there of a guest's tap, and what is left: with agents killed in between, and machines that live too long."""

import asyncio
import errno
import fcntl
import os
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from neargate.hostnet.netlink import Netlink
from neargate.hostnet.network import LinuxNetwork, Step
from neargate.hostnet.nftables import Nftables
from neargate.hostnet.router import interface_name
from neargate.interfaces.hostnet import HostError
from neargate.model.network import SecurityGroup
from neargate.testing.guest_stack import HEADER, GuestStack
from neargate.testing.netlab import NetLab, connect, echo, eni, entered, listener_in, plan, reaches, rule

from .own_network import Run

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
A, B = "172.31.1.1", "172.31.1.2"
WITHIN_S = 10.0
_TUNGETVNETHDRSZ, _TUNSETVNETHDRSZ = 0x800454D7, 0x400454D8
DETACH_STEPS = 8  # one more than of a task in containers


class KilledAgent(LinuxNetwork):
    """Stops between two steps, as kill -9 does."""

    detach_until = DETACH_STEPS

    def _detach_steps(self, task_id: str) -> list[Step]:
        steps = super()._detach_steps(task_id)
        assert len(steps) <= DETACH_STEPS, "walk the new steps as well"
        return steps[: self.detach_until]


class KilledLab(NetLab):
    def another_agent(self) -> LinuxNetwork:
        return KilledAgent(self.world, instance=self.instance, run_dir=self.directory, public_pool=self.pool)

    async def restart(self) -> None:
        await self.network.close()
        self.network = super().another_agent()
        await self.network.start()


def test_a_new_agent_lets_a_machine_live(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        other = await lab.attach("b", eni(2, "sg-0open"))
        with (
            GuestStack.boot(lab, "a", await lab.network.open_tap("a")) as guest,
            listener_in(other.netns_path, B, 80) as listener,
        ):
            client = await connect(guest.netns_path, B, 80)
            assert client is not None
            taken, _ = await asyncio.get_running_loop().sock_accept(listener)
            with client, taken:
                await lab.restart()
                assert await echo(client, taken, b"adopted") == b"adopted"
                again = await lab.network.open_tap("a")
                assert again.descriptor is None
                guest.tell(again.messages)
                assert await echo(client, taken, b"told twice") == b"told twice"
            with await lab.network.task_socket("a") as agent:
                agent.setblocking(False)
                await asyncio.get_running_loop().sock_connect(agent, (B, 80))
        with GuestStack.boot(lab, "a", await lab.network.open_tap("a")) as guest, listener_in(other.netns_path, B, 80):
            assert await reaches(guest.netns_path, B, 80), "another machine after the first one's death"

    run(scenario)


@pytest.mark.parametrize("done", range(DETACH_STEPS + 1))
def test_an_agent_killed_while_detaching_leaves_no_tap(tmp_path: Path, done: int) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        kept = await lab.attach("b", eni(2, "sg-0open"))
        await lab.attach("a", eni(1, "sg-0open", public=lab.public(5)))
        guest = await lab.network.open_tap("a")
        assert guest.descriptor is not None and isinstance(lab.network, KilledAgent)
        lab.network.detach_until = done
        await lab.network.detach_eni("a")
        await lab.restart()
        await lab.network.detach_eni("a")
        assert await lab.network.list_tasks() == [kept] and list((lab.directory / "taps").iterdir()) == []
        assert not (lab.directory / "netns" / "task-a").exists()
        assert _is_gone(guest.descriptor), "a machine that lives on has nothing"
        os.close(guest.descriptor)
        with entered(lab.router()):
            links = Netlink()
        with links:
            await _until(lab, lambda: links.link(interface_name(eni(1).eni_id)) is None)

    asyncio.run(_in(tmp_path / "run", scenario))


def test_who_opens_a_tap_next_finds_it_as_the_first_did(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        for _ in range(2):
            guest = await lab.network.open_tap("a")
            assert guest.descriptor is not None and _header_size(guest.descriptor) == HEADER
            fcntl.ioctl(guest.descriptor, _TUNSETVNETHDRSZ, struct.pack("=i", 12))
            assert _header_size(guest.descriptor) == 12
            os.close(guest.descriptor)

    run(scenario)


def test_remove_all_takes_the_tap_of_a_machine_that_lives(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        guest = await lab.network.open_tap("a")
        assert guest.descriptor is not None
        await lab.network.close()
        await lab.another_agent().remove_all()
        assert _is_gone(guest.descriptor)
        os.close(guest.descriptor)
        assert not (lab.directory / "taps").exists()

    run(scenario)


def test_a_descriptor_that_nobody_waited_for_does_not_keep_the_tap(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        asked = asyncio.create_task(lab.network.open_tap("a"))
        await asyncio.sleep(0)
        # Without a turn of the loop: the work goes on in its thread, and its answer cannot have come.
        deadline = lab.world.monotonic() + WITHIN_S
        while not (lab.directory / "taps" / "a").exists():
            assert lab.world.monotonic() < deadline
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        guest = await lab.network.open_tap("a")
        assert guest.descriptor is not None
        os.close(guest.descriptor)

    run(scenario)


def test_a_task_in_containers_has_nothing_of_it(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        task, other = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", eni(2, "sg-0open"))
        guest = await lab.network.open_tap("a")
        assert guest.descriptor is not None
        os.close(guest.descriptor)
        found = {}
        for name, netns_path in (("a", task.netns_path), ("b", other.netns_path)):
            with entered(netns_path), Netlink() as links:
                rules = Nftables()
                tables = [one["table"]["family"] for one in rules.ruleset() if "table" in one]
                rules.close()
                found[name] = [link.name for link in links.links() if link.name.startswith("tap")], tables
        assert found == {"a": (["tap0"], ["netdev"]), "b": ([], [])}

    run(scenario)


def test_rules_that_the_kernel_refuses_are_told_in_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one without `fwd` refuses them: by an unknown thing in the table. The tap is not kept from who comes next."""

    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        with monkeypatch.context() as patch:
            patch.setattr(
                "neargate.hostnet.guests.guest_rules", lambda *_, **__: "table netdev x { chain c_ { lost } }\n"
            )
            with pytest.raises(HostError, match=r"needs nftables' netdev family and its `fwd` .*CONFIG_NFT_FWD_NETDEV"):
                await lab.network.open_tap("a")
        guest = await lab.network.open_tap("a")
        assert guest.descriptor is not None
        os.close(guest.descriptor)

    run(scenario)


async def _in(directory: Path, scenario: Callable[[NetLab], Awaitable[None]]) -> None:
    lab = await KilledLab.open(directory)
    try:
        await scenario(lab)
    finally:
        await lab.close()


def _header_size(descriptor: int) -> int:
    return int(struct.unpack("=i", fcntl.ioctl(descriptor, _TUNGETVNETHDRSZ, bytes(4)))[0])


def _is_gone(descriptor: int) -> bool:
    try:
        os.read(descriptor, 1)
    except OSError as error:
        return error.errno == errno.EBADFD
    return False


async def _until(lab: NetLab, condition: Callable[[], bool]) -> None:
    """The kernel removes links of a namespace that ended in its own time."""
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await lab.world.sleep(0.02)
