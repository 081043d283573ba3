"""What the command makes of EC2's answers, which come in pages: the same as the model of the whole region."""

import json
from typing import Any

import pytest

from neargate.cli import path_model
from neargate.cli.desks import path as path_desk
from neargate.cli.problems import Problem
from neargate.testing.vpc_regions.setups import OUTSIDE, private_tasks
from neargate.tracing.description import described
from neargate.tracing.flows import Flow
from neargate.tracing.model import ask as ask_model

Members = dict[str, Any]


class Network:
    """EC2 of one region, which gives one object at a time; `asked`: operations, in order."""

    def __init__(self, region: Members) -> None:
        lists = {"PrefixLists": "ManagedPrefixLists"}
        self._objects = {
            operation: region.get(lists.get(member, member), []) for operation, member in path_model.LISTS.items()
        }
        self.asked: list[str] = []

    def __call__(self, operation: str, params: Members) -> Members:
        self.asked.append(operation)
        if operation == "DescribeVpcAttribute":
            return {"EnableDnsSupport": {"Value": True}}
        first = int(params.get("NextToken", 0))
        member = path_model.LISTS[operation]
        answer: Members = {member: self._objects[operation][first : first + 1]}
        if len(self._objects[operation]) > first + 1:
            answer["NextToken"] = str(first + 1)
        return dict(json.loads(json.dumps(answer)))


def begun(region: Members, interface: str = "") -> Members:
    sender = interface or region["NetworkInterfaces"][0]["NetworkInterfaceId"]
    return {"task": "0a", "account": "123456789012", "interface": sender, "endpoint_port": 4566}


def test_all_pages_are_asked_for_and_the_models_word_is_told() -> None:
    region = private_tasks()
    network = Network(region)
    found = path_model.traced(network, begun(region), OUTSIDE, 443, "tcp")
    sender = region["NetworkInterfaces"][0]["NetworkInterfaceId"]
    word = ask_model(described(region), Flow(sender=sender, to=OUTSIDE, protocol=6, port=443))
    assert (found["delivered"], found["source"], found["reply"]) == (word.delivered, word.source, word.reply)
    assert [step["ids"] for step in found["path"]] == [list(step.object_ids) for step in word.path]
    assert network.asked.count("DescribeNetworkInterfaces") == len(region["NetworkInterfaces"]) == 3


def test_the_server_answers_all_that_is_asked() -> None:
    assert {*path_model.LISTS, "DescribeVpcAttribute", "GetManagedPrefixListEntries"} == path_desk.READS


@pytest.mark.parametrize(
    ("address", "port", "protocol", "problem"),
    [
        ("here", 80, "tcp", "is no address"),
        (OUTSIDE, 80, "sctp", "none of tcp, udp, icmp"),
        (OUTSIDE, 0, "tcp", "write the port"),
    ],
)
def test_what_cannot_be_asked(address: str, port: int, protocol: str, problem: str) -> None:
    region = private_tasks()
    with pytest.raises(Problem, match=problem):
        path_model.traced(Network(region), begun(region), address, port, protocol)


def test_a_task_that_is_gone() -> None:
    region = private_tasks()
    with pytest.raises(Problem, match="of task 0a is gone"):
        path_model.traced(Network(region), begun(region, "eni-none"), OUTSIDE, 443, "tcp")
