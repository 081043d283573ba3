"""The newest host first among those that may take a task: its agent, then what is below its tasks."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.link.messages import PROTOCOL, Hello, decode_to_server, encode
from neargate.model.capacity import HostCapacity, HostFacts, HostPlatform
from neargate.placement.feasible import HostView, Wanted, refusal
from neargate.placement.rank import choose
from neargate.placement.software import software_of, software_order

WANTED = Wanted(zone="a", account="111111111111", cpu_units=256, memory_mib=512, disk_gib=20)
AGENT = "0.4.0"

_numbers = st.lists(st.integers(0, 300), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
_releases = st.sampled_from(["", "0.1.0", "0.2.0", "0.10.0"])
_platforms = st.one_of(
    st.none(), st.builds(HostPlatform, kernel=_releases, guest_image=_releases, vmm=st.sampled_from(["", "7.2", "9.1"]))
)
_hosts = st.builds(
    HostView,
    host_id=st.text("abcdef", min_size=1, max_size=3),
    free_cpu_units=st.just(1024),
    free_memory_mib=st.sampled_from([256, 1024, 2048]),
    free_disk_gib=st.just(100),
    software=st.builds(software_of, _releases, _platforms),
    zone=st.sampled_from([None, "a", "b"]),
)


@pytest.mark.parametrize(
    ("release", "order"),
    [("1.10.2", (1, 10, 2)), ("0.1.0-dev3", (0, 1, 0)), ("2.0+abc", (2, 0)), ("", (0,)), ("x.²", (0, 0))],
)
def test_releases_are_ordered_by_their_numbers(release: str, order: tuple[int, ...]) -> None:
    assert software_order(release) == order


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (None, HostPlatform()),  # an agent that does not say is the oldest
        (HostPlatform(), HostPlatform(kernel="5.10.0")),
        (HostPlatform(kernel="6.1.0-18-amd64"), HostPlatform(kernel="6.1.0-21-amd64")),
        (HostPlatform(kernel="6.1.0-21-amd64"), HostPlatform(kernel="6.12.1")),
        (HostPlatform(kernel="6.1", guest_image="2026.11.1"), HostPlatform(kernel="6.1", guest_image="2026.11.20")),
        (HostPlatform(kernel="6.1", guest_image="9"), HostPlatform(kernel="6.2", guest_image="1")),
        (HostPlatform(vmm="QEMU 7.2.11"), HostPlatform(vmm="QEMU 9.0.0")),
        (HostPlatform(kernel="no number"), HostPlatform(kernel="0")),
    ],
)
def test_below_the_agent_the_newest_kernel_then_guest_image_then_vmm(
    older: HostPlatform | None, newer: HostPlatform
) -> None:
    assert software_of(AGENT, older) < software_of(AGENT, newer)
    assert software_of("0.3.9", newer) < software_of(AGENT, older), "the agent's release counts first"


@given(st.lists(_hosts, max_size=8, unique_by=lambda host: host.host_id))
def test_of_the_hosts_that_may_take_a_task_none_is_newer_than_the_chosen(views: list[HostView]) -> None:
    chosen, able = choose(views, WANTED), [view for view in views if refusal(view, WANTED) is None]
    assert (chosen is None) == (not able)
    if chosen is not None:
        assert chosen.zone in (None, WANTED.zone), "no release is worth another zone"
        assert chosen.software == max(view.software for view in able)
        equal = [view for view in able if view.software == chosen.software]
        assert chosen.free_memory_mib == min(view.free_memory_mib for view in equal)


@given(_hosts, _platforms, _platforms)
def test_of_two_equal_hosts_the_newer_one_is_chosen_whatever_their_names(
    host: HostView, one: HostPlatform | None, other: HostPlatform | None
) -> None:
    host = replace(host, free_memory_mib=1024, zone=None)
    first = replace(host, host_id="first", software=software_of(AGENT, one))
    second = replace(host, host_id="second", software=software_of(AGENT, other))
    newer = second if second.software > first.software else first
    assert choose([first, second], WANTED) == newer == choose([second, first], WANTED)


@given(st.text(max_size=20), _numbers)
def test_whatever_a_host_says_of_itself_can_be_ordered(text: str, numbers: str) -> None:
    said = software_of(text, HostPlatform(kernel=text, guest_image=numbers, vmm=text + numbers))
    assert said > () and software_of("", None) <= software_of(text, None)


def test_agent_and_server_of_two_releases_understand_each_other() -> None:
    """What is below the tasks is beside the agent's release, which stays the text that it was."""
    room = HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1)
    host = HostFacts(host_id="h", boot_id="b", capacity=room, software=AGENT, platform=HostPlatform(kernel="6.1.0-21"))
    hello = Hello(protocol=PROTOCOL, host=host, reports=())
    assert decode_to_server(encode(hello)) == hello
    said = msgspec.msgpack.decode(encode(hello))
    assert said["host"]["software"] == AGENT, "a server of the release before reads this, and passes the other over"
    del said["host"]["platform"]
    old = decode_to_server(msgspec.msgpack.encode(said))
    assert isinstance(old, Hello) and old.host.platform is None
    said["host"]["platform"] = {"kernel": "6.1.0-21", "of a later release": [1]}
    assert decode_to_server(msgspec.msgpack.encode(said)) == hello
