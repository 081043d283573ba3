"""In every package, what it is made of (files and sub-packages) can be put in an order in which each imports only from
those before it. The layers of the whole are import-linter's.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "neargate"
PACKAGES = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def part_of(package: Path, module: Path) -> str | None:
    """The part of `package`, a file or a sub-package, that a module belongs to."""
    return module.relative_to(package).parts[0].removesuffix(".py") if package in module.parents else None


def imported(file: Path) -> Iterator[Path]:
    """The modules that a file imports, wherever in it. An imported name may be a module, too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                yield base / alias.name if base.is_dir() else base


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Those that import each other, directly or by way of others; empty when there are none."""
    left = {name: set(to) for name, to in arrows.items()}
    while ready := [name for name, to in left.items() if not to & left.keys()]:
        for name in ready:
            del left[name]
    return sorted(left)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_parts_of_a_package_import_each_other(package: Path) -> None:
    arrows: dict[str, set[str]] = {}
    for file in package.rglob("*.py"):
        own = part_of(package, file)
        if own is None or own == "__init__":
            continue
        to = {found for module in imported(file) if (found := part_of(package, module)) is not None}
        arrows.setdefault(own, set()).update(to - {own})
    assert circle(arrows) == [], "these, or what they lead to, import each other: move what both need below both"


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": set()}) == ["a", "b", "c"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
