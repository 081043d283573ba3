"""docs/service-promises.md names tests: each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:unit|conformance|acceptance)/\w+\.py)(?:::(\w+))?`")


def missing(text: str) -> list[str]:
    """What is named and is not there."""
    found = []
    for path, name in NAMED.findall(text):
        file = ROOT / "tests" / path
        if not file.is_file() or (name and f"def {name}(" not in file.read_text()):
            found.append(f"{path}::{name}")
    return found


def test_each_test_that_the_table_of_promises_names_is_there() -> None:
    text = (ROOT / "docs" / "service-promises.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 30 and all(NAMED.search(row) for row in rows)
    assert missing(text) == []


def test_a_test_that_is_not_there_would_be_seen() -> None:
    assert missing("`unit/test_service_promise_table.py::test_nothing`, `unit/test_none.py`") == [
        "unit/test_service_promise_table.py::test_nothing",
        "unit/test_none.py::",
    ]
