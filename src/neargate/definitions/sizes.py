"""Fargate's task sizes as data, and the string forms of `cpu` and `memory`.

Owns the table and the two parsers; knows nothing of requests. Invariant: a size is launched only if it is in the table.
"""

import re
from decimal import Decimal
from functools import lru_cache

MIB_PER_GB = 1024
UNITS_PER_VCPU = 1024

EPHEMERAL_DEFAULT_GIB = 20
EPHEMERAL_MIN_GIB = 21
EPHEMERAL_MAX_GIB = 200


def _steps(low: int, high: int, step: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1, step))


# CPU units -> memory in MiB. The last row exists in some regions and accounts of AWS only; it is data, not a rule.
FARGATE_SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: _steps(1024, 4096, 1024),
    1024: _steps(2048, 8192, 1024),
    2048: _steps(4096, 16384, 1024),
    4096: _steps(8192, 30720, 1024),
    8192: _steps(16384, 61440, 4096),
    16384: _steps(32768, 122880, 8192),
    32768: (61440, 122880, 249856),
}

# Digits are bounded: a number of a megabyte must not reach the arithmetic.
_CPU = re.compile(r"\A\s*(?P<number>\d{1,9}|\d{0,6}\.\d{1,6})\s*(?P<unit>vcpus?)?\s*\Z", re.IGNORECASE | re.ASCII)
_MEMORY = re.compile(r"\A\s*(?P<number>\d{1,9}|\d{0,6}\.\d{1,6})\s*(?P<unit>gb)?\s*\Z", re.IGNORECASE | re.ASCII)


@lru_cache(maxsize=1024)  # a launch asks four times, mostly for the same few texts
def _parse(pattern: re.Pattern[str], text: str, per_unit: int) -> int | None:
    found = pattern.match(text)
    if found is None:
        return None
    value = Decimal(found["number"])
    if found["unit"] is not None:
        value *= per_unit
    return int(value) if value == value.to_integral_value() and value > 0 else None


def parse_cpu(text: str) -> int | None:
    """CPU units of `1024`, `1 vCPU`, `.5 vcpu`; None when the text says no whole positive number of units."""
    return _parse(_CPU, text, UNITS_PER_VCPU)


def parse_memory(text: str) -> int | None:
    """MiB of `2048`, `2 GB`, `0.5gb`; None when the text says no whole positive number of MiB."""
    return _parse(_MEMORY, text, MIB_PER_GB)


def is_fargate_size(cpu_units: int, memory_mib: int) -> bool:
    return memory_mib in FARGATE_SIZES.get(cpu_units, ())
