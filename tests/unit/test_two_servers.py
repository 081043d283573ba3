"""Two server processes over one region's databases: what the operator or a caller changes at one holds at the other."""

from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.identity import users
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.model.quotas import IAM_QUOTAS
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.wire.shapes import Models

ACCOUNT, ZONE = "123456789012", "us-east-1a"
KNOBS = Knobs()


async def server(world: VirtualWorld, disk: MemoryDisk) -> Region:
    zones = ((ZONE, "use1-az1"),)
    return await open_region(
        world,
        MemoryStores(world, KNOBS, disk),
        RegionPlan(
            region="us-east-1", account=ACCOUNT, zones=zones, public_pool="198.18.0.0/24", one_machine=True, servers=2
        ),
        models=Models(),
        credentials=Credentials(account=ACCOUNT, access_key_id="AKIA1", secret_access_key="secret"),
        envelope=Envelope(bytes(32), world),
        knobs=KNOBS,
    )


def test_identities_quotas_and_hosts_of_ones_own_are_followed() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        first, second = await server(world, disk), await server(world, disk)
        room = HostCapacity(cpu_units=1024, memory_mib=1024, disk_gib=100)
        for one in (first, second):
            await one.capacities[ZONE].register_host(HostFacts(host_id="h1", boot_id="b", capacity=room))
        bits = world.random.getrandbits
        await first.services.identity.change(
            ACCOUNT,
            lambda book: users.create_user(book, "ann", path="/", boundary=None, tags=None, now=1, bits=bits),
        )
        await first.quotas.set_value(ACCOUNT, IAM_QUOTAS["UsersPerAccount"].key, 1)
        await first.own_hosts.keep("h1", ACCOUNT)
        identity = second.services.identity
        assert identity.user(ACCOUNT, "ann") is None
        await world.sleep(KNOBS.regional_reread_s + 1)
        assert identity.user(ACCOUNT, "ann") is not None
        assert identity.book(ACCOUNT).limit("UsersPerAccount") == 1
        assert [host["pool"] for host in await second.capacities[ZONE].hosts()] == [ACCOUNT]
        assert not world.failures

    run_virtual(told())
