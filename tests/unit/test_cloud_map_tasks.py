"""Tasks of ECS's services as instances: registered once, of their owner alone, and known to every server."""

from msgspec.structs import replace

from neargate.frontend.cloudmap.for_services import CloudMapTasks
from neargate.frontend.cloudmap.records import service_arn
from neargate.interfaces.discovery import Owner, Registered, Registration
from neargate.model.errors import AwsError
from neargate.testing.virtual_time import VirtualWorld

from .test_cloud_map_registry import ACCOUNT, OTHER, REGION, SETTLE_S, Rig, told

WEB, API = Owner(ACCOUNT, "default", "web"), Owner(ACCOUNT, "default", "api")
REGISTRY = service_arn(REGION, ACCOUNT, "srv-1")
NEW = Registration(registry=REGISTRY, task_id="t1", attributes=(("AWS_INSTANCE_IPV4", "10.0.0.9"),), is_healthy=True)
T1 = Registered(registry=REGISTRY, task_id="t1", is_healthy=True)


async def code_of(tasks: CloudMapTasks, owner: Owner, new: Registration) -> str:
    try:
        await tasks.register(owner, new)
    except AwsError as error:
        return error.code
    return ""


def test_a_task_is_registered_once_and_is_its_owners_alone() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await (await Rig(world).open()).whole()
        tasks = CloudMapTasks(world, rig.map)
        await tasks.register(WEB, NEW)
        generation = rig.map.generation
        await tasks.register(WEB, NEW)
        assert rig.map.generation == generation
        assert (tasks.registered(WEB), tasks.owners(), tasks.registered(API)) == ((T1,), (WEB,), ())
        assert await code_of(tasks, API, NEW) == "ResourceInUse"
        assert await code_of(tasks, WEB, replace(NEW, task_id="i-1")) == "ResourceInUse"
        await tasks.deregister(API, T1)
        await tasks.tell_health(API, T1, is_healthy=False)
        await tasks.deregister(WEB, replace(T1, task_id="i-1"))
        await tasks.tell_health(WEB, replace(T1, task_id="i-1"), is_healthy=False)
        assert rig.map.generation == generation
        await tasks.deregister(WEB, T1)
        assert (tasks.registered(WEB), tasks.owners(), tasks.is_registered("t1")) == ((), (), False)
        assert [values for [values] in [rig.addresses()]] == [("10.0.0.1", "10.0.0.2")]

    told(story)


def test_registries_of_nobody_of_others_and_elsewhere_are_not_there() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await (await Rig(world).open()).whole()
        tasks = CloudMapTasks(world, rig.map)
        for arn in (
            service_arn(REGION, ACCOUNT, "srv-9"),
            service_arn(REGION, OTHER, "srv-1"),
            service_arn("eu-west-1", ACCOUNT, "srv-1"),
            REGISTRY.replace("service/", "namespace/"),
            "srv-1",
        ):
            assert await code_of(tasks, WEB, replace(NEW, registry=arn)) == "ServiceNotFound"
        assert tasks.owners() == ()

    told(story)


def test_the_health_of_a_task_holds_at_once_over_what_a_caller_told() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await (await Rig(world).open()).whole()
        world.spawn(rig.map.run(), "health")
        tasks = CloudMapTasks(world, rig.map)
        await tasks.register(WEB, NEW)
        assert ("10.0.0.1", "10.0.0.2", "10.0.0.9") in rig.addresses()
        await tasks.tell_health(WEB, T1, is_healthy=False)
        assert rig.addresses() == [("10.0.0.1", "10.0.0.2")]
        await rig.health("t1", "srv-1", is_healthy=True)
        await tasks.tell_health(WEB, T1, is_healthy=False)
        await world.sleep(SETTLE_S + 1)
        assert rig.addresses() == [("10.0.0.1", "10.0.0.2")]

    told(story)


def test_what_another_server_did_is_known_after_a_look_and_its_registries_before() -> None:
    async def story(world: VirtualWorld) -> None:
        first = await Rig(world).open()
        second = await Rig(world, first.disk).open()
        await first.whole()
        here, there = CloudMapTasks(world, first.map), CloudMapTasks(world, second.map)
        await there.register(WEB, NEW)
        assert not here.is_registered("t1")
        await first.map.catch_up()
        assert here.registered(WEB) == (T1,) and here.is_registered("t1")
        await here.deregister(WEB, T1)
        await second.map.catch_up()
        assert (there.registered(WEB), there.owners(), there.is_registered("t1")) == ((), (), False)

    told(story)
