"""Pure parts of the image registry: tags and digests, lifecycle policies, manifests, paths, tokens."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neargate.frontend.call import Principal
from neargate.frontend.envelope import Envelope
from neargate.frontend.images.book import RepositoryBook
from neargate.frontend.images.decisions import delete_images, is_immutable, put_image
from neargate.frontend.images.errors import ImageTagAlreadyExists, LimitExceeded
from neargate.frontend.images.globs import matches
from neargate.frontend.images.lifecycle import Expired, InvalidLifecyclePolicy, expired, parse
from neargate.frontend.images.manifest import Described, InvalidManifest, describe, digest_of
from neargate.frontend.images.paths import account_of_host, place_of
from neargate.frontend.images.records import Image, Repository
from neargate.frontend.images.registry import Change
from neargate.frontend.images.sweeping import expire
from neargate.frontend.images.tokens import ExpiredToken, ImageTokens, InvalidToken
from neargate.testing.front_door import MovedWorld

ACCOUNT = "123456789012"
DAY_S = 86_400.0
NOW = 1_795_300_000.0


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def book(mutability: str = "MUTABLE", *exclusions: str, images: list[Image] | None = None) -> RepositoryBook:
    repository = Repository(
        account=ACCOUNT, name="web", uid="u", created=NOW, mutability=mutability, exclusions=exclusions
    )
    return RepositoryBook(repository, 1, images or [])


def described(number: int, *children: int, size: int = 10) -> Described:
    return Described(
        digest=digest(number), media_type="m", size=0 if children else size, children=tuple(map(digest, children))
    )


def push(known: RepositoryBook, number: int, tag: str | None, *children: int, most: int = 100, size: int = 10) -> Image:
    change: Change[Image] = put_image(known, described(number, *children, size=size), 5, tag, NOW, images_max=most)
    known.apply(change.put, change.drop)
    return change.result


def image(number: int, age_days: float, *tags: str, children: tuple[int, ...] = ()) -> Image:
    return Image(
        digest=digest(number),
        media_type="m",
        size=1,
        manifest_size=1,
        pushed_at=NOW - age_days * DAY_S,
        tags=tags,
        children=tuple(map(digest, children)),
    )


def test_a_tag_is_on_one_image_and_moves() -> None:
    known = book()
    push(known, 1, "latest")
    push(known, 1, "v1")
    push(known, 2, "latest")
    assert known.tags() == ["latest", "v1"]
    assert [(one.digest, one.tags) for one in known.images()] == [(digest(1), ("v1",)), (digest(2), ("latest",))]
    assert put_image(known, described(2), 5, "latest", NOW, images_max=100).is_empty


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", "c", None]), st.booleans()), max_size=30))
def test_whatever_is_pushed_and_deleted_every_tag_is_on_one_image(steps: list[tuple[int, str | None, bool]]) -> None:
    known, expected = book(), dict[str, str]()
    for number, tag, is_push in steps:
        if is_push:
            push(known, number, tag)
            expected |= {} if tag is None else {tag: digest(number)}
        else:
            named = (digest(number), None) if tag is None else (None, tag)
            change = delete_images(known, [named])
            known.apply(change.put, change.drop)
            gone = {digest(number)} if tag is None else set[str]()
            expected = {name: one for name, one in expected.items() if one not in gone and name != tag}
    assert {tag: known.tagged(tag) and known.tagged(tag).digest for tag in known.tags()} == expected  # type: ignore[union-attr]
    assert sorted(tag for one in known.images() for tag in one.tags) == sorted(expected)


def test_immutable_means_that_another_image_may_not_have_the_tag() -> None:
    for known in (book("IMMUTABLE"), book("MUTABLE_WITH_EXCLUSION", "v*")):
        push(known, 1, "v1")
        push(known, 1, "v1")
        with pytest.raises(ImageTagAlreadyExists, match="'v1' already exists in the 'web' repository"):
            push(known, 2, "v1")
        assert known.tagged("v1") is not None and known.find(digest(2)) is None
    free = book("IMMUTABLE_WITH_EXCLUSION", "dev-*", "latest")
    assert not is_immutable(free.repository, "dev-7") and not is_immutable(free.repository, "latest")
    assert is_immutable(free.repository, "v1") and is_immutable(free.repository, "xdev-7")


def test_a_repository_and_an_image_are_bounded() -> None:
    known = book()
    push(known, 1, "a", most=1)
    with pytest.raises(LimitExceeded):
        push(known, 2, None, most=1)
    for number in range(999):
        push(known, 1, f"t{number}")
    with pytest.raises(LimitExceeded):
        push(known, 1, "one-more")


def test_a_list_is_as_large_as_its_largest_image() -> None:
    known = book()
    push(known, 1, None, size=10)
    push(known, 2, None, size=70)
    assert push(known, 3, "all", 1, 2).size == 70


def test_deleting_by_tag_takes_the_image_with_its_last_one() -> None:
    known = book(images=[image(1, 0, "a", "b"), image(2, 0)])
    change = delete_images(known, [(None, "a"), (None, "b"), (None, "b"), (digest(2), None), (digest(9), None)])
    assert change.result.pairs == ((digest(1), "a"), (digest(1), "b"), (digest(2), None))
    assert (change.put, change.drop) == ((), (digest(1), digest(2)))


def rule(priority: int, count: int, kind: str = "imageCountMoreThan", **selection: Any) -> dict[str, Any]:
    unit = {"countUnit": "days"} if kind == "sinceImagePushed" else {}
    chosen = {"countType": kind, "countNumber": count, **unit, **selection}
    return {"rulePriority": priority, "selection": chosen, "action": {"type": "expire"}}


def expiring(images: list[Image], *rules: dict[str, Any]) -> list[tuple[str, int]]:
    found = expired(parse(json.dumps({"rules": rules})), images, NOW)
    return [(one.image.digest, one.priority) for one in found]


def test_the_oldest_beyond_a_count_expire() -> None:
    images = [image(1, 3, "v1"), image(2, 2, "v2"), image(3, 1, "v3"), image(4, 9, "other"), image(5, 9)]
    assert expiring(images, rule(1, 1, tagStatus="tagged", tagPrefixList=["v"])) == [(digest(1), 1), (digest(2), 1)]
    assert expiring(images, rule(1, 3, tagStatus="any")) == [(digest(5), 1), (digest(4), 1)]
    assert expiring(images, rule(1, 1, tagStatus="tagged", tagPatternList=["*v*", "v1"])) == []


def test_days_are_counted_from_the_push() -> None:
    images = [image(1, 14.1), image(2, 13.9), image(3, 20, "kept")]
    assert expiring(images, rule(1, 14, "sinceImagePushed", tagStatus="untagged")) == [(digest(1), 1)]


def test_what_an_earlier_rule_selects_no_later_one_expires() -> None:
    images = [image(1, 30, "prod-1"), image(2, 30, "x"), image(3, 1, "y")]
    rules = rule(1, 5, tagStatus="tagged", tagPrefixList=["prod"]), rule(2, 10, "sinceImagePushed", tagStatus="any")
    assert expiring(images, *rules) == [(digest(2), 2)]


def test_a_pattern_is_matched_in_one_pass() -> None:
    """This one would take a backtracking expression longer than the machine lives."""
    assert not matches("*a*" * 30 + "b", "a" * 5000)
    images = [image(1, 30, "a" * 128)]
    assert expiring(images, rule(1, 1, tagStatus="tagged", tagPatternList=["*a*a*a*b"])) == []


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_patterns_are_as_regular_expressions_have_it(pattern: str, tag: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), tag) is not None
    assert matches(pattern, tag) == expected


def test_what_changed_since_it_was_found_is_spared() -> None:
    old, kept = image(1, 30), image(2, 30)
    known = book(images=[old, kept])
    found = [Expired(image=old, priority=1), Expired(image=kept, priority=1), Expired(image=image(3, 9), priority=1)]
    assert expire(known, found, NOW).drop == (), "the policy was taken away"
    known.repository = msgspec.structs.replace(known.repository, lifecycle="{}")
    push(known, 2, "saved")
    change = expire(known, found, NOW)
    assert change.drop == (digest(1),) and change.repository is not None
    assert change.repository.lifecycle_evaluated == NOW


def test_the_images_of_a_list_stay_while_the_list_does() -> None:
    images = [image(1, 30), image(2, 30), image(3, 30, "list", children=(1,))]
    assert expiring(images, rule(1, 1, "sinceImagePushed", tagStatus="untagged")) == [(digest(2), 1)]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        '{"rules": []}',
        json.dumps({"rules": [rule(1, 1, tagStatus="any"), rule(2, 1, tagStatus="untagged")]}),
        json.dumps({"rules": [rule(1, 1, tagStatus="untagged"), rule(1, 1, tagStatus="untagged")]}),
        json.dumps({"rules": [rule(1, 0, tagStatus="any")]}),
        json.dumps({"rules": [rule(0, 1, tagStatus="any")]}),
        json.dumps({"rules": [rule(1, 1, tagStatus="tagged")]}),
        json.dumps({"rules": [rule(1, 1, tagStatus="any", tagPrefixList=["a"])]}),
        json.dumps({"rules": [rule(1, 1, tagStatus="tagged", tagPatternList=["*" * 5])]}),
        json.dumps({"rules": [rule(1, 1, "sinceImagePulled", tagStatus="any")]}),
        json.dumps({"rules": [rule(1, 1, tagStatus="any") | {"action": {"type": "keep"}}]}),
        "[" * 100_000,
    ],
)
def test_policies_that_are_none_are_refused(document: str) -> None:
    with pytest.raises(InvalidLifecyclePolicy):
        parse(document)


@example(b'{"schemaVersion":2,"a":"\xff"}')
@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_bytes_are_a_manifest_or_are_refused(content: bytes | str) -> None:
    given_bytes = content if isinstance(content, bytes) else content.encode()
    try:
        found = describe(given_bytes)
    except InvalidManifest:
        return
    assert found.digest == digest_of(given_bytes)


def test_host_and_path_say_whose_and_which() -> None:
    host = b"123456789012.dkr.ecr.us-east-1.localhost:4566"
    assert account_of_host(host, "us-east-1") == ACCOUNT
    assert account_of_host(host, "eu-west-1") is None
    assert account_of_host(b"127.0.0.1:4566", "us-east-1") is None
    assert account_of_host(b"x." + host, "us-east-1") is None
    place = place_of(b"/v2/a/manifests/manifests/b/manifests/1", ACCOUNT)
    assert place is not None and (place.name, place.reference) == ("a/manifests/manifests/b", "1")
    begun = place_of(b"/v2/a/b/blobs/uploads/", ACCOUNT)
    assert begun is not None and (begun.kind, begun.name, begun.reference) == ("upload", "a/b", "")
    named = place_of(b"/v2/210987654321/web/tags/list", None)
    assert named is not None and (named.account, named.base) == ("210987654321", "/v2/210987654321/web")
    encoded = place_of(b"/v2/web/blobs/sha256%3A" + b"0" * 64, ACCOUNT)
    assert encoded is not None and encoded.reference == f"sha256:{'0' * 64}"


@given(st.binary(max_size=60))
def test_no_path_is_anything_but_its_grammar(path: bytes) -> None:
    place = place_of(b"/v2/" + path, ACCOUNT)
    assert place is None or ".." not in place.name.split("/")


def principal(key: str) -> Principal:
    return Principal(account=ACCOUNT, arn="arn", user_id="u", access_key_id=key, is_administrator=True)


def test_tokens_are_of_one_region_one_kind_and_one_time() -> None:
    world = MovedWorld()
    tokens = ImageTokens(world, Envelope(bytes(32), world), region="us-east-1")
    password, expires = tokens.password(principal("AKIA"))
    now = world.now()
    assert tokens.bearer(password, now).access_key_id == "AKIA"
    assert 11.9 * 3600 < expires - now <= 12 * 3600
    with pytest.raises(ExpiredToken):
        tokens.bearer(password, expires)
    others = ImageTokens(world, Envelope(bytes(32), world), region="eu-west-1")
    strangers = ImageTokens(world, Envelope(bytes(31) + b"1", world), region="us-east-1")
    for judge, token in (
        (others, password),
        (strangers, password),
        (tokens, tokens.layer_key("u", digest(1))),
        (tokens, password[:-4]),
        (tokens, password.swapcase()),
        (tokens, ""),
        (tokens, "é"),
        (tokens, "\udcff"),
        (tokens, "A" * 100_000),
    ):
        with pytest.raises(InvalidToken):
            judge.bearer(token, now)
    key = tokens.layer_key("u", digest(1))
    assert tokens.opens_layer(key, "u", digest(1), now)
    assert not tokens.opens_layer(key, "u", digest(2), now)
    assert not tokens.opens_layer(key, "v", digest(1), now)
    assert not tokens.opens_layer(key, "u", digest(1), now + 3601)
    assert not tokens.opens_layer(password, "u", digest(1), now)
