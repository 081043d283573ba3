"""The images of a host, in the engine's words: pulled by containerd's store, collected when room runs low.

Shared by the engines. Owns: what a failing containerd means to who asked. Must not know containers.
"""

from collections.abc import Callable

from ..interfaces.sandbox import EngineUnavailable, Image, PullRequest, SandboxError
from ..model.knobs import Knobs
from ..model.lifecycle import REASON_MAX_CHARS
from ..world import World
from .containerd_client import Containerd, EngineError
from .pull.collector import ImageCollector
from .pull.credentials import CredentialSource, RegistryAuth
from .pull.proxies import Proxies
from .pull.puller import Puller


class HostImages:
    """Lanes of the world: `pull` (8), `pull-net` (64)."""

    def __init__(
        self,
        world: World,
        engine: Containerd,
        *,
        registry_auth: CredentialSource | None,
        insecure_registries: tuple[str, ...],
        proxies: Proxies,
        carried: Callable[[str], bool],
        knobs: Knobs,
    ) -> None:
        self._puller = Puller(
            world,
            engine,
            auth=registry_auth or RegistryAuth(),
            insecure_registries=insecure_registries,
            knobs=knobs,
            proxies=proxies,
            carried=carried,
        )
        self._collector = ImageCollector(world, engine, self._puller, knobs)

    async def pull(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        """Raises SandboxError, EngineUnavailable."""
        try:
            return await self._puller.pull(request, progress)
        except EngineError as error:
            raise SandboxError(f"CannotPullContainerError: {error.detail}"[:REASON_MAX_CHARS]) from None

    async def collect(self, spared: frozenset[str]) -> tuple[str, ...]:
        """Raises EngineUnavailable."""
        try:
            return await self._collector.collect(spared)
        except EngineError as error:
            raise EngineUnavailable(error.detail) from None

    def forget(self, image: Image) -> None:
        """It was removed behind our back: the next pull fetches it again."""
        self._puller.forget(image)

    def close(self) -> None:
        self._puller.close()
