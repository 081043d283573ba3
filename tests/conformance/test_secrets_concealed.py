"""Plaintext that KMS and Secrets Manager are given is in no record of calls, no log line, no database, no refusal."""

import asyncio
import base64
from typing import Any

import pytest

from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.envelope import Envelope
from neargate.interfaces.trail import TrailQuery
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.region import RegionPlan, open_region
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.front_door import ACCOUNT, MODELS, REGION, ROOT, ZONES, FrontDoor, MovedWorld

WORD = "correct-horse-battery"
BLOB = base64.b64encode(WORD.encode()).decode()
TOKEN = "t" * 32


def test_plaintext_is_nowhere_but_in_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def story() -> None:
        world, disk = MovedWorld(), MemoryDisk()
        region = await open_region(
            world,
            MemoryStores(world, DEFAULT_KNOBS, disk),
            RegionPlan(region=REGION, account=ACCOUNT, zones=ZONES, public_pool="198.18.0.0/24", one_machine=True),
            models=MODELS,
            credentials=Credentials(account=ACCOUNT, access_key_id=ROOT.key, secret_access_key=ROOT.secret),
            envelope=Envelope(bytes(32), world),
            knobs=DEFAULT_KNOBS,
        )
        door = FrontDoor(world, region)
        refused: list[str] = []
        read: list[str] = []

        async def sm(operation: str, **params: Any) -> Any:
            said = await door.call(ROOT, "secretsmanager", operation, params)
            (read if said.status == 200 else refused).append(repr(said.body))
            return said.body

        async def kms(operation: str, **params: Any) -> Any:
            said = await door.call(ROOT, "kms", operation, params)
            (read if said.status == 200 else refused).append(repr(said.body))
            return said.body

        await sm("CreateSecret", Name="db", SecretString=WORD, ClientRequestToken=TOKEN)
        await sm("PutSecretValue", SecretId="db", SecretBinary=BLOB)
        await sm("UpdateSecret", SecretId="db", SecretString=WORD, Description="d")
        await sm("GetSecretValue", SecretId="db")
        await sm("BatchGetSecretValue", SecretIdList=["db"])
        key = (await kms("CreateKey"))["KeyMetadata"]["KeyId"]
        sealed = await kms("Encrypt", KeyId=key, Plaintext=BLOB)
        await kms("Decrypt", CiphertextBlob=sealed["CiphertextBlob"])
        assert sum(WORD in one or BLOB in one for one in read) == 3, "two reads of the secret, one Decrypt"
        await sm("CreateSecret", Name="db", SecretString=WORD)
        await sm("CreateSecret", Name="c d", SecretString=WORD)
        await sm("CreateSecret", Name="e", SecretString=WORD * 10_000)
        await sm("CreateSecret", Name="e", SecretString=[WORD])
        await sm("CreateSecret", Name="e", SecretString=WORD, SecretBinary=BLOB)
        await sm("PutSecretValue", SecretId="db", SecretString=f"other {WORD}", ClientRequestToken=TOKEN)
        await sm("PutSecretValue", SecretId="db", SecretBinary=[BLOB])
        await sm("PutSecretValue", SecretId="nobodys", SecretString=WORD)
        await kms("Encrypt", KeyId=key, Plaintext=BLOB * 1000)
        await kms("Encrypt", KeyId="alias/no", Plaintext=BLOB)
        await kms("DisableKey", KeyId=key)
        await kms("Encrypt", KeyId=key, Plaintext=BLOB)
        assert len(refused) == 11, refused
        assert not [one for one in refused if WORD in one or BLOB in one]

        await region.trail.flush()
        wanted = TrailQuery(account=ACCOUNT, limit=10_000, management_only=False, oldest_first=True)
        records = [one.document for one in (await region.trail.lookup(wanted, None)).entries]
        assert len(records) == 20 and any('"secretId":"db"' in one or '"SecretId":"db"' in one for one in records)
        stored = ["\n".join(database.iterdump()) for database in disk.databases.values()]
        for text in (*records, *stored):
            assert WORD not in text and BLOB not in text and WORD.encode().hex().upper() not in text

    asyncio.run(story())
    assert WORD not in caplog.text and BLOB not in caplog.text
