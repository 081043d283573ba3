"""Nodes of load balancers come to their places and leave them, whatever ends the process in between."""

from msgspec.structs import replace

from neargate.frontend.balancing.objects import LoadBalancer
from neargate.frontend.network.nodes import balancer_nodes as nodes
from neargate.frontend.network.records.objects import ElasticAddress, Subnet
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.model.capacity import PlacedRequest, Reservation
from neargate.store.sqlite import MemoryDisk
from neargate.world import OsWorld

from .test_placing import ACCOUNT, HOST, ZONE, Process, nothing_to_settle, run, start

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"
SILENT: frozenset[str] = frozenset()


def found(process: Process) -> LoadBalancer:
    [one] = process.network.shelf(ACCOUNT).all(LoadBalancer)
    return one


def is_gone(process: Process) -> bool:
    return process.network.shelf(ACCOUNT).count(LoadBalancer) == 0


async def put(process: Process, balancer: LoadBalancer) -> None:
    await process.network.change(ACCOUNT, lambda _: Change(result=None, put=(balancer,)))


async def create(process: Process, **wanted: object) -> LoadBalancer:
    subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
    made = LoadBalancer(
        account=ACCOUNT,
        name=ARN,
        label="web",
        number="50dc6c495c0c9188",
        lb_type="application",
        scheme="internet-facing",
        vpc_id=subnet.vpc_id,
        created_at=1.0,
        dns_name="web-1.us-east-1.elb.amazonaws.com",
        nodes=(nodes.new_node(subnet, process.network.bits),),
    )
    made = replace(made, **wanted)
    await put(process, made)
    return made


async def begun(region: MemoryDisk, zone: MemoryDisk, **wanted: object) -> Process:
    """A process with a host and a load balancer that nobody has looked at yet."""
    process = await start(region, zone)
    await process.capacity.register_host(HOST)
    await create(process, **wanted)
    return process


async def delete(process: Process) -> None:
    def decide(shelf: Shelf) -> Change[None]:
        one = found(process)
        left = nodes.deleting(one)
        return Change(result=None, put=() if left is None else (left,), drop=(one,) if left is None else ())

    await process.network.change(ACCOUNT, decide)


def request(process: Process) -> PlacedRequest:
    balancer = found(process)
    asked = nodes.placed_request(process.network.shelf(ACCOUNT), balancer, balancer.nodes[0])
    assert asked is not None
    return asked


async def claim(process: Process) -> Reservation:
    """As the loop does, which then ends."""
    claimed = await process.capacity.place(request(process))
    assert isinstance(claimed, Reservation) and claimed.eni is not None
    return claimed


async def seen(process: Process, *, serving: set[str], good: set[str] | None = None, silent: set[str] = set()) -> None:  # noqa: B006  read only
    await process.network.change(ACCOUNT, lambda shelf: nodes.seen(shelf, ARN, serving, silent, good or set()))


def test_it_waits_for_a_host_and_then_for_its_node_to_serve() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await create(process, created_at=OsWorld().now())
        await process.placing.look()
        assert found(process).nodes[0].state == "pending"
        await process.capacity.register_host(HOST)
        await process.placing.look()
        [one] = found(process).nodes
        assert one.state == "available" and one.host_id == "host-1" and one.private_ip and one.attached_at
        assert found(process).state == "provisioning"
        await seen(process, serving={one.place})
        assert found(process).state == "active"

    run(main)


def test_its_interface_is_shown_as_those_of_elastic_load_balancing() -> None:
    async def main() -> None:
        process = await begun(MemoryDisk(), MemoryDisk())
        await process.placing.look()
        [eni] = await process.capacity.describe_enis(ACCOUNT)
        assert eni["Description"] == "ELB app/web/50dc6c495c0c9188"
        assert (eni["RequesterId"], eni["RequesterManaged"], eni["InterfaceType"]) == ("amazon-elb", True, "interface")
        assert eni["Attachment"]["InstanceOwnerId"] == "amazon-elb"
        assert eni["Association"]["PublicIp"] == found(process).nodes[0].public_ip
        assert eni["Association"]["IpOwnerId"] == "amazon-elb"

    run(main)


def test_interfaces_of_network_load_balancers_have_their_own_type() -> None:
    async def main() -> None:
        process = await begun(MemoryDisk(), MemoryDisk(), lb_type="network")
        await process.placing.look()
        [eni] = await process.capacity.describe_enis(ACCOUNT)
        assert (eni["Description"], eni["InterfaceType"]) == (
            "ELB net/web/50dc6c495c0c9188",
            "network_load_balancer",
        )

    run(main)


def test_an_internal_one_gets_no_public_address() -> None:
    async def main() -> None:
        process = await begun(MemoryDisk(), MemoryDisk(), scheme="internal")
        await process.placing.look()
        assert found(process).nodes[0].public_ip is None
        assert await process.capacity.public_addresses() == []

    run(main)


def test_an_elastic_address_is_not_the_zones() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
        elastic = ElasticAddress(account=ACCOUNT, name="eipalloc-1", public_ip="198.18.0.9")
        node = nodes.new_node(subnet, process.network.bits, address=elastic)
        await create(process, lb_type="network", nodes=(node,))
        await process.placing.look()
        [one] = found(process).nodes
        assert (one.state, one.public_ip) == ("available", "198.18.0.9")
        assert await process.capacity.public_addresses() == []

    run(main)


def test_a_process_that_ends_after_the_claim_and_before_the_record() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        claimed = await claim(await begun(region, zone))
        second = await start(region, zone)
        await second.placing.look()
        [one] = found(second).nodes
        assert claimed.eni is not None
        assert (one.eni_id, one.public_ip) == (claimed.eni.eni_id, claimed.eni.public_ipv4)
        assert len(await second.capacity.describe_enis(ACCOUNT)) == 1

    run(main)


def test_what_is_deleted_while_it_is_placed_leaves_nothing() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first = await begun(region, zone)
        claimed, place = await claim(first), found(first).nodes[0].place
        await delete(first)
        await first.network.change(ACCOUNT, lambda shelf: nodes.placed(shelf, ARN, place, claimed, 2.0))
        assert found(first).state == "deleting"
        second = await start(region, zone)
        await second.placing.look()
        assert is_gone(second) and await second.capacity.describe_enis(ACCOUNT) == []
        assert await second.capacity.public_addresses() == []

    run(main)


def test_a_process_that_ends_after_the_release_and_before_the_record() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        first = await begun(region, zone)
        await first.placing.look()
        place = found(first).nodes[0].place
        await delete(first)
        await first.capacity.release(place, ZONE)
        second = await start(region, zone)
        await second.placing.look()
        assert is_gone(second)

    run(main)


def test_a_zone_that_lost_its_claims_has_them_again_before_anything_is_launched() -> None:
    async def main() -> None:
        region = MemoryDisk()
        first = await begun(region, MemoryDisk())
        await first.placing.look()
        [before] = await first.capacity.describe_enis(ACCOUNT)
        second = await start(region, MemoryDisk())
        [after] = await second.capacity.describe_enis(ACCOUNT)
        members = ("NetworkInterfaceId", "PrivateIpAddress", "MacAddress", "Description", "InterfaceType")
        assert [after[member] for member in members] == [before[member] for member in members]
        assert after["Association"]["PublicIp"] == before["Association"]["PublicIp"]

    run(main)


def test_what_no_record_speaks_of_is_given_back() -> None:
    async def main() -> None:
        zone = MemoryDisk()
        first = await begun(MemoryDisk(), zone)
        await first.placing.look()
        second = await start(MemoryDisk(), zone)
        await second.placing.restore(nothing_to_settle)
        assert await second.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_the_first_nodes_that_cannot_be_had_fail_it_and_say_why() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
        bits, address = process.network.bits, subnet.cidr.replace(".0/20", ".77")
        taken = nodes.new_node(subnet, bits, private_ip=address), nodes.new_node(subnet, bits, private_ip=address)
        await create(process, nodes=taken)
        await process.placing.look()
        await process.placing.look()
        one = found(process)
        assert (one.state, one.reason) == ("failed", f"The private IP address {address} is in use.")
        assert one.nodes == () and await process.capacity.describe_enis(ACCOUNT) == []

    run(main)


def test_no_public_address_is_left_and_the_private_one_is_free_again() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
        await create(process, nodes=tuple(nodes.new_node(subnet, process.network.bits) for _ in range(16)))
        await process.placing.look()
        await process.placing.look()
        assert found(process).reason == "The Region has no public IP address left."
        assert await process.capacity.subnet_usage([subnet.name]) == {subnet.name: 0}

    run(main)


def test_one_that_was_active_is_impaired_by_a_node_that_cannot_be_had_and_tries_on() -> None:
    async def main() -> None:
        process = await begun(MemoryDisk(), MemoryDisk())
        await process.placing.look()
        first = found(process).nodes[0]
        await seen(process, serving={first.place})
        subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
        new = nodes.new_node(subnet, process.network.bits, private_ip=first.private_ip)
        await put(process, nodes.with_nodes(found(process), {first.place}, (new,)))
        await process.placing.look()
        assert found(process).state == "active_impaired" and found(process).nodes[1].state == "pending"
        await put(process, nodes.with_nodes(found(process), {new.place}, ()))
        await process.placing.look()
        await process.placing.look()
        [one] = found(process).nodes
        assert (one.state, one.private_ip) == ("available", first.private_ip)
        await seen(process, serving={one.place})
        assert (found(process).state, found(process).reason) == ("active", "")

    run(main)


def test_a_node_that_serves_no_longer_impairs_it_and_silence_does_not() -> None:
    async def main() -> None:
        process = await begun(MemoryDisk(), MemoryDisk())
        await process.placing.look()
        place = found(process).nodes[0].place
        await seen(process, serving={place}, good={place})
        assert found(process).nodes[0].is_listed
        await seen(process, serving=set(), silent={place})
        assert found(process).state == "active" and found(process).nodes[0].is_listed
        await seen(process, serving=set())
        assert found(process).reason == f"The load balancer does not serve in {ZONE}."
        assert found(process).state == "active_impaired" and not found(process).nodes[0].is_listed

    run(main)


def test_one_of_which_two_servers_hear_one_node_each_is_active() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
        await create(process, nodes=tuple(nodes.new_node(subnet, process.network.bits) for _ in range(2)))
        await process.placing.look()
        one, other = (each.place for each in found(process).nodes)
        await seen(process, serving={one}, silent={other})
        assert found(process).state == "provisioning"
        await seen(process, serving={other}, silent={one})
        assert found(process).state == "active"

    run(main)


def test_names_lead_to_nodes_with_a_healthy_target_or_to_all() -> None:
    async def main() -> None:
        process = await start(MemoryDisk(), MemoryDisk())
        await process.capacity.register_host(HOST)
        subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
        two = tuple(nodes.new_node(subnet, process.network.bits) for _ in range(2))
        await create(process, nodes=two)
        await process.placing.look()
        one, other = found(process).nodes
        both = {one.place, other.place}
        await seen(process, serving=both)
        assert {each.place for each in nodes.led_to(found(process))} == both
        await seen(process, serving=both, good={other.place})
        assert [each.place for each in nodes.led_to(found(process))] == [other.place]
        await seen(process, serving={one.place})
        assert [each.place for each in nodes.led_to(found(process))] == [one.place], "the other serves nobody"

    run(main)
