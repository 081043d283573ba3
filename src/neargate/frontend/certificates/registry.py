"""The region's certificates: durable records, keys that are opened only for who shows them, the authority behind them.

Must not know operations, listeners, nor who may ask. Invariants: what a change returned is durable; a private key rests
sealed and leaves here in a Material or a plan's certificate alone; the authority is durable before it signs.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial

from ...interfaces.store import Overloaded, Store
from ...log import get_logger
from ...model.balancing import PlannedCertificate
from ...model.errors import ServiceUnavailable
from ...model.knobs import DEFAULT_KNOBS, Knobs
from ...world import World
from ..envelope import Envelope, SealBroken
from ..regional.shelves import Kept, OnShelves, Shelf, Shelves, migration
from .authority import RENEWED_BEFORE, Authority, new_authority, open_authority
from .changes import Renewal, authority_kept, due, renewed
from .reading import facts_of
from .records import AUTHORITY, REGION, Certificate, KeptAuthority, Material, key_context

MIGRATIONS = (migration("certificates"),)
LANE = "certificates"  # of World.offload: RSA keys take a while
_HOST = re.compile(r"[A-Za-z0-9.*-]{1,253}")  # strangers' certificates have any text
_log = get_logger(__name__)


async def open_certificates(
    world: World, store: Store, envelope: Envelope, *, region: str, knobs: Knobs = DEFAULT_KNOBS
) -> "CertificateRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = CertificateRegistry(world, store, envelope, region=region, knobs=knobs)
    await registry.load()
    return registry


class CertificateRegistry(OnShelves):
    """Reads are from memory and never wait; what a change returned is durable.

    `in_use`: the turn that a deletion takes, and who makes a listener show a certificate, so that neither misses the
    other: certificates and listeners are on different shelves.
    """

    def __init__(
        self, world: World, store: Store, envelope: Envelope, *, region: str, knobs: Knobs = DEFAULT_KNOBS
    ) -> None:
        self.region = region
        self.in_use = asyncio.Lock()
        self._world = world
        self._envelope = envelope
        self._knobs = knobs
        self._listeners: list[Callable[[str, Sequence[str]], None]] = []
        super().__init__(Shelves(world, store, "certificates", (Certificate, KeptAuthority), self._changed))

    def certificate(self, account: str, arn: str) -> Certificate | None:
        return self.shelf(account).find(Certificate, arn)

    def accounts(self) -> list[str]:
        return [account for account in self._shelves.accounts() if account != REGION]

    def planned(self, account: str, arn: str) -> PlannedCertificate | None:
        """With its key, for a proxy. None for one that is not there. Raises SealBroken."""
        found = self.certificate(account, arn)
        if found is None:
            return None
        key = self._envelope.open(found.sealed_key, context=key_context(arn)).decode()
        names = tuple(name for name in found.facts.names or (found.facts.domain,) if _HOST.fullmatch(name))
        return PlannedCertificate(arn=arn, names=names, pem=f"{found.pem}{found.chain}{key}")

    def on_change(self, listener: Callable[[str, Sequence[str]], None]) -> None:
        """Called with (account, ARNs) of certificates that came, went or became others, when that is durable."""
        self._listeners.append(listener)

    # -- making

    def sealed(self, arn: str, material: Material) -> Renewal:
        """As it is kept, of what was issued here."""
        return Renewal(
            facts=facts_of(material.pem),
            pem=material.pem,
            chain=material.chain,
            sealed_key=self.sealed_key(arn, material.key),
        )

    def sealed_key(self, arn: str, key: str) -> bytes:
        return self._envelope.seal(key.encode(), context=key_context(arn))

    async def issue(self, names: Sequence[str], algorithm: str) -> Material:
        """By the region's authority, which is made for the first one."""
        authority = await self._authority()
        return await self._world.offload(LANE, partial(authority.issue, names, algorithm, self._world))

    async def _authority(self) -> Authority:
        found = self.shelf(REGION).find(KeptAuthority, AUTHORITY)
        if found is None or not self._is_good(found):
            new = new_authority(self.region, self._world).kept(self._envelope)
            found = await self.change(REGION, partial(authority_kept, new=new, is_good=self._is_good))
        return open_authority(found, self._envelope)

    def _is_good(self, kept: KeptAuthority) -> bool:
        return open_authority(kept, self._envelope).is_good(self._world.now())

    def authority_pem(self) -> str | None:
        """For everybody. None: nothing was issued yet."""
        found = self.shelf(REGION).find(KeptAuthority, AUTHORITY)
        return None if found is None else found.pem

    # -- renewing

    async def run(self) -> None:
        """Renews what was issued here in time. Never returns."""
        while True:
            try:
                await self.renew()
            except (Overloaded, ServiceUnavailable):
                _log.warning("certificates are renewed later: the region's database has too much to do")
            except SealBroken as error:
                _log.error("certificates cannot be renewed", why=str(error))
            await self._world.sleep(self._knobs.certificates_looked_at_s)

    async def renew(self) -> None:
        before_s = RENEWED_BEFORE.total_seconds()
        for account in self.accounts():
            for one in due(self.shelf(account), before_s, self._world.now()):
                material = await self.issue(one.facts.names, one.facts.key_algorithm)
                made = self.sealed(one.arn, material)
                await self.change(account, partial(renewed, arn=one.arn, made=made, now=self._world.now()))

    def _changed(self, shelf: Shelf, put: Sequence[Kept], drop: Sequence[Kept]) -> None:
        arns = sorted({one.name for one in (*put, *drop) if isinstance(one, Certificate)})
        for listener in self._listeners if arns else ():
            listener(shelf.account, arns)
