"""The task's document: what a report changes, and what a hostile or late one cannot."""

import copy
import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.model.launch import ContainerReport, TaskReport
from neargate.model.lifecycle import LastStatus, is_later, walk
from neargate.model.network import Eni
from neargate.scheduling.task_document import (
    BadReport,
    HiddenFacts,
    NewTask,
    apply_report,
    ask_to_stop,
    hidden_facts,
    new_document,
    stop_without_host,
)

NOW = 1_700_000_000.0
DEFINITION: dict[str, Any] = {
    "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/web:7",
    "family": "web",
    "containerDefinitions": [
        {
            "name": "web",
            "image": "web:1",
            "cpu": 10,
            "memory": 100,
            "essential": True,
            "healthCheck": {"command": ["CMD-SHELL", "true"]},
        },
        {"name": "side", "image": "side:1", "memoryReservation": 50, "essential": False},
    ],
}
ENI = Eni(
    eni_id="eni-01",
    attachment_id="att-1",
    mac="0a:00:00:00:00:01",
    vpc_id="vpc-1",
    subnet_id="subnet-1",
    subnet_cidr="10.0.0.0/24",
    private_ipv4="10.0.0.4",
    private_dns_name="ip-10-0-0-4.ec2.internal",
)
FACTS = hidden_facts(DEFINITION, ENI)


def fresh(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "region": "us-east-1",
        "account": "123456789012",
        "cluster": "prod",
        "task_id": "t" * 32,
        "definition": DEFINITION,
        "overrides": {"containerOverrides": [{"name": "web", "cpu": 20}], "cpu": "512"},
        "cpu_units": 512,
        "memory_mib": 1024,
        "disk_gib": 21,
        "created_at": NOW,
        "zone": "us-east-1a",
        "subnet_id": "subnet-1",
        "attachment_id": "att-1",
        "container_uuids": ["u1", "u2"],
        "launch_type": "FARGATE",
        "capacity_provider": None,
        "platform_version": "1.4.0",
        "group": "family:web",
        "started_by": None,
        "enable_execute_command": False,
    }
    return new_document(NewTask(**(values | changes)))


def report(status: str, **changes: Any) -> TaskReport:
    return TaskReport(task_id="t", incarnation="i", report_seq=1, known_status=status, **changes)


def at(status: LastStatus) -> dict[str, Any]:
    return apply_report(fresh(), FACTS, report(status), NOW).document


def test_the_answer_of_run_task_shows_the_subnet_and_no_interface() -> None:
    document = fresh()
    assert document["attachments"] == [
        {
            "id": "att-1",
            "type": "ElasticNetworkInterface",
            "status": "PRECREATED",
            "details": [{"name": "subnetId", "value": "subnet-1"}],
        }
    ]
    assert [container["networkInterfaces"] for container in document["containers"]] == [[], []]
    assert document["lastStatus"] == "PROVISIONING" and document["version"] == 1
    assert document["cpu"] == "512" and document["memory"] == "1024"
    assert document["ephemeralStorage"] == document["fargateEphemeralStorage"] == {"sizeInGiB": 21}
    assert document["overrides"] == {
        "cpu": "512",
        "containerOverrides": [{"name": "web", "cpu": 20}, {"name": "side"}],
        "inferenceAcceleratorOverrides": [],
    }
    web, side = document["containers"]
    assert (web["cpu"], web["memory"]) == ("20", "100") and side["memoryReservation"] == "50"
    assert "capacityProviderName" not in document and "startedBy" not in document
    assert fresh(capacity_provider="FARGATE", started_by="me")["capacityProviderName"] == "FARGATE"


def test_pending_shows_the_interface_with_its_details() -> None:
    document = at(LastStatus.PENDING)
    [attachment] = document["attachments"]
    assert attachment["status"] == "ATTACHED"
    assert [detail["name"] for detail in attachment["details"]] == [
        "subnetId",
        "networkInterfaceId",
        "macAddress",
        "privateDnsName",
        "privateIPv4Address",
    ]
    interface = {"attachmentId": "att-1", "privateIpv4Address": "10.0.0.4"}
    assert all(container["networkInterfaces"] == [interface] for container in document["containers"])


@pytest.mark.parametrize(("present", "target"), list(itertools.product(LastStatus, LastStatus)))
def test_every_pair_of_statuses_walks_forward_or_changes_nothing(present: LastStatus, target: LastStatus) -> None:
    before = at(present)
    kept = copy.deepcopy(before)
    change = apply_report(before, FACTS, report(target), NOW + 1)
    assert before == kept, "the old document is not touched"
    assert list(change.passed) == walk(present, target)
    if is_later(target, present):
        assert change.document["lastStatus"] == target
        assert change.document["version"] == before["version"] + len(change.passed)
    else:
        assert change.document["lastStatus"] == present and change.document["version"] == before["version"]
    assert (change.document["desiredStatus"] == "STOPPED") == is_later(
        max(present, target, key=_rank), LastStatus.RUNNING
    )


def _rank(status: LastStatus) -> int:
    return list(LastStatus).index(status)


def test_a_stopped_task_has_all_its_times_and_its_containers_stopped() -> None:
    running = apply_report(
        fresh(), FACTS, report("RUNNING", started_at=NOW + 1, connectivity_at=NOW, pull_started_at=NOW), NOW + 2
    ).document
    assert (running["startedAt"], running["connectivity"], running["pullStartedAt"]) == (NOW + 1, "CONNECTED", NOW)
    stopped = apply_report(
        running,
        FACTS,
        report(
            "STOPPED",
            stopped_at=NOW + 9,
            execution_stopped_at=NOW + 8,
            stopping_at=NOW + 7,
            stop_code="EssentialContainerExited",
            stopped_reason="Essential container in task exited",
            containers=(ContainerReport(name="web", known_status="STOPPED", exit_code=3, reason="gone"),),
        ),
        NOW + 10,
    ).document
    assert [stopped[name] for name in ("stoppingAt", "executionStoppedAt", "stoppedAt")] == [NOW + 7, NOW + 8, NOW + 9]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert [container["lastStatus"] for container in stopped["containers"]] == ["STOPPED", "STOPPED"]
    assert stopped["containers"][0]["exitCode"] == 3 and "exitCode" not in stopped["containers"][1]
    assert stopped["attachments"][0]["status"] == "DELETED"


def test_a_visible_change_without_a_new_status_raises_the_version_once() -> None:
    before = at(LastStatus.RUNNING)
    said = report("RUNNING", containers=(ContainerReport(name="web", health_status="HEALTHY"),))
    once = apply_report(before, FACTS, said, NOW)
    assert once.visible and once.document["version"] == before["version"] + 1
    assert once.document["healthStatus"] == "HEALTHY"
    assert not apply_report(once.document, FACTS, said, NOW).visible


def test_health_is_that_of_essential_containers_with_a_check() -> None:
    side_only = report("RUNNING", containers=(ContainerReport(name="side", health_status="UNHEALTHY"),))
    assert apply_report(at(LastStatus.RUNNING), FACTS, side_only, NOW).document["healthStatus"] == "UNKNOWN"
    web = report("RUNNING", containers=(ContainerReport(name="web", health_status="UNHEALTHY"),))
    assert apply_report(at(LastStatus.RUNNING), FACTS, web, NOW).document["healthStatus"] == "UNHEALTHY"


def test_the_first_stop_reason_stays() -> None:
    asked = ask_to_stop(at(LastStatus.RUNNING), "UserInitiated", "bye").document
    assert asked["desiredStatus"] == "STOPPED" and asked["lastStatus"] == "RUNNING"
    after = apply_report(
        asked, FACTS, report("STOPPED", stop_code="EssentialContainerExited", stopped_reason="other"), NOW
    ).document
    assert (after["stopCode"], after["stoppedReason"]) == ("UserInitiated", "bye")


def test_a_task_without_a_host_stops_with_its_reason() -> None:
    change = stop_without_host(fresh(), HiddenFacts(), "TaskFailedToStart", "no addresses", NOW)
    assert list(change.passed) == [LastStatus.DEPROVISIONING, LastStatus.STOPPED]
    assert change.document["stopCode"] == "TaskFailedToStart" and change.document["version"] == 3
    assert change.document["attachments"][0]["status"] == "DELETED"


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(BadReport):
        apply_report(fresh(), FACTS, report("EXPLODED"), NOW)


def test_a_hostile_report_cannot_grow_or_poison_the_document() -> None:
    document = apply_report(
        fresh(),
        FACTS,
        report(
            "RUNNING",
            started_at=math.nan,
            pull_started_at=-5.0,
            connectivity_at=NOW + 1e9,
            stop_code="Invented",
            containers=(
                ContainerReport(
                    name="web", known_status="ON FIRE", reason="x" * 9999, exit_code=2**70, health_status="SO-SO"
                ),
                ContainerReport(name="unknown", known_status="RUNNING"),
            ),
        ),
        NOW,
    ).document
    assert document["startedAt"] == document["pullStartedAt"] == document["connectivityAt"] == NOW
    assert "stopCode" not in document
    assert [container["name"] for container in document["containers"]] == ["web", "side"]
    web = document["containers"][0]
    assert web["lastStatus"] == "PENDING" and web["healthStatus"] == "UNKNOWN"
    assert len(web["reason"]) == 1024 and web["exitCode"] == 2**31 - 1


@given(st.lists(st.sampled_from(list(LastStatus)), max_size=12))
def test_whatever_comes_the_status_never_goes_back(statuses: list[LastStatus]) -> None:
    document = fresh()
    for status in statuses:
        change = apply_report(document, FACTS, report(status), NOW)
        assert not is_later(LastStatus(document["lastStatus"]), LastStatus(change.document["lastStatus"]))
        assert change.document["version"] >= document["version"]
        document = change.document


def test_what_executes_commands_is_there_while_the_container_runs() -> None:
    def agents(document: dict[str, Any]) -> list[dict[str, Any]]:
        return [agent for container in document["containers"] for agent in container.get("managedAgents", ())]

    assert agents(fresh()) == []
    made = fresh(enable_execute_command=True)
    agent = {"name": "ExecuteCommandAgent"}
    assert agents(made) == [agent | {"lastStatus": "PENDING"}] * 2
    web = ContainerReport(name="web", known_status="RUNNING", started_at=NOW + 1)
    running = apply_report(made, FACTS, report("RUNNING", containers=(web,)), NOW + 2).document
    assert agents(running) == [
        agent | {"lastStatus": "RUNNING", "lastStartedAt": NOW + 1},
        agent | {"lastStatus": "PENDING"},
    ]
    assert agents(made) == [agent | {"lastStatus": "PENDING"}] * 2, "what was stored is not touched"
    stopped = stop_without_host(made, HiddenFacts(), "TaskFailedToStart", "no addresses", NOW).document
    assert agents(stopped) == [agent | {"lastStatus": "STOPPED"}] * 2
