"""The choice of the public pool."""

import pytest

from neargate.hostnet.pool import candidate_pools, choose_public_pool
from neargate.interfaces.hostnet import HostError


def test_the_first_pool_apart_from_all_routes_is_taken() -> None:
    routes = ["0.0.0.0/0", "10.0.0.0/8", "198.18.0.128/25", "198.18.1.0/24"]
    assert choose_public_pool(candidate_pools(), routes) == "198.18.2.0/24"
    assert choose_public_pool(candidate_pools(), ["0.0.0.0/0"]) == "198.18.0.0/24"


def test_a_route_over_everything_leaves_none() -> None:
    with pytest.raises(HostError, match="--public-pool"):
        choose_public_pool(candidate_pools(), ["198.18.0.0/15"])
