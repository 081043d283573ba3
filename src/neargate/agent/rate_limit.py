"""A token bucket as a value. Pure."""

from msgspec import Struct


class Bucket(Struct, frozen=True):
    tokens: float
    at: float


def take(bucket: Bucket | None, now: float, rate_per_s: float, burst: float) -> tuple[Bucket, bool]:
    """One token, if there is one. A new bucket is full."""
    known = bucket or Bucket(tokens=burst, at=now)
    tokens = min(burst, known.tokens + max(0.0, now - known.at) * rate_per_s)
    if tokens < 1.0:
        return Bucket(tokens=tokens, at=now), False
    return Bucket(tokens=tokens - 1.0, at=now), True
