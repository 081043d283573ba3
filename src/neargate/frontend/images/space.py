"""Where images' bytes rest, and how much more of them there may be. Whoever asks does so before bytes come, and again
while they come."""

import os

from ...model.knobs import Knobs

REPOSITORIES = "docker/registry/v2/repositories"  # below the storage, as the Distribution project lays it out


def room_bytes(storage: str, knobs: Knobs) -> int | None:
    """Of the disk, above what images never take; at least 0. None: it is not here."""
    if not storage:
        return None
    facts = os.statvfs(storage)
    return max(int(facts.f_frsize * (facts.f_bavail - facts.f_blocks * knobs.image_free_fraction)), 0)
