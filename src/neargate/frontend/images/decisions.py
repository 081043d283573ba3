"""Which change of a repository's images a request means, or why not. Pure: a book and what came in, a Change out."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from .book import RepositoryBook
from .errors import ImageTagAlreadyExists, LimitExceeded
from .globs import matches
from .manifest import Described
from .records import IMMUTABLE, IMMUTABLE_BUT, MUTABLE_BUT, Image, Repository
from .registry import Change

TAGS_PER_IMAGE_MAX = 1000  # ECR's
TAGS_MAX = 100_000  # of a repository: held in memory, and tried with every pattern of its lifecycle policy


class Deleted(Struct, frozen=True, kw_only=True):
    """`pairs`: (digest, tag or None) of what is gone. `images`: digests of whole images among them."""

    pairs: tuple[tuple[str, str | None], ...]
    images: tuple[str, ...]


def is_immutable(repository: Repository, tag: str) -> bool:
    excluded = any(matches(pattern, tag) for pattern in repository.exclusions)
    if repository.mutability == IMMUTABLE:
        return True
    if repository.mutability == IMMUTABLE_BUT:
        return not excluded
    return repository.mutability == MUTABLE_BUT and excluded


def put_image(
    book: RepositoryBook, found: Described, manifest_size: int, tag: str | None, now: float, *, images_max: int
) -> Change[Image]:
    """The image under its digest, and under the tag, which leaves where it was. Raises ImageTagAlreadyExists.

    Nothing changes where all is as it is wanted: pushing again what is there is no overwriting.
    """
    existing = book.find(found.digest)
    if existing is not None and (tag is None or tag in existing.tags):
        return Change(result=existing)
    put = []
    if tag is not None:
        before = book.tagged(tag)
        if before is not None:
            if is_immutable(book.repository, tag):
                raise ImageTagAlreadyExists(tag, book.repository.name)
            put.append(replace(before, tags=tuple(one for one in before.tags if one != tag)))
        elif book.tag_count >= TAGS_MAX:
            raise LimitExceeded(f"The maximum number of tags of a repository ({TAGS_MAX}) was reached.")
    if existing is None:
        if len(book) >= images_max:
            raise LimitExceeded(f"The maximum number of images of a repository ({images_max}) was reached.")
        existing = _new(book, found, manifest_size, now)
    elif len(existing.tags) >= TAGS_PER_IMAGE_MAX:
        raise LimitExceeded(f"The maximum number of tags of an image ({TAGS_PER_IMAGE_MAX}) was reached.")
    image = existing if tag is None else replace(existing, tags=(*existing.tags, tag))
    return Change(result=image, put=(*put, image))


def import_image(
    book: RepositoryBook, found: Described, manifest_size: int, tag: str | None, now: float, *, images_max: int
) -> Change[Image]:
    """As `put_image`, for what another registry gave under the tag now. Raises ImageTagAlreadyExists."""
    change = put_image(book, found, manifest_size, tag, now, images_max=images_max)
    return change if tag is None else _with_check(change, tag, now)


def note_check(book: RepositoryBook, digest: str, tag: str, now: float) -> Change[None]:
    """The other registry says that the tag is still this image's. Nothing, if it is not here any more."""
    image = book.tagged(tag)
    if image is None or image.digest != digest:
        return Change(result=None)
    return Change(result=None, put=_with_check(Change(result=image), tag, now).put)


def checked_at(image: Image, tag: str) -> float | None:
    """When another registry gave the tag last; None: it was pushed here."""
    return dict(image.checked).get(tag) if tag in image.tags else None


def _with_check(change: Change[Image], tag: str, now: float) -> Change[Image]:
    image = change.result
    kept = tuple(pair for pair in image.checked if pair[0] != tag and pair[0] in image.tags)
    image = replace(image, checked=(*kept, (tag, now)))
    return Change(result=image, put=(*(one for one in change.put if one.digest != image.digest), image))


def _new(book: RepositoryBook, found: Described, manifest_size: int, now: float) -> Image:
    """A list of manifests is as large as the largest of its images."""
    children = [child for child in map(book.find, found.children) if child is not None]
    return Image(
        digest=found.digest,
        media_type=found.media_type,
        size=max((child.size for child in children), default=found.size),
        manifest_size=manifest_size,
        pushed_at=now,
        artifact_type=found.artifact_type,
        children=found.children,
    )


def delete_images(book: RepositoryBook, named: Sequence[tuple[str | None, str | None]]) -> Change[Deleted]:
    """`named`: (digest, tag) pairs that exist. A tag alone is taken from its image, the last one with the image."""
    images: dict[str, Image | None] = {}
    pairs: list[tuple[str, str | None]] = []
    for digest, tag in named:
        found = book.find(digest or tag or "")
        if found is None:
            continue
        left = images.get(found.digest, found)
        if left is None:
            continue
        if digest is not None and tag is None:
            pairs += [(found.digest, one) for one in left.tags] or [(found.digest, None)]
            images[found.digest] = None
        elif tag in left.tags:
            pairs.append((found.digest, tag))
            rest = replace(left, tags=tuple(one for one in left.tags if one != tag))
            images[found.digest] = rest if rest.tags else None
    drop = tuple(digest for digest, left in images.items() if left is None)
    return Change(
        result=Deleted(pairs=tuple(pairs), images=drop),
        put=tuple(left for left in images.values() if left is not None),
        drop=drop,
    )
