"""Throttling on the way of a request: after the signature, before the parser, by account, in each service's words.

Buckets run in virtual time; nothing here asks how long something took.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from neargate.frontend.app import FrontEnd
from neargate.frontend.call import Call, Params
from neargate.frontend.errors import Response
from neargate.frontend.limits.limits import Limits
from neargate.frontend.limits.registry import ALL_ACCOUNTS, MIGRATIONS, QuotaRegistry, open_quotas
from neargate.frontend.limits.token_bucket import Rate
from neargate.frontend.limits.unsigned import source_of
from neargate.frontend.services import Services
from neargate.interfaces.store import Overloaded
from neargate.model.errors import Throttling
from neargate.model.knobs import Knobs
from neargate.model.quotas import QuotaMode
from neargate.store.sqlite import MemoryStores
from neargate.testing.keys import OneKeyEach
from neargate.testing.signing import form_headers, json_headers, signed
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.wire.shapes import Models
from neargate.wire.sigv4 import SignedRequest

REGION, SECRET = "us-east-1", "the-secret"
GREEDY, MODEST, IDLE = "111111111111", "222222222222", "333333333333"
MODELS = Models()


class Rig:
    """A front end with limits over operations that take as long as the test wants."""

    def __init__(self, world: VirtualWorld, quotas: QuotaRegistry, knobs: Knobs, share: float) -> None:
        self.quotas = quotas
        self.limits = Limits(world, quotas, knobs, share=share)
        self.world = world
        self.takes_s = 0.0
        self.queue_is_full = False
        self.under_way = 0
        self.most_under_way = 0
        self.front = FrontEnd(
            world=world,
            region=REGION,
            knobs=knobs,
            models=MODELS,
            services=cast(Services, None),
            operations={
                "ecs": dict.fromkeys(("ListClusters", "DescribeClusters", "RunTask", "StopTask"), self._operation),
                "ec2": {"DescribeVpcs": self._operation, "DescribeSubnets": self._operation},
                "sts": dict.fromkeys(("GetCallerIdentity", "AssumeRoleWithWebIdentity"), self._operation),
                "service-quotas": {"ListServices": self._operation},
                "servicediscovery": {"ListNamespaces": self._operation},
            },
            credentials=OneKeyEach(GREEDY, SECRET),
            limits=self.limits,
        )

    async def _operation(self, call: Call, services: Services, params: Params) -> Any:
        del services, params
        call.authorised_actions.append(f"{call.service}:{call.operation}")
        if self.queue_is_full:
            raise Overloaded
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.world.sleep(self.takes_s)
        self.under_way -= 1
        return {}

    async def call(
        self, service: str, operation: str, *, account: str = GREEDY, body: bytes = b"{}", version: str = ""
    ) -> Response:
        signing = {"service-quotas": "servicequotas"}.get(service, service)
        if version:
            headers, body = form_headers(), f"Action={operation}&Version={version}".encode()
        else:
            headers = json_headers(service, operation)
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=body)
        key = f"AKIA{account}"
        headers = signed(request, key=key, secret=SECRET, region=REGION, service=signing, now=self.world.now())
        return await self.front.handle("POST", b"/", b"", headers, body)

    async def unsigned(self, source: str) -> Response:
        """A call that is proved by what it brings, from an address."""
        body = b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
        body += b"&RoleArn=arn:aws:iam::111111111111:role/r&RoleSessionName=name&WebIdentityToken=token"
        return await self.front.handle("POST", b"/", b"", form_headers(), body, source)

    async def many(self, count: int, operation: str, *, account: str = GREEDY) -> Counter[int]:
        answers = await asyncio.gather(*(self.call("ecs", operation, account=account) for _ in range(count)))
        return Counter(answer.status for answer in answers)


def story(
    body: Callable[[Rig], Awaitable[None]], *, mode: QuotaMode = QuotaMode.AWS, share: float = 1.0, **knobs: Any
) -> None:
    async def told() -> None:
        world, bounds = VirtualWorld(), Knobs(**knobs)
        store = await MemoryStores(world, bounds).open("region", MIGRATIONS)
        await body(Rig(world, await open_quotas(world, store, mode), bounds, share))
        assert not world.failures

    run_virtual(told())


def error(response: Response) -> tuple[int, str, str]:
    if response.body.startswith(b"{"):
        document = json.loads(response.body)
        return response.status, document["__type"], document.get("message") or document.get("Message")
    text = response.body.decode()
    code, message = (text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0] for tag in ("Code", "Message"))
    return response.status, code, message


def test_over_its_bucket_a_call_is_refused_in_its_services_words() -> None:
    async def body(rig: Rig) -> None:
        for key in ("ecs/cluster-read", "ec2/read", "sts/calls", "service-quotas/calls", "servicediscovery/calls"):
            await rig.quotas.set_rate(ALL_ACCOUNTS, key, Rate(1, 0.1))
        calls: list[tuple[dict[str, str], tuple[int, str, str]]] = [
            ({"service": "ecs", "operation": "ListClusters"}, (400, "ThrottlingException", "Rate exceeded")),
            (
                {"service": "ec2", "operation": "DescribeVpcs", "version": "2016-11-15"},
                (503, "RequestLimitExceeded", "Request limit exceeded."),
            ),
            (
                {"service": "sts", "operation": "GetCallerIdentity", "version": "2011-06-15"},
                (400, "Throttling", "Rate exceeded"),
            ),
            (
                {"service": "service-quotas", "operation": "ListServices"},
                (400, "TooManyRequestsException", "Rate exceeded"),
            ),
            (
                {"service": "servicediscovery", "operation": "ListNamespaces"},
                (429, "RequestLimitExceeded", "Rate exceeded"),
            ),
        ]
        for call, refusal in calls:
            assert (await rig.call(**call)).status == 200
            assert error(await rig.call(**call)) == refusal
        await rig.world.sleep(10.0)
        for call, _ in calls:
            assert (await rig.call(**call)).status == 200, "the bucket has refilled"
        await rig.world.sleep(10.0)
        rig.queue_is_full = True
        for call, refusal in calls:
            assert error(await rig.call(**call)) == refusal, "a full queue behind the front end sounds the same"

    story(body, mode=QuotaMode.MACHINE)


def test_the_published_burst_and_refill_hold() -> None:
    async def body(rig: Rig) -> None:
        assert await rig.many(60, "ListClusters") == {200: 50, 400: 10}
        await rig.world.sleep(1.0)
        assert await rig.many(60, "DescribeClusters") == {200: 20, 400: 40}, "one bucket for both"
        assert rig.limits.refused == 50

    story(body)


def test_run_task_draws_from_fargates_bucket_and_from_the_one_it_shares_with_stop_task() -> None:
    async def body(rig: Rig) -> None:
        params = b'{"taskDefinition":"web"}'
        answers = [(await rig.call("ecs", "RunTask", body=params)).status for _ in range(30)]
        assert answers == [200] * 20 + [400] * 10
        stops = [(await rig.call("ecs", "StopTask", body=b'{"task":"t"}')).status for _ in range(80)]
        # RunTask's refusals had drawn from the shared bucket already: 30 of its 100 are gone.
        assert stops == [200] * 70 + [400] * 10

    story(body)


def test_what_is_over_the_bucket_is_not_even_parsed() -> None:
    async def body(rig: Rig) -> None:
        await rig.quotas.set_rate(ALL_ACCOUNTS, "ecs/cluster-read", Rate(1, 0.1))
        broken = b'{"maxResults":'
        assert error(await rig.call("ecs", "ListClusters", body=broken))[1] == "SerializationException"
        assert error(await rig.call("ecs", "ListClusters", body=broken))[1] == "ThrottlingException"

    story(body, mode=QuotaMode.MACHINE)


def test_a_forged_signature_takes_nothing_from_the_account_it_names() -> None:
    async def body(rig: Rig) -> None:
        await rig.quotas.set_rate(ALL_ACCOUNTS, "ecs/cluster-read", Rate(1, 0.1))
        headers = json_headers("ecs", "ListClusters")
        request = SignedRequest(method="POST", path=b"/", query=b"", headers=headers, body=b"{}")
        now = rig.world.now()
        forged = signed(request, key=f"AKIA{GREEDY}", secret="guessed", region=REGION, service="ecs", now=now)
        for _ in range(5):
            assert error(await rig.front.handle("POST", b"/", b"", forged, b"{}"))[1] == "InvalidSignatureException"
        assert (await rig.call("ecs", "ListClusters")).status == 200

    story(body, mode=QuotaMode.MACHINE)


def test_accounts_have_buckets_of_their_own_and_ec2s_operations_too() -> None:
    async def body(rig: Rig) -> None:
        assert await rig.many(60, "ListClusters") == {200: 50, 400: 10}
        assert await rig.many(50, "ListClusters", account=MODEST) == {200: 50}
        await rig.quotas.set_rate(ALL_ACCOUNTS, "ec2/read", Rate(1, 0.1))
        for operation in ("DescribeVpcs", "DescribeSubnets"):
            assert (await rig.call("ec2", operation, version="2016-11-15")).status == 200
        assert (await rig.call("ec2", "DescribeVpcs", version="2016-11-15")).status == 503

    story(body)


def test_operations_that_are_not_built_are_limited_as_well() -> None:
    async def body(rig: Rig) -> None:
        await rig.quotas.set_rate(ALL_ACCOUNTS, "ecs/service-modify", Rate(1, 0.1))
        codes = [error(await rig.call("ecs", "CreateService"))[1] for _ in range(2)]
        assert codes[0] != "ThrottlingException" and codes[1] == "ThrottlingException"

    story(body, mode=QuotaMode.MACHINE)


def test_with_two_servers_each_admits_its_half() -> None:
    async def body(rig: Rig) -> None:
        other = Rig(rig.world, rig.quotas, Knobs(), 0.5)
        assert await rig.many(60, "ListClusters") == {200: 25, 400: 35}
        assert await other.many(60, "ListClusters") == {200: 25, 400: 35}
        await rig.world.sleep(1.0)
        admitted = [(await server.many(60, "ListClusters"))[200] for server in (rig, other)]
        assert admitted == [10, 10], "20 a second, as one server would"
        for server in (rig, other):
            for _ in range(5):
                server.limits.launch(MODEST, is_spot=False, count=10)
            with pytest.raises(Throttling):
                server.limits.launch(MODEST, is_spot=False, count=10)

    story(body, share=0.5)


def test_launches_are_counted_in_tasks_and_on_demand_and_spot_apart() -> None:
    async def body(rig: Rig) -> None:
        for _ in range(10):
            rig.limits.launch(GREEDY, is_spot=False, count=10)
        with pytest.raises(Throttling, match="Rate exceeded"):
            rig.limits.launch(GREEDY, is_spot=False, count=1)
        rig.limits.launch(GREEDY, is_spot=True, count=10)
        rig.limits.launch(MODEST, is_spot=False, count=10)
        await rig.world.sleep(0.5)
        with pytest.raises(Throttling):
            rig.limits.launch(GREEDY, is_spot=False, count=11)
        rig.limits.launch(GREEDY, is_spot=False, count=10)

    story(body)


def test_under_load_one_account_cannot_take_all_places_and_what_is_admitted_does_not_queue() -> None:
    """A thousand calls of one account at once, each busy for a second, while another calls now and then."""

    async def body(rig: Rig) -> None:
        rig.takes_s = 1.0
        started = rig.world.monotonic()
        flood = asyncio.gather(*(rig.call("ecs", "ListClusters") for _ in range(1000)))
        others = [(await rig.call("ecs", "ListClusters", account=MODEST)).status for _ in range(20)]
        answers = await flood
        assert others == [200] * 20, "the other account is answered, each time"
        assert Counter(answer.status for answer in answers) == {200: 28, 400: 972}
        assert {error(answer)[1] for answer in answers if answer.status == 400} == {"ThrottlingException"}
        # Nothing waited for a place: an admitted call took what its work takes, twenty of them after one another.
        assert rig.world.monotonic() - started == pytest.approx(20.0)
        assert rig.most_under_way <= 64
        assert rig.limits.under_way == 0

    story(body, mode=QuotaMode.MACHINE, calls_max=64)


def test_many_greedy_accounts_leave_a_place_for_one_that_has_none() -> None:
    async def body(rig: Rig) -> None:
        rig.takes_s = 5.0
        accounts = [f"{n:012d}" for n in range(9)]
        calls = [rig.call("ecs", "ListClusters", account=account) for account in accounts for _ in range(100)]
        flood = asyncio.gather(*calls)
        await rig.world.sleep(1.0)
        assert (await rig.call("ecs", "ListClusters", account=IDLE)).status == 200
        admitted = Counter(answer.status for answer in await flood)[200]
        assert admitted < 64 and rig.most_under_way <= 64

    story(body, mode=QuotaMode.MACHINE, calls_max=64)


def test_one_unsigned_source_that_floods_starves_nobody() -> None:
    async def body(rig: Rig) -> None:
        rig.takes_s = 5.0
        flood = asyncio.gather(*(rig.unsigned("198.51.100.7") for _ in range(500)))
        await rig.world.sleep(1.0)
        assert rig.under_way < 16, "a quarter of the places is for those without a signature, and not all for one"
        assert (await rig.unsigned("203.0.113.9")).status == 200
        assert await rig.many(20, "ListClusters") == {200: 20}
        assert Counter(answer.status for answer in await flood)[200] < 16
        assert rig.limits.under_way == 0
        assert (await rig.unsigned("198.51.100.7")).status == 200, "it has its places again"

    story(body, mode=QuotaMode.MACHINE, calls_max=64)


def test_many_unsigned_sources_leave_the_accounts_their_places() -> None:
    async def body(rig: Rig) -> None:
        rig.takes_s = 5.0
        flood = asyncio.gather(*(rig.unsigned(f"198.51.{n % 250}.7") for n in range(500)))
        await rig.world.sleep(1.0)
        assert rig.under_way == 16
        assert await rig.many(20, "ListClusters") == {200: 20}
        await flood

    story(body, mode=QuotaMode.MACHINE, calls_max=64)


def test_an_unsigned_source_has_a_bucket_of_its_own_and_the_table_is_bounded() -> None:
    async def body(rig: Rig) -> None:
        await rig.quotas.set_rate(ALL_ACCOUNTS, "sts/calls", Rate(2, 0.1))
        assert (await rig.call("sts", "GetCallerIdentity", version="2011-06-15")).status == 200
        statuses = [(await rig.unsigned("198.51.100.7")).status for _ in range(3)]
        assert statuses == [200, 200, 400]
        for n in range(50):
            assert (await rig.unsigned(f"203.0.113.{n}")).status == 200
        assert len(rig.limits._levels_unsigned) == 8 and len(rig.limits._levels) == 1

    story(body, mode=QuotaMode.MACHINE, buckets_max=8)


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("x" * 1000, "unknown"),
    ],
)
def test_a_source_is_who_can_vary_no_more_than_that(peer: str, source: str) -> None:
    assert source_of(peer) == source


def test_a_call_that_fails_gives_its_place_back() -> None:
    async def body(rig: Rig) -> None:
        for _ in range(20):
            assert (await rig.call("ecs", "ListClusters", body=b"[")).status == 400
            assert (await rig.call("ecs", "DeleteCluster")).status == 400
        await rig.quotas.set_rate(ALL_ACCOUNTS, "ecs/cluster-read", Rate(1, 0.1))
        await rig.many(20, "ListClusters")
        assert rig.limits.under_way == 0

    story(body, mode=QuotaMode.MACHINE, calls_max=4)


def test_levels_are_remembered_up_to_a_bound() -> None:
    async def body(rig: Rig) -> None:
        for n in range(50):
            assert (await rig.call("ecs", "ListClusters", account=f"{n:012d}")).status == 200
        assert len(rig.limits._levels) == 8

    story(body, buckets_max=8)


def test_where_the_machine_decides_no_rate_is_counted() -> None:
    async def body(rig: Rig) -> None:
        answers = Counter([(await rig.call("ecs", "ListClusters")).status for _ in range(300)])
        assert answers == {200: 300} and not rig.limits._levels

    story(body, mode=QuotaMode.MACHINE)
