"""Which block of public addresses a region has: chosen once, and never another region's."""

import shutil
from pathlib import Path

import pytest

from neargate.cli import config as configs
from neargate.cli import pools
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths
from neargate.cli.problems import Problem
from neargate.hostnet.edge import host_link_name


@pytest.fixture
def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RegionPaths, RegionPaths]:
    """Two that begin at the same moment: their run directories are there."""
    monkeypatch.setattr(RegionPaths, "run", property(lambda self: tmp_path / "run" / self.instance))
    monkeypatch.setattr(pools, "ALONE_S", 0.0)
    monkeypatch.setattr(pools, "ROUTES", tmp_path / "routes")
    made = RegionPaths(tmp_path / "one"), RegionPaths(tmp_path / "two")
    for paths in made:
        paths.data.mkdir()
        paths.run.mkdir(parents=True)
        paths.data_link.symlink_to(paths.data)
    return made


def way(link: str, destination: str = "000912C6", mask: str = "00FFFFFF") -> str:
    """A route as the kernel lists it on a little-endian machine: by default to 198.18.9.0/24."""
    heading = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    return f"{heading}{link}\t{destination}\t00000000\t0003\t0\t0\t0\t{mask}\t0\t0\t0\n"


def test_two_regions_that_begin_at_once_choose_one_after_the_other(regions: tuple[RegionPaths, RegionPaths]) -> None:
    """The first one's pool is routed only later, by its agent."""
    first, second = regions
    with pools.settled(first, RegionConfig()) as one:
        with pytest.raises(Problem, match="first start"), pools.settled(second, RegionConfig()):
            pass
        configs.save(first, one)
    with pools.settled(second, RegionConfig()) as two:
        configs.save(second, two)
    assert one.public_pool.startswith("198.18.") and two.public_pool.startswith("198.18.")
    assert one.public_pool != two.public_pool
    left = [path.name for path in first.run.parent.iterdir() if not path.is_dir()]
    assert left == [pools.KNOWN], "no lock's file is left"


def test_a_start_that_failed_keeps_no_pool(regions: tuple[RegionPaths, RegionPaths]) -> None:
    first, second = regions
    with pytest.raises(RuntimeError), pools.settled(first, RegionConfig()) as one:
        raise RuntimeError
    with pools.settled(second, RegionConfig()) as two:
        assert two.public_pool == one.public_pool


def test_a_region_that_is_down_keeps_its_pool_as_long_as_it_has_data(regions: tuple[RegionPaths, RegionPaths]) -> None:
    """Nothing of it is left but its data, and where that is."""
    first, second = regions
    with pools.settled(first, RegionConfig()) as one:
        configs.save(first, one)
    shutil.rmtree(first.run)
    assert pools.of_others(second) == (one.public_pool,)
    shutil.rmtree(first.data)
    with pools.settled(second, RegionConfig()) as two:
        assert two.public_pool == one.public_pool
        configs.save(second, two)
    assert (second.run.parent / pools.KNOWN).read_bytes() == bytes(second.data) + b"\0", "who is gone is forgotten"


def test_a_region_of_before_the_machine_was_booted_is_known_again_when_it_is_up(
    regions: tuple[RegionPaths, RegionPaths],
) -> None:
    first, second = regions
    pools.ROUTES.write_text(way("eth0", "00000000", "00000000"))
    kept = RegionConfig(public_pool="198.18.0.0/24")
    configs.save(first, kept)
    with pools.settled(first, kept):
        pass
    shutil.rmtree(first.run)
    assert pools.of_others(second) == ("198.18.0.0/24",)


def test_what_cannot_be_read_of_another_region_is_passed_over(regions: tuple[RegionPaths, RegionPaths]) -> None:
    first, second = regions
    assert pools.of_others(second) == ()
    configs.save(first, RegionConfig(public_pool="198.18.4.0/24"))
    configs.save(second, RegionConfig(public_pool="198.18.5.0/24"))
    assert pools.of_others(second) == ("198.18.4.0/24",), "its own is none of the others'"
    for pool in ("", "every address", "198.18.4.0", "198.18.4.0/33", "2001:db8::/32"):
        configs.save(first, RegionConfig(public_pool=pool))
        assert pools.of_others(second) == ()
    first.config.write_text("{")
    assert pools.of_others(second) == ()


def test_the_public_pool_is_chosen_once(regions: tuple[RegionPaths, RegionPaths]) -> None:
    first, _ = regions
    kept = RegionConfig(public_pool="198.18.9.0/24")
    for routes in (way("eth0", "00000000", "00000000"), way(host_link_name(first.instance)), way("t", mask="0000FEFF")):
        pools.ROUTES.write_text(routes)
        with pools.settled(first, kept) as found:
            assert found is kept


def test_a_region_whose_pool_went_to_another_is_refused(regions: tuple[RegionPaths, RegionPaths]) -> None:
    """While it was down somebody else began."""
    first, second = regions
    kept = RegionConfig(public_pool="198.18.9.0/24")
    for link, whose in ((host_link_name(second.instance), f"under {second.data}; take that"), ("tun0", "tun0")):
        pools.ROUTES.write_text(way(link))
        with pytest.raises(Problem, match=whose), pools.settled(first, kept):
            pass
        with pools.settled(first, RegionConfig(public_pool="198.18.9.0/24", sandbox="simulated")):
            pass  # it routes nothing
