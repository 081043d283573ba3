"""The key registry: values sealed under a key of an account, and that keys are durable and closed at rest."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from neargate.frontend.envelope import Envelope
from neargate.frontend.keys.errors import InvalidArn, InvalidCiphertext, InvalidState, KeyDisabled, NotFound
from neargate.frontend.keys.key_policies import default_policy
from neargate.frontend.keys.records import KeyAlias, KeyState, KmsKey
from neargate.frontend.keys.registry import MIGRATIONS, KeyRegistry, open_keys
from neargate.frontend.regional.shelves import Change
from neargate.interfaces.store import Store
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT, OTHER, REGION = "123456789012", "210987654321", "us-east-1"
CONTEXT = {"SecretARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf", "SecretVersionId": "v"}


class Rig:
    """Registries over one database in memory that outlives them."""

    def __init__(self) -> None:
        self.world = OsWorld()
        self.disk = MemoryDisk()
        self.store: Store

    async def open(self) -> KeyRegistry:
        self.store = await MemoryStores(self.world, DEFAULT_KNOBS, self.disk).open("region", MIGRATIONS)
        return await open_keys(self.world, self.store, Envelope(bytes(range(32)), self.world), region=REGION)

    async def key(self, keys: KeyRegistry, account: str = ACCOUNT, state: KeyState = KeyState.ENABLED) -> KmsKey:
        made = replace(keys.new_key(account, policy=default_policy(account)), state=state)
        return await keys.change(account, lambda _: Change(result=made, put=(made,)))


def run(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario(Rig())

    asyncio.run(whole())


def test_a_value_sealed_under_the_default_key_is_opened_by_the_next_process() -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        key = await keys.sealing_key(ACCOUNT, None, "ssm")
        blob = keys.seal(key, b"hunter2", CONTEXT)
        again = await rig.open()
        assert again.opening_key(blob) == key
        assert again.open(again.opening_key(blob), blob, dict(reversed(CONTEXT.items()))) == b"hunter2"
        assert await again.named_key(ACCOUNT, "alias/aws/ssm") == key

    run(scenario)


def test_each_account_and_each_service_has_a_default_key_of_its_own_made_once() -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        first, second = await asyncio.gather(keys.default_key(ACCOUNT, "ssm"), keys.default_key(ACCOUNT, "ssm"))
        others = (await keys.default_key(OTHER, "ssm"), await keys.default_key(ACCOUNT, "secretsmanager"))
        assert first == second
        assert len({first.name, *(other.name for other in others)}) == 3

    run(scenario)


def test_two_processes_that_make_a_default_key_at_once_agree_on_one() -> None:
    async def scenario(rig: Rig) -> None:
        one = await rig.open()
        other = await open_keys(rig.world, rig.store, Envelope(bytes(range(32)), rig.world), region=REGION)
        first = await one.default_key(ACCOUNT, "ssm")
        assert await other.default_key(ACCOUNT, "ssm") == first

    run(scenario)


def test_another_context_another_key_or_a_changed_byte_opens_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        key, other = await rig.key(keys), await rig.key(keys)
        blob = keys.seal(key, b"hunter2", {"a": "b"})
        assert blob != keys.seal(key, b"hunter2", {"a": "b"})
        for context in ({}, {"a": "c"}, {"a": "b", "c": "d"}):
            with pytest.raises(InvalidCiphertext):
                keys.open(key, blob, context)
        with pytest.raises(InvalidCiphertext):
            keys.open(other, blob, {"a": "b"})
        for place in range(len(blob)):
            changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
            with pytest.raises(InvalidCiphertext):
                keys.open(key, changed, {"a": "b"})
        with pytest.raises(InvalidCiphertext):
            keys.opening_key(blob[:40])

    run(scenario)


def test_the_material_is_not_in_the_database_and_opens_in_its_own_row_only() -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        key, other = await rig.key(keys), await rig.key(keys)
        swapped = replace(key, sealed=other.sealed)
        await keys.change(ACCOUNT, lambda _: Change(result=None, put=(swapped,)))
        with pytest.raises(Exception, match="sealed for something else"):
            keys.seal(swapped, b"x", {})

    run(scenario)


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        (KeyState.DISABLED, KeyDisabled, "is disabled."),
        (KeyState.PENDING_DELETION, InvalidState, "is pending deletion."),
    ],
)
def test_a_key_that_is_not_enabled_neither_seals_nor_opens(state: KeyState, error: type[Exception], said: str) -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        key = await rig.key(keys)
        blob = keys.seal(key, b"x", {})
        stopped = replace(key, state=state)
        await keys.change(ACCOUNT, lambda _: Change(result=None, put=(stopped,)))
        with pytest.raises(error, match=f"{key.arn} {said}"):
            await keys.sealing_key(ACCOUNT, key.name, "ssm")
        with pytest.raises(error):
            keys.opening_key(blob)

    run(scenario)


def test_a_key_is_named_by_id_arn_alias_and_alias_arn() -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        key = await rig.key(keys)
        alias = KeyAlias(account=ACCOUNT, name="alias/app", region=REGION, key=key.name, created=1, updated=1)
        await keys.change(ACCOUNT, lambda _: Change(result=None, put=(alias,)))
        for named in (key.name, key.arn, "alias/app", alias.arn):
            assert keys.find(ACCOUNT, named) == key
        assert keys.find(OTHER, key.arn) == key
        with pytest.raises(NotFound, match=f"Key 'arn:aws:kms:us-east-1:{OTHER}:key/{key.name}' does not exist"):
            keys.find(OTHER, key.name)
        with pytest.raises(NotFound, match=f"Alias arn:aws:kms:us-east-1:{ACCOUNT}:alias/no is not found."):
            keys.find(ACCOUNT, "alias/no")
        with pytest.raises(NotFound, match="Invalid keyId 'nonsense'"):
            keys.find(ACCOUNT, "nonsense")
        with pytest.raises(InvalidArn):
            keys.find(ACCOUNT, key.arn.replace(REGION, "eu-west-1"))

    run(scenario)


def test_a_key_whose_waiting_time_is_over_is_gone() -> None:
    async def scenario(rig: Rig) -> None:
        keys = await rig.open()
        key = await rig.key(keys)
        due = replace(key, state=KeyState.PENDING_DELETION, deletion=rig.world.now() - 1)
        await keys.change(ACCOUNT, lambda _: Change(result=None, put=(due,)))
        with pytest.raises(NotFound):
            keys.find(ACCOUNT, key.name)

    run(scenario)
