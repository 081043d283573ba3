"""What a host allows of public pools: each decision, the file, the commands, and how a refusal is told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neargate.cli import config as configs
from neargate.cli import hosts, ip_pool, pool_consent, up
from neargate.cli.commands import parser as commands
from neargate.cli.config import RegionConfig
from neargate.cli.paths import RegionPaths, region_paths
from neargate.cli.problems import NoServer, Problem
from neargate.clusters.arrivals import facts_problem
from neargate.hostnet import pool_consent as consent_file
from neargate.hostnet.pool_consent import CONSENT_FILE, read_consent
from neargate.hostnet.public_pools import PublicPools
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.network import POOL_ANNOUNCED, POOL_LOCAL, POOL_ROUTED, PublicPool
from neargate.uplink.consent import ALLOWED_MAX, SAID_MAX, objection, refusal, summed

LAN = PublicPool(cidr="192.168.77.0/24", way=POOL_ANNOUNCED)
BLOCK = PublicPool(cidr="203.0.113.0/28", way=POOL_ROUTED)
SIX = PublicPool(cidr="2001:db8:1::/48", way=POOL_ROUTED)
ALL = (LAN, BLOCK, SIX)


@pytest.mark.parametrize(
    ("cidr", "way", "allowed"),
    [
        ("192.168.77.192/28", POOL_ANNOUNCED, True),
        ("192.168.77.0/24", POOL_LOCAL, True),
        ("203.0.113.0/28", POOL_ROUTED, True),
        ("203.0.113.0/28", POOL_ANNOUNCED, False),  # more than was said
        ("203.0.113.0/27", POOL_ROUTED, False),
        ("203.0.113.16/28", POOL_LOCAL, False),
        ("192.168.78.0/28", POOL_LOCAL, False),
        ("2001:db8:1:100::/56", POOL_ROUTED, True),
        ("2001:db8:2::/48", POOL_LOCAL, False),
    ],
)
def test_what_is_not_allowed_is_refused_and_says_how_it_is_allowed(cidr: str, way: str, allowed: bool) -> None:
    why = refusal(PublicPool(cidr=cidr, way=way), ALL)
    assert (why == "") == allowed
    if not allowed:
        flag = {POOL_LOCAL: "", POOL_ROUTED: " --routed", POOL_ANNOUNCED: " --announce"}[way]
        assert why.endswith(f"neargate ip-pool allow {cidr}{flag}")


@pytest.mark.parametrize(
    "cidr",
    [
        *("127.0.0.0/16", "169.254.0.0/16", "169.254.169.254/32", "224.0.0.0/16", "240.0.0.0/24", "0.0.0.0/16"),
        *("10.0.0.0/8", "0.0.0.0/0", "192.168.0.1/24", "here", "::1/128", "fe80::/64", "ff02::/64", "fc00::/48"),
        *("::/0", "2000::/3", "2001:db8::/31", "::ffff:10.0.0.0/112"),
    ],
)
def test_what_no_host_may_give_away_cannot_be_allowed(cidr: str) -> None:
    assert objection(cidr)
    everything = (PublicPool(cidr="0.0.0.0/0", way=POOL_ANNOUNCED), PublicPool(cidr="::/0", way=POOL_ANNOUNCED))
    assert refusal(PublicPool(cidr=cidr), everything) == objection(cidr)


def test_nothing_is_allowed_where_nobody_said_anything(tmp_path: Path) -> None:
    pools = PublicPools("0a0a0a", "198.18.7.0/24")
    pools.become([BLOCK])
    assert pools.known == () and pools.has("198.18.7.5") and not pools.has("203.0.113.5")
    assert "is not allowed on this host" in pools.why_not("203.0.113.5")
    assert pools.why_not("8.8.8.8") == "it is no address for tasks in the pool 198.18.7.0/24"
    assert pools.refused == (refusal(BLOCK, ()),)
    assert read_consent(tmp_path / CONSENT_FILE) == ()


def test_many_refusals_are_summed_up() -> None:
    pools = PublicPools("0a0a0a", "198.18.7.0/24")
    pools.become(PublicPool(cidr=f"203.0.{n}.0/24") for n in range(200))
    assert len(pools.refused) == SAID_MAX + 1 and pools.refused[-1] == f"and {200 - SAID_MAX} more"
    assert summed(("a",)) == ("a",)


def test_what_is_allowed_later_is_had_then() -> None:
    allowed: list[PublicPool] = []
    pools = PublicPools("0a0a0a", "198.18.7.0/24", lambda: allowed)
    pools.become([BLOCK])
    allowed.append(BLOCK)
    assert not pools.has("203.0.113.5")
    pools.reconsider()
    assert pools.has("203.0.113.5") and pools.known == (BLOCK,)
    allowed.clear()
    pools.reconsider()
    assert pools.known == ()


@pytest.mark.parametrize("content", [b"", b"{", b'[{"cidr": 5}]', b"null", b"[" * 5000])
def test_a_file_that_is_none_allows_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CONSENT_FILE).write_bytes(content)
    assert read_consent(tmp_path / CONSENT_FILE) == ()


def test_of_a_file_only_what_may_be_allowed_counts(tmp_path: Path) -> None:
    wrong = (PublicPool(cidr="0.0.0.0/0"), PublicPool(cidr="here"), PublicPool(cidr="10.1.0.0/16", way="by-pigeon"))
    (tmp_path / CONSENT_FILE).write_bytes(msgspec.json.encode((*wrong, BLOCK)))
    assert read_consent(tmp_path / CONSENT_FILE) == (BLOCK,)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RegionPaths:
    monkeypatch.setattr(configs, "load", lambda _: RegionConfig(uplink="nat", public_pool="198.18.0.0/24"))
    monkeypatch.setattr(ip_pool, "host_routes", lambda *_: [])
    monkeypatch.setattr(ip_pool, "own_networks", lambda _: frozenset({"127.0.0.0/8", "192.0.2.10/32"}))
    monkeypatch.setattr(ip_pool, "of_others", lambda _: ())
    monkeypatch.setattr(ip_pool, "ask", _answered)
    return region_paths(str(tmp_path))


def _answered(_: RegionPaths, what: str, **words: Any) -> dict[str, Any]:
    return {"cidr": words["cidr"], "way": words.get("way"), "kept": "", "tasks_max": 1, "elastic_max": 1}


def _failing(error: Problem) -> Callable[..., dict[str, Any]]:
    def answer(*_: Any, **_words: Any) -> dict[str, Any]:
        raise error

    return answer


def test_whoever_adds_a_pool_allows_it_and_whoever_removes_it_does_not(machine: RegionPaths) -> None:
    data = ["--data", str(machine.data)]
    assert commands.run(["ip-pool", "add", BLOCK.cidr, "--routed", *data]) == 0
    assert read_consent(machine.agent / CONSENT_FILE) == (BLOCK,)
    assert (machine.agent / CONSENT_FILE).stat().st_mode & 0o777 == 0o600
    assert commands.run(["ip-pool", "add", "192.168.77.0/24", "--announce", *data]) == 0
    assert commands.run(["ip-pool", "remove", BLOCK.cidr, *data]) == 0
    assert read_consent(machine.agent / CONSENT_FILE) == (LAN,)


def test_a_pool_that_the_server_refuses_is_not_allowed(machine: RegionPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    pool_consent.put(machine, LAN)
    words = ["ip-pool", "add", BLOCK.cidr, "--data", str(machine.data)]
    monkeypatch.setattr(ip_pool, "ask", _failing(Problem("no")))
    with pytest.raises(Problem, match=r"^no$"):
        commands.run(words)
    assert read_consent(machine.agent / CONSENT_FILE) == (LAN,)
    monkeypatch.setattr(ip_pool, "ask", _failing(NoServer("it may have heard it")))
    with pytest.raises(NoServer):
        commands.run(words)
    assert len(read_consent(machine.agent / CONSENT_FILE)) == 2


def test_what_was_allowed_before_stays_where_the_server_refuses_more(
    machine: RegionPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks have addresses of it: `add` with another way is a mistake that costs them nothing."""
    pool_consent.put(machine, BLOCK)
    monkeypatch.setattr(ip_pool, "ask", _failing(Problem("is a pool already")))
    with pytest.raises(Problem, match="already"):
        commands.run(["ip-pool", "add", BLOCK.cidr, "--announce", "--data", str(machine.data)])
    assert read_consent(machine.agent / CONSENT_FILE) == (BLOCK,)


def test_a_host_elsewhere_is_told_by_its_own_operator(
    machine: RegionPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ip_pool, "ask", _failing(NoServer("no server here")))
    data = ["--data", str(machine.data)]
    assert commands.run(["ip-pool", "allow", "192.168.77.0/24", "--announce", *data]) == 0
    assert read_consent(machine.agent / CONSENT_FILE) == (LAN,)
    for wrong, sentence in (
        ("192.0.2.0/28", "192.0.2.10, which is this machine's own"),
        ("127.0.0.0/24", "loopback"),
        ("10.0.0.0/8", "too large"),
        ("no", "is no network"),
    ):
        with pytest.raises(Problem, match=sentence):
            commands.run(["ip-pool", "allow", wrong, *data])
    with pytest.raises(Problem, match=r"is not allowed here; what is: 192.168.77.0/24 \(announced\)"):
        commands.run(["ip-pool", "forbid", "192.168.78.0/24", *data])
    assert commands.run(["ip-pool", "forbid", "192.168.77.0/24", *data]) == 0
    assert read_consent(machine.agent / CONSENT_FILE) == ()
    assert "no longer lets its region have 192.168.77.0/24" in capsys.readouterr().out


def test_who_allows_less_than_before_has_it_so(machine: RegionPaths) -> None:
    data = ["--data", str(machine.data)]
    for flags, way in (
        (["--announce"], POOL_ANNOUNCED),
        ([], POOL_LOCAL),
        ([], POOL_LOCAL),
        (["--routed"], POOL_ROUTED),
    ):
        assert commands.run(["ip-pool", "allow", BLOCK.cidr, *flags, *data]) == 0
        assert read_consent(machine.agent / CONSENT_FILE) == (PublicPool(cidr=BLOCK.cidr, way=way),)


def test_a_pool_from_before_machines_were_asked_is_told_with_what_to_type(
    machine: RegionPaths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = dict.fromkeys(("tasks", "tasks_max", "elastic", "elastic_max"), 1)
    built_in, old = ({**counts, "cidr": cidr, "gives": True} for cidr in ("198.18.0.0/24", BLOCK.cidr))
    pools = [{**built_in, "way": "built-in"}, {**old, "way": BLOCK.way}]
    monkeypatch.setattr(ip_pool, "ask", lambda *_: {"pools": pools})
    words = ["ip-pool", "list", "--data", str(machine.data)]
    assert commands.run(words) == 0
    told = f"this machine refuses a pool: {refusal(BLOCK, ())}"
    assert ip_pool.refused_here(machine) == [told] and capsys.readouterr().out.splitlines()[-1] == told
    said: list[str] = []
    up._say_pools(machine, RegionConfig(), said.append)
    assert said == [told]
    pool_consent.put(machine, BLOCK)
    assert commands.run(words) == 0
    assert "refuses" not in capsys.readouterr().out


def test_what_a_machine_allows_is_bounded(machine: RegionPaths) -> None:
    for number in range(ALLOWED_MAX):
        assert pool_consent.put(machine, PublicPool(cidr=f"203.0.{number}.1/32"))
    assert not pool_consent.put(machine, PublicPool(cidr="203.0.1.1/32"))
    with pytest.raises(Problem, match="at most"):
        pool_consent.put(machine, BLOCK)


def test_the_agents_file_is_the_commands_file() -> None:
    assert pool_consent.CONSENT_FILE is consent_file.CONSENT_FILE


def test_hosts_tells_what_a_host_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    room = HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1)
    facts = HostFacts(host_id="h", boot_id="b", capacity=room, refused_pools=refusal(BLOCK, ()))
    assert facts_problem(facts) is None
    assert facts_problem(msgspec.structs.replace(facts, refused_pools="x" * 300)) is not None
    host = {"host_id": "h1", "zone": None, "connected": True, "tasks": 2, "pool": ""}
    answers = {"hosts": [{**host, "refused_pools": facts.refused_pools}, {**host, "host_id": "h2"}]}
    monkeypatch.setattr(hosts, "ask", lambda *_: answers)
    assert hosts.listed(RegionPaths(tmp_path)).splitlines()[-1] == (
        "h1 refuses pools of public addresses: 203.0.113.0/28 (routed) is not allowed on this host; as root of it: "
        "neargate ip-pool allow 203.0.113.0/28 --routed"
    )
