"""What the operator's own channel answers when what is asked fails: a sentence, and where it failed is in the log."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import admin
from neargate.cli.problems import Problem
from neargate.world import within


async def ask(path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line + b"\n")
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    return answer


def asked(tmp_path: Path, line: bytes) -> dict[str, Any]:
    async def faulty(request: dict[str, Any]) -> dict[str, Any]:
        return {"host": request["host"]}

    async def refusing(_: dict[str, Any]) -> dict[str, Any]:
        raise Problem("no such host")

    async def main() -> dict[str, Any]:
        path = tmp_path / "admin"
        async with await admin.serve(path, {"faulty": faulty, "refusing": refusing}):
            return await ask(path, line)

    return asyncio.run(within(10, main()))


def test_a_fault_is_told_to_the_operator_and_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert asked(tmp_path, b'{"request": "faulty"}') == {"error": "'host'"}
    (line,) = caplog.messages
    assert "request=faulty" in line and "KeyError at" in line and "test_cli_admin.py" in line


@pytest.mark.parametrize(
    ("line", "error"), [(b'{"request": "refusing"}', "no such host"), (b'{"request": "other"}', "unknown request")]
)
def test_a_refusal_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes, error: str) -> None:
    assert asked(tmp_path, line) == {"error": error}
    assert not caplog.messages


def test_what_is_no_request_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert asked(tmp_path, b"") == {"error": "Expecting value: line 2 column 1 (char 1)"}
    assert not caplog.messages
