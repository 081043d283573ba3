"""What all simulations share: the service models, read once and inherited by every child."""

import pytest

from neargate.wire.shapes import SERVICES, Models


@pytest.fixture(scope="session")
def models() -> Models:
    read = Models()
    for name in SERVICES:
        read.service(name)
    return read
