"""Lifecycle policies: what a document says, and which images it expires now. Pure.

Rules are applied in the order of their priorities. An image that an earlier rule selects is never expired by a later
one, and one that a list of manifests names is not expired before the list.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from .globs import matches
from .records import Image

_RULES_MAX = 50
_PATTERNS_MAX = 100  # of all rules together: each is tried on every tag
_DAY_S = 86_400.0
COUNT, SINCE_PUSHED = "imageCountMoreThan", "sinceImagePushed"


class InvalidLifecyclePolicy(Exception):
    """The sentence says what is wrong with it."""


class Rule(Struct, frozen=True, kw_only=True):
    """`tag_status`: tagged, untagged, any. `patterns`: one tag of the image must match each, with `*` for anything."""

    priority: int
    tag_status: str
    patterns: tuple[str, ...]
    count_type: str
    count: int


class Expired(Struct, frozen=True, kw_only=True):
    image: Image
    priority: int


def parse(text: str) -> tuple[Rule, ...]:
    """In the order of priorities. Raises InvalidLifecyclePolicy."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        raise InvalidLifecyclePolicy("it is not JSON") from None
    listed = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(listed, list) or not 0 < len(listed) <= _RULES_MAX:
        raise InvalidLifecyclePolicy(f"it must have 1 to {_RULES_MAX} rules")
    rules = sorted((_rule(one) for one in listed), key=lambda rule: rule.priority)
    if len({rule.priority for rule in rules}) != len(rules):
        raise InvalidLifecyclePolicy("each rulePriority must be another")
    if any(rule.tag_status == "any" for rule in rules[:-1]):
        raise InvalidLifecyclePolicy("the rule with tagStatus any must have the highest rulePriority")
    if sum(len(rule.patterns) for rule in rules) > _PATTERNS_MAX:
        raise InvalidLifecyclePolicy(f"its rules must have at most {_PATTERNS_MAX} prefixes and patterns together")
    return tuple(rules)


def expired(rules: Iterable[Rule], images: Iterable[Image], now: float) -> list[Expired]:
    """Oldest first within a rule."""
    known, rules = newest_first(images), tuple(rules)
    return expired_of(rules, known, [select(rule, known) for rule in rules], now)


def newest_first(images: Iterable[Image]) -> list[Image]:
    return sorted(images, key=lambda image: (-image.pushed_at, image.digest))


def select(rule: Rule, images: Iterable[Image]) -> list[Image]:
    return [image for image in images if _selects(rule, image)]


def effort(rule: Rule, image: Image) -> int:
    """How many texts are compared to find out whether the rule selects it, at most."""
    return 1 + len(rule.patterns) * len(image.tags)


def expired_of(
    rules: Sequence[Rule], images: Iterable[Image], chosen: Sequence[Sequence[Image]], now: float
) -> list[Expired]:
    """`chosen`: what each rule selects of the images, newest first."""
    spared: set[str] = {child for image in images for child in image.children}
    found: list[Expired] = []
    for rule, selected in zip(rules, chosen, strict=True):
        late = selected[rule.count :] if rule.count_type == COUNT else _older(selected, now - rule.count * _DAY_S)
        found += [
            Expired(image=image, priority=rule.priority) for image in reversed(late) if image.digest not in spared
        ]
        spared.update(image.digest for image in selected)
    return found


def _older(images: Sequence[Image], than: float) -> list[Image]:
    return [image for image in images if image.pushed_at < than]


def _selects(rule: Rule, image: Image) -> bool:
    if rule.tag_status == "untagged":
        return not image.tags
    if rule.tag_status == "any":
        return True
    return all(any(matches(pattern, tag) for tag in image.tags) for pattern in rule.patterns)


def _rule(value: Any) -> Rule:
    if not isinstance(value, dict) or not value.keys() <= {"rulePriority", "description", "selection", "action"}:
        raise InvalidLifecyclePolicy("a rule has members that are not known")
    selection, action = value.get("selection"), value.get("action")
    if action != {"type": "expire"}:
        raise InvalidLifecyclePolicy("a rule's action must be of type expire")
    if not isinstance(selection, dict) or not isinstance(value.get("description", ""), str):
        raise InvalidLifecyclePolicy("a rule must have a selection")
    status = selection.get("tagStatus")
    if status not in ("tagged", "untagged", "any"):
        raise InvalidLifecyclePolicy("tagStatus must be tagged, untagged or any")
    patterns = _patterns(selection)
    if bool(patterns) != (status == "tagged"):
        raise InvalidLifecyclePolicy("tagPrefixList or tagPatternList belongs to the tagStatus tagged, and only to it")
    unit = selection.get("countUnit")
    kind = str(selection.get("countType"))
    if (kind, unit) not in ((COUNT, None), (SINCE_PUSHED, "days")):
        raise InvalidLifecyclePolicy(f"countType must be {COUNT}, or {SINCE_PUSHED} with the countUnit days")
    return Rule(
        priority=_positive(value.get("rulePriority"), "rulePriority"),
        tag_status=status,
        patterns=patterns,
        count_type=kind,
        count=_positive(selection.get("countNumber"), "countNumber"),
    )


def _patterns(selection: dict[str, Any]) -> tuple[str, ...]:
    known = {"tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber"}
    if not selection.keys() <= known or {"tagPrefixList", "tagPatternList"} <= selection.keys():
        raise InvalidLifecyclePolicy("a selection has members that are not known, or two lists of tags")
    prefixes, patterns = selection.get("tagPrefixList", []), selection.get("tagPatternList", [])
    for listed in (prefixes, patterns):
        if not isinstance(listed, list) or len(listed) > 100 or not all(isinstance(one, str) and one for one in listed):
            raise InvalidLifecyclePolicy("a list of tags must hold texts")
    if any(one.count("*") > 4 or len(one) > 128 for one in (*prefixes, *patterns)):
        raise InvalidLifecyclePolicy("a pattern has at most 4 wildcards and 128 characters")
    return (*(prefix.replace("*", "") + "*" for prefix in prefixes), *patterns)


def _positive(value: Any, name: str) -> int:
    if type(value) is not int or not 1 <= value <= 1_000_000:
        raise InvalidLifecyclePolicy(f"{name} must be a whole number from 1")
    return value
