"""Real packets from a task to "the internet" through `--uplink nat`, and what is left of it on the host."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet.namespaces import write_sysctl
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.uplink import nat as uplink_nat
from neargate.hostnet.uplink.edge import EdgeSide
from neargate.hostnet.uplink.nat import NatUplink
from neargate.hostnet.uplink.record import UplinkFiles
from neargate.testing.netlab import NetLab, connect, eni, entered, listener_in, pings, plan, reaches

from .uplink_lab import HOST_ADDRESS, OPEN, SERVER, TASK, UplinkLab, run

pytestmark = pytest.mark.root

# As they are found on machines: Docker's, ufw's, those that people write, firewalld's.
FIREWALLS = {
    "docker": """
        iptables-nft -P FORWARD DROP
        iptables-nft -N DOCKER-USER
        iptables-nft -A DOCKER-USER -j RETURN
        iptables-nft -A FORWARD -j DOCKER-USER
        iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
    """,
    "ufw": """
        iptables-nft -P FORWARD DROP
        iptables-nft -N ufw-reject-forward
        iptables-nft -A ufw-reject-forward -j REJECT
        iptables-nft -A FORWARD -j ufw-reject-forward
    """,
    "rules": """
        iptables-nft -A FORWARD -i lan0 -j ACCEPT
        iptables-nft -A FORWARD -j DROP
    """,
    "legacy": """
        iptables-legacy -P FORWARD DROP
        iptables-legacy -N DOCKER-USER
        iptables-legacy -A FORWARD -j DOCKER-USER
        iptables-legacy -A FORWARD -i lan0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    """,
    "legacy rules": """
        iptables-legacy -A FORWARD ! -i eth+ -d 10.0.0.0/8 -j ACCEPT
        iptables-legacy -A FORWARD -j REJECT
    """,
    "nftables": """
        nft add table inet filter
        nft add chain inet filter forward { type filter hook forward priority 0; policy drop; }
        nft add rule inet filter forward ct state vmap { invalid : drop }
    """,
    "firewalld": """
        nft add table inet firewalld
        nft add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }
        nft add rule inet firewalld filter_FORWARD ct state { established, related } accept
        nft add rule inet firewalld filter_FORWARD iifname lo accept
        nft add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited
    """,
}


def _on_host(lab: UplinkLab, commands: str) -> None:
    for line in filter(None, map(str.strip, commands.splitlines())):
        lab.command(line)


def _iptables_reads(lab: UplinkLab) -> bool:
    with entered(lab.host):
        return subprocess.run(["iptables-nft", "-S"], capture_output=True, check=False).returncode == 0


def test_plain(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.state().works, lab.state()
        assert await lab.gets_out() == HOST_ADDRESS
        assert await pings(lab.task, SERVER)
        after = lab.footprint()
        assert (after[1], after[2]) == before[1:], "with forwarding on, a table is all"
        assert after[0].startswith(before[0])
        await lab.network.remove_all()
        assert lab.footprint() == before

    run(tmp_path, "nat", scenario)


def test_none_leads_nowhere(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.footprint() == before
        assert await lab.gets_out() == ""

    run(tmp_path, "none", scenario)


def test_a_host_that_forwards_nothing_forwards_for_tasks_alone(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", "192.0.2.1", "192.0.2.7")
        before = lab.footprint()
        await lab.start()
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.switch("ip_forward") == "0"
        # Another machine that takes this one for its router: not with forwarding off, and not now.
        lab.takes_host_for_its_router("192.0.2.0/24")
        lab.takes_host_for_its_router("198.18.7.0/24")
        with listener_in(lab.second, "192.0.2.7", 80), listener_in(lab.task, "0.0.0.0", 80):
            assert await reaches(lab.host, "192.0.2.7", 80)
            assert await connect(lab.internet, "192.0.2.7", 80, 0.5) is None
            assert await reaches(lab.host, TASK, 80)
            assert await connect(lab.internet, TASK, 80, 0.5) is None
        await lab.network.remove_all()
        assert lab.footprint() == before

    run(tmp_path, "nat", scenario, forwards=False)


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_behind_a_firewall_that_drops(tmp_path: Path, firewall: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        _on_host(lab, FIREWALLS[firewall])
        before = lab.footprint()
        await lab.start()
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.state().notes, "what was added is told"
        assert _iptables_reads(lab)
        # What was closed from outside is closed as before.
        lab.takes_host_for_its_router("198.18.7.0/24")
        with listener_in(lab.task, "0.0.0.0", 80):
            assert await reaches(lab.host, TASK, 80)
            assert await connect(lab.internet, TASK, 80, 0.5) is None
        await lab.restart()
        assert await lab.gets_out() == HOST_ADDRESS
        ours = [line for line in lab.ruleset().splitlines() if "comment" in line and lab.link in line]
        assert len(ours) == len(lab.state().notes)
        await lab.network.remove_all()
        assert lab.footprint() == before

    run(tmp_path, "nat", scenario)


def test_what_the_operator_forbids_stays_forbidden(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        _on_host(lab, FIREWALLS["docker"])
        _on_host(lab, f"iptables-nft -I DOCKER-USER -d {SERVER} -p tcp --dport 80 -j DROP")
        await lab.start()
        assert await lab.gets_out() == ""
        _on_host(lab, f"iptables-nft -D DOCKER-USER -d {SERVER} -p tcp --dport 80 -j DROP")
        assert await lab.gets_out() == HOST_ADDRESS

    run(tmp_path, "nat", scenario)


@pytest.mark.parametrize("firewall", ["", "docker", "legacy"])
def test_repaired_after_somebody_flushed_all_rules(tmp_path: Path, firewall: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        _on_host(lab, FIREWALLS.get(firewall, ""))
        before = lab.footprint()
        await lab.start()
        whole = lab.ruleset()
        _on_host(lab, "nft flush ruleset")
        if firewall == "legacy":
            _on_host(lab, "iptables-legacy -F\niptables-legacy -X")
        _on_host(lab, FIREWALLS.get(firewall, ""))

        async def is_as_before() -> bool:
            return lab.ruleset() == whole

        await lab.until(is_as_before, "the rules did not come back")
        assert await lab.gets_out() == HOST_ADDRESS
        await lab.network.remove_all()
        assert lab.footprint() == before

    run(tmp_path, "nat", scenario)


def test_a_firewall_that_comes_later_is_passed_and_left_when_it_goes(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        before = lab.footprint()
        _on_host(lab, FIREWALLS["docker"])

        async def gets_out() -> bool:
            return await lab.gets_out() == HOST_ADDRESS

        await lab.until(gets_out, "the new firewall drops it")
        _on_host(lab, "iptables-nft -P FORWARD ACCEPT")

        async def ours_are_gone() -> bool:
            return f'comment "neargate_{lab.instance}"' not in lab.ruleset()

        await lab.until(ours_are_gone, "rules stay that nothing needs")
        _on_host(lab, "iptables-nft -F\niptables-nft -X\nnft delete table ip filter")

        async def is_as_before() -> bool:
            return lab.footprint() == before

        await lab.until(is_as_before, "something stays")

    run(tmp_path, "nat", scenario)


def test_forwarding_that_somebody_else_switched_on_is_theirs(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", "192.0.2.1", "192.0.2.7")
        lab.takes_host_for_its_router("192.0.2.0/24")
        await lab.start()
        with listener_in(lab.second, "192.0.2.7", 80):
            assert await connect(lab.internet, "192.0.2.7", 80, 0.5) is None
            with entered(lab.host):
                write_sysctl("ipv4/ip_forward", "1")

            async def routes_for_others() -> bool:
                return await reaches(lab.internet, "192.0.2.7", 80)

            await lab.until(routes_for_others, "our guard stays")
        await lab.network.remove_all()
        assert lab.switch("conf/eth0/forwarding") == "1"

    run(tmp_path, "nat", scenario, forwards=False)


@pytest.mark.parametrize("killed_at", ["write", "_load_own", "before set_forwarding", "set_forwarding", "lead_to_host"])
@pytest.mark.parametrize("firewall", ["", "docker"])
def test_killed_between_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str, firewall: str
) -> None:
    """Whatever was made so far is removed by the next one, which knows nothing but what lies on the host."""

    async def scenario(lab: UplinkLab) -> None:
        _on_host(lab, FIREWALLS.get(firewall, ""))
        before = lab.footprint()
        lab.knobs = replace(lab.knobs, uplink_ready_s=0.0)
        lab.network = lab.another_agent()
        with monkeypatch.context() as patch:
            _killed_at(patch, killed_at)
            await lab.start()
            assert lab.state().why == "killed"
            await lab.network.close()
        assert UplinkFiles(lab.directory).record() is not None
        lab.network = lab.another_agent()
        await lab.network.remove_all()
        assert lab.footprint() == before

    run(tmp_path, "nat", scenario, forwards=False)


def _killed_at(patch: pytest.MonkeyPatch, step: str) -> None:
    """From the end of that step on nothing is done any more."""
    name = step.removeprefix("before ")
    owner: Any = {"write": UplinkFiles, "_load_own": NatUplink, "lead_to_host": EdgeSide}.get(name, uplink_nat)
    done, look, dead = getattr(owner, name), NatUplink.look, []

    def and_then_killed(*arguments: object) -> None:
        if name == step:
            done(*arguments)
        dead.append(True)
        raise OSError("killed")

    def looked(self: NatUplink, host: Netlink) -> tuple[str, ...]:
        if dead:
            raise OSError("killed")
        return look(self, host)

    patch.setattr(owner, name, and_then_killed)
    patch.setattr(NatUplink, "look", looked)


def test_another_mode_takes_it_back(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        before = lab.footprint()
        await lab.start()
        assert lab.footprint() != before
        await lab.again("none")
        assert lab.footprint() == before
        assert await lab.gets_out() == ""
        await lab.again("nat")
        assert await lab.gets_out() == HOST_ADDRESS

    run(tmp_path, "nat", scenario, forwards=False)


@pytest.mark.parametrize("firewall", ["", "docker"])
def test_what_the_operator_leads_to_a_task_arrives(tmp_path: Path, firewall: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        _on_host(lab, FIREWALLS.get(firewall, ""))
        lab.rules(
            "table ip published { chain c_dnat { type nat hook prerouting priority -100;"
            f" ip daddr {HOST_ADDRESS} tcp dport 9000 dnat to {TASK}:80\n}}\n}}"
        )
        await lab.start()
        with listener_in(lab.task, "0.0.0.0", 80):
            assert await reaches(lab.internet, HOST_ADDRESS, 9000)
        assert await lab.gets_out() == HOST_ADDRESS

    run(tmp_path, "nat", scenario, forwards=firewall == "docker")


def test_of_another_region_only_its_public_tasks_are_reached(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        other = NetLab(lab.world, tmp_path / "other", f"{int(lab.instance, 16) ^ 1:06x}", "198.18.8.0/24")
        try:
            await lab.start()
            await other.network.start()
            await other.network.apply_vpc(plan(1, OPEN))
            public = (await other.attach("b", eni(2, "sg-0open", public=other.public(5)))).netns_path
            private = (await other.attach("c", eni(3, "sg-0open"))).netns_path
            with (
                listener_in(public, "0.0.0.0", 80),
                listener_in(private, "0.0.0.0", 80),
                listener_in(lab.host, "0.0.0.0", 80),
            ):
                assert await reaches(lab.task, other.public(5), 80)
                for address in ("172.31.1.3", other.public(6), other.pool_host_address()):
                    assert await connect(lab.task, address, 80, 0.5) is None
        finally:
            await other.close()

    run(tmp_path, "nat", scenario)
