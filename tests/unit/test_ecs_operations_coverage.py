"""docs/coverage.md says what the code does."""

import re
from pathlib import Path

from neargate.definitions.containers_fargate import FORBIDDEN, FORBIDDEN_LINUX, NOT_YET
from neargate.frontend.operations.table import OPERATIONS
from neargate.wire.shapes import Models

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coverage.md").read_text()
SECTIONS = re.findall(r"^### ([\w-]+): (\d+) of (\d+)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)


def test_the_operations_are_those_of_the_table() -> None:
    shown = {
        service: set(re.findall(r"^\| (\w+) \| (?:implemented|partial: \S)", text, re.MULTILINE))
        for service, _, _, text in SECTIONS
    }
    assert shown == {service: set(table) for service, table in OPERATIONS.items()}
    assert all(int(count) == len(OPERATIONS[service]) for service, count, _, _ in SECTIONS)


def test_every_other_operation_of_aws_is_counted_as_refused() -> None:
    for service, built, whole, text in SECTIONS:
        model = Models().service(service)
        refused = sum(int(count) for count in re.findall(r"^Refused with `\w+` \((\d+)\)", text, re.MULTILINE))
        assert int(whole) == len(model.operation_names | model.other_names) == int(built) + refused


def test_every_link_leads_to_a_file() -> None:
    links = re.findall(r"\]\(\.\./([^)]+)\)", PAGE)
    assert len(links) > 100
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_refused_members_are_those_of_the_rules() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert {*FORBIDDEN, *FORBIDDEN_LINUX, *NOT_YET} <= named
