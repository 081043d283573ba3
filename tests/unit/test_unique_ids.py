"""Keys of users, administrators and sessions have AWS's form, whatever the bits are."""

import random
import re

import pytest

from neargate.frontend.identity import unique_ids


@pytest.mark.parametrize("bits", [lambda count: 0, lambda count: (1 << count) - 1, random.Random(7).getrandbits])
def test_keys_have_awss_form_and_begin_with_a_letter_or_digit(bits: unique_ids.Bits) -> None:
    for _ in range(200):
        assert re.fullmatch(r"AKIA[A-Z2-7]{16}", unique_ids.unique_id(unique_ids.KEY, bits))
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+/]{39}", unique_ids.secret_access_key(bits))


def test_every_place_of_a_secret_takes_every_letter() -> None:
    bits = random.Random(7).getrandbits
    made = [unique_ids.secret_access_key(bits) for _ in range(4000)]
    assert [len(set(place)) for place in zip(*made, strict=True)] == [62] + [64] * 39
