"""The services' models, read when they are asked for, also by a process that can no longer read the package."""

from typing import IO

import pytest

from neargate.wire import shapes
from neargate.wire.shapes import SERVICES, Models


def test_what_is_held_is_there_when_the_package_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    read = {name: Models().service(name).operation_names for name in SERVICES}
    held = Models()
    held.hold()

    def gone(name: str) -> IO[bytes]:
        raise PermissionError(name)

    monkeypatch.setattr(shapes, "_file", gone)
    assert {name: held.service(name).operation_names for name in SERVICES} == read
    assert all(held.service(name) is held.service(name) for name in SERVICES)
    with pytest.raises(PermissionError):
        Models().service("ecs")
