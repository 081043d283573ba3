"""A host that refuses a VPC's rules: launches wait for a while, then end with its word; later ones go on."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.interfaces.hostnet import HostError
from neargate.model.network import VpcPlan
from neargate.testing.agent_host import VPC, AgentHost, container, launch
from neargate.testing.virtual_time import run_virtual

WHY = "the kernel takes no more sets"


def test_a_launch_behind_rules_that_are_refused_ends_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with AgentHost(tmp_path) as host:
            await host.started()
            apply = host.host.network.apply_vpc

            async def refuse(_: VpcPlan) -> None:
                raise HostError(WHY)

            monkeypatch.setattr(host.host.network, "apply_vpc", refuse)
            host.server.push(VpcPlan(vpc_id=VPC, generation=2, cidrs=("10.0.0.0/16",), groups=()))
            begun, first = host.clock.now(), launch(container())
            host.server.run(first)
            report = await host.server.status(first.task_id, "STOPPED")
            await host.clock.sleep(host.knobs.host_check_period_s + 1)
            assert host.server.hosts[-1].refused_plans >= host.knobs.plan_patience_s // host.knobs.engine_retry_s
            assert host.clock.now() - begun >= host.knobs.plan_patience_s
            reason = f"ResourceInitializationError: the rules of {VPC} cannot be put in force: {WHY}"
            assert report.stopped_reason == reason
            monkeypatch.setattr(host.host.network, "apply_vpc", apply)
            await host.clock.sleep(2 * host.knobs.engine_retry_s)
            second = replace(
                first, task_id="1".zfill(32), eni=replace(first.eni, private_ipv4="10.0.1.6", eni_id="eni-1")
            )
            host.server.run(second)
            await host.server.status(second.task_id, "RUNNING")

    run_virtual(main())


def test_plans_that_are_no_plans_are_counted(tmp_path: Path) -> None:
    async def main() -> None:
        async with AgentHost(tmp_path) as host:
            await host.started()
            for vpc_id in ("vpc-../x", "", "v" * 1000):
                host.server.push(VpcPlan(vpc_id=vpc_id, generation=1, cidrs=("10.0.0.0/16",), groups=()))
            await host.clock.sleep(host.knobs.host_check_period_s + 1)
            assert host.server.hosts[-1].refused_plans == 3
            assert list(host.host.network.plans) == [VPC]

    run_virtual(main())
