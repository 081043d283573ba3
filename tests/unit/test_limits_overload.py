"""A whole region under more load than it takes: what is over the bound is refused, what was admitted is done.

The production's own parts over databases in memory, in virtual time; counts decide, not clocks.
"""

import asyncio
import json
from collections import Counter

from neargate.frontend.app import FrontEnd
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.frontend.errors import Response
from neargate.frontend.operations.table import OPERATIONS
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.region import Region, RegionPlan, open_region
from neargate.store.sqlite import MemoryStores
from neargate.testing.keys import OneKeyEach
from neargate.testing.signing import json_headers, signed
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.wire.shapes import Models
from neargate.wire.sigv4 import SignedRequest

REGION, ZONE, SECRET = "us-east-1", "us-east-1a", "the-secret"
GREEDY, MODEST = "111111111111", "222222222222"
KNOBS = Knobs(calls_max=32)
ALONE = 14  # half of what is left of 32 places when an eighth is kept


class Caller:
    def __init__(self, world: VirtualWorld, region: Region) -> None:
        self._world = world
        self._front = FrontEnd(
            world=world,
            region=REGION,
            knobs=KNOBS,
            models=Models(),
            services=region.services,
            operations=OPERATIONS,
            credentials=OneKeyEach(GREEDY, SECRET),
            limits=region.services.limits,
        )

    async def call(self, account: str, operation: str, **params: object) -> Response:
        headers, body = json_headers("ecs", operation), json.dumps(params).encode()
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        now = self._world.now()
        headers = signed(request, key=f"AKIA{account}", secret=SECRET, region=REGION, service="ecs", now=now)
        return await self._front.handle("POST", b"/", b"", headers, body)

    async def must(self, account: str, operation: str, **params: object) -> Response:
        response = await self.call(account, operation, **params)
        assert response.status == 200, response
        return response


async def opened(world: VirtualWorld) -> Region:
    region = await open_region(
        world,
        MemoryStores(world, KNOBS),
        RegionPlan(
            region=REGION, account=GREEDY, zones=((ZONE, "use1-az1"),), public_pool="198.18.0.0/24", one_machine=True
        ),
        models=Models(),
        credentials=Credentials(account=GREEDY, access_key_id="AKIA1", secret_access_key=SECRET),
        envelope=Envelope(bytes(32), world),
        knobs=KNOBS,
    )
    room = HostCapacity(cpu_units=1024 * 1024, memory_mib=1024 * 1024, disk_gib=1024 * 1024)
    facts = HostFacts(host_id="h1", boot_id="b", capacity=room, sandbox="simulated", zone=ZONE)
    await region.capacities[ZONE].register_host(facts)
    await region.capacities[ZONE].host_seen("h1", True)
    return region


def test_a_flood_of_launches_is_refused_early_and_what_was_admitted_is_launched() -> None:
    async def told() -> None:
        world = VirtualWorld()
        region = await opened(world)
        caller = Caller(world, region)
        await caller.must(GREEDY, "CreateCluster", clusterName="c")
        container = {"name": "c", "image": "registry.example/c:1"}
        fargate = {"networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
        await caller.must(GREEDY, "RegisterTaskDefinition", family="f", containerDefinitions=[container], **fargate)
        subnets = [record.view.subnet_id for record in region.services.network.subnets(GREEDY)]
        launch = {
            "cluster": "c",
            "taskDefinition": "f",
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": subnets}},
        }
        limits = region.services.limits
        assert limits is not None

        flood = [asyncio.ensure_future(caller.call(GREEDY, "RunTask", **launch)) for _ in range(400)]
        most, modest = 0, []
        while not all(task.done() for task in flood):
            modest.append((await caller.call(MODEST, "ListClusters")).status)
            most = max(most, limits.under_way)
            await asyncio.sleep(0)
        answers = [task.result() for task in flood]

        statuses = Counter(answer.status for answer in answers)
        assert statuses == {200: ALONE, 400: 400 - ALONE}
        assert limits.refused == 400 - ALONE
        assert {json.loads(answer.body)["__type"] for answer in answers if answer.status == 400} == {
            "ThrottlingException"
        }
        launched = [json.loads(answer.body)["tasks"] for answer in answers if answer.status == 200]
        assert all(len(tasks) == 1 for tasks in launched), "each that was admitted has its task"
        held = region.capacities[ZONE].cpu_units_held(GREEDY)
        assert held == ALONE * 256, "nobody who was refused has taken room"
        assert most <= ALONE + 1 and set(modest) == {200}, "the other account was answered all along"
        assert limits.under_way == 0
        # What a client does then: it comes again, and finds room.
        assert (await caller.call(GREEDY, "RunTask", **launch)).status == 200
        assert not world.failures

    run_virtual(told())
