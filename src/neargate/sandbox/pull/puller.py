"""Pulling an image: resolve with this task's credentials, then fetch and unpack once for everybody who asks.

Owns: the order of a pull, retries, who shares a fetch, and the rule that a cached image is used only by those whose
credentials were good for its manifest. Invariant: before an Image is returned, the registry has confirmed this
account's credentials for its digest within `pull_authorisation_s`.

A digest inside that life needs no network. A tag is asked for at every pull (a HEAD on a kept connection), because
whoever pushes a new `latest` expects the next task to run it; only when the registry cannot be reached at all does the
tag mean what it meant last, within the same life, so that a registry's outage does not stop running services' launches.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.sandbox import EngineUnavailable, Image, PullRequest
from ...model.knobs import Knobs
from ...world import World
from ..containerd_client import Containerd, EngineError
from . import failures, unpack
from .credentials import Credentials, CredentialSource
from .dialling import Dialler
from .failures import PullFailure
from .fetch import Fetch, load_image
from .manifest import INDEX_TYPES, BadImage, WrongPlatform, choose_platform
from .pace import Patience
from .proxies import DIRECT, Proxies, Ways
from .reference import Reference, is_plain_http, parse_reference
from .registry import Document, RegistrySession
from .share import Share, Turnstile, arriving
from .transport import Transport

LANE = "pull"
# Registries are waited for on threads of their own: none of them, however slow, holds up containerd's half of a pull.
NET_LANE = "pull-net"
T = TypeVar("T")


class _Grant(Struct, frozen=True, kw_only=True):
    """What a registry confirmed: these credentials, this target (tag or digest), this digest, until then."""

    digest: str
    until: float


class _GrantKey(Struct, frozen=True, kw_only=True):
    account: str
    credentials: str
    name: str
    target: str


class Puller:
    """All pulls of one host, on two lanes of the world: `pull` for the content store, `pull-net` for registries.

    `insecure_registries`: asked over plain HTTP, and allowed on this machine's own addresses. `carried`: see Dialler.
    """

    def __init__(
        self,
        world: World,
        engine: Containerd,
        *,
        auth: CredentialSource,
        insecure_registries: tuple[str, ...],
        knobs: Knobs,
        proxies: Proxies = DIRECT,
        carried: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._world = world
        self._engine = engine
        self._auth = auth
        self._insecure = insecure_registries
        self._knobs = knobs
        self._transport = Transport(
            ways=Ways(
                dialler=Dialler(
                    monotonic=world.monotonic,
                    timeout_s=knobs.pull_connect_timeout_s,
                    named=insecure_registries,
                    carried=carried,
                ),
                proxies=proxies,
            ),
            patience=Patience(
                head_s=knobs.pull_head_timeout_s,
                body_s=knobs.pull_blob_timeout_s,
                window_s=knobs.pull_read_timeout_s,
                body_rate_min=knobs.pull_rate_min_bytes_s,
            ),
            monotonic=world.monotonic,
        )
        self._share = Share(knobs.pull_requests_per_registry)
        self._grants: OrderedDict[_GrantKey, _Grant] = OrderedDict()
        # What a registry wanted to see last time, so that a launch asks once and not three times.
        self._headers: OrderedDict[_GrantKey, tuple[str, float]] = OrderedDict()
        self._images: OrderedDict[str, Image] = OrderedDict()
        self._flights: dict[str, asyncio.Future[Image]] = {}
        self._fetches = Turnstile()
        self._uses: dict[str, float] = {}

    def close(self) -> None:
        self._transport.close()

    def forget(self, image: Image) -> None:
        """The engine no longer has it (someone removed its snapshots): the next pull fetches it again."""
        for name in [name for name, known in self._images.items() if known.digest == image.digest]:
            del self._images[name]

    async def pull(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        """Raises SandboxError with AWS's sentence, EngineUnavailable while containerd is away."""
        reference = parse_reference(request.reference)
        credentials = self._credentials(request, reference)
        session = RegistrySession(
            self._transport,
            reference,
            credentials,
            plain_http=request.endpoint is not None or is_plain_http(reference.registry, self._insecure),
            network=request.netns_path,
            endpoint=request.endpoint,
        )
        digest = await self._authorised_digest(request, reference, credentials, session)
        name = f"neargate/{request.architecture}/{reference.name}@{digest}"
        image = await self._image(name, digest, request, reference, session, progress)
        # Others may have pulled it by another name.
        return image if image.reference == request.reference else replace(image, reference=request.reference)

    def _credentials(self, request: PullRequest, reference: Reference) -> Credentials | None:
        if request.username is not None and request.password is not None:
            return Credentials(username=request.username, password=request.password)
        return self._auth.find(reference.registry)

    # ---------------------------------------------------------------- authorisation

    async def _authorised_digest(
        self, request: PullRequest, reference: Reference, credentials: Credentials | None, session: RegistrySession
    ) -> str:
        fingerprint = credentials.fingerprint if credentials else ""
        key = _GrantKey(account=request.account, credentials=fingerprint, name=reference.name, target=reference.target)
        now = self._world.monotonic()
        grant = self._grants.get(key)
        if grant is not None and grant.until <= now:
            grant = None
        if grant is not None and reference.digest is not None:
            return grant.digest
        door = replace(key, target="")
        header, until = self._headers.get(door, ("", 0.0))
        session.authorization = header if until > now else None
        try:
            digest = await self._resolve(reference, session, attempts=1 if grant else self._knobs.pull_attempts)
        except _ResolveFailed as failed:
            if grant is not None and failed.failure.unreachable:
                return grant.digest
            # A refusal ends the right to what is cached at once, not when the grant's life is over.
            self._grants.pop(key, None)
            raise failures.manifest_failed(str(reference), failed.attempts, failed.failure) from None
        except BadImage as error:
            raise failures.bad_image(str(reference), str(error)) from None
        self._grant(key, digest)
        if session.authorization is not None and session.authorization != header:
            self._headers[door] = (session.authorization, now + self._knobs.pull_authorisation_s)
            while len(self._headers) > self._knobs.pull_authorisations_max:
                self._headers.popitem(last=False)
        return digest

    async def _resolve(self, reference: Reference, session: RegistrySession, *, attempts: int) -> str:
        return await self._retried(lambda: self._asking(session, session.resolve, reference.target), attempts)

    def _grant(self, key: _GrantKey, digest: str) -> None:
        grant = _Grant(digest=digest, until=self._world.monotonic() + self._knobs.pull_authorisation_s)
        by_digest = _GrantKey(account=key.account, credentials=key.credentials, name=key.name, target=digest)
        for entry in (key, by_digest):
            self._grants[entry] = grant
            self._grants.move_to_end(entry)
        while len(self._grants) > self._knobs.pull_authorisations_max:
            self._grants.popitem(last=False)

    # ---------------------------------------------------------------- the image

    async def _image(
        self,
        name: str,
        digest: str,
        request: PullRequest,
        reference: Reference,
        session: RegistrySession,
        progress: Callable[[int, int], None],
    ) -> Image:
        while True:
            known = self._images.get(name)
            if known is not None:
                self._images.move_to_end(name)
                self._uses[name] = self._world.now()
                return known
            flight = self._flights.get(name)
            if flight is None:
                return await self._lead(name, digest, request, reference, session, progress)
            try:
                return await asyncio.shield(flight)
            except Exception:  # noqa: S110 - the leader's failure may be its own network's; ours gets its turn
                pass

    async def _lead(
        self,
        name: str,
        digest: str,
        request: PullRequest,
        reference: Reference,
        session: RegistrySession,
        progress: Callable[[int, int], None],
    ) -> Image:
        flight: asyncio.Future[Image] = asyncio.get_running_loop().create_future()
        self._flights[name] = flight
        try:
            async with self._fetches.shared():
                image = await self._load_or_fetch(name, digest, request, reference, session, progress)
        except GeneratorExit:
            # The loop is gone, and with it all waiters: none of them can be told anything.
            raise
        except BaseException as error:
            # Waiters learn of a cancellation too: one of them leads the next flight.
            flight.set_exception(error if isinstance(error, Exception) else PullFailure("the pull was cancelled"))
            flight.exception()  # nobody may be waiting, which is no fault
            raise
        finally:
            del self._flights[name]
        flight.set_result(image)
        self._images[name] = image
        self._uses[name] = self._world.now()
        while len(self._images) > self._knobs.pull_images_remembered_max:
            self._images.popitem(last=False)
        return image

    async def _load_or_fetch(
        self,
        name: str,
        digest: str,
        request: PullRequest,
        reference: Reference,
        session: RegistrySession,
        progress: Callable[[int, int], None],
    ) -> Image:
        stored = await self._blocking(load_image, self._engine, name, request.reference, request.architecture)
        if stored is not None:
            return stored
        try:
            manifest, index_digest = await self._manifest(digest, request.architecture, reference, session)
            fetch = Fetch(
                name=name,
                reference=request.reference,
                architecture=request.architecture,
                manifest=manifest,
                index_digest=index_digest,
                token=f"{self._world.random.getrandbits(64):016x}",
                free_fraction=self._knobs.pull_free_fraction,
            )
            return await self._fetch(fetch, session, progress)
        except WrongPlatform as error:
            raise failures.wrong_platform(str(error)) from None
        except BadImage as error:
            raise failures.bad_image(str(reference), str(error)) from None
        except unpack.UnpackFailed as error:
            raise failures.unpack_failed(str(error)) from None
        except _ResolveFailed as failed:
            raise failures.copy_failed(failed.attempts, failed.failure) from None

    async def _manifest(
        self, digest: str, architecture: str, reference: Reference, session: RegistrySession
    ) -> tuple[Document, str | None]:
        try:
            document = await self._retried(lambda: self._asking(session, session.manifest, digest))
            if document.media_type not in INDEX_TYPES:
                return document, None
            chosen = choose_platform(document.body, architecture)
            inner = await self._retried(lambda: self._asking(session, session.manifest, chosen.digest))
        except _ResolveFailed as failed:
            raise failures.manifest_failed(str(reference), failed.attempts, failed.failure) from None
        if inner.media_type in INDEX_TYPES:
            raise BadImage("the image index points to another index")
        return inner, digest

    async def _fetch(self, fetch: Fetch, session: RegistrySession, progress: Callable[[int, int], None]) -> Image:
        """Layers are fetched `pull_layers_at_once` at a time and unpacked in order as they arrive."""
        await self._blocking(unpack.open_lease, self._engine, fetch.lease, self._world.now())
        try:
            config = await self._retried(lambda: self._asking(session, fetch.store_config, self._engine, session))
            missing = await self._blocking(fetch.missing_layers, self._engine, config)
            directory = await self._blocking(fetch.room_for, self._engine, missing) if missing else ""
            loop = asyncio.get_running_loop()
            total, done = sum(fetch.parsed.layers[number].size for number in missing), 0

            def advance(amount: int) -> None:
                nonlocal done
                done += amount
                progress(min(done, total), total)

            def report(amount: int) -> None:
                loop.call_soon_threadsafe(advance, amount)

            slots = asyncio.Semaphore(self._knobs.pull_layers_at_once)

            async def fetch_layer(number: int) -> None:
                async with slots:
                    await self._retried(
                        lambda: self._asking(
                            session, fetch.store_layer, self._engine, session, number, directory, report
                        )
                    )

            async with arriving([fetch_layer(number) for number in missing]) as layers:
                for place, number in enumerate(missing):
                    await layers.wait(place)
                    await self._blocking(fetch.apply_layer, self._engine, config, number)
            image = await self._blocking(fetch.record, self._engine, config)
        except GeneratorExit:
            # The loop is gone and nothing may be awaited any more; the lease ends by itself, as after kill -9.
            raise
        except BaseException:
            await self._return_room(fetch)
            raise
        await self._return_room(fetch)
        return image

    async def _return_room(self, fetch: Fetch) -> None:
        """The lease would end by itself; this only returns the room sooner. Cancelled or not, it is asked for once."""
        await asyncio.shield(self._world.spawn(self._delete_lease(fetch.lease), "pull-lease"))

    async def _delete_lease(self, lease: str) -> None:
        try:
            await self._blocking(self._engine.delete_lease, lease)
        except (EngineError, EngineUnavailable):
            return  # it ends by itself

    # ---------------------------------------------------------------- for the collector

    def take_uses(self) -> dict[str, float]:
        """When which images were used since the last call, by name."""
        uses, self._uses = self._uses, {}
        return uses

    def return_uses(self, uses: dict[str, float]) -> None:
        """They could not be written down."""
        self._uses = {**uses, **self._uses}

    def no_fetches(self, within_s: float) -> AbstractAsyncContextManager[None]:
        """Nothing is pulled inside: a pull counts on the layers that it found. Raises TimeoutError."""
        return self._fetches.alone(within_s)

    async def drop(self, name: str) -> bool:
        """Remove an image, inside `no_fetches`. Whoever wants it from now on waits and pulls it again.

        False: somebody got it since `take_uses`, and will make containers of it.
        """
        if name in self._uses:
            return False
        self._images.pop(name, None)
        await self._blocking(self._engine.delete_image, name)
        return True

    # ---------------------------------------------------------------- plumbing

    async def _blocking(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._world.offload(LANE, function, *arguments)

    async def _asking(self, session: RegistrySession, function: Callable[..., T], *arguments: object) -> T:
        """A step that waits for the registry, as one of the few that its registry may have at a time."""
        if session.network is not None and session.netns_path is None:
            session.netns_path = await session.network()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._world.spawn(self._ask(session.registry, answer, function, arguments), "pull-ask")
        return await answer

    async def _ask(
        self, registry: str, answer: "asyncio.Future[T]", function: Callable[..., T], arguments: tuple[object, ...]
    ) -> None:
        """The place is held until the thread is free, also when nobody waits for the answer any more: stopping a task
        must not be a way to get at more threads.
        """
        async with self._share.of(registry):
            if answer.done():
                return
            try:
                result = await self._world.offload(NET_LANE, function, *arguments)
            except Exception as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(result)

    async def _retried(self, step: Callable[[], Awaitable[T]], attempts: int | None = None) -> T:
        limit = self._knobs.pull_attempts if attempts is None else attempts
        attempt = 1
        while True:
            try:
                return await step()
            except PullFailure as failure:
                if not failure.retryable or attempt >= limit:
                    raise _ResolveFailed(attempt, failure) from None
            # Full jitter: hosts that failed together must not come back together.
            pause_s = self._knobs.pull_retry_base_s * 2 ** (attempt - 1) * (0.5 + self._world.random.random())
            await self._world.sleep(pause_s)
            attempt += 1


class _ResolveFailed(Exception):
    """A step gave up after `attempts`."""

    def __init__(self, attempts: int, failure: PullFailure) -> None:
        super().__init__(failure.text)
        self.attempts = attempts
        self.failure = failure
