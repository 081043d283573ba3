"""Whatever shape-correct parameters say, an EC2 operation answers or raises an error of EC2, and asks first."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import botocore.session
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neargate.capacity.manager import open_capacity
from neargate.frontend.call import Call, Principal
from neargate.frontend.network.registry import MIGRATIONS, open_network
from neargate.frontend.operations.ec2.filters import select
from neargate.frontend.operations.ec2.table import OPERATIONS
from neargate.frontend.services import Services
from neargate.iam.policy import Grants
from neargate.model.errors import AccessDenied, AwsError
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"),)
EC2 = botocore.session.Session().get_service_model("ec2")
GENERIC = frozenset({"ClientException", "ServerException", "InvalidParameterException"})  # of ECS, not of EC2
WORDS = [
    *("", "default", "web", "tcp", "udp", "icmp", "-1", "6", "300", "10.0.0.0/8", "10.0.0.1/33", "::/0", "0.0.0.0/0"),
    *("sg-0123456789abcdef0", "vpc-0123456789abcdef0", "vpc-id", "group-name", "tag:x", "tag-key", "*", "?", "\\"),
    *(ACCOUNT, "security-group", "security-group-rule", "aws:x", "a" * 300, "\x00", "é", "[", "bm90aGluZw=="),
]


def _values(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    if shape.type_name == "structure":
        members = {name: _values(member, depth + 1) for name, member in shape.members.items()}
        required = {name: members.pop(name) for name in shape.required_members}
        return st.fixed_dictionaries(required, optional=members)
    if shape.type_name == "list":
        return st.lists(_values(shape.member, depth + 1), max_size=3)
    if shape.type_name == "boolean":
        return st.booleans()
    if shape.type_name == "integer":
        return st.one_of(st.sampled_from([-1, 0, 1, 5, 22, 80, 255, 65535, 65536]), st.integers(-(2**31), 2**31 - 1))
    return st.one_of(st.sampled_from(WORDS), st.text(max_size=8))


def _smallest(shape: Any) -> Any:
    """Of a structure, what must be there."""
    if shape.type_name == "structure":
        return {name: _smallest(shape.members[name]) for name in shape.required_members}
    if shape.type_name == "list":
        return [_smallest(shape.member)]
    return {"boolean": False, "integer": 1, "long": 1}.get(shape.type_name, "x")


async def _code_of(running: Awaitable[Any]) -> str | None:
    """The error's code, or None for an answer. What is no AwsError escapes and fails the test."""
    try:
        await running
    except AwsError as error:
        return error.code
    return None


def _call(operation: str, *, administrator: bool = True) -> Call:
    principal = Principal(
        account=ACCOUNT,
        arn=f"arn:aws:iam::{ACCOUNT}:user/x",
        user_id="AIDAX",
        access_key_id="AKIAX",
        is_administrator=administrator,
        grants=None if administrator else Grants(),
    )
    return Call(
        service="ec2",
        operation=operation,
        protocol="ec2",
        region=REGION,
        principal=principal,
        request_id="r",
        now=0.0,
    )


async def _services() -> Services:
    world, knobs = OsWorld(), Knobs()
    stores = MemoryStores(world, knobs)
    capacity = await open_capacity(
        world, stores, shard="zone-a", region=REGION, zones=("us-east-1a",), public_pool="198.18.0.0/24", knobs=knobs
    )
    store = await stores.open("region", MIGRATIONS)
    return Services(
        world=world,
        region=REGION,
        zones=ZONES,
        cells={},
        capacities={"us-east-1a": capacity},
        identity=cast(Any, None),
        sessions=cast(Any, None),
        network=await open_network(world, store, region=REGION, account=ACCOUNT, zones=ZONES),
        task_definitions=cast(Any, None),
        logs=cast(Any, None),
    )


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_no_parameters_break_an_operation(name: str, data: st.DataObject) -> None:
    given_params = data.draw(st.lists(_values(EC2.operation_model(name).input_shape), min_size=1, max_size=4))

    async def main() -> None:
        services = await _services()
        for params in given_params:
            call = _call(name)
            code = await _code_of(OPERATIONS[name](call, services, params))
            assert code not in GENERIC
            # A dry run tells whether the caller may: it must have been asked.
            assert call.authorised_actions or code != "DryRunOperation"

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_nothing_is_told_or_done_without_leave(name: str) -> None:
    async def main() -> None:
        services = await _services()
        group = services.network.security_groups(ACCOUNT)[0]
        params: dict[str, Any] = _smallest(EC2.operation_model(name).input_shape)
        params |= {"GroupId": group.group_id, "IpProtocol": "-1", "CidrIp": "10.0.0.0/8"}
        params |= {"GroupName": "web", "Description": "x"} if name == "CreateSecurityGroup" else {}
        with pytest.raises(AccessDenied, match=f"not authorized to perform: ec2:{name} on resource"):
            await OPERATIONS[name](_call(name, administrator=False), services, params)
        assert services.network.security_groups(ACCOUNT) == [group]

    asyncio.run(asyncio.wait_for(main(), 60))


def _reference(pattern: str, text: str) -> bool:
    """Wildcards by recursion: plain to read, exponential to run."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return _reference(pattern[1:], text) or (bool(text) and _reference(pattern, text[1:]))
    if pattern[0] == "\\" and len(pattern) > 1:
        return text[:1] == pattern[1] and _reference(pattern[2:], text[1:])
    return bool(text) and pattern[0] in ("?", text[0]) and _reference(pattern[1:], text[1:])


@settings(max_examples=300)
@given(st.text("ab*?\\", max_size=6), st.text("ab*?\\", max_size=6))
def test_wildcards_match_as_the_plain_reference(pattern: str, text: str) -> None:
    found = select([text], [{"Name": "x", "Values": [pattern]}], {"x": lambda item: (item,)})
    assert found == ([text] if _reference(pattern, text) else [])


def test_a_pattern_of_many_stars_ends() -> None:
    hostile = "*a" * 500 + "b"
    assert select(["a" * 2000], [{"Name": "x", "Values": [hostile]}], {"x": lambda item: (item,)}) == []


def test_filters_narrow_and_values_widen() -> None:
    fields: dict[str, Any] = {"first": lambda item: (item[0],), "last": lambda item: (item[-1],)}
    items = ["ab", "cd", "ad"]
    assert select(items, [{"Name": "first", "Values": ["a", "c"]}], fields) == items
    assert select(items, [{"Name": "first", "Values": ["a"]}, {"Name": "last", "Values": ["d"]}], fields) == ["ad"]
    assert select(items, [{"Name": "first", "Values": []}], fields) == []
