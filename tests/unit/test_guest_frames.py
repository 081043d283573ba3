"""The rules between a task's interface and its machine's tap, as far as they can be read without packets."""

from msgspec.structs import replace

from neargate.model.network import AGENT_PORTS, Eni
from neargate.vpc.guest_frames import guest_rules

IPV4_ONLY = Eni(
    eni_id="eni-1",
    attachment_id="attachment-1",
    mac="0a:00:00:00:00:01",
    vpc_id="vpc-1",
    subnet_id="subnet-1",
    subnet_cidr="10.9.0.0/24",
    private_ipv4="10.9.0.10",
)
LINUX_LAST = 60999  # of the ports that it gives connections by itself


def test_the_agents_ports_are_told_by_their_first_bits_and_no_guest_uses_them_unasked() -> None:
    first, last = AGENT_PORTS
    count = last - first + 1
    assert count & (count - 1) == 0 and first % count == 0
    assert first > LINUX_LAST and last <= 65535
    in_quotes = [line for line in guest_rules(IPV4_ONLY, interface="eth0", tap="tap0").split("\n") if ",6 " in line]
    shared = {word for line in in_quotes for word in line.split() if word.startswith("0x3f")}
    assert shared == {hex(first >> 10)} and count == 1 << 10


def test_a_guest_without_an_ipv6_address_has_no_ipv6() -> None:
    plain = guest_rules(IPV4_ONLY, interface="eth0", tap="tap0")
    both = guest_rules(replace(IPV4_ONLY, ipv6="2001:db8::10"), interface="eth0", tap="tap0")
    assert "ether type != { ip } drop" in plain and "ether type != { ip, ip6 } drop" in both
    assert 'meta protocol { ip } fwd to "tap0"' in plain and 'meta protocol { ip, ip6 } fwd to "tap0"' in both
    assert "ip6 saddr" not in plain and "ip6 saddr 2001:db8::10 drop" in both
