"""A session's token opens for its region, its access key id and its time, under the master keys that are known."""

import base64

import pytest

from neargate.frontend.callers.sessions import (
    ExpiredToken,
    InvalidToken,
    Sessions,
    access_key_id,
    account_of,
    packed_percent,
)
from neargate.frontend.envelope import Envelope, envelope_of
from neargate.frontend.session_claims import SessionClaims
from neargate.world import OsWorld

OLD, NEW = bytes(32), bytes(range(32))
CLAIMS = SessionClaims(
    kind="role",
    account="000000000001",
    issuer_name="reader",
    issuer_id="AROAEXAMPLE",
    session_name="me",
    policies=("{}",),
    tags={"team": "red"},
    transitive=frozenset({"team"}),
    source_identity="ann",
    context={"issuer.example:sub": ("x",)},
)


def sessions(*, region: str = "us-east-1", keys: tuple[bytes, ...] = (OLD,)) -> Sessions:
    world = OsWorld()
    return Sessions(world, envelope_of(keys, world), region=region)


def test_what_was_sealed_is_what_opens() -> None:
    made = sessions().seal(CLAIMS, 900)
    opened = sessions().open(made.access_key_id, made.session_token, made.expiration - 1)
    assert opened.claims == CLAIMS
    assert opened.secret_access_key == made.secret_access_key
    assert opened.expires == made.expiration == opened.issued + 900
    assert made.secret_access_key.encode() not in base64.b64decode(made.session_token)


def test_its_time_is_over_at_its_end_also_when_it_was_opened_before() -> None:
    kept = sessions()
    made = kept.seal(CLAIMS, 900)
    kept.open(made.access_key_id, made.session_token, made.expiration - 1)
    for _ in range(2):
        with pytest.raises(ExpiredToken):
            kept.open(made.access_key_id, made.session_token, made.expiration)


def test_another_region_key_or_master_key_knows_nothing_of_it() -> None:
    made = sessions().seal(CLAIMS, 900)
    other = sessions().seal(CLAIMS, 900)
    for judge, key in (
        (sessions(region="eu-west-1"), made.access_key_id),
        (sessions(keys=(NEW,)), made.access_key_id),
        (sessions(), other.access_key_id),
        (sessions(), "\udcff"),
    ):
        with pytest.raises(InvalidToken):
            judge.open(key, made.session_token, 0)


@pytest.mark.parametrize("token", ["", "=", "AAAA", "\u00e4", "\udcff", "A" * 20_000])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        sessions().open("ASIA", token, 0)


def test_what_something_else_sealed_is_no_session() -> None:
    world = OsWorld()
    context = b"session\0us-east-1\0ASIAX"
    sealed = base64.b64encode(Envelope(OLD, world).seal(b"\x93\x01\x02\x03", context=context)).decode()
    with pytest.raises(InvalidToken):
        sessions().open("ASIAX", sealed, 0)


def test_rotated_master_keys_keep_sessions_until_the_old_one_goes() -> None:
    made = sessions().seal(CLAIMS, 900)
    assert sessions(keys=(OLD, NEW)).open(made.access_key_id, made.session_token, 0).claims == CLAIMS
    with pytest.raises(InvalidToken):
        sessions(keys=(NEW,)).open(made.access_key_id, made.session_token, 0)


@pytest.mark.parametrize("account", ["000000000000", "000000000001", "123456789012", "999999999999"])
def test_a_key_id_names_its_account(account: str) -> None:
    key = access_key_id(account, OsWorld().random.getrandbits)
    assert len(key) == 20 and key.startswith("ASIA") and account_of(key) == account


@pytest.mark.parametrize(
    "key", ["", "ASIA", "AKIAIOSFODNN7EXAMPLE", "ASIA" + "1" * 16, "ASIA" + "7" * 16, "ASIA" + "A" * 16]
)
def test_what_names_no_account(key: str) -> None:
    assert account_of(key) is None


@pytest.mark.parametrize("size", [0, 100, 1000, 4096])
def test_a_token_can_be_made_longer(size: int) -> None:
    made = sessions().seal(CLAIMS, 900, token_min=size)
    assert size <= len(made.session_token) < max(size + 8, 600)
    assert sessions().open(made.access_key_id, made.session_token, 0).claims == CLAIMS


def test_only_policies_and_tags_take_room() -> None:
    bare = SessionClaims(kind="role", account="1", issuer_name="r", issuer_id="AROA", session_name="s" * 64)
    assert packed_percent(bare) is None
    few = packed_percent(CLAIMS)
    assert few is not None and 0 < few < 10


def test_a_session_has_one_token_to_the_letter() -> None:
    """Base64 can be written in several ways that say the same; only what was given out is taken."""
    kept = sessions()
    while (made := kept.seal(CLAIMS, 900)).session_token[-1] != "=":
        pass  # its length is random: until bits are left over at the end
    token = made.session_token
    last = token.rstrip("=")[-1]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    same = token.rstrip("=")[:-1] + letters[letters.index(last) ^ 1] + "=" * token.count("=")
    assert base64.b64decode(same) == base64.b64decode(token)
    for other in (same, token + "=", token + "===="):
        with pytest.raises(InvalidToken):
            kept.open(made.access_key_id, other, made.expiration - 1)
