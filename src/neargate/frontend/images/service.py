"""What the door and ECR's operations share: records, tokens, the bytes' keeper, and the registry's name."""

import asyncio
from weakref import WeakValueDictionary

from msgspec import Struct

from ...interfaces.store import Store
from ...interfaces.upstream import Upstream
from ...model.knobs import Knobs
from ...world import World
from ..envelope import Envelope
from ..identity.compiled import CompiledPolicies
from ..secrets.registry import SecretRegistry
from .backend import Backend
from .errors import NoRoom
from .lifecycle import Expired
from .registry import ImageRegistry, open_images
from .space import room_bytes
from .tokens import ImageTokens
from .unfinished import Unfinished
from .uploads import Uploads


class Images(Struct, frozen=True, kw_only=True):
    """`domain`: what stands behind `ACCOUNT.dkr.ecr.REGION.` in the registry's name, with the port.

    `is_tls`: under that name the registry is reached by TLS alone.
    """

    world: World
    region: str
    registry: ImageRegistry
    tokens: ImageTokens
    backend: Backend
    policies: CompiledPolicies
    knobs: Knobs
    domain: str
    is_tls: bool = False
    uploads: Uploads
    unfinished: Unfinished
    previews: dict[str, tuple[str, list[Expired]]]  # of lifecycle policies, by repository
    turns: WeakValueDictionary[tuple[str, str], asyncio.Lock]  # of manifests, by repository's uid and digest
    upstream: Upstream | None = None  # None: this process reaches no other registry
    secrets: SecretRegistry | None = None  # with the passwords of other registries
    storage: str = ""  # the directory whose disk holds the bytes; empty: not here

    def host_of(self, account: str) -> str:
        return f"{account}.dkr.ecr.{self.region}.{self.domain}"

    def url_of(self, account: str, *, secure: bool) -> str:
        """`secure`: whether who asks came by TLS."""
        return f"{'https' if self.is_tls or secure else 'http'}://{self.host_of(account)}"


def require_room(images: Images) -> None:
    """For bytes that come, by the door or the API. Raises NoRoom."""
    if room_bytes(images.storage, images.knobs) == 0:
        raise NoRoom


async def open_images_service(
    world: World,
    store: Store,
    envelope: Envelope,
    knobs: Knobs,
    *,
    region: str,
    backend: Backend,
    domain: str,
    is_tls: bool = False,
    storage: str = "",
    upstream: Upstream | None = None,
    secrets: SecretRegistry | None = None,
) -> Images:
    """`store` is the region shard, opened with migrations that include the registry's."""
    return Images(
        world=world,
        region=region,
        registry=await open_images(world, store),
        tokens=ImageTokens(world, envelope, region=region),
        backend=backend,
        policies=CompiledPolicies(),
        knobs=knobs,
        domain=domain,
        is_tls=is_tls,
        unfinished=Unfinished(knobs),
        uploads=Uploads(knobs.image_uploads_max, knobs.image_layer_max_bytes),
        previews={},
        turns=WeakValueDictionary(),
        upstream=upstream,
        secrets=secrets,
        storage=storage,
    )
