"""Seeds that once failed, as files with their faults: a seed alone means something else after a change of code."""

from pathlib import Path

import msgspec
from msgspec import Struct

from .faults import Fault


class FailedSeed(Struct, frozen=True, kw_only=True):
    """`found` says what was wrong when this seed failed."""

    seed: str
    found: str
    real: bool = False
    spot: bool = False
    network: bool = False
    services: bool = False
    tenants: bool = False
    faults: tuple[Fault, ...] = ()


def load(path: Path) -> FailedSeed:
    return msgspec.json.decode(path.read_bytes(), type=FailedSeed)


def save(path: Path, failed: FailedSeed) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(failed), indent=2) + b"\n")
