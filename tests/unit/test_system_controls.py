"""systemControls: of IPC in the container's own namespace, of the network in the task's, where the last one wins."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.definitions.system_controls import check_system_controls, split_controls
from neargate.hostnet.namespaces import set_control
from neargate.interfaces.hostnet import HostError
from neargate.model.errors import ClientError
from neargate.model.launch import Dependency
from neargate.testing.agent_host import TASK_ID, AgentHost, container, launch, play


def control(name: str, value: str) -> dict[str, str]:
    return {"namespace": name, "value": value}


def test_what_a_definition_says_is_split_and_the_last_of_a_name_counts() -> None:
    controls = [
        control("net.core.somaxconn", "1"),
        control("kernel.msgmax", "2"),
        control("net.ipv4.ip_local_port_range", "1024\t65535"),
        control("fs.mqueue.msg_max", "3"),
        control("net.core.somaxconn", "4"),
    ]
    check_system_controls("web", controls)
    assert split_controls(controls) == (
        (("kernel.msgmax", "2"), ("fs.mqueue.msg_max", "3")),
        (("net.core.somaxconn", "4"), ("net.ipv4.ip_local_port_range", "1024\t65535")),
    )


@pytest.mark.parametrize("name", ["net.core.rmem_max", "net.ipv4.conf.all.forwarding", "kernel.hostname", "net.", ""])
def test_what_is_not_the_tasks_own_is_refused(name: str) -> None:
    with pytest.raises(ClientError):
        check_system_controls("web", [control(name, "1")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.unix.max_dgram_qlen", "-1"),
        ("net.ipv4.tcp_limit_output_bytes", "-5"),
        ("net.ipv4.tcp_rmem", "4096 -1 -1"),
    ],
)
def test_a_bound_is_not_passed_by_below_zero(name: str, value: str) -> None:
    check_system_controls("web", [control(name, value.replace("-", ""))])
    with pytest.raises(ClientError, match="cannot be negative"):
        check_system_controls("web", [control(name, value)])


@pytest.mark.parametrize("name", ["kernel.msgmax", "net..core", "net.core/somaxconn", "net.%2e%2e.kernel", "net.a\x00"])
def test_a_host_writes_no_file_but_those_of_the_network(name: str) -> None:
    with pytest.raises(HostError, match="is no kernel parameter of a network namespace"):
        set_control(name, "1")


def test_the_last_container_that_is_started_wins(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        first = container("first", network_controls=(("net.core.somaxconn", "1"), ("net.ipv4.tcp_sack", "0")))
        second = container(
            "second",
            network_controls=(("net.core.somaxconn", "2"),),
            ipc_controls=(("kernel.msgmax", "3"),),
            depends_on=(Dependency(container_name="first", condition="START"),),
        )
        host.server.run(launch(first, second))
        await host.server.status(TASK_ID, "RUNNING")
        assert host.host.network.controls[TASK_ID] == {"net.core.somaxconn": "2", "net.ipv4.tcp_sack": "0"}
        assert host.sandbox.named("second").config.ipc_controls == (("kernel.msgmax", "3"),)
        assert host.sandbox.named("first").config.ipc_controls == ()

    play(tmp_path, scenario)


def test_a_value_that_the_kernel_refuses_fails_the_container(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch(container(network_controls=(("net.ipv4.tcp_sack", "-1"),))))
        stopped = await host.server.status(TASK_ID, "STOPPED")
        assert stopped.stopped_reason == (
            "CannotStartContainerError: Error response from daemon: open /proc/sys/net/ipv4/tcp_sack: invalid argument"
        )
        assert host.leftovers() == [] and host.sandbox.ever_started == []

    play(tmp_path, scenario)


def test_a_container_that_is_not_essential_is_given_up_alone(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        bad = replace(container("bad", network_controls=(("net.ipv4.tcp_sack", "-1"),)), essential=False)
        host.server.run(launch(container(), bad))
        running = await host.server.status(TASK_ID, "RUNNING")
        assert {item.name: item.known_status for item in running.containers} == {"web": "RUNNING", "bad": "STOPPED"}

    play(tmp_path, scenario)
