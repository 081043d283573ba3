"""`--listener-ports`: what an operator may write, and that it is kept as the other options are."""

from pathlib import Path

import pytest

from neargate.cli import config as configs
from neargate.cli.config import RegionConfig
from neargate.cli.listener_ports import parse
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem


def test_all_none_and_a_range() -> None:
    assert list(parse("8000-8002")) == [8000, 8001, 8002] and list(parse("443-443")) == [443]
    everything = parse("all")
    assert 1 in everything and 65535 in everything and 0 not in everything
    assert not parse("none")


@pytest.mark.parametrize(
    "text", ["", "ALL", "80", "0-80", "9000-8000", "1-65536", "8000-", "8000-8001,9000-9001", "²-³"]
)
def test_what_is_none_of_them_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(Problem, match="choose all or none, or write FIRST-LAST, for example 8000-8999"):
        configs.check(RegionConfig(listener_ports=text))


def test_the_next_up_and_the_agent_find_it_again(tmp_path: Path) -> None:
    paths = RegionPaths(tmp_path)
    configs.save(paths, RegionConfig())
    assert configs.load(paths).listener_ports == "all"
    configs.save(paths, configs.wanted(paths, {"listener_ports": "none"}))
    assert configs.load(paths).listener_ports == "none"
    assert configs.wanted(paths, {"port": 4600}).listener_ports == "none"
