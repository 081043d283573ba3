"""What VPCs of a host have in common: one that leaves, or one that is in trouble, and the others."""

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet.nftables import NftablesError
from neargate.hostnet.router import Router as LinuxRouter
from neargate.hostnet.uplink.uplink import UplinkedNetwork
from neargate.interfaces.hostnet import HostError
from neargate.testing.netlab import plan
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.uplink.pools import NOTHING_OUTSIDE, Outside

PUBLIC = "192.0.2.195"


class Pools:
    def __init__(self) -> None:
        self.outside: Outside = NOTHING_OUTSIDE

    def lead(self, addresses: Collection[str]) -> None:
        self.outside = Outside(addresses=frozenset(addresses))


class Vpcs:
    """One VPC with a NAT gateway of a pool."""

    def __init__(self) -> None:
        self.routers: dict[str, Any] = {}
        self.gateway_publics: set[str] = {PUBLIC}

    def remove(self, vpc_id: str) -> None:
        self.gateway_publics.clear()


class Uplink:
    def __init__(self) -> None:
        self.known: list[Outside] = []

    async def know(self, outside: Outside) -> None:
        self.known.append(outside)


class Router:
    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.asked = 0

    def relieve(self) -> frozenset[str]:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        return frozenset()


def made(directory: Path) -> tuple[Any, Vpcs, Uplink]:
    network: Any = UplinkedNetwork(VirtualWorld(), instance="0a1b2c", run_dir=directory, public_pool="198.18.0.0/24")
    vpcs, uplink = Vpcs(), Uplink()
    network._vpcs, network._pools, network.uplink = vpcs, Pools(), uplink
    network._pools.lead(vpcs.gateway_publics)
    network._records.prepare()
    return network, vpcs, uplink


def test_nobody_is_found_at_an_address_of_a_gateway_whose_vpc_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        network, _, uplink = made(tmp_path)
        assert network.outside.addresses == {PUBLIC}
        await network.remove_vpc("vpc-0a", 1)
        assert network.outside.addresses == frozenset()
        assert [outside.addresses for outside in uplink.known] == [frozenset()], "neighbours are not answered any more"

    run_virtual(scenario())


@pytest.mark.parametrize("trouble", [NftablesError("no table"), OSError(105, "nothing")])
def test_a_router_that_cannot_be_relieved_leaves_the_others_their_turn(tmp_path: Path, trouble: Exception) -> None:
    async def scenario() -> None:
        network, vpcs, _ = made(tmp_path)
        first, last = Router(trouble), Router()
        vpcs.routers = {"vpc-0a": first, "vpc-0b": last}
        with pytest.raises(HostError, match="vpc-0a"):
            await network.relieve_flows()
        assert (first.asked, last.asked) == (1, 1)
        first.trouble = None
        await network.relieve_flows()

    run_virtual(scenario())


def test_counting_that_could_not_begin_is_begun_when_the_plan_is_said_again() -> None:
    class Links:
        def run(self, messages: object) -> None:
            return

        def blackholes(self) -> list[str]:
            return []

    class Counting:
        def __init__(self) -> None:
            self.followed: list[object] = []

        def follow(self, plan: object) -> None:
            self.followed.append(plan)
            if len(self.followed) == 1:
                raise OSError(30, "read-only")

    counting = Counting()
    wanted = replace(plan(1), generation=2)
    router: Any = LinuxRouter.__new__(LinuxRouter)
    router.plan, router._owed, router._links, router._counting = plan(1), [], Links(), counting

    def load(given: Any) -> None:
        router.plan = given
        counting.follow(given)

    router._load = load
    with pytest.raises(OSError, match="read-only"):
        router.apply(wanted)
    router.apply(wanted)
    assert counting.followed == [wanted, wanted]


def test_a_router_whose_rules_are_refused_holds_nothing() -> None:
    """It is tried again each moment, and the library's own socket is nobody's but ours to close."""
    closed: list[str] = []

    class Refused(LinuxRouter):
        def __init__(self, *_: object) -> None:
            self.plan, self._links = plan(1), _Links()  # type: ignore[assignment]

        def close(self) -> None:
            closed.append("router")

        def _load(self, plan: object = None) -> None:
            raise NftablesError("no")

    class _Links:
        def existing(self, name: str) -> Any:
            return SimpleNamespace(index=1)

        def run(self, messages: object) -> None:
            return

        def blackholes(self) -> list[str]:
            return []

    namespaces: Any = SimpleNamespace(ensure=lambda name: True)
    edge: Any = None
    with pytest.raises(NftablesError):
        Refused.ensure(namespaces, edge, plan(1), {}, 4566, lambda _: [])
    assert closed == ["router"]
