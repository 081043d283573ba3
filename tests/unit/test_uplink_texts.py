"""`--uplink`: what each mode means, and the texts that nftables and pasta are given."""

from pathlib import Path

import pytest

from neargate.hostnet.uplink.record import UplinkFiles, UplinkRecord, UplinkState
from neargate.hostnet.uplink.user import RESTART_MAX_S, restart_delay_s
from neargate.uplink import texts as uplink

POOL = "198.18.7.0/24"


@pytest.mark.parametrize(
    ("asked", "has_pasta", "mode"),
    [
        ("auto", True, "user"),
        ("auto", False, "none"),
        ("nat", True, "nat"),
        ("user", False, "user"),
        ("none", True, "none"),
    ],
)
def test_auto_never_changes_the_host(asked: str, has_pasta: bool, mode: str) -> None:
    assert uplink.settled_mode(asked, has_pasta=has_pasta) == mode


def test_the_hosts_table_shuts_what_others_were_told_to_open() -> None:
    text = uplink.host_table("0a", "ng0a", "198.18.7.0/24", [], shut=False)
    shut = uplink.host_table("0a", "ng0a", "198.18.7.0/24", ["eth0"], shut=True)
    assert '    oifname "ng0a" drop\n' not in text
    assert '    oifname "ng0a" drop\n' in shut
    assert 'iifname { "eth0" } oifname != "ng*" drop' in shut
    assert text.startswith("add table inet neargate_0a\ndelete table inet neargate_0a\n")


@pytest.mark.parametrize("instance", ["", "a b", "a;flush ruleset", "A" * 40])
def test_no_word_of_nft_comes_in_by_an_instance(instance: str) -> None:
    with pytest.raises(ValueError, match="is no instance"):
        uplink.host_table(instance, "ng0a", "198.18.7.0/24", [], shut=False)


@pytest.mark.parametrize("name", ['eth0"', "eth0 accept", "a\nb", "", "x" * 16])
def test_no_word_of_nft_comes_in_by_a_link(name: str) -> None:
    without = uplink.host_table("0a", "ng0a", "198.18.7.0/24", [], shut=False)
    assert uplink.host_table("0a", "ng0a", "198.18.7.0/24", [name], shut=False) == without
    with pytest.raises(ValueError, match="is no network interface"):
        uplink.host_table("0a", name, "198.18.7.0/24", [], shut=False)


def test_no_word_of_nft_comes_in_by_an_address() -> None:
    for text in ("1.1.1.1 }; flush ruleset", "::1", ""):
        with pytest.raises(ValueError, match=r"Expected 4 octets|is not permitted|Only decimal|cannot be empty"):
            uplink.edge_table([text], POOL, to_host=True)
    with pytest.raises(ValueError, match="does not appear to be"):
        uplink.host_table("0a", "ng0a", "198.18.7.0/24 accept", [], shut=False)


def test_the_edges_table_names_what_is_the_hosts_own() -> None:
    own = ["10.0.0.1/32", "10.0.0.0/32", "127.0.0.0/8"]
    assert "elements = { 10.0.0.0/31, 127.0.0.0/8 };" in uplink.edge_table(own, POOL, to_host=True)
    assert "elements" not in uplink.edge_table([], POOL, to_host=True)


def test_where_nothing_goes_out_through_the_host_nothing_of_a_task_goes_there() -> None:
    shut = 'iifname "v*" oifname "host0" goto strays'
    assert shut in uplink.edge_table([], POOL, to_host=False)
    assert shut not in uplink.edge_table([], POOL, to_host=True)


def test_ipv6_leaves_with_one_address_for_each_region_and_to_the_internet_alone() -> None:
    one, other = uplink.edge_address6(POOL), uplink.edge_address6("198.18.8.0/24")
    assert one != other and one.startswith("fd6e:6761:7465:1:")
    edge = uplink.edge_table([], POOL, to_host=True, own6=["2001:db8::2/128", "2001:db8::3/128", "::1/128"])
    assert "elements = { ::1/128, 2001:db8::2/127 };" in edge
    assert f"snat ip6 to {one}" in edge
    assert 'oifname != "v*" ip6 daddr != 2000::/3 drop' in edge
    host = uplink.host_table("0a", "ng0a", POOL, ["eth0", "eth1"], shut=False, opened6=["eth0"])
    assert f'iifname "ng0a" ip6 saddr != {one} goto strays' in host
    assert 'oifname "ng0a" meta nfproto ipv6 drop' in host
    assert 'iifname { "eth0" } oifname != "ng*" meta nfproto ipv6 drop' in host
    assert 'iifname { "eth1" } meta nfproto ipv6 accept' in host, "whose IPv6 we did not switch on"
    with pytest.raises(ValueError, match=r"does not appear|At least|Expected|Only hex"):
        uplink.edge_table([], POOL, to_host=True, own6=["::1 }; flush ruleset"])


def test_pasta_hears_of_one_address_only() -> None:
    text = uplink.tap_table()
    assert text.index("ct state invalid drop") < text.index("accept\n")
    assert 'type filter hook output priority 0; policy accept;\n    oifname "tap0" drop' in text


def test_pasta_forwards_no_port_and_leads_to_no_loopback() -> None:
    command = uplink.pasta_command("/usr/bin/pasta", "/run/x/tap", None)
    options = " ".join(command)
    for words in ("-t none", "-u none", "-T none", "-U none", "--no-map-gw", "--reuid nobody", "--clear-groups"):
        assert f" {words} " in options
    assert command[-1] == "/run/x/tap"
    assert command[0] == "setpriv"


def test_a_device_that_is_roots_alone_is_shown_to_pasta_only() -> None:
    command = uplink.pasta_command("/usr/bin/pasta", "/run/x/tap", "/run/x/tap")
    assert command[:4] == ["unshare", "--mount", "--propagation", "private"]
    assert command[-len(uplink.pasta_command("/usr/bin/pasta", "/run/x/tap", None)) :][0] == "setpriv"


def test_a_pasta_that_dies_again_and_again_is_waited_for() -> None:
    delays = [restart_delay_s(deaths) for deaths in range(40)]
    assert delays[:3] == [0.0, 0.0, 0.0]
    assert delays[3:6] == [0.5, 1.0, 2.0]
    assert delays == sorted(delays)
    assert delays[-1] == RESTART_MAX_S


def test_the_record_is_what_was_written_last_or_nothing(tmp_path: Path) -> None:
    files = UplinkFiles(tmp_path / "net")
    assert (files.record(), files.state()) == (None, None)
    record = UplinkRecord(mode="nat", opened=("eth0",), passed=True)
    files.write(record)
    files.tell(UplinkState(asked="auto", mode="user", works=True, pid=7))
    (tmp_path / "net" / "~uplink.json").write_bytes(b"half of a rec")
    again = UplinkFiles(tmp_path / "net")
    assert again.record() == record
    assert again.state() == UplinkState(asked="auto", mode="user", works=True, pid=7)
    again.forget()
    assert files.record() is None
    assert files.state() is not None
    again.clear()
    assert (files.record(), files.state()) == (None, None)
    again.clear()
