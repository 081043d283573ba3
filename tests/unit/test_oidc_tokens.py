"""Tokens of providers: only what the provider's own key signed is believed, and keys are fetched when needed."""

import asyncio
import base64
import json
from typing import Any

import pytest

from neargate.frontend.callers.oidc.fetch import NotFetched
from neargate.frontend.callers.oidc.keys import FAILURE_REST_S, FRESH_S, STALE_MAX_S, NoKeys, ProviderKeys
from neargate.frontend.callers.oidc.tokens import KEYS_MAX, NotAToken, NotKeys, parse_keys, parse_token, signed_by
from neargate.testing.oidc_tokens import discovery, ec_key, github_claims, jwk, key_set, rsa_key, token
from neargate.world import OsWorld

ISSUER = "https://issuer.example"
RSA, RSA_OTHER, EC = rsa_key(), rsa_key(), ec_key()
CLAIMS = github_claims(ISSUER, 1_795_000_000.0)


@pytest.mark.parametrize("key", [RSA, EC])
def test_a_token_is_its_keys(key: Any) -> None:
    keys = parse_keys(key_set(jwk(RSA_OTHER, kid="k0"), jwk(key)))
    made = parse_token(token(key, CLAIMS))
    assert signed_by(made, keys) is True
    assert made.claims["sub"] == CLAIMS["sub"]
    assert signed_by(parse_token(token(key, CLAIMS, kid=None)), keys) is True, "without a key's name all are tried"
    assert signed_by(parse_token(token(key, CLAIMS, kid="k9")), keys) is None
    forged = token(key, CLAIMS).split(".")
    forged[1] = token(key, CLAIMS | {"sub": "repo:evil/evil"}).split(".")[1]
    assert signed_by(parse_token(".".join(forged)), keys) is False


def test_a_line_end_after_a_token_is_the_files_it_was_kept_in() -> None:
    made = token(RSA, CLAIMS)
    assert signed_by(parse_token(made + "\n"), parse_keys(key_set(jwk(RSA)))) is True
    for other in ("\n" + made, made.replace(".", ".\n"), made + " "):
        with pytest.raises(NotAToken):
            parse_token(other)


def test_another_key_under_the_same_name_signs_nothing() -> None:
    assert signed_by(parse_token(token(RSA_OTHER, CLAIMS)), parse_keys(key_set(jwk(RSA)))) is False


def test_the_token_does_not_choose_what_its_key_is_used_for() -> None:
    keys = parse_keys(key_set(jwk(RSA), jwk(EC, kid="e1")))
    assert signed_by(parse_token(token(RSA, CLAIMS, alg="ES256")), keys) is None
    assert signed_by(parse_token(token(RSA, CLAIMS, kid="e1")), keys) is None
    assert parse_keys(key_set(jwk(RSA, use="enc"), jwk(RSA, alg="RSA-OAEP"))) == ()
    for algorithm in ("none", "HS256", "PS256", "rs256", ""):
        with pytest.raises(NotAToken):
            parse_token(token(RSA, CLAIMS, alg=algorithm))


def _unsigned(head: bytes, body: bytes) -> str:
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (head, body, b"x" * 64))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c",
        "..",
        "....",
        "\u00e4.\u00e4.\u00e4",
        "{}.{}.{}",
        _unsigned(b"{}", b"{}"),
        _unsigned(b'{"alg":5}', b"{}"),
        _unsigned(b'{"alg":"RS256"}', b"[]"),
        _unsigned(b'{"alg":"RS256"}', b"[" * 20_000),
        _unsigned(b'{"alg":"RS256"}', b'{"a":' * 3000 + b"1" + b"}" * 3000),
        _unsigned(b'{"alg":"RS256"}', b"\xff"),
        token(RSA, CLAIMS) + "=",
        token(RSA, CLAIMS).replace(".", "..", 1),
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(NotAToken):
        parse_token(text)


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b'{"keys":5}', b"[" * 100_000, key_set(*[{"kty": "RSA"}] * (KEYS_MAX + 1))],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(NotKeys):
        parse_keys(document)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "A" * 4000, "e": "AQAB"},
        jwk(RSA) | {"e": "A" * 400},
        jwk(RSA) | {"n": "\u00e4"},
        jwk(EC) | {"crv": "P-224"},
        jwk(EC) | {"x": "AAAA"},
        {"kty": "oct", "k": "AAAA"},
        {},
        5,
    ],
)
def test_keys_that_are_none_are_passed_over(key: Any) -> None:
    assert len(parse_keys(key_set(key, jwk(RSA)))) == 1


class Clock(OsWorld):
    at = 1000.0

    def monotonic(self) -> float:
        return self.at


class Provider:
    """Answers from its documents and counts; `down`: not at all."""

    def __init__(self, *keys: Any) -> None:
        self.documents = {
            f"{ISSUER}/.well-known/openid-configuration": discovery(ISSUER),
            f"{ISSUER}/keys": key_set(*keys),
        }
        self.asked: list[str] = []
        self.down = False

    def get(self, url: str, thumbprints: tuple[str, ...]) -> bytes:
        del thumbprints
        self.asked.append(url)
        if self.down or url not in self.documents:
            raise NotFetched(url)
        return self.documents[url]


async def asked(keys: ProviderKeys, text: str) -> bool | None:
    return await keys.has_signed(ISSUER, parse_token(text))


def test_keys_are_fetched_once_and_again_when_old_or_changed() -> None:
    async def story() -> None:
        world, provider = Clock(), Provider(jwk(RSA))
        keys = ProviderKeys(world, provider.get)
        good = token(RSA, CLAIMS)
        assert await asyncio.gather(*(asked(keys, good) for _ in range(8))) == [True] * 8
        assert len(provider.asked) == 2, "one fetch for all who wait"
        provider.documents[f"{ISSUER}/keys"] = key_set(jwk(RSA_OTHER, kid="k2"))
        rotated = token(RSA_OTHER, CLAIMS, kid="k2")
        assert await asked(keys, rotated) is None, "so soon after, nobody can make us ask again"
        world.at += 61
        assert await asked(keys, rotated) is True
        assert await asked(keys, good) is None
        count = len(provider.asked)
        world.at += FRESH_S + 1
        assert await asked(keys, rotated) is True
        assert len(provider.asked) == count + 2

    asyncio.run(story())


def test_a_provider_that_is_away_is_left_alone_and_its_keys_serve_on() -> None:
    async def story() -> None:
        world, provider = Clock(), Provider(jwk(RSA))
        keys = ProviderKeys(world, provider.get)
        provider.down = True
        for _ in range(3):
            with pytest.raises(NoKeys):
                await asked(keys, token(RSA, CLAIMS))
        assert len(provider.asked) == 1
        provider.down = False
        world.at += FAILURE_REST_S + 1
        assert await asked(keys, token(RSA, CLAIMS)) is True
        provider.down = True
        world.at += FRESH_S + 1
        assert await asked(keys, token(RSA, CLAIMS)) is True
        world.at += STALE_MAX_S
        with pytest.raises(NoKeys):
            await asked(keys, token(RSA, CLAIMS))

    asyncio.run(story())


@pytest.mark.parametrize(
    "document",
    [discovery("https://other.example"), b"{}", b"[" * 50_000, json.dumps({"issuer": ISSUER, "jwks_uri": 5}).encode()],
)
def test_a_provider_speaks_for_itself_only(document: bytes) -> None:
    async def story() -> None:
        provider = Provider(jwk(RSA))
        provider.documents[f"{ISSUER}/.well-known/openid-configuration"] = document
        with pytest.raises(NoKeys):
            await asked(ProviderKeys(Clock(), provider.get), token(RSA, CLAIMS))

    asyncio.run(story())
