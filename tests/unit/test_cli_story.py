"""`neargate why`: the whole account of tasks that run, fail, are lost and are waited for, as its reader sees it."""

from typing import Any

import pytest

from neargate.cli.stories.task import folded, next_step, story

ID = "0123456789abcdef0123456789abcdef"
AT = 1_770_000_000.0


def event(status: str, at: float, **changes: Any) -> dict[str, Any]:
    return {"lastStatus": status, "desiredStatus": "RUNNING", "at": AT + at, **changes}


def facts(**task: Any) -> dict[str, Any]:
    web = {
        "name": "web",
        "image": "registry.example/web:1",
        "imageDigest": "sha256:aa",
        "lastStatus": "RUNNING",
        "healthStatus": "HEALTHY",
    }
    document = {
        "taskArn": f"arn:aws:ecs:us-east-1:123456789012:task/default/{ID}",
        "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/web:3",
        "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/default",
        "availabilityZone": "us-east-1a",
        "cpu": "256",
        "memory": "512",
        "ephemeralStorage": {"sizeInGiB": 20},
        "group": "family:web",
        "startedBy": "me",
        "createdAt": AT,
        "startedAt": AT + 1,
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "attachments": [{"status": "ATTACHED"}],
        "containers": [web],
        **task,
    }
    return {
        "task": document,
        "host": "h-1",
        "report_seq": 7,
        "events": [event("PROVISIONING", 0.0), event("PROVISIONING", 0.01), event("RUNNING", 1.0)],
        "stages_ms": {
            "image": 50.0,
            "containers": 10.5,
            "stage.cgroup": 1.0,
            "stage.image": 50.0,
            "containers.start": 9.0,
            "stage.containers": 10.5,
            "launch.whole": 61.0,
        },
        "last_lines": ["ready"],
        "placement": {
            "eni": "eni-1",
            "address": "172.31.0.5",
            "public_address": "198.18.0.1",
            "subnet": "subnet-1",
            "subnet_cidr": "172.31.0.0/20",
            "vpc": "vpc-1",
            "groups": ["sg-1", "sg-2"],
            "containers": [{"name": "web", "image": "registry.example/web:1", "essential": True, "log": "/web s"}],
        },
    }


def test_the_account_of_a_task_that_runs() -> None:
    assert "\n".join(story(facts(), AT + 181, " --data /d")) == (
        f"""task {ID} is RUNNING for 3 min
  arn:aws:ecs:us-east-1:123456789012:task/default/{ID}

asked for
  definition  web:3 in cluster default
  size        256 CPU units, 512 MiB, 20 GiB disk
  when        2026-02-02 02:40:00 UTC, started by me, group family:web

placed
  host        h-1 in us-east-1a
  address     172.31.0.5, public 198.18.0.1
  subnet      subnet-1 (172.31.0.0/20) of vpc-1
  interface   eni-1, attached
  groups      sg-1, sg-2

containers
  web: RUNNING, HEALTHY
    image       registry.example/web:1
    digest      sha256:aa
    log         /web s

what happened (UTC)
  02:40:00.000  PROVISIONING
  02:40:01.000  RUNNING

where its start went (ms)
  whole launch                  61.0
  it waited for
    image                       50.0
    containers                  10.5
    (between them)               0.5
  beside these
    cgroup                       1.0
  within them
    containers: start            9.0

last log lines
  ready

next step
  nothing: it runs; follow its output with: neargate logs 01234567 --data /d --follow"""
    )


def stopped(code: str, why: str, **container: Any) -> dict[str, Any]:
    web = {"name": "web", "image": "i", "lastStatus": "STOPPED", **container}
    return facts(
        lastStatus="STOPPED",
        desiredStatus="STOPPED",
        stopCode=code,
        stoppedReason=why,
        stoppedAt=AT + 5,
        containers=[web],
    )


def test_a_task_that_ended_says_when_why_and_how_its_containers_did() -> None:
    ended = stopped(
        "EssentialContainerExited", "Essential container in task exited", exitCode=137, reason="Out of luck"
    )
    lines = story(ended, AT + 10)
    assert lines[0] == f"task {ID} is STOPPED since 2026-02-02 02:40:05 UTC (5 s ago)"
    assert "  stopped because: EssentialContainerExited: Essential container in task exited" in lines
    assert "  web: STOPPED, exit code 137 (SIGKILL)" in lines
    assert "    reason      Out of luck" in lines and "    digest      not resolved" in lines
    lost = story(stopped("InfrastructureHealth", "The machine that ran this task was restarted"), AT + 10)
    assert "  web: STOPPED, without an exit code" in lost


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (facts(lastStatus="PENDING"), "being started"),
        ({**facts(lastStatus="PROVISIONING"), "report_seq": 0}, "has not taken it yet"),
        (facts(desiredStatus="STOPPED"), "wait: it stops"),
        (facts(lastStatus="DEPROVISIONING", desiredStatus="STOPPED"), "wait: it stops"),
        (stopped("UserInitiated", "x"), "on purpose"),
        (stopped("InfrastructureHealth", "x"), "neargate doctor"),
        (stopped("EssentialContainerExited", "x", exitCode=0), "a job"),
        (stopped("EssentialContainerExited", "x", exitCode=1), "read why web ended with 1: neargate logs 01234567"),
        (stopped("EssentialContainerExited", "x", exitCode=137, reason="OutOfMemoryError: y"), "more memory"),
        (stopped("TaskFailedToStart", "CannotPullContainerError: no such tag"), "image's name and tag"),
        (stopped("TaskFailedToStart", "... ResourceNotFoundException ..."), "awslogs-create-group"),
        (stopped("TaskFailedToStart", "InsufficientFreeAddressesInSubnet"), "another subnet"),
        (stopped("TaskFailedToStart", "x: unable to retrieve secrets from ssm: y"), "the parameter's name"),
        (stopped("TaskFailedToStart", "x: unable to retrieve secret from asm: y"), "the secret's ARN"),
        (stopped("TaskFailedToStart", "x: unable to retrieve ecr registry auth: y"), "may pull from the registry"),
        (
            stopped("TaskFailedToStart", "x: unable to retrieve secret from asm: y: Access to KMS is not allowed"),
            "KMS key that encrypts it",
        ),
        (stopped("TaskFailedToStart", "CannotPullContainerError: z: 403 Forbidden"), "neargate audit"),
        (stopped("TaskFailedToStart", "CannotStartContainerError: error preparing rootfs: /bin"), "what the image has"),
        (stopped("TaskFailedToStart", "x: failed to initialize logging driver: y"), "reach the collector"),
        (stopped("TaskFailedToStart", "something"), "neargate doctor"),
        (stopped("SpotInterruption", "x"), "run it again, on FARGATE if it must not be interrupted"),
        ({**facts(lastStatus="PROVISIONING"), "waits_for": ["ab" * 16]}, "the room of Spot tasks (abababab)"),
    ],
)
def test_the_next_step_is_one_sentence_for_each_case(told: dict[str, Any], words: str) -> None:
    assert words in next_step(told) and "\n" not in next_step(told)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("dial tcp: lookup r.example: Temporary failure in name resolution", "mend its DNS"),
        ("dial tcp: lookup r.example: no such host", "no registry of this name"),
        ("dial tcp 10.0.0.1:443: connect: connection refused", "nothing listens"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "does not answer"),
        ("dial tcp 127.0.0.1:1: connect: not tried: it is an address of this machine, and", "--insecure-registries"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "trust the registry"),
        ("http: server gave HTTP response to HTTPS client", "if plain HTTP is meant"),
        (
            "pull access denied, repository does not exist or may require authorization: x",
            "credentials (README, Images)",
        ),
        ("failed to authorize: failed to fetch oauth token", "credentials (README, Images)"),
        ("r.example/web:2: not found", "check both, or push it"),
        ("something else", "name and tag, and the registry's credentials"),
    ],
)
def test_what_to_do_about_an_image_that_was_not_pulled(cause: str, words: str) -> None:
    reason = f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref: {cause}"
    assert words in next_step(stopped("TaskFailedToStart", reason))


def test_other_failures_are_not_taken_for_a_registrys() -> None:
    reason = "CannotStartContainerError: exec: no such file or directory: not found"
    assert "check command, entryPoint and user" in next_step(stopped("TaskFailedToStart", reason))


def test_an_event_that_shows_nothing_new_is_folded_and_one_that_does_is_not() -> None:
    asked = {"desiredStatus": "STOPPED", "stoppedReason": "bye"}
    events = [
        event("PROVISIONING", 0),
        event("PROVISIONING", 1),
        event("RUNNING", 2),
        event("RUNNING", 3, **asked),
        event("STOPPING", 4, **asked),
        event("STOPPING", 5, **asked),
        event("STOPPED", 6, **asked),
    ]
    kept = folded(events)
    assert [item["at"] - AT for item in kept] == [0, 2, 3, 4, 6], "the first of each, when it began"


def test_a_task_that_never_had_an_interface_is_told_too() -> None:
    told = stopped("TaskFailedToStart", "Unexpected EC2 error: InsufficientFreeAddressesInSubnet")
    told.update(placement=None, host="", stages_ms={}, last_lines=[], events=[])
    lines = story(told, AT + 10)
    assert "  host        none" in lines
    assert not any(title in line for line in lines for title in ("what happened", "where its start", "last log"))


def test_a_launch_that_failed_shows_its_steps_without_a_chain() -> None:
    lines = story({**facts(), "stages_ms": {"stage.image": 3.0}}, AT + 2)
    at = lines.index("where its start went (ms)")
    assert lines[at + 1 : at + 3] == ["  steps, side by side", "    image                        3.0"]
    assert not any("waited for" in line or "whole" in line for line in lines)


def test_who_ran_and_who_stopped_it() -> None:
    calls = [
        {"name": "RunTask", "by": "arn:aws:iam::1:user/ann", "from": "192.0.2.7", "request_id": "r-1"},
        {"name": "StopTask", "by": "arn:aws:sts::1:assumed-role/ci/run", "from": "192.0.2.8", "request_id": "r-2"},
    ]
    lines = story({**facts(), "calls": calls}, AT + 60)
    at = lines.index("who")
    assert [" ".join(line.split()) for line in lines[at + 1 : at + 3]] == [
        "run by arn:aws:iam::1:user/ann from 192.0.2.7, request r-1",
        "stopped by arn:aws:sts::1:assumed-role/ci/run from 192.0.2.8, request r-2",
    ]
    assert "who" not in story({**facts(), "calls": []}, AT + 60)


@pytest.mark.parametrize(
    ("counted", "row", "step"),
    [
        (
            {},
            "reached its own limit of 64 MiB: the kernel killed 1 process of it",
            "give web more than 64 MiB of memory",
        ),
        (
            {"kills": 3, "peak_bytes": 63 << 20},
            "reached its own limit of 64 MiB: the kernel killed 3 processes of it",
            "",
        ),
        (
            {"limit_bytes": 0, "task_peak_bytes": 512 << 20},
            "the task reached its limit of 512 MiB: the kernel killed 1 process of it",
            "give the container or the task more memory",
        ),
        (
            {"peak_bytes": 8 << 20},
            "the machine ran out of it, no limit of the task was reached: the kernel killed 1 process of it",
            "",
        ),
    ],
)
def test_a_container_that_ran_out_of_memory_shows_what_the_kernel_counted(
    counted: dict[str, int], row: str, step: str
) -> None:
    memory = {
        "kills": 1,
        "peak_bytes": 64 << 20,
        "limit_bytes": 64 << 20,
        "task_peak_bytes": 70 << 20,
        "task_limit_bytes": 512 << 20,
    }
    ended = stopped("EssentialContainerExited", "x", exitCode=137, reason="OutOfMemoryError: y")
    told = {**ended, "memory": {"web": memory | counted}}
    lines = story(told, AT + 10)
    assert f"    memory      {row}" in lines
    at = lines.index(f"    memory      {row}")
    own, whole = ((memory | counted)[name] >> 20 for name in ("peak_bytes", "task_peak_bytes"))
    assert lines[at + 1] == f"    at its most {own} MiB in this container, {whole} MiB in the task"
    assert step in next_step(told)
    assert not [line for line in story(ended, AT + 10) if "at its most" in line]


def test_a_task_that_is_to_go_says_why_when_and_what_comes_after_it() -> None:
    alone = facts()
    alone["retirement"] = {"noticed_at": AT, "due_at": AT + 7 * 86_400, "cause": "host"}
    told = "\n".join(story(alone, AT + 5))
    assert "since       2026-02-02 02:40:00 UTC: its host is emptied" in told
    assert "stopped     2026-02-09 02:40:00 UTC (fargateTaskRetirementWaitPeriod of its account)" in told
    assert next_step(alone) == "run another one in its place before it is stopped, if it is still wanted then"
    served = facts(group="service:web")
    served["retirement"] = {**alone["retirement"], "cause": "machine"}
    told = "\n".join(story(served, AT + 5))
    assert "its machine has another guest image or VMM than its host" in told
    assert "another task of its service runs first, then it is stopped" in told
    assert next_step(served).startswith("nothing: it runs")
    served["task"]["desiredStatus"] = "STOPPED"
    assert "retires" not in "\n".join(story(served, AT + 5))
