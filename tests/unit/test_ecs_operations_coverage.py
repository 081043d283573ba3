"""docs/coverage.md says what the code does."""

import re
from pathlib import Path

from neargate.definitions.containers_fargate import FORBIDDEN, FORBIDDEN_LINUX, NOT_YET
from neargate.frontend.operations.table import OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs" / "coverage.md").read_text()


def test_the_operations_are_those_of_the_table() -> None:
    sections = re.findall(r"^### (\w+): (\d+) implemented\n\n((?:- \w+\n)+)", PAGE, re.MULTILINE)
    shown = {service: set(re.findall(r"- (\w+)", names)) for service, _, names in sections}
    assert shown == {service: set(table) for service, table in OPERATIONS.items()}
    assert all(int(count) == len(OPERATIONS[service]) for service, count, _ in sections)


def test_the_refused_members_are_those_of_the_rules() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {*FORBIDDEN, *FORBIDDEN_LINUX, *NOT_YET} <= named
