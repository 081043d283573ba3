"""The server's part of `neargate trace-path`: what is asked of it, EC2's own operations answer."""

import ast
import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from neargate.cli import server
from neargate.cli.desks import path as path_desk
from neargate.cli.desks.path import PathDesk, PathRefused
from neargate.cli.path_model import LISTS, describe
from neargate.testing.region import open_region
from neargate.world import OsWorld

ACCOUNT = "123456789012"
CLI = Path(server.__file__).parent


def test_a_regions_answers_can_be_read_by_the_model() -> None:
    with asyncio.Runner() as runner:
        region = runner.run(open_region(OsWorld(), region="us-east-1", account=ACCOUNT))
        desk = PathDesk(region, 4566)

        def ask(operation: str, params: dict[str, Any]) -> dict[str, Any]:
            request = {"account": ACCOUNT, "operation": operation, "params": params}
            return dict(json.loads(json.dumps(runner.run(desk.network(request)))))

        found = describe(ask, 4566)
        assert len(found.vpcs) == 1 and len(found.subnets) == 3 and found.managed_prefix_lists
        for operation, params in (("DeleteVpc", {"VpcId": found.vpcs[0].vpc_id}), ("DescribeVpcs", [])):
            with pytest.raises(PathRefused):
                runner.run(desk.network({"account": ACCOUNT, "operation": operation, "params": params}))
    assert set(LISTS) < path_desk.READS


def test_a_server_loads_nothing_after_it_stepped_down() -> None:
    """Its user can often not read the package, which lies in somebody's home."""
    desks = [CLI / "server.py", *sorted(CLI.glob("*_desk.py"))]
    before = {"_outside", "_metrics"}  # called while it is root
    late = [
        f"{file.name}: {function.name}"
        for file in desks
        if file.name != "desks/agent.py"
        for function in ast.walk(ast.parse(file.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name not in before
        for inner in ast.walk(function)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not late, late
