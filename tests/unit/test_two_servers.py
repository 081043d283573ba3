"""Two server processes over one region's databases: what the operator or a caller changes at one holds at the other."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.identity import users
from neargate.frontend.record.seen import SeenCall
from neargate.frontend.regional.looking import CALLERS, SecondLook
from neargate.interfaces.store import Overloaded
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.model.quotas import IAM_QUOTAS
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.front_door import REGION, ROOT, FrontDoor, Keys, Said, allowing, trusting
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
            region=REGION, account=ACCOUNT, zones=zones, public_pool="198.18.0.0/24", one_machine=True, servers=2
        ),
        models=Models(),
        credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
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


@pytest.mark.parametrize(
    ("service", "make", "use"),
    [
        ("ecr", ("CreateRepository", {"repositoryName": "web"}), ("ListImages", {"repositoryName": "web"})),
        (
            "secretsmanager",
            ("CreateSecret", {"Name": "s", "SecretString": "x", "ClientRequestToken": "t" * 32}),
            ("GetSecretValue", {"SecretId": "s"}),
        ),
        (
            "ssm",
            ("PutParameter", {"Name": "/p", "Value": "x", "Type": "SecureString"}),
            ("GetParameter", {"Name": "/p"}),
        ),
        ("kms", ("CreateAlias", {"AliasName": "alias/a"}), ("DescribeKey", {"KeyId": "alias/a"})),
        (
            "servicediscovery",
            ("CreateService", {"Name": "web"}),
            ("DiscoverInstances", {"NamespaceName": "apps", "ServiceName": "web"}),
        ),
        ("iam", ("CreateUser", {"UserName": "ann"}), ("GetUser", {"UserName": "ann"})),
        (
            "elbv2",
            ("CreateTargetGroup", {"Name": "tg", "TargetType": "ip", "Protocol": "TCP", "Port": "80"}),
            ("DescribeTargetGroups", {"Names.member.1": "tg"}),
        ),
    ],
)
def test_what_one_server_made_the_other_finds_at_once(
    service: str, make: tuple[str, dict[str, Any]], use: tuple[str, dict[str, Any]]
) -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        first, second = [FrontDoor(world, await server(world, disk)) for _ in range(2)]  # type: ignore[arg-type]
        params = dict(make[1])
        if service == "kms":
            params["TargetKeyId"] = (await first.call(ROOT, "kms", "CreateKey")).body["KeyMetadata"]["KeyId"]
        if service == "servicediscovery":
            made = await first.call(ROOT, service, "CreateHttpNamespace", Name="apps")
            found = await first.call(ROOT, service, "GetOperation", OperationId=made.body["OperationId"])
            params["NamespaceId"] = found.body["Operation"]["Targets"]["NAMESPACE"]
        if service == "elbv2":
            params["VpcId"] = (await first.call(ROOT, "ec2", "DescribeVpcs")).body["vpcSet"][0]["vpcId"]
        assert (await second.call(ROOT, service, *use)).status != 200
        assert (await first.call(ROOT, service, make[0], params)).status == 200
        said = await second.call(ROOT, service, *use)
        assert said.status == 200, said

    run_virtual(told())


def test_parameters_are_looked_for_again_when_some_are_missing() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        first, second = [FrontDoor(world, await server(world, disk)) for _ in range(2)]  # type: ignore[arg-type]
        await first.call(ROOT, "ssm", "PutParameter", Name="/p", Value="x", Type="String")
        said = await second.call(ROOT, "ssm", "GetParameters", Names=["/p", "/q"])
        assert [one["Value"] for one in said.body["Parameters"]] == ["x"] and said.body["InvalidParameters"] == ["/q"]

    run_virtual(told())


def test_secrets_are_looked_for_again_when_some_are_missing() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        first, second = [FrontDoor(world, await server(world, disk)) for _ in range(2)]  # type: ignore[arg-type]
        await first.call(
            ROOT, "secretsmanager", "CreateSecret", Name="s", SecretString="x", ClientRequestToken="t" * 32
        )
        said = await second.call(ROOT, "secretsmanager", "BatchGetSecretValue", SecretIdList=["s", "q"])
        assert [one["SecretString"] for one in said.body["SecretValues"]] == ["x"]
        assert [one["SecretId"] for one in said.body["Errors"]] == ["q"]

    run_virtual(told())


def counted_looks(door: FrontDoor, world: VirtualWorld) -> list[float]:
    """When ECR's registry looks into the database from now on."""
    images = door.region.services.images
    assert images is not None
    looks: list[float] = []
    catch_up = images.registry.catch_up

    async def counted() -> None:
        looks.append(world.monotonic())
        await catch_up()

    images.registry.catch_up = counted  # type: ignore[method-assign]
    return looks


def test_images_are_looked_for_again_when_some_are_missing() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        door = FrontDoor(world, await server(world, disk))  # type: ignore[arg-type]
        await door.call(ROOT, "ecr", "CreateRepository", repositoryName="web")
        looks = counted_looks(door, world)
        said = await door.call(ROOT, "ecr", "BatchGetImage", repositoryName="web", imageIds=[{"imageTag": "t"}])
        assert said.status == 200 and len(said.body["failures"]) == 1 and len(looks) == 1

    run_virtual(told())


def test_a_flood_of_unknown_names_is_no_flood_of_looks() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        door = FrontDoor(world, await server(world, disk))  # type: ignore[arg-type]
        looks = counted_looks(door, world)

        async def unknown(number: int) -> Said:
            return await door.call(ROOT, "ecr", "ListImages", repositoryName=f"r{number}")

        for _ in range(3):
            said = await asyncio.gather(*map(unknown, range(20)))
            assert {one.code for one in said} == {"RepositoryNotFoundException"}
        assert 3 <= len(looks) <= 6
        assert all(later - before > KNOBS.regional_look_s - 0.001 for before, later in pairwise(looks))

    run_virtual(told())


def test_a_database_that_has_too_much_to_do_is_not_asked_for_more() -> None:
    class Busy:
        async def catch_up(self) -> None:
            raise Overloaded

    async def told() -> None:
        look = SecondLook(VirtualWorld(), {"ecr": (Busy(),)}, 0.2, 8)
        assert not await look.look("ecr") and not await look.look("ecs")
        assert await asyncio.gather(*(look.look("ecr") for _ in range(4))) == [False] * 4

    run_virtual(told())


def test_of_a_flood_few_wait_and_the_others_are_answered_at_once() -> None:
    class Free:
        async def catch_up(self) -> None:
            return

    async def told() -> None:
        world = VirtualWorld()
        look = SecondLook(world, {"ecr": (Free(),), CALLERS: (Free(),)}, 0.2, 3)
        assert await look.look("ecr")
        began = world.monotonic()
        flood = [asyncio.ensure_future(look.look("ecr")) for _ in range(20)]
        done, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        assert world.monotonic() == began and not any(one.result() for one in done) and len(done) == 17
        assert await look.look(CALLERS), "each has its own"
        assert sum(await asyncio.gather(*flood)) == 3
        assert await look.look("ecr"), "nobody waits any more"

    run_virtual(told())


def test_who_one_server_made_the_other_lets_in_at_once() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        first, second = [FrontDoor(world, await server(world, disk)) for _ in range(2)]  # type: ignore[arg-type]
        began = world.monotonic()
        ann = await first.user("ann", allowing("sts:AssumeRole"))
        said = await second.call(ann, "sts", "GetCallerIdentity")
        assert said.status == 200 and said.body["Arn"].endswith(":user/ann"), said
        arn = await first.role("r", trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole"))
        assumed = await first.call(ann, "sts", "AssumeRole", RoleArn=arn, RoleSessionName="session")
        held = assumed.body["Credentials"]
        session = Keys(key=held["AccessKeyId"], secret=held["SecretAccessKey"], token=held["SessionToken"])
        said = await second.call(session, "sts", "GetCallerIdentity")
        assert said.status == 200 and ":assumed-role/r/session" in said.body["Arn"], said
        assert world.monotonic() - began < KNOBS.regional_reread_s

    run_virtual(told())


def test_a_flood_of_unknown_keys_is_no_flood_of_looks() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        door = FrontDoor(world, await server(world, disk))  # type: ignore[arg-type]
        looks: list[float] = []
        catch_up = door.identity.catch_up

        async def counted() -> None:
            looks.append(world.monotonic())
            await catch_up()

        door.identity.catch_up = counted
        keys = [Keys(key=f"AKIA{number:016d}", secret="x") for number in range(20)]
        for _ in range(3):
            said = await asyncio.gather(*(door.call(key, "sts", "GetCallerIdentity") for key in keys))
            assert {(one.status, one.code) for one in said} == {(403, "InvalidClientTokenId")}
        assert 3 <= len(looks) <= 6
        assert all(later - before > KNOBS.regional_look_s - 0.001 for before, later in pairwise(looks))
        wrong = Keys(key=ROOT.key, secret="x")
        assert (await door.call(wrong, "sts", "GetCallerIdentity")).code == "SignatureDoesNotMatch"
        assert len(looks) <= 6, "only who is not known is looked for"

    run_virtual(told())


def test_leave_is_asked_for_again_at_the_second_look_and_recorded_once() -> None:
    async def told() -> None:
        world, disk = VirtualWorld(), MemoryDisk()
        first, second = [FrontDoor(world, await server(world, disk)) for _ in range(2)]  # type: ignore[arg-type]
        seen: list[SeenCall] = []
        second.region.recorder.record = seen.append  # type: ignore[method-assign, assignment]
        await first.call(ROOT, "ecr", "CreateRepository", repositoryName="web")
        assert (await second.call(ROOT, "ecr", "ListImages", repositoryName="web")).status == 200
        assert [len(call.asked) for call in seen] == [1]

    run_virtual(told())
