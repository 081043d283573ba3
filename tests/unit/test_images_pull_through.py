"""Pure parts of pull-through caches: which rule has a name, which registries there are, when a tag was asked for."""

import pytest

from neargate.frontend.images.book import RepositoryBook
from neargate.frontend.images.decisions import checked_at, import_image, note_check, put_image
from neargate.frontend.images.manifest import OCI_MANIFEST, Described
from neargate.frontend.images.records import CacheRule, Image, Repository
from neargate.frontend.images.upstreams import known, rule_for

NOW, LATER = 1_795_300_000.0, 1_795_400_000.0


def rule(prefix: str) -> CacheRule:
    return CacheRule(prefix=prefix, host="quay.io", kind="quay", created=NOW, updated=NOW)


@pytest.mark.parametrize(
    ("prefixes", "name", "wanted"),
    [
        (("quay",), "quay/team/web", ("quay", "team/web")),
        (("quay",), "quay", None),
        (("quay",), "quayside/web", None),
        (("quay", "quay/team"), "quay/team/web", ("quay/team", "web")),
        (("quay", "quay/team"), "quay/teams/web", ("quay", "teams/web")),
        (("ROOT", "quay"), "quay/web", ("quay", "web")),
        (("ROOT", "quay"), "team/web", ("ROOT", "team/web")),
        ((), "team/web", None),
    ],
)
def test_the_longest_prefix_has_a_name(prefixes: tuple[str, ...], name: str, wanted: tuple[str, str] | None) -> None:
    found = rule_for([rule(prefix) for prefix in prefixes], name)
    assert (None if found is None else (found[0].prefix, found[1])) == wanted


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("public.ecr.aws", ("ecr-public", False)),
        ("registry-1.docker.io", ("docker-hub", True)),
        ("acme1.azurecr.io", ("azure-container-registry", True)),
        ("evil.example/.azurecr.io", None),
        ("a.b.azurecr.io", None),
        ("docker.io", None),
        ("quay.io:443", None),
        ("quay.io\n", None),
    ],
)
def test_registries_are_known_by_their_whole_name(host: str, wanted: tuple[str, bool] | None) -> None:
    found = known(host)
    assert (None if found is None else (found.kind, found.needs_login)) == wanted


def described(letter: str) -> Described:
    return Described(digest=f"sha256:{letter * 64}", media_type=OCI_MANIFEST, size=1)


def book() -> RepositoryBook:
    return RepositoryBook(Repository(account="1", name="web", uid="u", created=NOW), 1)


def test_what_came_from_upstream_is_known_by_its_tag() -> None:
    held = book()
    imported = import_image(held, described("a"), 10, "1", NOW, images_max=9)
    held.apply(imported.put, imported.drop)
    assert checked_at(_tagged(held, "1"), "1") == NOW
    noted = note_check(held, imported.result.digest, "1", LATER)
    held.apply(noted.put, noted.drop)
    assert checked_at(_tagged(held, "1"), "1") == LATER
    assert note_check(held, "sha256:" + "b" * 64, "1", LATER).is_empty
    # A push takes the tag away from upstream.
    pushed = put_image(held, described("b"), 10, "1", LATER, images_max=9)
    held.apply(pushed.put, pushed.drop)
    assert checked_at(_tagged(held, "1"), "1") is None
    # And upstream's next image takes it back only where it is asked.
    again = import_image(held, described("c"), 10, "1", LATER, images_max=9)
    held.apply(again.put, again.drop)
    assert (_tagged(held, "1").digest, checked_at(_tagged(held, "1"), "1")) == (described("c").digest, LATER)
    assert len([image for image in held.images() if "1" in image.tags]) == 1


def test_one_image_under_two_tags_has_two_times() -> None:
    held = book()
    for tag, now in (("1", NOW), ("2", LATER), ("1", LATER), ("3", NOW)):
        change = import_image(held, described("a"), 10, tag, now, images_max=9)
        held.apply(change.put, change.drop)
    image = _tagged(held, "1")
    assert sorted(image.checked) == [("1", LATER), ("2", LATER), ("3", NOW)]
    assert import_image(held, described("a"), 10, None, LATER, images_max=9).is_empty


def _tagged(held: RepositoryBook, tag: str) -> Image:
    found = held.tagged(tag)
    assert found is not None
    return found
