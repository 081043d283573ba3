"""Images of other registries that a rule gives names here: when they are fetched, for whom, and once for all who ask.

Owns which imports are under way. Must not know how one is carried out (`importing.py`). Invariants: nothing is fetched
for who has no leave to import; a tag is asked for upstream once a day at most, and what is here is served while
nobody there answers; a tag that was pushed here is never moved by what is there.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...interfaces.upstream import Login, Upstream, UpstreamManifest
from ...model.errors import AwsError, Throttling
from ..call import Call
from ..limits.admission import Admission
from .asking import ask_for
from .decisions import checked_at, is_immutable
from .errors import UnableToGetUpstreamImage, UnableToGetUpstreamLayer
from .importing import Import
from .logins import login_of
from .paths import Place
from .reading_along import Reader
from .records import CacheRule, Image
from .service import Images
from .upstreams import rule_for

Key = tuple[str, str, str]  # account, repository, tag or digest
_FAILURES_MAX = 10_000


class PullThrough:
    """Of one server process."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._knobs = images.knobs
        self._under_way: dict[Key, Import] = {}
        self._admission = Admission(images.knobs.image_imports_max)
        self._waits: dict[Key, float] = {}  # until when a registry that was away is not asked again, monotonic

    async def manifest(self, call: Call, place: Place) -> UpstreamManifest | None:
        """What a pull of a manifest is answered with while no record knows of it; None: the records decide.

        Raises AccessDenied, Throttling, ImageNotFound, UnableToGetUpstreamImage and what a secret's reading raises.
        """
        images = self._images
        found = rule_for(images.registry.settings(place.account).cache_rules, place.name)
        if found is None:
            return None
        book = images.registry.find(place.account, place.name)
        present = None if book is None else book.find(place.reference)
        if present is not None:
            return await self._look_again(call, place, present, *found)
        for one in self._of(place):
            if place.reference in one.manifests:
                return await asyncio.shield(one.manifests[place.reference])
        _ask(images, call, place, is_new=book is None)
        return await asyncio.shield(self._begun(place, None, *found).first)

    @asynccontextmanager
    async def layer(self, place: Place, *, whole: bool) -> AsyncIterator[Reader | None]:
        """A layer that is on its way, while it comes; None, when it is here or was never coming: the backend decides.

        `whole`: wanted from its beginning to its end; else it is waited for. Raises UnableToGetUpstreamLayer.
        """
        one = next((one for one in self._of(place) if place.reference in one.layers), None)
        if one is None:
            yield None
            return
        one.hurry(place.reference)
        async with one.reading(place.reference) as reader:
            try:
                if reader is None or not whole or not await reader.begins():
                    await asyncio.shield(one.layers[place.reference])
                    reader = None
            except AwsError as failure:
                raise UnableToGetUpstreamLayer(failure.message) from None
            yield reader

    def _of(self, place: Place) -> list[Import]:
        return [one for key, one in self._under_way.items() if key[:2] == (place.account, place.name)]

    async def _look_again(
        self, call: Call, place: Place, present: Image, rule: CacheRule, name: str
    ) -> UpstreamManifest | None:
        """Once a day, and without harm: what speaks against it leaves what is here."""
        images, key = self._images, (place.account, place.name, place.reference)
        checked = None if ":" in place.reference else checked_at(present, place.reference)
        if checked is None or self._images.world.now() - checked < self._knobs.image_upstream_check_s:
            return None
        if self._images.world.monotonic() < self._waits.get(key, 0.0):
            return None
        if is_immutable(images.registry.book(place.account, place.name).repository, place.reference):
            return None
        try:
            _ask(images, call, place, is_new=False)
            under_way = self._begun(place, present, rule, name)
            async with asyncio.timeout(self._knobs.image_upstream_wait_s):
                return await asyncio.shield(under_way.first)
        except (AwsError, TimeoutError):
            return None

    def _begun(self, place: Place, present: Image | None, rule: CacheRule, name: str) -> Import:
        """The one import of this, perhaps somebody else's. Raises Throttling and what a secret's reading raises."""
        images, key = self._images, (place.account, place.name, place.reference)
        if key in self._under_way:
            return self._under_way[key]
        if images.upstream is None:
            raise UnableToGetUpstreamImage("This server reaches no other registries.")
        login = None if rule.credential is None else login_of(images.secrets, place.account, rule.credential)
        if not self._admission.enter(place.account):
            raise Throttling
        under_way = Import(images, place.account, place.name, place.reference, present)
        self._under_way[key] = under_way
        self._images.world.spawn(
            self._run(images.upstream, key, rule.host, name, login), "an image of another registry"
        )
        return under_way

    async def _run(self, upstream: Upstream, key: Key, host: str, name: str, login: Login | None) -> None:
        """Goes on when who asked goes away."""
        try:
            failure = await self._under_way[key].run(lambda: upstream.open(host, name, login))
        finally:
            del self._under_way[key]
            self._admission.leave(key[0])
        self._waits.pop(key, None)
        if failure is not None:
            if len(self._waits) >= _FAILURES_MAX:
                self._waits.pop(next(iter(self._waits)))
            self._waits[key] = self._images.world.monotonic() + self._knobs.image_upstream_retry_s


def _ask(images: Images, call: Call, place: Place, *, is_new: bool) -> None:
    """Raises AccessDenied."""
    for action in ("CreateRepository", "BatchImportUpstreamImage") if is_new else ("BatchImportUpstreamImage",):
        ask_for(call, images.registry, images.policies, action, place.account, place.name)
