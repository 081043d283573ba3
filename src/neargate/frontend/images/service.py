"""What the door and ECR's operations share: records, tokens, the bytes' keeper, and the registry's name."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from msgspec import Struct

from ...interfaces.store import Overloaded, Store
from ...interfaces.upstream import Upstream
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ...world import World
from ..envelope import Envelope
from ..identity.compiled import CompiledPolicies
from ..secrets.registry import SecretRegistry
from .backend import Backend
from .errors import NoRoom
from .lifecycle import Expired
from .registry import ImageRegistry, open_images
from .space import REPOSITORIES, room_bytes
from .tokens import ImageTokens
from .unfinished import PartOfLayer, Unfinished
from .uploads import Uploads

LANE = "images"


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


async def make_place(images: Images, account: str, *, more: int = 1) -> None:
    """For so many more uploads of the account and their bytes, at the cost of those that it left lying. Raises NoRoom.

    `more` is 0 in a request of an upload under way, which has its place.
    """
    unfinished, room = images.unfinished, room_bytes(images.storage, images.knobs)
    for part in unfinished.surplus(account, room, images.world.now(), more=more):
        if part.requests:
            continue  # somebody went on with it while another one was given up
        unfinished.drop(part)
        await _cancel(images, part)
    unfinished.check(account, room)


async def _cancel(images: Images, part: PartOfLayer) -> None:
    """What stays when this fails, the backend forgets within a day.

    By its directory where that is here: after a request that broke off the backend takes no order about an upload.
    """
    with suppress(AwsError, OSError, Overloaded):
        if images.storage:
            await images.world.offload(LANE, shutil.rmtree, Path(images.storage, REPOSITORIES, part.place))
            return
        async with images.backend.exchange("DELETE", part.location):
            pass


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
