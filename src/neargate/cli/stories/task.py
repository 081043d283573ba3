"""`neargate why`: the account of one task, for a person who is called at night. Pure: facts in, lines out.

Owns the words and their order: what was asked, where it was placed, its containers, what happened, where its start time
went, what to do next. Must not know how the facts are asked for. Nothing in it is guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Facts = Mapping[str, Any]

_REACHED = 0.98  # of a limit: the kernel kills a little before the last page
_UP = ("PROVISIONING", "PENDING", "ACTIVATING")
_DOWN = ("DEACTIVATING", "STOPPING", "DEPROVISIONING")


def story(facts: Facts, now: float, option: str = "") -> list[str]:
    """`facts`: the answer of the operator's request `why`, times in epoch seconds. `option` ends each command shown."""
    task = facts["task"]
    lines = [f"task {_short(task['taskArn'])} is {_headline(task, now)}", f"  {task['taskArn']}"]
    if task.get("stopCode"):
        lines.append(f"  stopped because: {task['stopCode']}: {task.get('stoppedReason', 'no reason was given')}")
    for title, part in (
        ("asked for", _asked(task)),
        ("who", _who(facts.get("calls") or [])),
        ("placed", _placed(facts)),
        ("retires", _retires(facts)),
        ("containers", [line for item in task.get("containers", []) for line in _container(item, facts)]),
        ("what happened (UTC)", _happened(facts["events"])),
        ("where its start went (ms)", _start(facts["stages_ms"])),
        ("last log lines", list(facts["last_lines"])),
        ("next step", [next_step(facts, option)]),
    ):
        if part:
            lines += ["", title, *(f"  {line}" for line in part)]
    return lines


def _headline(task: Facts, now: float) -> str:
    status = str(task["lastStatus"])
    since = {"RUNNING": "startedAt", "STOPPED": "stoppedAt"}.get(status, "createdAt")
    begun = task.get(since)
    if begun is None:
        text = status
    elif status == "STOPPED":
        text = f"STOPPED since {moment(begun)} ({span(now - begun)} ago)"
    else:
        text = f"{status} for {span(now - begun)}"
    return f"{text}, and is to stop" if task["desiredStatus"] == "STOPPED" and status != "STOPPED" else text


def _asked(task: Facts) -> list[str]:
    definition = str(task["taskDefinitionArn"]).rpartition("/")[2]
    by = f", started by {task['startedBy']}" if task.get("startedBy") else ""
    disk = task.get("ephemeralStorage", {}).get("sizeInGiB")
    return _columns(
        [
            ("definition", f"{definition} in cluster {str(task['clusterArn']).rpartition('/')[2]}"),
            ("size", f"{task['cpu']} CPU units, {task['memory']} MiB{f', {disk} GiB disk' if disk else ''}"),
            ("when", f"{moment(task['createdAt'])}{by}, group {task.get('group', '-')}"),
        ]
    )


def _who(calls: Sequence[Facts]) -> list[str]:
    """Nothing when the calls are no longer recorded."""
    verbs = {"RunTask": "run by", "StartTask": "started by", "StopTask": "stopped by"}
    return _columns(
        [(verbs[call["name"]], f"{call['by']} from {call['from']}, request {call['request_id']}") for call in calls]
    )


def _placed(facts: Facts) -> list[str]:
    """The interface as reserved; a task that never reached a host has none."""
    task, place = facts["task"], facts.get("placement") or {}
    rows = [("host", f"{facts['host']} in {task['availabilityZone']}" if facts["host"] else "none")]
    if place:
        rows.append(("address", _address(place)))
        rows.append(("subnet", f"{place['subnet']} ({place['subnet_cidr']}) of {place['vpc']}"))
        rows.append(("interface", f"{place['eni']}, {_attachment(task)}"))
        rows.append(("groups", ", ".join(place["groups"]) or "none"))
    return _columns(rows)


def _retires(facts: Facts) -> list[str]:
    """What is below the task is to go, and the task with it. A server of the release before does not say."""
    told, task = facts.get("retirement"), facts["task"]
    if not told or task["desiredStatus"] == "STOPPED":
        return []
    why = {"host": "its host is emptied", "machine": "its machine has another guest image or VMM than its host"}
    rows = [("since", f"{moment(told['noticed_at'])}: {why.get(told['cause'], told['cause'])}")]
    if _is_served(task):
        rows.append(("how", "another task of its service runs first, then it is stopped"))
    else:
        rows.append(("stopped", f"{moment(told['due_at'])} (fargateTaskRetirementWaitPeriod of its account)"))
    return _columns(rows)


def _is_served(task: Facts) -> bool:
    return str(task.get("group", "")).startswith("service:")


def _address(place: Facts) -> str:
    public = place.get("public_address")
    return f"{place['address']}, {f'public {public}' if public else 'no public address'}"


def _attachment(task: Facts) -> str:
    return next((str(item["status"]).lower() for item in task.get("attachments", [])), "not attached")


def _container(container: Facts, facts: Facts) -> Iterator[str]:
    ended = container.get("exitCode")
    health = container.get("healthStatus", "UNKNOWN")
    text = f"{container['name']}: {container.get('lastStatus')}"
    if ended is not None:
        text += f", exit code {ended}{_signal(ended)}"
    elif container.get("lastStatus") == "STOPPED":
        text += ", without an exit code"
    yield text if health == "UNKNOWN" else f"{text}, {health}"
    ordered = {item["name"]: item for item in (facts.get("placement") or {}).get("containers", [])}
    launch: Facts = ordered.get(container["name"], {})
    rows = [("image", str(container.get("image", launch.get("image", "-"))))]
    rows.append(("digest", str(container.get("imageDigest") or "not resolved")))
    if launch.get("log"):
        rows.append(("log", str(launch["log"])))
    if container.get("reason"):
        rows.append(("reason", str(container["reason"])))
    rows += _memory((facts.get("memory") or {}).get(container["name"]))
    if launch and not launch["essential"]:
        rows.append(("note", "not essential: the task goes on without it"))
    yield from (f"  {line}" for line in _columns(rows))


def _memory(counted: Facts | None) -> list[tuple[str, str]]:
    """Why the kernel killed it: which limit was reached, and the most that was in use up to then."""
    if counted is None:
        return []
    own, whole = counted["limit_bytes"], counted["task_limit_bytes"]
    if own and counted["peak_bytes"] >= own * _REACHED:
        limit = f"reached its own limit of {_mib(own)}"
    elif counted["task_peak_bytes"] >= whole * _REACHED:
        limit = f"the task reached its limit of {_mib(whole)}"
    else:
        limit = "the machine ran out of it, no limit of the task was reached"
    processes = "1 process" if counted["kills"] == 1 else f"{counted['kills']} processes"
    most = f"{_mib(counted['peak_bytes'])} in this container, {_mib(counted['task_peak_bytes'])} in the task"
    return [("memory", f"{limit}: the kernel killed {processes} of it"), ("at its most", most)]


def _mib(size_bytes: float) -> str:
    return f"{size_bytes / 1_048_576:.0f} MiB"


def _signal(code: int) -> str:
    return {137: " (SIGKILL)", 143: " (SIGTERM)", 139: " (SIGSEGV)", 134: " (SIGABRT)"}.get(code, "")


def _happened(events: Sequence[Facts]) -> list[str]:
    return [f"{_clock(event['at'])}  {event_text(event)}" for event in folded(events)]


def folded(events: Sequence[Facts]) -> list[Facts]:
    """Without those that show nothing new: a change inside a container is an event too, with the same status."""
    kept: list[Facts] = []
    for event in events:
        if not kept or event_text(event) != event_text(kept[-1]):
            kept.append(event)
    return kept


def event_text(event: Facts) -> str:
    text = str(event["lastStatus"])
    if event["desiredStatus"] != "RUNNING" and event["lastStatus"] in (*_UP, "RUNNING"):
        text += f", to stop: {event.get('stoppedReason', '')}"
    return text


def _start(spent: Mapping[str, float]) -> list[str]:
    """The chain of steps that the launch waited for and what lay between them add up to the whole; others overlap.

    As the agent names them: a plain name is a link of the chain, `stage.NAME` a step, `launch.whole` the sum, and any
    other name with a dot a detail of a step. A launch that failed has no chain.
    """
    chain = {name: value for name, value in spent.items() if "." not in name}
    beside = {name[6:]: value for name, value in spent.items() if name.startswith("stage.") and name[6:] not in chain}
    details = {n: value for n, value in spent.items() if "." in n and not n.startswith(("stage.", "launch."))}
    whole = spent.get("launch.whole")
    lines = [] if whole is None else [_row("whole launch", whole, 0)]
    if chain and whole is not None:
        chain["(between them)"] = max(0.0, whole - sum(chain.values()))
    for title, part in (
        ("it waited for", chain),
        ("beside these" if chain else "steps, side by side", beside),
        ("within them", {name.replace(".", ": "): value for name, value in details.items()}),
    ):
        if part:
            lines += [title, *(_row(name, value, 1) for name, value in part.items())]
    return lines


def _row(name: str, spent_ms: float, depth: int) -> str:
    return f"{'  ' * depth + name:<24}{spent_ms:10.1f}"


def next_step(facts: Facts, option: str = "") -> str:
    """One sentence: what a person does now."""
    task = facts["task"]
    short, status = f"{_short(task['taskArn'])[:8]}{option}", str(task["lastStatus"])
    if status == "RUNNING" and task["desiredStatus"] == "RUNNING":
        if _retires(facts) and not _is_served(task):
            return "run another one in its place before it is stopped, if it is still wanted then"
        return f"nothing: it runs; follow its output with: neargate logs {short} --follow"
    if status == "STOPPED":
        return _after_stop(task, facts.get("memory") or {}, short)
    if status == "DEACTIVATING":
        return (
            "wait: it is no target of load balancers any more, and is signalled when nothing of their clients is under "
            f"way; see again: neargate why {short}"
        )
    if task["desiredStatus"] == "STOPPED" or status in _DOWN:
        return f"wait: it stops, for as long as its containers' stopTimeout allows; see again: neargate why {short}"
    if status == "ACTIVATING":
        return f"wait: its containers run, and it becomes a target of load balancers; see again: neargate why {short}"
    if facts.get("waits_for"):
        spot = ", ".join(victim[:8] for victim in facts["waits_for"])
        return (
            f"wait: it gets the room of Spot tasks ({spot}) within their stopTimeout; see again: neargate why {short}"
        )
    if not facts.get("report_seq"):
        return f"wait: its host {facts['host']} has not taken it yet; is that connected? see: neargate status{option}"
    return f"wait: it is being started; see again: neargate why {short}"


def _after_stop(task: Facts, counted: Facts, short: str) -> str:
    """`counted`: memory of containers that were killed for want of it."""
    code, reason = task.get("stopCode", ""), str(task.get("stoppedReason", ""))
    if code == "TaskFailedToStart":
        return _after_failed_start(reason)
    if code == "EssentialContainerExited":
        return _after_exit(task, counted, short)
    if code == "InfrastructureHealth":
        return "the machine failed it, not the task: run it again; look at the machine with: neargate doctor"
    if code == "UserInitiated":
        return f"nothing: it was stopped on purpose; what it said last: neargate logs {short}"
    if code == "SpotInterruption":
        return f"run it again, on FARGATE if it must not be interrupted; what it said last: neargate logs {short}"
    return f"run it again if it is still wanted; what it said last: neargate logs {short}"


# In the words of sandbox/pull/failures.py; the first that is found counts.
_PULL_HINTS = (
    ("name resolution", "this machine cannot look the registry's name up: mend its DNS (getent hosts NAME)"),
    ("no such host", "no registry of this name is known to this machine: check the image's name"),
    (
        "is an address of this machine",
        "an account's image is named ACCOUNT.dkr.ecr.REGION.localhost:PORT/NAME in definitions; another registry here: "
        "neargate up --insecure-registries (README, Images)",
    ),
    ("connection refused", "nothing listens at the registry's address and port: start it, or check the port"),
    ("i/o timeout", "the registry's address does not answer: check the network and firewalls on the way"),
    ("unknown authority", "let this machine trust the registry's certificate (README, Images)"),
    ("gave HTTP response to HTTPS", "name it with neargate up --insecure-registries if plain HTTP is meant"),
    ("pull access denied", "check the image's name and the registry's credentials (README, Images)"),
    ("failed to authorize", "check the registry's credentials (README, Images)"),
    (
        "403 Forbidden",
        "an account's registry gives it where the execution role's policies and the repository's let the role pull; "
        "what was refused and why: neargate audit --since 1h",
    ),
    ("not found", "no image of this name and tag is in the registry: check both, or push it"),
)


_KEY_HINT = (
    "look at the KMS key that encrypts it: is it enabled, does its policy let the execution role kms:Decrypt "
    "(aws kms describe-key, get-key-policy; docs/secrets.md)"
)


def _after_failed_start(reason: str) -> str:
    hints = _PULL_HINTS if "CannotPullContainerError" in reason else ()
    for mark, text in (
        *hints,
        ("InsufficientFreeAddresses", "use another subnet, or stop tasks that hold addresses of this one"),
        ("ResourceNotFoundException", "create the log group, or set awslogs-create-group to true in the definition"),
        ("CannotPullContainerError", "check the image's name and tag, and the registry's credentials (README, Images)"),
        ("error preparing rootfs", "check the paths that the definition names against what the image has there"),
        (
            "failed to initialize logging driver",
            "the task must reach the collector: an address in its VPC, for the present, and no name (docs/logs.md)",
        ),
        ("CannotStartContainerError", "check command, entryPoint and user of the definition against the image"),
        ("CannotCreateContainerError", "check command, entryPoint and user of the definition against the image"),
        ("Access to KMS", _KEY_HINT),
        ("kms:Decrypt", _KEY_HINT),
        ("secrets from ssm", "check the parameter's name and that the execution role may read it (docs/secrets.md)"),
        ("secret from asm", "check the secret's ARN and that the execution role may read it (docs/secrets.md)"),
        ("ecr registry auth", "check that the execution role may pull from the registry"),
        ("refused the task", "the agent and the server may be of different releases: restart both"),
    ):
        if mark in reason:
            return f"{text}; then run it again"
    return "mend what the reason says and run it again; for the machine see: neargate doctor"


def _after_exit(task: Facts, counted: Facts, short: str) -> str:
    ended = [item for item in task.get("containers", []) if item.get("exitCode") is not None]
    killed = next((item["name"] for item in ended if "OutOfMemory" in str(item.get("reason", ""))), None)
    if killed is not None:
        own = (counted.get(killed) or {}).get("limit_bytes")
        what = f"{killed} more than {_mib(own)} of memory" if own else "the container or the task more memory"
        return f"give {what} in the definition and run it again"
    failed = next((item for item in ended if item["exitCode"] not in (0, 143)), None)
    if failed is None:
        return "nothing, if it was a job: it ended by itself without an error"
    name, code = failed["name"], failed["exitCode"]
    return f"read why {name} ended with {code}: neargate logs {short}"


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name:<11} {text}" for name, text in rows]


def _short(arn: str) -> str:
    return str(arn).rpartition("/")[2]


def span(seconds: float) -> str:
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
