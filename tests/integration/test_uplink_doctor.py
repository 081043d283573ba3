"""`neargate doctor` on a host whose firewall drops what is forwarded: it prints the rule that helps, which helps."""

import shlex
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.cli import uplink
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.testing.netlab import entered

from .uplink_lab import POOL, UplinkLab, run

pytestmark = pytest.mark.root
DROPS = "add table inet fw\nadd chain inet fw forward { type filter hook forward priority 0; policy drop; }\n"


def _told(lab: UplinkLab, paths: RegionPaths, mode: str) -> list[tuple[str, str]]:
    with entered(lab.host):
        return list(uplink.findings(paths, replace(RegionConfig(), uplink=mode, public_pool=POOL)))


def test_the_rule_that_helps(tmp_path: Path) -> None:
    paths = RegionPaths(tmp_path / "data")

    async def scenario(lab: UplinkLab) -> None:
        assert ("ok", "no firewall is in the way of what is forwarded") in _told(lab, paths, "nat")
        lab.rules(DROPS)
        for mode, level in (("nat", "note"), ("user", "ok"), ("none", "ok")):
            found = [text for told, text in _told(lab, paths, mode) if told == level and "the rule that helps" in text]
            assert len(found) == 2, "one for each direction"
            assert all("to eth0: chain forward of table inet fw drops it by its policy;" in text for text in found)
        for text in found:
            [command] = shlex.split(text.partition("nft ")[2])
            lab.rules(command)
        assert ("ok", "no firewall is in the way of what is forwarded") in _told(lab, paths, "nat")

    run(tmp_path / "lab", "none", scenario)


def test_forwarding_that_is_off_is_said(tmp_path: Path) -> None:
    paths = RegionPaths(tmp_path / "data")

    async def scenario(lab: UplinkLab) -> None:
        assert any("forwarding is off (net.ipv4.ip_forward)" in text for _, text in _told(lab, paths, "none"))

    run(tmp_path / "lab", "none", scenario, forwards=False)


def test_of_the_older_iptables_too(tmp_path: Path) -> None:
    paths = RegionPaths(tmp_path / "data")

    async def scenario(lab: UplinkLab) -> None:
        lab.command("iptables-legacy -P FORWARD DROP")
        found = [text for level, text in _told(lab, paths, "nat") if level == "note" and "the rule that helps" in text]
        assert len(found) == 2, "one for each direction"
        for text in found:
            lab.command("iptables-legacy " + text.partition(": iptables-legacy ")[2])
        assert ("ok", "no firewall is in the way of what is forwarded") in _told(lab, paths, "nat")

    run(tmp_path / "lab", "none", scenario)
