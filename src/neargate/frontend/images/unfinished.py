"""What accounts have sent of layers that are not whole yet: no record names these bytes, and nobody is shown them.

Owns their count, their bounds and which of them make room. In memory, of one server process: what it does not know the
backend forgets within a day. Invariant: what an account has unfinished is never more than what is free for others.
"""

import base64
import binascii
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from ...model.knobs import Knobs
from .errors import LimitExceeded, NoRoom
from .records import Repository

_STATE_MAC_BYTES = 32  # before the state that the backend signs


class PartOfLayer(Struct, kw_only=True, eq=False):
    """`place`: of its directory. `location`: the backend's path for what comes next. `requests`: that write it now.

    `is_real`: the backend knows it. `claimed`: bytes that came before this process was, as the caller says.
    """

    account: str
    place: str
    location: str
    is_real: bool = False
    claimed: int = 0
    received: int = 0
    touched: float = 0.0
    requests: int = 0


class Unfinished:
    """Of all accounts."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._of: dict[str, dict[str, PartOfLayer]] = {}  # account -> place

    @contextmanager
    def request(
        self, repository: Repository, upload_id: str, now: Callable[[], float], *, claimed: int = 0
    ) -> Iterator[PartOfLayer]:
        """One that is about it; nobody gives it up meanwhile."""
        part = self.enter(repository, upload_id, claimed=claimed, now=now())
        try:
            yield part
        finally:
            self.leave(part, now())

    def enter(self, repository: Repository, upload_id: str, *, claimed: int, now: float) -> PartOfLayer:
        """A request that is about it begins; then `leave` must follow.

        `claimed`: when it is not known here. It counts for the layer, and for the account when the backend agreed.
        """
        place = f"{repository.backend_name}/_uploads/{upload_id}"
        known = self._of.setdefault(repository.account, {})
        part = known.get(place)
        if part is None:
            location = f"/v2/{repository.backend_name}/blobs/uploads/{upload_id}"
            part = PartOfLayer(account=repository.account, place=place, location=location, claimed=claimed)
            known[place] = part
        part.requests += 1
        part.touched = now
        return part

    def confirm(self, part: PartOfLayer, location: str) -> None:
        """The backend took what came."""
        part.location, part.is_real = location, True
        part.received, part.claimed = part.received + part.claimed, 0

    def leave(self, part: PartOfLayer, now: float) -> None:
        part.requests -= 1
        part.touched = now
        if not part.requests and not part.is_real:
            self.drop(part)  # somebody's invention

    def grow(self, part: PartOfLayer, size: int) -> None:
        """Raises LimitExceeded for what is no layer any more."""
        part.received += size
        if part.claimed + part.received > self._knobs.image_layer_max_bytes:
            raise LimitExceeded(f"A layer has at most {self._knobs.image_layer_max_bytes} bytes.")

    def check(self, account: str, room: int | None) -> None:
        """Raises NoRoom."""
        if self._bytes_of(account) > self._bound(room):
            raise NoRoom

    def drop(self, part: PartOfLayer) -> None:
        """It is whole, or gone."""
        known = self._of.get(part.account, {})
        if known.get(part.place) is part:
            del known[part.place]
        if not known:
            self._of.pop(part.account, None)

    def surplus(self, account: str, room: int | None, now: float, *, more: int = 1) -> list[PartOfLayer]:
        """Those that nobody writes, longest silent first, so that `more` have a place; all that are long gone."""
        known = self._of.get(account, {})
        silent = sorted((one for one in known.values() if not one.requests), key=lambda one: one.touched)
        count, size, bound = sum(1 for one in known.values() if one.is_real), self._bytes_of(account), self._bound(room)
        found = []
        for one in silent:
            is_old = one.touched < now - self._knobs.image_upload_idle_s
            if not is_old and count + more <= self._knobs.image_uploads_max and size <= bound:
                break
            found.append(one)
            count, size = count - 1, size - one.received
        return found

    def parts(self, account: str) -> list[PartOfLayer]:
        return list(self._of.get(account, {}).values())

    def _bytes_of(self, account: str) -> int:
        return sum(one.received for one in self._of.get(account, {}).values())

    def _bound(self, room: int | None) -> int:
        most = self._knobs.image_unfinished_max_bytes
        return most if room is None else min(most, room)


def offset_of(state: str) -> int:
    """How much had come, as the backend's own state says; it refuses one that is not its own. 0 for no state."""
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(state)[_STATE_MAC_BYTES:], type=_State)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return 0
    return max(found.Offset, 0)


class _State(Struct):
    Offset: int = 0
