"""CreateService and UpdateService with service registries: what is asked of the cell, and what is refused."""

import asyncio
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from neargate.frontend.cloudmap.registry import MIGRATIONS, open_cloud_map
from neargate.frontend.regional.shelves import Change
from neargate.interfaces.services import ServiceChange
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.testing.fake_services import FakeServices
from neargate.testing.registry_rig import SRV, A, entry, records, service_record, shown
from neargate.world import OsWorld

from .test_ecs_operations import ACCOUNT, REGION, definition, open_region
from .test_ecs_operations_services import INVALID, Body, Serving

API, ALIAS = "srv-api", "srv-alias"
ELSEWHERE = {"registryArn": f"arn:aws:servicediscovery:eu-west-1:{ACCOUNT}:service/{A}"}
FOREIGN = {"registryArn": f"arn:aws:servicediscovery:{REGION}:210987654321:service/{A}"}
NO_SERVICE = {"registryArn": f"arn:aws:servicediscovery:{REGION}:{ACCOUNT}:namespace/{A}"}
CONTAINERS = [{"name": "web", "image": "web:1", "portMappings": [{"containerPort": 80}]}]
EITHER = (
    "Specify a value for either 'port' or the 'containerName' and 'containerPort' combination, but not both. "
    "Remove one and retry."
)
NEEDS_PORT = (
    "The values specified for serviceRegistries require a value for either 'port' or the 'containerName' and "
    "'containerPort' combination. Specify one and retry."
)


def told(body: Body) -> None:
    async def tell() -> None:
        plain = await open_region()
        world = OsWorld()
        store = await MemoryStores(world, Knobs()).open("cloud map", MIGRATIONS)
        cloud_map = await open_cloud_map(world, store, region=REGION)
        more = (service_record(API, "api"), service_record(ALIAS, "alias", "CNAME"))
        await cloud_map.change(ACCOUNT, lambda _: Change(result=None, put=(*records(), *more)))
        fake = FakeServices(REGION, lambda: 1000.0)
        region = Serving(
            msgspec.structs.replace(plain.services, service_managers={"cell-0": fake}, cloud_map_registry=cloud_map)
        )
        region.fake = fake
        await region("CreateCluster")
        await region("RegisterTaskDefinition", **definition(containerDefinitions=CONTAINERS))
        await body(region)

    asyncio.run(tell())


@pytest.mark.parametrize(
    "given",
    [
        entry(),
        entry(A, containerName="web"),
        entry(API),
        entry(SRV, port=8080),
        entry(SRV, containerName="web", containerPort=80),
    ],
)
def test_a_registry_is_asked_for_as_it_is_shown(given: dict[str, Any]) -> None:
    async def body(region: Serving) -> None:
        answer = (await region("CreateService", **region.creating(serviceRegistries=[given])))["service"]
        assert answer["serviceRegistries"] == [given]
        [new] = region.fake.asked
        assert not isinstance(new, ServiceChange) and new.template.shown == shown(given)

    told(body)


REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([entry(), entry(SRV, port=1)], "serviceRegistries can have at most 1 items."),
    ([{"port": 80}], "ServiceRegistries: registryArn cannot be blank."),
    *(
        ([one], f"ServiceRegistries: the service registry {one['registryArn']} was not found.")
        for one in (entry("srv-ghost"), ELSEWHERE, FOREIGN, NO_SERVICE, {"registryArn": "web"})
    ),
    (
        [entry(ALIAS)],
        f"ServiceRegistries: the service registry {entry(ALIAS)['registryArn']} has records of type CNAME: tasks have "
        "none.",
    ),
    (
        [entry(A, containerName="web", containerPort=80)],
        "The values specified for serviceRegistries do not require a value for 'containerPort'. Remove the value and "
        "retry.",
    ),
    (
        [entry(A, port=80)],
        "The values specified for serviceRegistries do not require a value for 'port'. Remove the value and retry.",
    ),
    ([entry(SRV, port=80, containerName="web", containerPort=80)], EITHER),
    ([entry(SRV, port=80, containerName="web")], EITHER),
    ([entry(SRV)], NEEDS_PORT),
    ([entry(SRV, containerName="web")], NEEDS_PORT),
    ([entry(SRV, containerPort=80)], NEEDS_PORT),
    ([entry(SRV, port=0)], "ServiceRegistries: port must be between 1 and 65535."),
    (
        [entry(SRV, containerName="db", containerPort=80)],
        "The container db does not exist in the task definition.",
    ),
    (
        [entry(SRV, containerName="web", containerPort=81)],
        "The container web did not have a container port 81 defined.",
    ),
    ([entry(A, containerName="db")], "The container db does not exist in the task definition."),
]


@pytest.mark.parametrize(("given", "text"), REFUSED)
def test_what_is_wrong_with_a_registry_is_said_and_nothing_is_made(given: list[dict[str, Any]], text: str) -> None:
    async def body(region: Serving) -> None:
        asked = region.creating(serviceRegistries=given)
        assert await region.refused("CreateService", **asked) == (INVALID, text)
        assert region.fake.asked == []
        await region.made()
        assert await region.refused("UpdateService", service="web", serviceRegistries=given) == (INVALID, text)
        assert len(region.fake.asked) == 1

    told(body)


def test_a_registry_of_type_srv_of_another_network_mode_names_its_container() -> None:
    async def body(region: Serving) -> None:
        await region(
            "RegisterTaskDefinition",
            family="bridge",
            networkMode="bridge",
            containerDefinitions=[{**CONTAINERS[0], "memory": 64}],
        )
        asked = region.creating(taskDefinition="bridge", launchType="EC2", networkConfiguration=None)
        assert await region.refused("CreateService", **asked, serviceRegistries=[entry(SRV, port=80)]) == (
            INVALID,
            "When specifying 'host' or 'bridge' for networkMode, values for 'containerName' and 'containerPort' must "
            "be specified from the task definition.",
        )
        whole = entry(SRV, containerName="web", containerPort=80)
        await region("CreateService", **asked, serviceRegistries=[whole])

    told(body)


def test_an_update_changes_the_registry_or_takes_it_away_and_what_is_the_same_makes_no_deployment() -> None:
    async def body(region: Serving) -> None:
        await region.made(serviceRegistries=[entry()])
        assert await region.changed(serviceRegistries=[entry()]) == ServiceChange()
        assert (await region.changed(desiredCount=1)).shown is UNSET
        change = await region.changed(serviceRegistries=[entry(SRV, port=80)])
        assert change == ServiceChange(shown=shown(entry(SRV, port=80)))
        assert await region.changed(serviceRegistries=[entry(SRV, port=80)]) == ServiceChange()
        assert await region.changed(serviceRegistries=[]) == ServiceChange(shown=shown())
        assert await region.changed(serviceRegistries=[]) == ServiceChange()

    told(body)


def test_another_definition_has_to_fit_the_registry_that_stays() -> None:
    async def body(region: Serving) -> None:
        await region.made(serviceRegistries=[entry(SRV, containerName="web", containerPort=80)])
        await region("RegisterTaskDefinition", **definition())
        assert await region.refused("UpdateService", service="web", taskDefinition="web") == (
            INVALID,
            "The container web did not have a container port 80 defined.",
        )
        change = await region.changed(taskDefinition="web", serviceRegistries=[entry()])
        assert change.shown == shown(entry())

    told(body)
