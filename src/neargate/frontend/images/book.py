"""One repository in memory: its record, its images by digest, its tags.

Holds only what is durable; changed by the registry alone, after the write. Decisions read it and change nothing.
"""

from collections.abc import Iterable

from .records import Image, Repository


class RepositoryBook:
    """`generation` grows with every change of the repository or an image of it."""

    def __init__(self, repository: Repository, generation: int, images: Iterable[Image] = ()) -> None:
        self.repository = repository
        self.generation = generation
        self._images: dict[str, Image] = {}
        self._tags: dict[str, str] = {}
        self.apply(images, ())

    def find(self, reference: str) -> Image | None:
        """By digest or tag."""
        return self._images.get(reference if ":" in reference else self._tags.get(reference, ""))

    def tagged(self, tag: str) -> Image | None:
        return self._images.get(self._tags.get(tag, ""))

    def images(self) -> list[Image]:
        """In order of digests."""
        return [image for _, image in sorted(self._images.items())]

    def tags(self) -> list[str]:
        return sorted(self._tags)

    @property
    def tag_count(self) -> int:
        return len(self._tags)

    def __len__(self) -> int:
        return len(self._images)

    def apply(self, puts: Iterable[Image], drops: Iterable[str]) -> None:
        """`drops`: digests."""
        puts = list(puts)
        for digest in (*drops, *(image.digest for image in puts)):
            previous = self._images.pop(digest, None)
            for tag in previous.tags if previous is not None else ():
                if self._tags.get(tag) == digest:
                    del self._tags[tag]
        for image in puts:
            self._images[image.digest] = image
            for tag in image.tags:
                self._tags[tag] = image.digest
