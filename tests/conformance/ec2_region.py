"""A region without tasks before botocore's own EC2 client: what the tests of EC2's families of operations share.

Owns the fixture and small helpers, no tests. Invariant: every answer is held against the service model.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from neargate.capacity.manager import Capacity, open_capacity
from neargate.frontend.app import FrontEnd
from neargate.frontend.balancing import objects as balancing_objects
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.certificates import registry as certificates_part
from neargate.frontend.envelope import Envelope
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.frontend.operations.ec2.table import OPERATIONS
from neargate.frontend.operations.elbv2.table import OPERATIONS as ELB_OPERATIONS
from neargate.frontend.services import Services
from neargate.model.capacity import HostCapacity, HostFacts, Reservation, ReservationRequest, SubnetView
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.testing.front_door import Keys
from neargate.wire.shapes import Models
from neargate.world import OsWorld

from .door_clients import boto, sender
from .modelled import modelled

ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"))
ABSENT = "0123456789abcdef0"
MODELS = Models()


class Region:
    """A region without tasks: one capacity shard for both zones, one big simulated host."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.capacity: Capacity
        self.network: NetworkRegistry
        runner.run(self._open())
        self.ec2 = self._client("ec2")
        self.elbv2 = self._client("elbv2")

    async def _open(self) -> None:
        world, knobs = OsWorld(), Knobs()
        stores = MemoryStores(world, knobs)
        names = tuple(name for name, _ in ZONES)
        self.capacity = await open_capacity(
            world, stores, shard="zone-a", region=REGION, zones=names, public_pool="198.18.0.0/24", knobs=knobs
        )
        room = HostCapacity(cpu_units=65536, memory_mib=65536, disk_gib=1000)
        await self.capacity.register_host(
            HostFacts(host_id="host-1", boot_id="boot-1", capacity=room, sandbox="simulated")
        )
        store = await stores.open("region", MIGRATIONS)
        self.network = await open_network(
            world,
            store,
            region=REGION,
            account=ACCOUNT,
            zones=ZONES,
            public_pool="198.18.0.0/24",
            kinds=balancing_objects.KINDS,
        )
        certificate_store = await stores.open("certificates", certificates_part.MIGRATIONS)
        certificates = await certificates_part.open_certificates(
            world, certificate_store, Envelope(bytes(32), world), region=REGION
        )
        self.services = Services(
            world=world,
            region=REGION,
            zones=ZONES,
            cells={},
            capacities=dict.fromkeys(names, self.capacity),
            identity=cast(Any, None),
            sessions=cast(Any, None),
            network=self.network,
            certificate_registry=certificates,
            task_definitions=cast(Any, None),
            logs=cast(Any, None),
        )
        self._front = FrontEnd(
            world=world,
            region=REGION,
            knobs=knobs,
            models=MODELS,
            services=self.services,
            operations={
                "ec2": modelled("ec2", OPERATIONS, moments=float),
                "elbv2": modelled("elbv2", ELB_OPERATIONS, moments=float),
            },
            credentials=Credentials(account=ACCOUNT, access_key_id="AKIATEST", secret_access_key="secret"),
        )

    def _client(self, service: str) -> Any:
        keys = Keys(key="AKIATEST", secret="secret")
        # Hostile values are ours to refuse, not the client's.
        return boto(service, keys, sender(self._runner.run, self._front), parameter_validation=False)

    def reserve(self, task: str, zone: int = 0, *, public: bool = True, groups: tuple[str, ...] = ()) -> Reservation:
        return self.launch(task, self.network.subnets(ACCOUNT)[zone].view, public=public, groups=groups)

    def view(self, subnet_id: str) -> SubnetView:
        """As a launch would be given it now."""
        subnet = self.network.subnet(ACCOUNT, subnet_id)
        assert subnet is not None
        return subnet

    def launch(
        self,
        task: str,
        subnet: SubnetView,
        *,
        public: bool = False,
        groups: tuple[str, ...] = (),
        address: str | None = None,
    ) -> Reservation:
        request = ReservationRequest(
            task_id=task,
            account=ACCOUNT,
            zone=subnet.zone,
            subnet=subnet,
            security_groups=groups or (self.network.default_security_group(ACCOUNT, subnet.vpc_id),),
            assign_public_ip=public,
            cpu_units=256,
            memory_mib=512,
            disk_gib=20,
            owner=f"arn:aws:ecs:{REGION}:{ACCOUNT}:attachment/{task}",
            attachment_id=task,
            public_address=address,
        )
        made = self._runner.run(self.capacity.reserve(request))
        assert isinstance(made, Reservation)
        return made

    def run(self, awaited: Coroutine[Any, Any, Any]) -> Any:
        """Of what no request can bring about."""
        return self._runner.run(awaited)

    def release(self, task: str, zone: int = 0) -> None:
        self._runner.run(self.capacity.release(task, ZONES[zone][0]))


@pytest.fixture(name="region")
def ec2_region() -> Iterator[Region]:
    with asyncio.Runner() as runner:
        yield Region(runner)


def refused(call: Callable[[], object]) -> tuple[str, str, int]:
    """Code, message and HTTP status of the error that the call must raise."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


def by(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]


def vpc_id(region: Region) -> str:
    return str(region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"])
