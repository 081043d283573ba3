"""A containerd that is not ours: the machine's own, or another that the operator names by its socket.

Owns: leaving it as it was found. Must not know regions or tasks. Invariant: only the namespace of one instance is ever
touched; what other programs keep there is theirs, also where it is the same content.
"""

import os

from ..interfaces.sandbox import EngineUnavailable
from .containerd_client import Containerd

_COLLECTION = "neargate-last-collection"


def leave(address: str, namespace: str) -> None:
    """Remove images, layers and the namespace itself. Blocking, repeatable; after all containers are gone.

    Raises EngineError while a container is left. Where containerd is away, the next time will do.
    """
    if not os.path.exists(address):
        return
    engine = Containerd(address, namespace)
    try:
        engine.version()
    except EngineUnavailable:
        engine.close()
        return
    try:
        for image in engine.list_images():
            engine.delete_image(image.name)
        for lease in engine.list_leases():
            engine.delete_lease(lease)
        _remove_snapshots(engine)
        engine.create_lease(_COLLECTION, {})
        engine.delete_lease(_COLLECTION, collect=True)
        engine.delete_namespace()
    finally:
        engine.close()


def _remove_snapshots(engine: Containerd) -> None:
    """Views are roots of garbage collection, so they are removed by hand; layers go with the collection."""
    for name in engine.list_snapshots():
        if not name.startswith("sha256:"):
            engine.remove_snapshot(name)
