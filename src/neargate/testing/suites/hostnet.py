"""What every HostNetwork, HostDisks and HostCgroups must do. Test classes subclass and say how to get one.

The promises here are those the agent builds on: every call may be repeated, taking away by the task's id alone is
whole, and what is there can be listed by an agent that remembers nothing.
"""

import os
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from ...interfaces.hostnet import DiskFull, GuestInterface, HostCgroups, HostDisks, HostError, HostNetwork, TaskLimits
from ...model.network import (
    AclRule,
    Eni,
    NetworkAcl,
    PlannedNat,
    PlannedPeering,
    PlannedSubnet,
    SecurityGroup,
    VpcPlan,
)
from ..plans import table, with_public_subnet

TASK = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
VPC = "vpc-00000000000000001"
MIB = 1024 * 1024


def suite_eni(number: int) -> Eni:
    return Eni(
        eni_id=f"eni-{number:017x}",
        attachment_id=f"attachment-{number}",
        mac=f"0a:00:00:00:01:{number:02x}",
        vpc_id=VPC,
        subnet_id="subnet-1",
        subnet_cidr="10.9.0.0/24",
        private_ipv4=f"10.9.0.{number}",
        security_groups=("sg-00000000000000001",),
    )


def suite_plan(generation: int) -> VpcPlan:
    groups = (SecurityGroup(group_id="sg-00000000000000001"),)
    plan = VpcPlan(vpc_id=VPC, generation=generation, cidrs=("10.9.0.0/16",), groups=groups)
    return with_public_subnet(plan, "subnet-1", "10.9.0.0/24")


def _crowded(plan: VpcPlan) -> VpcPlan:
    """With a second subnet behind a NAT gateway, an ACL, and a peering with a VPC that this host may not have."""
    narrow = AclRule(number=100, is_egress=False, allow=True, protocol="6", cidr="0.0.0.0/0", from_port=1024)
    behind = PlannedSubnet(subnet_id="subnet-2", cidr="10.9.1.0/24", route_table="rtb-0nat", acl="acl-0narrow")
    return replace(
        plan,
        subnets=(*plan.subnets, behind),
        tables=(*plan.tables, table("rtb-0nat", ("0.0.0.0/0", "nat-01"), ("10.10.0.0/16", "pcx-01"))),
        acls=(*plan.acls, NetworkAcl(acl_id="acl-0narrow", rules=(narrow,))),
        nats=(PlannedNat(nat_id="nat-01", subnet_id="subnet-1", private_ipv4="10.9.0.9"),),
        peerings=(PlannedPeering(peering_id="pcx-01", peer_vpc="vpc-00000000000000002"),),
    )


class NetworkSuite(ABC):
    """`play` runs a story with a network without tasks; `restarted` gives a new object over the same host."""

    @abstractmethod
    def play(self, story: Callable[[HostNetwork], Awaitable[None]]) -> None: ...

    @abstractmethod
    async def restarted(self, network: HostNetwork) -> HostNetwork: ...

    def test_attaching_and_detaching_may_be_repeated(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            first = await network.attach_eni(TASK, suite_eni(10))
            again = await network.attach_eni(TASK, suite_eni(10))
            assert first == again and (first.task_id, first.vpc_id) == (TASK, VPC)
            assert [item.task_id for item in await network.list_tasks()] == [TASK]
            await network.detach_eni(TASK)
            await network.detach_eni(TASK)
            assert await network.list_tasks() == []

        self.play(story)

    def test_a_namespace_is_there_before_its_interface(self) -> None:
        async def story(network: HostNetwork) -> None:
            with pytest.raises(HostError):
                await network.make_namespace(TASK, suite_eni(10))
            await network.apply_vpc(suite_plan(1))
            empty = await network.make_namespace(TASK, suite_eni(10))
            assert await network.make_namespace(TASK, suite_eni(10)) == empty
            assert await network.list_tasks() == [empty], "a killed agent's successor must find it"
            assert await network.attach_eni(TASK, suite_eni(10)) == empty
            await network.detach_eni(TASK)
            assert await network.list_tasks() == []

        self.play(story)

    def test_a_namespace_without_its_interface_is_taken_back_too(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            await network.make_namespace(TASK, suite_eni(10))
            after = await self.restarted(network)
            assert [item.task_id for item in await after.list_tasks()] == [TASK]
            await after.detach_eni(TASK)
            assert await after.list_tasks() == []
            await after.apply_vpc(suite_plan(1))
            await after.make_namespace(TASK, suite_eni(10))
            await after.detach_eni(TASK)
            assert await after.list_tasks() == []

        self.play(story)

    def test_what_was_never_attached_can_be_detached(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.detach_eni(OTHER)
            with pytest.raises(HostError):
                await network.interface_stats(OTHER)

        self.play(story)

    def test_a_socket_of_a_task_is_made_for_one_that_is_here(self) -> None:
        async def story(network: HostNetwork) -> None:
            with pytest.raises(HostError):
                await network.task_socket(TASK)
            await network.apply_vpc(suite_plan(1))
            await network.attach_eni(TASK, suite_eni(10))
            made = await network.task_socket(TASK)
            with made:
                assert (made.family, made.type) == (socket.AF_INET, socket.SOCK_STREAM)
            await network.detach_eni(TASK)
            with pytest.raises(HostError):
                await network.task_socket(TASK)

        self.play(story)

    def test_a_tap_is_for_a_task_with_an_interface(self) -> None:
        async def story(network: HostNetwork) -> None:
            with pytest.raises(HostError):
                await network.open_tap(TASK)
            await network.apply_vpc(suite_plan(1))
            await network.make_namespace(TASK, suite_eni(10))
            with pytest.raises(HostError):
                await network.open_tap(TASK)
            await network.attach_eni(TASK, suite_eni(10))
            with _machine_of(await network.open_tap(TASK)):
                pass
            await network.detach_eni(TASK)
            with pytest.raises(HostError):
                await network.open_tap(TASK)

        self.play(story)

    def test_a_tap_is_given_again_when_nobody_has_it(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            await network.attach_eni(TASK, suite_eni(10))
            await network.attach_eni(OTHER, suite_eni(11))
            first = await network.open_tap(TASK)
            with _machine_of(first):
                after = await self.restarted(network)
                await after.apply_vpc(suite_plan(1))
                assert await after.open_tap(TASK) == replace(first, descriptor=None), "a machine that lives keeps it"
                with _machine_of(await after.open_tap(OTHER)):
                    pass
            again = await after.open_tap(TASK)
            with _machine_of(again):
                assert (again.mac, again.messages) == (first.mac, first.messages)
            assert {item.task_id for item in await after.list_tasks()} == {TASK, OTHER}
            await after.detach_eni(TASK)
            await after.detach_eni(OTHER)

        self.play(story)

    def test_a_tap_that_led_nowhere_becomes_a_tasks_and_goes_with_it(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            await network.attach_eni(TASK, suite_eni(10))
            with _machine_of(await network.open_tap(TASK)):
                pass  # of a machine that did not come up
            spare, other = await network.open_spare_tap(), await network.open_spare_tap()
            try:
                given = await network.open_tap(TASK, spare)
                assert (given.descriptor, given.mac) == (None, suite_eni(10).mac)
                assert (await network.open_tap(TASK)).descriptor is None, "the machine that was given it keeps it"
            finally:
                os.close(spare)
                os.close(other)  # it ends with that
            with _machine_of(await network.open_tap(TASK)):
                pass
            await network.detach_eni(TASK)

        self.play(story)

    def test_a_task_is_detached_while_its_machine_lives(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            await network.attach_eni(TASK, suite_eni(10))
            with _machine_of(await network.open_tap(TASK)):
                after = await self.restarted(network)
                await after.detach_eni(TASK)
                await after.detach_eni(TASK)
                assert await after.list_tasks() == []
                await after.apply_vpc(suite_plan(1))
                await after.attach_eni(TASK, suite_eni(10))
                with _machine_of(await after.open_tap(TASK)):
                    pass
                await after.detach_eni(TASK)

        self.play(story)

    def test_a_guest_is_told_what_its_task_is_told(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(replace(suite_plan(1), cidrs=("10.9.0.0/16", "2001:db8:9::/56")))
            await network.attach_eni(TASK, suite_eni(10))
            eni = replace(suite_eni(11), ipv6="2001:db8:9::11")
            await network.attach_eni(OTHER, eni)
            plain, both = await network.open_tap(TASK), await network.open_tap(OTHER)
            with _machine_of(plain), _machine_of(both):
                assert (plain.mac, both.mac) == (suite_eni(10).mac, eni.mac)
                for guest, addresses in ((plain, ["10.9.0.10"]), (both, ["10.9.0.11", "2001:db8:9::11"])):
                    for number, message in enumerate(guest.messages, 1):
                        length, _, flags, sequence, _ = struct.unpack_from("=IHHII", message)
                        assert (length, sequence, flags & 5) == (len(message), number, 5), "a request to be answered"
                    told = b"".join(guest.messages)
                    for address in ("10.9.0.10", "10.9.0.11", "2001:db8:9::11"):
                        assert (ip_address(address).packed in told) is (address in addresses)
            await network.detach_eni(TASK)
            await network.detach_eni(OTHER)

        self.play(story)

    def test_an_interface_needs_the_rules_of_its_vpc(self) -> None:
        async def story(network: HostNetwork) -> None:
            with pytest.raises(HostError):
                await network.attach_eni(TASK, replace(suite_eni(10), vpc_id="vpc-0000000000000000f"))
            assert await network.list_tasks() == []

        self.play(story)

    def test_an_address_belongs_to_one_task(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            await network.attach_eni(TASK, suite_eni(10))
            with pytest.raises(HostError):
                await network.attach_eni(OTHER, replace(suite_eni(11), private_ipv4=suite_eni(10).private_ipv4))
            await network.detach_eni(TASK)
            await network.attach_eni(OTHER, replace(suite_eni(11), private_ipv4=suite_eni(10).private_ipv4))
            await network.detach_eni(OTHER)

        self.play(story)

    def test_an_agent_that_remembers_nothing_finds_what_is_attached(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            attached = await network.attach_eni(TASK, suite_eni(10))
            after = await self.restarted(network)
            assert await after.list_tasks() == [attached]
            await after.apply_vpc(suite_plan(1))
            assert (await after.interface_stats(TASK)).rx_bytes >= 0
            await after.detach_eni(TASK)
            assert await after.list_tasks() == []

        self.play(story)

    def test_a_plan_may_gain_and_lose_everything_around_a_task(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            attached = await network.attach_eni(TASK, suite_eni(10))
            await network.apply_vpc(_crowded(suite_plan(2)))
            # Of a subnet that the plan does not have: it is there, and no packet of it passes.
            stray = replace(suite_eni(11), subnet_id="subnet-404", private_ipv4="10.9.7.11", subnet_cidr="10.9.7.0/24")
            unknown = await network.attach_eni(OTHER, stray)
            after = await self.restarted(network)
            assert sorted(item.task_id for item in await after.list_tasks()) == sorted([TASK, OTHER])
            await after.apply_vpc(replace(suite_plan(3), subnets=(), tables=(), acls=()))
            assert {item.task_id: item for item in await after.list_tasks()} == {TASK: attached, OTHER: unknown}
            await after.apply_vpc(_crowded(suite_plan(4)))
            await after.detach_eni(TASK)
            await after.detach_eni(OTHER)
            assert await after.list_tasks() == []

        self.play(story)

    def test_a_listener_is_where_tasks_look_for_it(self) -> None:
        async def story(network: HostNetwork) -> None:
            await network.apply_vpc(suite_plan(1))
            listener = await network.listen(VPC, "169.254.170.2", 80)
            assert listener.getblocking() is False
            listener.close()
            with pytest.raises(HostError):
                await network.listen("vpc-0000000000000000f", "169.254.170.2", 80)

        self.play(story)


class DisksSuite(ABC):
    """`play` runs a story with disks of a host that has none and room for few (`room_gib`)."""

    room_gib = 100

    @abstractmethod
    def play(self, story: Callable[[HostDisks], Awaitable[None]]) -> None: ...

    def test_making_and_deleting_may_be_repeated(self) -> None:
        async def story(disks: HostDisks) -> None:
            first = await disks.create_disk(TASK, 21)
            _write(first.path, "kept")
            again = await disks.create_disk(TASK, 21)
            assert again == first and _names(again.path) >= {"kept"}, "a disk that is there is not made anew"
            assert await disks.list_disks() == [TASK]
            await disks.delete_disk(TASK)
            await disks.delete_disk(TASK)
            assert await disks.list_disks() == [] and not _exists(f"{first.path}/kept")

        self.play(story)

    def test_a_charge_counts_as_used_and_replaces_the_earlier_one(self) -> None:
        async def story(disks: HostDisks) -> None:
            await disks.create_disk(TASK, 21)
            empty = await disks.usage(TASK)
            assert empty.size_bytes > 18 * 1024 * MIB
            await disks.reserve(TASK, 64 * MIB)
            await disks.reserve(TASK, 32 * MIB)
            used = (await disks.usage(TASK)).used_bytes - empty.used_bytes
            assert 32 * MIB <= used < 34 * MIB
            await disks.delete_disk(TASK)

        self.play(story)

    def test_what_does_not_fit_is_refused(self) -> None:
        async def story(disks: HostDisks) -> None:
            with pytest.raises(DiskFull):
                await _fill(disks, 2 * self.room_gib // 50 + 1)
            for task_id in await disks.list_disks():
                await disks.delete_disk(task_id)
            assert 0.0 <= await disks.free_fraction() <= 1.0

        self.play(story)

    def test_what_is_written_takes_room_of_the_host_until_the_disk_is_deleted(self) -> None:
        async def story(disks: HostDisks) -> None:
            assert await disks.allocated(TASK) == 0
            disk = await disks.create_disk(TASK, 21)
            empty = await disks.allocated(TASK)
            assert 0 < empty < 4 * MIB
            await disks.reserve(TASK, 64 * MIB)
            assert await disks.allocated(TASK) < empty + 4 * MIB, "a charge is no room of the host"
            _write_through(Path(disk.path) / "file", 8 * MIB)
            assert 8 * MIB <= await disks.allocated(TASK) - empty < 12 * MIB
            await disks.delete_disk(TASK)
            assert await disks.allocated(TASK) == 0

        self.play(story)

    def test_a_disk_that_was_cut_off_can_be_deleted(self) -> None:
        async def story(disks: HostDisks) -> None:
            await disks.cut_off(TASK)
            await disks.create_disk(TASK, 21)
            await disks.create_disk(OTHER, 21)
            await disks.cut_off(TASK)
            await disks.cut_off(TASK)
            assert await disks.list_disks() == sorted([TASK, OTHER])
            await disks.delete_disk(TASK)
            assert await disks.list_disks() == [OTHER]
            _write((await disks.create_disk(TASK, 21)).path, "made anew")
            await disks.delete_disk(TASK)
            await disks.delete_disk(OTHER)

        self.play(story)

    def test_a_disk_that_was_handed_over_is_the_machines(self) -> None:
        async def story(disks: HostDisks) -> None:
            with pytest.raises(HostError):
                await disks.hand_over(TASK)
            disk = await disks.create_disk(TASK, 21)
            await disks.create_disk(OTHER, 21)
            await disks.reserve(TASK, 64 * MIB)
            memory = await disks.hold_in_memory(TASK, 1)
            _write(memory, "secret")
            _write(disk.path, "kept")
            image = await disks.hand_over(TASK)
            assert await disks.hand_over(TASK) == image and _mode(image) == 0o600
            assert not _exists(disk.path) and _names(memory) == {"secret"}
            assert await disks.create_disk(TASK, 21) == replace(disk, is_given=True) and not _exists(disk.path)
            assert await disks.list_disks() == sorted([TASK, OTHER])
            used, held = await disks.usage(TASK), await disks.allocated(TASK)
            assert 64 * MIB < used.used_bytes < 68 * MIB < used.size_bytes <= 21 * 1024 * MIB
            await disks.reserve(TASK, 0)
            assert await disks.usage(TASK) == used, "what was charged before stays"
            _write_through(Path(image), 8 * MIB, at=1024 * MIB)
            assert await disks.allocated(TASK) - held == 8 * MIB
            assert (await disks.usage(TASK)).used_bytes - used.used_bytes == 8 * MIB
            with suppress(HostError, OSError):
                await disks.cut_off(TASK)
            await disks.delete_disk(TASK)
            await disks.delete_disk(TASK)
            assert await disks.list_disks() == [OTHER] and not _exists(image) and not _exists(memory)
            assert await disks.allocated(TASK) == 0
            assert await disks.create_disk(TASK, 21) == disk and "kept" not in _names(disk.path)
            await disks.delete_disk(TASK)
            await disks.delete_disk(OTHER)

        self.play(story)

    def test_what_is_held_in_memory_goes_with_the_disk(self) -> None:
        async def story(disks: HostDisks) -> None:
            disk = await disks.create_disk(TASK, 21)
            memory = await disks.hold_in_memory(TASK, 1)
            _write(memory, "kept")
            assert await disks.hold_in_memory(TASK, 1) == memory and _names(memory) == {"kept"}
            assert not memory.startswith(f"{disk.path}/")
            assert _mode(memory) == 0o700
            await disks.cut_off(TASK)
            await disks.delete_disk(TASK)
            assert await disks.list_disks() == [] and not _exists(memory)

        self.play(story)

    def test_what_is_held_in_memory_is_found_without_a_disk(self) -> None:
        async def story(disks: HostDisks) -> None:
            memory = await disks.hold_in_memory(TASK, 1)
            assert await disks.list_disks() == [TASK]
            await disks.delete_disk(TASK)
            assert await disks.list_disks() == [] and not _exists(memory)

        self.play(story)

    def test_a_disk_that_is_not_there(self) -> None:
        async def story(disks: HostDisks) -> None:
            with pytest.raises(HostError):
                await disks.usage(OTHER)
            with pytest.raises(HostError):
                await disks.reserve(OTHER, MIB)

        self.play(story)


class CgroupsSuite(ABC):
    """`play` runs a story with cgroups of an instance that has none."""

    @abstractmethod
    def play(self, story: Callable[[HostCgroups], Awaitable[None]]) -> None: ...

    def test_making_and_deleting_may_be_repeated(self) -> None:
        async def story(cgroups: HostCgroups) -> None:
            limits = TaskLimits(cpu_units=256, memory_mib=512)
            assert cgroups.task_path(TASK).endswith(f"/{TASK}")
            with pytest.raises(HostError):
                await cgroups.limit_cpu(TASK, limits)
            await cgroups.create_task(TASK, limits)
            await cgroups.create_task(TASK, limits)
            await cgroups.limit_cpu(TASK, limits)
            await cgroups.limit_cpu(TASK, limits)
            assert await cgroups.list_tasks() == [TASK]
            stats = await cgroups.task_stats(TASK)
            assert stats is not None and stats.memory_limit == 512 * MIB and stats.oom_kills == 0
            assert await cgroups.used_memory() >= 0 and await cgroups.used_cpu_ns() >= 0
            await cgroups.delete_task(TASK)
            await cgroups.delete_task(TASK)
            assert await cgroups.used_memory() == 0, "of no task at all"
            assert await cgroups.list_tasks() == [] and await cgroups.task_stats(TASK) is None

        self.play(story)


@contextmanager
def _machine_of(guest: GuestInterface) -> Iterator[None]:
    """As long as the block lasts it has the tap."""
    assert guest.descriptor is not None and not os.get_inheritable(guest.descriptor)
    try:
        yield
    finally:
        os.close(guest.descriptor)


async def _fill(disks: HostDisks, count: int) -> None:
    for number in range(count):
        await disks.create_disk(f"{number:032x}", 50)


def _write_through(path: Path, size: int, *, at: int = 0) -> None:
    with path.open("r+b" if at else "wb") as file:
        file.seek(at)
        file.write(b"x" * size)
        file.flush()
        os.fsync(file.fileno())


def _write(directory: str, name: str) -> None:
    (Path(directory) / name).write_text("x")


def _names(directory: str) -> set[str]:
    return {path.name for path in Path(directory).iterdir()}


def _mode(path: str) -> int:
    return Path(path).stat().st_mode & 0o7777


def _exists(path: str) -> bool:
    return Path(path).exists()
