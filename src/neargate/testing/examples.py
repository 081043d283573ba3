"""Values made from a model's shapes: the smallest valid request, and whole random ones. Deterministic by seed."""

import random
import re
import string
from typing import Any

from ..wire.shapes import Member, ServiceModel, Shape
from ..wire.violations import python_pattern

DEPTH_MAX = 6
_LETTERS = string.ascii_lowercase + string.digits
_HEX = string.digits + "abcdef"
# For patterns that no plain word satisfies: the first form that does is taken.
_FORMS = (
    "/a1/",
    "v1",
    "A" * 22,
    "p-a1b2c3d4",
    "o-a1b2c3d4e5/r-a1b2/",
    "https://example.com/a",
    "arn:aws:ecs:us-east-1:123456789012:cluster/a",
    "tag:a",
    "12h",
    "123456789012",
    "us-east-1",
    "example.amazonaws.com",
    "https://example.com",
    "/kms/xks/v1",
    "cluster-a2b3c4d5e6f",
    "com.amazonaws.vpce.us-east-1.vpce-svc-0a1b2c3d",
    "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/a",
    "arn:aws:acm:us-east-1:123456789012:certificate/a",
    "arn:aws:acm:us-east-1:123456789012:acme-endpoint/a",
    "arn:aws:acm:us-east-1:123456789012:acme-endpoint/a/acme-domain-validation/a",
    "arn:aws:acm:us-east-1:123456789012:acme-endpoint/a/acme-external-account-binding/a",
    "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/a",
    "arn:aws:iam::123456789012:role/a",
    "Z0A1B2C3D4E5F6",
    "0a:1b:2c",
    "ipv4pool-coip-0a1b2c3d",
    "ipam-pool-0a1b2c3d4e5f6a7b8",
    "HTTPS",
    "200",
)


def minimal(model: ServiceModel, shape: Shape) -> dict[str, Any]:
    """Only the required members, each the smallest that the model allows."""
    return {name: _minimal(model, shape.members[name]) for name in sorted(shape.required)}


def _minimal(model: ServiceModel, member: Member) -> Any:
    shape = model.shape(member.shape)
    if shape.type == "structure":
        # Of a structure that requires nothing the first member is given: forms cannot write an empty one.
        names = sorted(shape.required) or list(shape.members)[:1]
        return {name: _minimal(model, shape.members[name]) for name in names}
    if shape.type == "list":
        assert shape.element is not None
        return [_minimal(model, shape.element) for _ in range(max(1, int(shape.minimum or 0)))]
    if shape.type == "map":
        assert shape.key is not None and shape.value is not None
        key, value = _minimal(model, shape.key), _minimal(model, shape.value)
        return {f"{key}{index}": value for index in range(max(1, int(shape.minimum or 0)))}
    return _scalar(shape, random.Random(0))  # noqa: S311 an example, and the same one each time


def whole(model: ServiceModel, shape: Shape, rng: random.Random, depth: int = 0) -> dict[str, Any]:
    """Every member, with random values; lists and maps have an element or two. Recursive shapes end at DEPTH_MAX."""
    names = [name for name in shape.members if depth < DEPTH_MAX or name in shape.required or shape.union]
    if shape.union:
        names = [rng.choice(names)]
    made = {name: _whole(model, shape.members[name], rng, depth) for name in names}
    kept = (*shape.required, *(names if shape.union else ()))
    return {name: value for name, value in made.items() if name in kept or not _is_hollow(value)}


def _is_hollow(value: Any) -> bool:
    """A list of structures beyond DEPTH_MAX: forms cannot say that an element is there and has no member."""
    return isinstance(value, list) and all(element == {} for element in value)


def _whole(model: ServiceModel, member: Member, rng: random.Random, depth: int) -> Any:
    shape = model.shape(member.shape)
    if shape.type == "structure":
        return whole(model, shape, rng, depth + 1)
    if shape.type == "list":
        assert shape.element is not None
        count = max(rng.randint(1, 2), int(shape.minimum or 0))
        count = count if shape.maximum is None else min(count, int(shape.maximum))
        return [_whole(model, shape.element, rng, depth + 1) for _ in range(count)]
    if shape.type == "map":
        assert shape.key is not None and shape.value is not None
        keys = [str(_scalar(model.shape(shape.key.shape), rng)) for _ in range(rng.randint(1, 2))]
        return {key: _whole(model, shape.value, rng, depth + 1) for key in keys}
    return _scalar(shape, rng)


def _scalar(shape: Shape, rng: random.Random) -> Any:
    match shape.type:
        case "string":
            return rng.choice(shape.enum) if shape.enum else _text(shape, rng)
        case "boolean":
            return rng.random() < 0.5
        case "integer" | "long":
            low = 1 if shape.minimum is None else int(shape.minimum)
            return rng.randint(low, low + 8 if shape.maximum is None else min(int(shape.maximum), low + 8))
        case "float" | "double":
            return float(shape.minimum or 1)
        case "timestamp":
            return float(rng.randint(1_700_000_000, 1_800_000_000))
        case "blob":
            return rng.randbytes(8)
    raise AssertionError(f"unknown type {shape.type} of {shape.name}")


def _text(shape: Shape, rng: random.Random) -> str:
    """Digits and letters, digits only where a pattern asks for digits, or one of the forms that a pattern wants."""
    length = max(int(shape.minimum or 0), 12)
    if shape.maximum is not None:
        length = min(length, int(shape.maximum))
    letters = string.digits if shape.pattern is not None and "\\d" in shape.pattern else _LETTERS
    text = "".join(rng.choice(letters) for _ in range(length))
    pattern = None if shape.pattern is None else python_pattern(shape.pattern)
    if pattern is not None and re.search(pattern, text) is None:
        numbers = ("".join(rng.choice(digits) for _ in range(length)) for digits in (string.digits, _HEX))
        fits = (form for form in (*_FORMS, *numbers) if re.search(pattern, form) is not None)
        text = next((form for form in fits if len(form) >= int(shape.minimum or 0)), text)
    return text
