"""Layers that are never finished: they cannot take the disk from others, nor from their own account for long."""

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from neargate.frontend.images.errors import LimitExceeded, NoRoom
from neargate.frontend.images.records import Repository
from neargate.frontend.images.service import make_place
from neargate.frontend.images.space import REPOSITORIES
from neargate.frontend.images.unfinished import Unfinished, offset_of
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.virtual_time import VirtualWorld, run_virtual

ACCOUNT, OTHER = "123456789012", "210987654321"
KNOBS = replace(
    DEFAULT_KNOBS,
    image_layer_max_bytes=100,
    image_unfinished_max_bytes=250,
    image_uploads_max=3,
    image_upload_idle_s=1000.0,
    image_free_fraction=0.0,
)


def repository(account: str = ACCOUNT) -> Repository:
    return Repository(account=account, name="web", uid="uid", created=1.0)


def sent(unfinished: Unfinished, upload_id: str, size: int, now: float, account: str = ACCOUNT) -> None:
    part = unfinished.enter(repository(account), upload_id, claimed=0, now=now)
    unfinished.confirm(part, "/")
    unfinished.grow(part, size)
    unfinished.leave(part, now)


def names(unfinished: Unfinished, room: int | None, now: float) -> list[str]:
    return [part.place[-1] for part in unfinished.surplus(ACCOUNT, room, now)]


def test_a_layer_is_bounded_over_all_its_requests() -> None:
    unfinished = Unfinished(KNOBS)
    sent(unfinished, "a", 60, 1.0)
    with pytest.raises(LimitExceeded):
        sent(unfinished, "a", 60, 2.0)
    known = unfinished.enter(repository(), "b", claimed=90, now=1.0)  # begun before this process was
    with pytest.raises(LimitExceeded):
        unfinished.grow(known, 11)


def test_an_account_has_no_more_than_what_is_left_for_others() -> None:
    unfinished = Unfinished(KNOBS)
    for name in "ab":
        sent(unfinished, name, 100, 1.0)
    unfinished.check(ACCOUNT, None)
    unfinished.check(ACCOUNT, 200)
    for room in (199, 0):
        with pytest.raises(NoRoom):
            unfinished.check(ACCOUNT, room)
    unfinished.check(OTHER, 0)
    sent(unfinished, "c", 100, 1.0)
    with pytest.raises(NoRoom):
        unfinished.check(ACCOUNT, None)


def test_what_lies_longest_makes_place_and_what_is_written_never() -> None:
    unfinished = Unfinished(KNOBS)
    for at, name in enumerate("abc"):
        sent(unfinished, name, 50, 10.0 + at)
    assert names(unfinished, None, 20.0) == ["a"], "for the fourth"
    assert names(unfinished, 60, 20.0) == ["a", "b"], "until the rest fits"
    assert names(unfinished, None, 1011.5) == ["a", "b"], "given up"
    unfinished.enter(repository(), "a", claimed=0, now=12.5)
    assert names(unfinished, 0, 20.0) == ["b", "c"]


def test_what_a_caller_invents_costs_its_account_nothing() -> None:
    unfinished = Unfinished(KNOBS)
    sent(unfinished, "a", 50, 1.0)
    invented = [unfinished.enter(repository(), name, claimed=10**18, now=2.0) for name in "bcdef"]
    unfinished.check(ACCOUNT, 60)
    assert names(unfinished, 60, 3.0) == []
    for part in invented:
        with pytest.raises(LimitExceeded):
            unfinished.grow(part, 1)
        unfinished.leave(part, 3.0)
    assert [part.place[-1] for part in unfinished.parts(ACCOUNT)] == ["a"]
    known = unfinished.enter(repository(), "b", claimed=40, now=4.0)
    unfinished.grow(known, 10)
    unfinished.check(ACCOUNT, 60)
    unfinished.confirm(known, "/")
    with pytest.raises(NoRoom):
        unfinished.check(ACCOUNT, 99)


def test_its_bytes_go(tmp_path: Path) -> None:
    async def story() -> None:
        images = SimpleNamespace(
            world=VirtualWorld(), knobs=KNOBS, storage=str(tmp_path), unfinished=Unfinished(KNOBS), backend=None
        )
        uploads = tmp_path / REPOSITORIES / ACCOUNT / "uid" / "_uploads"
        for at, name in enumerate("abc"):
            (uploads / name).mkdir(parents=True)
            (uploads / name / "data").write_bytes(b"x" * 50)
            sent(images.unfinished, name, 50, images.world.now() + at)
        await make_place(cast(Any, images), ACCOUNT)
        assert sorted(path.name for path in uploads.iterdir()) == ["b", "c"]
        assert names(images.unfinished, 50, images.world.now()) == ["b"]

    run_virtual(story())


def test_whoever_goes_on_with_an_upload_takes_no_place_from_another(tmp_path: Path) -> None:
    """As many as there may be, all under way, none of them in a request at this moment but this one."""

    async def story() -> None:
        images = SimpleNamespace(
            world=VirtualWorld(), knobs=KNOBS, storage=str(tmp_path), unfinished=Unfinished(KNOBS), backend=None
        )
        for at, name in enumerate("abc"):
            sent(images.unfinished, name, 50, images.world.now() + at)
        with images.unfinished.request(repository(), "a", images.world.now) as part:
            await make_place(cast(Any, images), ACCOUNT, more=0)
            assert len(images.unfinished.parts(ACCOUNT)) == 3
            part.received = 250
            await make_place(cast(Any, images), ACCOUNT, more=0)
            assert images.unfinished.parts(ACCOUNT) == [part], "the bytes of the others make room, not its own"

    run_virtual(story())


def test_what_is_gone_on_with_meanwhile_is_not_given_up(tmp_path: Path) -> None:
    """The first one's bytes take a moment to go."""

    class Slow(VirtualWorld):
        async def offload(self, lane: str, work: Any, *args: Any) -> Any:
            await self.sleep(1.0)

    async def story() -> None:
        knobs = replace(KNOBS, image_uploads_max=2)
        images = SimpleNamespace(
            world=Slow(), knobs=knobs, storage=str(tmp_path), unfinished=Unfinished(knobs), backend=None
        )
        for at, name in enumerate("abc"):
            sent(images.unfinished, name, 50, images.world.now() + at)
        assert names(images.unfinished, None, images.world.now()) == ["a", "b"]
        images.world.spawn(make_place(cast(Any, images), ACCOUNT), "another one's")
        await images.world.sleep(0.5)
        with images.unfinished.request(repository(), "b", images.world.now):
            await images.world.sleep(1.0)
            assert [part.place[-1] for part in images.unfinished.parts(ACCOUNT)] == ["b", "c"]

    run_virtual(story())


def test_the_backends_state_says_how_much_came() -> None:
    state = base64.urlsafe_b64encode(bytes(32) + json.dumps({"Name": "n", "Offset": 77}).encode()).decode()
    assert offset_of(state) == 77
    for hostile in ("", "%%%", "é", state[:-9], base64.urlsafe_b64encode(bytes(32) + b'{"Offset":-5}').decode()):
        assert offset_of(hostile) == 0
