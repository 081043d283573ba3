"""The whole path once: what a user of AWS does first, with the aws CLI and with boto3, on a real region."""

import json
import urllib.request

from .region import LiveRegion, wait_for


def test_the_sample_works_with_the_aws_cli(region: LiveRegion) -> None:
    shown = region.command("sample").stdout
    assert "Hello from a Neargate task" in shown
    assert "The sample works." in shown


def test_a_task_runs_answers_logs_and_stops(region: LiveRegion) -> None:
    vpc = region.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = region.ec2.create_security_group(GroupName="first-task", Description="web", VpcId=vpc)["GroupId"]
    region.ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0"
    )
    definition = region.register(
        {"image": f"{region.registry}/sample:1", "logConfiguration": region.log_config("/test/first")}
    )
    arn = region.run(definition, public=True, groups=(group,))
    task = region.wait_status(arn, "RUNNING")
    assert task["containers"][0]["imageDigest"].startswith("sha256:")
    details = {item["name"]: item["value"] for item in task["attachments"][0]["details"]}
    interface = region.ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])[
        "NetworkInterfaces"
    ][0]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    address = interface["Association"]["PublicIp"]

    def page() -> str | None:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return None

    assert "Hello from a Neargate task" in wait_for("the page", page)
    region.stop(arn)
    stopped = region.wait_status(arn, "STOPPED")
    assert stopped["stopCode"] == "UserInitiated"
    assert stopped["stoppedReason"] == "Task stopped by user"
    stream = f"t/c0/{arn.rpartition('/')[2]}"
    events = region.logs.get_log_events(logGroupName="/test/first", logStreamName=stream, startFromHead=True)["events"]
    assert any("ready" in event["message"] for event in events)


def test_waiters_and_status_commands(region: LiveRegion) -> None:
    arn = region.run(region.register({"command": ["sh", "-c", "echo hello; sleep 1"]}))
    region.ecs.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    task = region.task(arn)
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["containers"][0]["exitCode"] == 0
    story = region.command("why", arn).stdout
    assert "EssentialContainerExited" in story
    assert "PROVISIONING" in story
    assert "connected" in region.command("status").stdout


def test_the_aws_command_passes_the_endpoint(region: LiveRegion) -> None:
    said = region.command("aws", "sts", "get-caller-identity").stdout
    assert json.loads(said)["Account"] == "123456789012"
