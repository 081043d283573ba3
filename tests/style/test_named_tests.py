"""A test that a document names exists: `tests/path.py::name`, a function or `Class::function`."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"tests/[A-Za-z0-9_/]+\.py(?:::[A-Za-z0-9_]+)+")
MODEL = ROOT / "docs" / "security.md"
POINTS = (*range(38, 49), 53, 59)  # of the talk


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def names_in(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


def missing(text: str) -> list[str]:
    found = []
    for named in NAMED.findall(text):
        path, _, name = named.partition("::")
        if not (ROOT / path).is_file() or name not in names_in(ROOT / path) or "test" not in name.split("::")[-1]:
            found.append(named)
    return found


def test_every_test_that_a_document_names_exists() -> None:
    found = {str(path.relative_to(ROOT)): names for path in documents() if (names := missing(path.read_text()))}
    assert not found


def test_every_point_of_the_threat_model_is_there_with_its_tests() -> None:
    heads = re.split(r"(?m)^## ", MODEL.read_text())[1:]
    told = {int(number): head for head in heads for number in re.findall(r"T(\d\d)", head.splitlines()[0])}
    assert set(told) == set(POINTS)
    assert [number for number, head in told.items() if not NAMED.search(head)] == [41]  # says so itself


@pytest.mark.parametrize(
    "named",
    ["tests/style/absent.py::test_x", "tests/style/test_named_tests.py::test_absent", "tests/unit/x.py::helper"],
)
def test_the_check_sees_one_that_does_not(named: str) -> None:
    assert missing(f"as `{named}` shows") == [named]
    assert not missing("`tests/style/test_named_tests.py::test_every_test_that_a_document_names_exists`")
