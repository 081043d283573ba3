"""`neargate why SERVICE`: what the scheduler sees of a service and waits for, in one paragraph; how a task ended last.

Pure: from what the cell explains to lines.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .balancer import also
from .task import span

Facts = Mapping[str, Any]
TARGETS_SHOWN = 3

_FAILING = {
    "none": "have their health recorded in",
    "register": "be registered in",
    "drain": "be deregistered from",
    "leave": "be deregistered from",
    "signal": "be stopped after",
}


def service_story(facts: Facts, now: float, option: str = "") -> list[str]:
    """`facts`: as ServiceManager.explain_service gives them. `now`: epoch seconds. `option` ends commands shown."""
    service = facts["service"]
    cluster = service["clusterArn"].rpartition("/")[2]
    counts = f"wants {service['desiredCount']}, runs {service['runningCount']}, {service['pendingCount']} on their way"
    lines = [f"service {service['serviceName']} of cluster {cluster}: {service['status']}, {counts}."]
    lines += [_deployment(one) for one in service["deployments"]]
    lines += ["", " ".join(_waits(facts, now))]
    if facts.get("stopped"):
        lines += ["", *_stopped(facts["stopped"], now, option)]
    if service["events"]:
        lines += ["", f"last event: {service['events'][0]['message']}"]
    return [*lines, *also(facts, option)]


def _stopped(one: Facts, now: float, option: str) -> list[str]:
    """How a task of it ended last, in its own words."""
    when = "" if one["at"] is None else f" {span(now - one['at'])} ago"
    code = f"{one['code']}: " if one["code"] else ""
    lines = [f"last stopped task: {one['task']}{when}, {code}{one['reason'] or 'no reason was given'}"]
    for each in one["containers"]:
        words = [f"exit code {each['exitCode']}"] if "exitCode" in each else []
        words += [each["reason"]] if each.get("reason") else []
        if words:
            lines.append(f"  {each['name']}: {', '.join(words)}")
    return [*lines, f"  all of it: neargate why {one['task'][:8]}{option}"]


def _deployment(one: Facts) -> str:
    failed = f", {one['failedTasks']} failed" if one["failedTasks"] else ""
    return (
        f"  {one['status']} {one['id']}, {one['taskDefinition'].rpartition('/')[2]}: {one['rolloutState']}, "
        f"{one['runningCount']} of {one['desiredCount']} run{failed}"
    )


def _waits(facts: Facts, now: float) -> list[str]:
    """Sentences; at least one."""
    service = facts["service"]
    if service["status"] == "INACTIVE":
        return ["It was deleted and is over."]
    if service["status"] == "DRAINING":
        return [
            f"It was deleted, and waits for the end of its last {service['runningCount']} tasks.",
            *_targets(facts["targets"]),
            *_faults(facts["target_faults"]),
        ]
    if facts["is_steady"] and facts["target_faults"]:
        return ["It is steady.", *_faults(facts["target_faults"])]
    if facts["is_steady"]:
        return ["It is steady: it waits for nothing."]
    if service["deployments"] and service["deployments"][0]["rolloutState"] == "FAILED":
        return [_failed(service["deployments"][0])]
    found = []
    if facts["place_failures"]:
        soon = _in_s(facts["place_retry_at"], now)
        found.append(f"No place was found for a task, {facts['place_failures']} times in a row; {soon}.")
        found += _held_off(facts.get("held_off") or {})
    for ident, failures in facts["start_failures"].items():
        soon = _in_s(failures["retry_at"], now)
        found.append(f"Tasks of deployment {ident} could not start, {failures['rounds']} times in a row; {soon}.")
    if service["pendingCount"]:
        found.append(f"{service['pendingCount']} tasks are on their way to run.")
    if len(service["deployments"]) > 1:
        old = sum(one["runningCount"] for one in service["deployments"][1:])
        found.append(
            f"{old} tasks of earlier deployments run until the newest one has what it needs."
            if old
            else "No task of earlier deployments runs any more; they go when the last of theirs have stopped."
        )
    found += _targets(facts["targets"]) + _faults(facts["target_faults"])
    if facts["rebalancing"]:
        found.append("Its tasks are being spread over its zones anew.")
    found += _blocking(facts["blocking"], now)
    if not found:
        found.append("It waits until its running tasks count as healthy.")
    if facts["looked_at_in_s"] is not None:
        found.append(f"The scheduler looks again in {facts['looked_at_in_s']:.0f} s, or when something happens.")
    return found


def _blocking(facts: Facts, now: float) -> list[str]:
    found = []
    if facts["pauses_until"] is not None:
        soon = _in_s(facts["pauses_until"], now)
        found.append(f"A task of the newest deployment ran and ended before it was healthy; {soon}.")
    if facts["settling"]:
        rule = "as soon as its container's health check passes, or without one 40 s after it is RUNNING"
        found.append(f"{facts['settling']} tasks run and do not count as healthy yet: a task does {rule}.")
    if facts["unhealthy"]:
        found.append(f"{facts['unhealthy']} tasks failed a health check and go when others take their place.")
    if facts["leaving"]:
        found.append(f"{facts['leaving']} tasks were asked to stop and have not ended yet.")
    if facts["protected"]:
        until = _clock(facts["protected_until"])
        found.append(
            f"{facts['protected']} tasks would stop, but are protected from scale-in and deployments, the first of "
            f"them until {until}: aws ecs get-task-protection shows them."
        )
    if facts["is_stuck"]:
        found.append(
            "minimumHealthyPercent and maximumPercent leave no way: no task may stop, and there is no room to start "
            "one. Change one of them with aws ecs update-service."
        )
    return found


def _held_off(counts: Facts) -> list[str]:
    """Hosts that are there and may not be used: how many for each reason."""
    return [
        f"{counts[why]} of the hosts that are connected {text}."
        for why, text in (
            ("accounts", "have tasks of another account, which this one shares no kernel with (neargate hosts)"),
            ("tasks", "have their one task (--tenancy one-task)"),
            ("kernels", "give tasks no kernel of their own, which this one asks for (--sandbox microvm)"),
        )
        if counts.get(why)
    ]


def _targets(targets: list[Facts]) -> list[str]:
    """One sentence for each group, state and reason; those that are not well by their addresses."""
    counts = Counter((one["group"].split("/")[-2], one["state"], one["reason"]) for one in targets)
    found = []
    for (group, state, reason), count in sorted(counts.items()):
        if state == "DRAINING":
            end = "are no targets of {} any more, and wait until nothing of their clients is under way."
            found.append(f"{count} tasks {end.format(group)}")
            continue
        why = f": {reason}" if reason else ""
        named = f" ({_whose(targets, group, state, reason)})" if state in ("UNHEALTHY", "UNUSED") else ""
        found.append(f"{count} tasks wait for target group {group}, where they are {state.lower()}{named}{why}.")
    return found


def _faults(faults: list[Facts]) -> list[str]:
    """One sentence for each step and error."""
    by_cause: dict[tuple[str, str, str], list[Facts]] = {}
    for one in faults:
        by_cause.setdefault((one["group"].split("/")[-2], _FAILING[one["step"]], one["error"]), []).append(one)
    return [
        f"{len(some)} tasks cannot {what} target group {group} ({error}), tried {max(one['times'] for one in some)} "
        f"times; the next attempt is in {min(one['retry_in_s'] for one in some):.0f} s."
        for (group, what, error), some in sorted(by_cause.items())
    ]


def _whose(targets: list[Facts], group: str, state: str, reason: str) -> str:
    wanted = (group, state, reason)
    found = [one for one in targets if (one["group"].split("/")[-2], one["state"], one["reason"]) == wanted]
    more = f" and {len(found) - TARGETS_SHOWN} more" if len(found) > TARGETS_SHOWN else ""
    return ", ".join(f"{one['target']} of task {one['task'][:8]}" for one in found[:TARGETS_SHOWN]) + more


def _failed(newest: Facts) -> str:
    reason = newest.get("rolloutStateReason") or "it failed."
    return (
        f"Its newest deployment is over: {reason} It starts no more tasks, and nothing was completed before that it "
        "could roll back to. Update the service: to another task definition, or with --force-new-deployment."
    )


def _in_s(moment: float | None, now: float) -> str:
    left_s = 0.0 if moment is None else max(moment - now, 0.0)
    return f"the next attempt is in {left_s:.0f} s, at {_clock(now + left_s)}"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S UTC")
