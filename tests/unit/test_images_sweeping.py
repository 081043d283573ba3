"""Lifecycle policies of large repositories: looked through in slices, so that one account's patterns hold up nobody."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from neargate.frontend.images import decisions
from neargate.frontend.images.book import RepositoryBook
from neargate.frontend.images.decisions import put_image
from neargate.frontend.images.errors import LimitExceeded
from neargate.frontend.images.lifecycle import effort, expired, parse
from neargate.frontend.images.manifest import Described
from neargate.frontend.images.records import Image, Repository
from neargate.frontend.images.sweeping import expiring, slices
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.testing.virtual_time import VirtualWorld, run_virtual

IMAGES = [
    Image(
        digest=f"sha256:{number:064x}",
        media_type="m",
        size=1,
        manifest_size=1,
        pushed_at=float(number % 7),
        tags=tuple(f"v{number}.{minor}" for minor in range(number % 5)),
        children=(f"sha256:{number + 1:064x}",) if number == 11 else (),
    )
    for number in range(200)
]
BOOK = RepositoryBook(Repository(account="123456789012", name="web", uid="u", created=1.0), 1, IMAGES)


def policy(*rules: tuple[int, dict[str, Any]]) -> str:
    listed = [
        {"rulePriority": at, "selection": selection | {"countType": "imageCountMoreThan"}, "action": {"type": "expire"}}
        for at, selection in rules
    ]
    return json.dumps({"rules": listed})


POLICY = policy(
    (1, {"tagStatus": "tagged", "tagPatternList": ["v1*.2", "*.1"], "countNumber": 2}),
    (2, {"tagStatus": "untagged", "countNumber": 1}),
    (3, {"tagStatus": "any", "countNumber": 100}),
)


def test_slices_are_all_and_bounded() -> None:
    rule = parse(POLICY)[0]
    parts = list(slices(rule, IMAGES, 20))
    assert [image for part in parts for image in part] == IMAGES
    largest = max(effort(rule, image) for image in IMAGES)
    assert len(parts) > 10 and all(sum(effort(rule, one) for one in part) < 20 + largest for part in parts)
    assert list(slices(rule, [], 20)) == []


def test_in_slices_the_same_expires() -> None:
    class Counting(VirtualWorld):
        runs = 0

        async def offload(self, lane: str, function: Any, *args: Any) -> Any:
            self.runs += 1
            return await super().offload(lane, function, *args)

    async def story() -> None:
        world = Counting()
        images = SimpleNamespace(world=world, knobs=replace(DEFAULT_KNOBS, image_lifecycle_slice=50))
        found = await expiring(cast(Any, images), POLICY, BOOK)
        assert found == expired(parse(POLICY), IMAGES, world.now()) and len(found) > 20
        assert world.runs > 10

    run_virtual(story())


def test_a_repository_has_so_many_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "TAGS_MAX", BOOK.tag_count)
    new = Described(digest=f"sha256:{'f' * 64}", media_type="m", size=1)
    with pytest.raises(LimitExceeded, match="number of tags of a repository"):
        put_image(BOOK, new, 1, "another", 1.0, images_max=1000)
    assert put_image(BOOK, new, 1, "v1.0", 1.0, images_max=1000).result.tags == ("v1.0",), "it moves"
    assert put_image(BOOK, new, 1, None, 1.0, images_max=1000).put
