"""The tasks of a service are instances of its service registry: while they run, by their health, whatever is killed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.clusters.orders import Orders
from neargate.interfaces.discovery import Owner, Registered, Registration
from neargate.interfaces.store import Overloaded, Statement
from neargate.model.errors import InvalidParameter, ServiceUnavailable
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import ACCOUNT, DEFINITION, REGION, CellRig, id_of, in_cell
from neargate.testing.registry_rig import SRV, A, RegistryRig, entry, registering, shown
from neargate.testing.service_rig import CLUSTER, QUICK, WEB, ServiceRig, definition, template, with_check

WRITES = 16
OWNER = Owner(ACCOUNT, CLUSTER, WEB)
Body = Callable[[ServiceRig, RegistryRig], Awaitable[None]]


def told(body: Body, knobs: Knobs = QUICK) -> None:
    async def whole(rig: CellRig) -> None:
        registries = await RegistryRig(rig).open()
        await body(ServiceRig(rig), registries)

    in_cell(whole, knobs=knobs)


async def until(services: ServiceRig, holds: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return holds()

    await services.rig.until(asked)


async def running_ids(services: ServiceRig) -> list[str]:
    tasks = await services.live()
    return sorted(id_of(task) for task in tasks if task["lastStatus"] == task["desiredStatus"] == "RUNNING")


async def orders_to_stop(services: ServiceRig) -> list[str]:
    hosts = [f"host-{zone}" for zone in "abc"]
    return [stop.order.task_id for host in hosts for stop in await services.rig.cell.orders.to_stop(host, 0, 1)]


def test_each_running_task_is_an_instance_with_the_attributes_that_aws_gives_it() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=2, template=registering())
        tasks = await services.until_count(2)
        assert registries.ids() == []
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        assert registries.ids() == sorted(id_of(task) for task in tasks)
        [instance] = [one for one in registries.instances() if one.id == id_of(tasks[0])]
        [task] = [one for one in await services.live() if id_of(one) == instance.id]
        details = {one["name"]: one["value"] for one in task["attachments"][0]["details"]}
        assert dict(instance.attributes) == {
            "AWS_INSTANCE_IPV4": details["privateIPv4Address"],
            "ECS_CLUSTER_NAME": CLUSTER,
            "ECS_SERVICE_NAME": WEB,
            "ECS_TASK_DEFINITION_FAMILY": "web",
            "AVAILABILITY_ZONE": task["availabilityZone"],
            "REGION": REGION,
            "AWS_INIT_HEALTH_STATUS": "HEALTHY",
        }
        kinds = [(one.type, one.target("INSTANCE")) for one in registries.map.operations(ACCOUNT)]
        assert sorted(kinds) == [("REGISTER_INSTANCE", one) for one in registries.ids()]
        assert (await services.shown())["serviceRegistries"] == [entry()]

    told(body)


@pytest.mark.parametrize("given", [{"port": 8080}, {"containerName": "web", "containerPort": 8080}])
def test_a_registry_of_type_srv_has_the_port_too(given: dict[str, Any]) -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=1, template=registering(entry(SRV, **given)))
        await services.until_steady()
        await until(services, lambda: len(registries.ids(SRV)) == 1)
        [instance] = registries.instances(SRV)
        assert instance.attribute("AWS_INSTANCE_PORT") == "8080"
        name = "_api._tcp.shop.internal"
        assert registries.names()[name, "SRV"] == (f"1 1 8080 {instance.id}.{name}",)
        assert registries.names()[f"{instance.id}.{name}", "A"] == (instance.attribute("AWS_INSTANCE_IPV4"),)

    told(body)


def test_names_follow_the_health_of_containers() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        checked = registering(definition=with_check(DEFINITION))
        await services.create(
            desired_count=2, template=checked, settings={"healthCheckGracePeriodSeconds": 600, **_settings()}
        )
        one, two = await services.until_count(2)
        await services.run(one)
        await services.run(two, health="HEALTHY")
        await until(services, lambda: len(registries.ids()) == 2)
        address = {instance.id: instance.attribute("AWS_INSTANCE_IPV4") for instance in registries.instances()}
        assert {instance.id: instance.is_healthy for instance in registries.instances()} == {
            id_of(one): False,
            id_of(two): True,
        }
        assert registries.names()["web.shop.internal", "A"] == (address[id_of(two)],)
        await services.run(one, health="HEALTHY")
        both = {address[id_of(one)], address[id_of(two)]}
        await until(services, lambda: set(registries.names()["web.shop.internal", "A"]) == both)
        await services.run(two, health="UNHEALTHY")
        await until(services, lambda: registries.names()["web.shop.internal", "A"] == (address[id_of(one)],))
        assert await running_ids(services) == registries.ids()

    told(body)


def _settings() -> dict[str, Any]:
    return {"deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200}}


def test_a_task_that_is_a_target_of_a_load_balancer_is_an_instance_when_it_runs() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        targets = services.rig.targets
        members = {"containerName": "web", "containerPort": 80, "targetGroupArn": targets.make_group()}
        both = {"loadBalancers": [members], "serviceRegistries": [entry()]}
        targets.fails = ServiceUnavailable()  # the lane of the registries looks before the task is a target
        await services.create(desired_count=1, template=template(definition=definition(1), shown=both))
        [task] = await services.until_count(1)
        await services.run(task)
        await services.rig.cell.services.registries.turn(OWNER)
        assert (await services.rig.described(id_of(task)))["lastStatus"] == "ACTIVATING"
        assert registries.ids() == []
        targets.fails = None
        await until(services, lambda: registries.ids() == [id_of(task)])
        await services.update(desired_count=0)
        await until(services, lambda: registries.ids() == [])

    told(body)


@pytest.mark.parametrize("code", ["EssentialContainerExited", "InfrastructureHealth"])
def test_a_task_that_ends_by_itself_is_no_instance_any_more(code: str) -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=2, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        [ended, stays] = await services.live()
        await services.end(ended, code)
        await until(services, lambda: registries.ids() == [id_of(stays)])
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        assert registries.ids() == await running_ids(services)

    told(body)


class Slow:
    """Cloud Map takes its time: nothing is deregistered or registered until it is said."""

    def __init__(self, registries: RegistryRig) -> None:
        self.may_leave, self.may_come = asyncio.Event(), asyncio.Event()
        self.may_come.set()
        self.asked: list[str] = []
        self._map = registries

    async def open(self) -> Any:
        self._real: Any = await self._map._open()  # the rig's own way, with something before it
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def register(self, owner: Owner, new: Registration) -> None:
        self.asked.append(new.task_id)
        await self.may_come.wait()
        await self._real.register(owner, new)

    async def deregister(self, owner: Owner, one: Registered) -> None:
        await self.may_leave.wait()
        await self._real.deregister(owner, one)


async def slowed(services: ServiceRig, registries: RegistryRig) -> Slow:
    slow = Slow(registries)
    services.rig.open_registries = slow.open
    await services.rig.reopen()
    return slow


def test_a_task_leaves_its_names_before_its_host_is_told_to_stop_it() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        slow = await slowed(services, registries)
        rung: list[str] = []
        await services.create(desired_count=2, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        await services.update(desired_count=1)

        async def one_leaves() -> bool:
            return sum(task["desiredStatus"] == "STOPPED" for task in await services.live()) == 1

        await services.rig.until(one_leaves)
        assert await orders_to_stop(services) == []
        assert len(registries.ids()) == 2
        for zone in "abc":
            services.rig.cell.orders.listen(f"host-{zone}", lambda _, zone=zone: rung.append(zone))
        slow.may_leave.set()
        await until(services, lambda: len(registries.ids()) == 1)
        await until(services, lambda: bool(rung))
        [stopping] = await orders_to_stop(services)
        assert stopping not in registries.ids()
        [left] = [task for task in await services.live() if id_of(task) == stopping]
        assert rung == [left["availabilityZone"][-1]]

    told(body)


def test_stop_task_waits_in_the_same_way_and_so_does_one_that_is_just_being_registered() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        slow = await slowed(services, registries)
        slow.may_come.clear()
        await services.create(desired_count=1, template=registering())
        [task] = await services.until_count(1)
        await services.run(task)
        await until(services, lambda: slow.asked == [id_of(task)])
        await services.rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(task), None)
        assert await orders_to_stop(services) == [] and registries.ids() == []
        slow.may_come.set()
        await until(services, lambda: registries.ids() == [id_of(task)])
        assert await orders_to_stop(services) == []
        slow.may_leave.set()

        async def ordered() -> bool:
            return await orders_to_stop(services) == [id_of(task)]

        await services.rig.until(ordered)
        assert registries.ids() == []

    told(body)


def test_a_task_is_stopped_in_the_end_although_cloud_map_is_not_to_be_had() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=1, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 1)

        async def refuse(*_: object) -> None:
            raise Overloaded

        services.rig.stores.region_store.write = refuse  # type: ignore[assignment,method-assign]
        [task] = registries.ids()
        await services.rig.cell.stop_task(ACCOUNT, CLUSTER, task, None)

        async def ordered() -> bool:
            return await orders_to_stop(services) == [task]

        await services.rig.until(ordered)
        assert registries.ids() == [task]

    told(body, replace(QUICK, service_leaving_wait_s=0.05))


def test_orders_that_wait_hold_up_no_others() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        del registries
        await services.create(desired_count=9)
        await services.until_steady()
        first, second, third = [id_of(one) for one in await services.live() if one["availabilityZone"].endswith("a")]
        for task in (first, second, third):
            await services.rig.cell.stop_task(ACCOUNT, CLUSTER, task, None)
        held = {first, third}
        orders = Orders(services.rig.stores.cell_store, held.__contains__)
        [order] = await orders.to_stop("host-a", 0, 1)
        assert order.order.task_id == second
        assert await orders.to_stop("host-a", order.n, 1) == []
        held.clear()
        assert [one.order.task_id for one in await orders.to_stop("host-a", 0, 3)] == [first, second, third]

    told(body)


def test_instances_of_others_are_never_touched() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await registries.stranger("i-1")
        await services.create(desired_count=1, template=registering())
        [task] = await services.until_count(1)
        await registries.stranger(id_of(task))
        await services.run(task)

        async def said() -> bool:
            return any("unable to register" in message for message in await services.messages())

        await services.rig.until(said)
        assert registries.ids() == sorted(["i-1", id_of(task)])
        assert {one.attribute("AWS_INSTANCE_IPV4") for one in registries.instances()} == {"10.9.9.9"}
        await services.delete()
        await services.until_status("INACTIVE")
        await services.rig.reopen()
        await services.rig.cell.services.registries.turn(OWNER)
        assert registries.ids() == sorted(["i-1", id_of(task)])

    told(body)


def test_an_instance_that_a_caller_changed_still_goes_with_its_task() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=1, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 1)
        await registries.stranger(registries.ids()[0])
        assert registries.instances()[0].attribute("AWS_INSTANCE_IPV4") == "10.9.9.9"
        await services.delete()
        await services.until_status("INACTIVE")
        assert registries.ids() == []

    told(body)


def test_a_registry_that_is_gone_is_told_once_and_served_when_it_is_back() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        gone = entry("srv-gone")
        await services.create(desired_count=2, template=registering(gone))
        await services.until_steady()

        async def told_of() -> list[str]:
            return [message for message in await services.messages() if "unable to register" in message]

        async def said() -> bool:
            return bool(await told_of())

        await services.rig.until(said)
        await services.rig.cell.services.registries.turn(OWNER)
        assert await told_of() == [
            f"(service {WEB}) was unable to register tasks in (service-registry {gone['registryArn']}) "
            "due to (reason Service not found)"
        ]
        await services.update(shown=shown(entry()))
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        assert registries.ids() == await running_ids(services)

    told(body)


def test_an_update_moves_tasks_to_another_registry_and_to_none() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=2, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        made = await services.update(shown=shown(entry(SRV, port=80)))
        assert len(made["deployments"]) == 2 and made["serviceRegistries"] == [entry(SRV, port=80)]
        await services.until_steady()
        await until(services, lambda: (len(registries.ids()), len(registries.ids(SRV))) == (0, 2))
        assert registries.ids(SRV) == await running_ids(services)
        revision = (await services.shown())["currentServiceRevisions"][0]["arn"]
        found = await services.rig.cell.services.describe_service_revisions(ACCOUNT, [revision])
        assert b'"port":80' in found.documents[0]
        await services.update(shown=shown())
        await services.until_steady()
        await until(services, lambda: registries.ids(SRV) == [])

    told(body)


def test_a_deleted_service_leaves_no_name() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=3, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 3)
        await services.delete()
        await until(services, lambda: registries.ids() == [])
        assert len(await orders_to_stop(services)) == 3
        await services.until_status("INACTIVE")
        assert registries.names() == {}
        service = registries.map.service(ACCOUNT, A)
        assert service is not None and (service.instances, service.held) == (0, 0)

    told(body)


def test_what_tasks_left_while_no_process_ran_is_taken_away_by_the_next() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        await services.create(desired_count=2, template=registering())
        await services.until_steady()
        await until(services, lambda: len(registries.ids()) == 2)
        await services.rig.stores.cell_store.write([Statement("UPDATE services SET status = 'INACTIVE'")])
        await services.rig.reopen()
        await until(services, lambda: registries.ids() == [])

    told(body)


def test_tasks_that_no_process_had_registered_yet_are_registered_by_the_next() -> None:
    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        dead = services.rig.kill_at("before", lambda _: True, of_region=True)
        await services.create(desired_count=2, template=registering())
        await services.until_steady()
        await dead.wait()
        assert registries.ids() == []
        await services.rig.reopen()
        await until(services, lambda: len(registries.ids()) == 2)
        assert registries.ids() == await running_ids(services)

    told(body)


class Nth:
    """The nth write to Cloud Map, or of the cell's services."""

    def __init__(self, n: int, words: Sequence[str]) -> None:
        self.left = n
        self._words = words

    def __call__(self, statements: Sequence[Statement]) -> bool:
        if any(word in one.sql for one in statements for word in self._words):
            self.left -= 1
            return self.left == 0
        return False


async def live(services: ServiceRig, registries: RegistryRig) -> None:
    """A life: made, rolled to another definition, made smaller. Each call may be made again."""
    try:
        await services.create(desired_count=3, template=registering())
    except InvalidParameter:
        assert (await services.shown())["status"] == "ACTIVE"
    await services.until_steady()
    if not (await services.shown())["taskDefinition"].endswith(":2"):
        await services.update(definition=definition(2))
    await services.until_steady()
    await services.update(desired_count=2)
    await services.until_steady()
    wanted = await running_ids(services)
    assert len(wanted) == 2
    await until(services, lambda: registries.ids() == wanted)


@pytest.mark.parametrize("of_region", [True, False])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_write_leaves_names_that_follow_the_tasks(when: str, of_region: bool) -> None:
    struck = 0
    numbers = iter(range(1, WRITES + 1))
    words = ("INTO cloud_map ", "FROM cloud_map ") if of_region else ("UPDATE services", "UPDATE tasks")

    async def body(services: ServiceRig, registries: RegistryRig) -> None:
        nonlocal struck
        dead = services.rig.kill_at(when, Nth(next(numbers), words), of_region=of_region)
        life = asyncio.ensure_future(live(services, registries))
        death = asyncio.ensure_future(dead.wait())
        await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set():
            struck += 1
            await services.rig.reopen()
            await live(services, registries)
        else:
            await life
        assert {len(registries.ids(SRV)), len(registries.map.owned.owners())} == {0, 1}

    for _ in range(WRITES):
        told(body)
    assert struck >= 8
