"""What users read: the texts of service events, of rollout states and of stopped tasks, as AWS writes them.

Owns the words, and which of them are not repeated. Scripts match these sentences, so they are AWS's to the letter,
plurals and missing full stops included (taken from events of real services).
"""

from collections.abc import Mapping, Sequence

from ...model.knobs import Knobs

TASK_FAILED_CONTAINER_CHECKS = "Task failed container health checks"
MAINTENANCE = "ECS is performing maintenance on the underlying infrastructure hosting the task"
BREAKER_TRIPPED = "ECS deployment circuit breaker: tasks failed to start."

_NOT_REGISTERED = "failed to register targets in"
_HEALTH_STOPS = ("Task failed container health checks", "Task failed ELB health checks")


# stoppedReason of tasks
def scaling_activity(deployment_id: str) -> str:
    return f"Scaling activity initiated by (deployment {deployment_id})"


def maintenance(name: str) -> str:
    """Of a service's task that retires; of any other it is MAINTENANCE alone."""
    return f"Service {name}: {MAINTENANCE}"


def failed_target_checks(target_group: str | None) -> str:
    return "Task failed ELB health checks" + (f" in (target-group {target_group})" if target_group else "")


def is_health_stop(stopped_reason: str | None) -> bool:
    return (stopped_reason or "").startswith(_HEALTH_STOPS)


# rolloutStateReason of deployments
def in_progress(deployment_id: str) -> str:
    return f"ECS deployment {deployment_id} in progress."


def completed(deployment_id: str) -> str:
    return f"ECS deployment {deployment_id} completed."


def rolling_back_reason(deployment_id: str) -> str:
    return f"ECS deployment circuit breaker: rolling back to deploymentId {deployment_id}."


# events of services
def started(name: str, task_ids: Sequence[str], replaced: int = 0, zone: str | None = None) -> str:
    """`replaced`: how many of them take the place of unhealthy ones. `zone`: they are there for its sake."""
    where = f" in {zone} to AZ Rebalance" if zone else ""
    why = f" Amazon ECS replaced {replaced} tasks due to an unhealthy status." if replaced else ""
    return f"(service {name}) has started {len(task_ids)} tasks{where}: {_tasks(task_ids)}.{why}"


def stopped(name: str, task_ids: Sequence[str]) -> str:
    return f"(service {name}) has stopped {len(task_ids)} running tasks: {_tasks(task_ids)}."


def stopped_for_balance(name: str, zone: str, task_ids: Sequence[str]) -> str:
    return (
        f"(service {name}) has stopped {len(task_ids)} running tasks in {zone} due to AZ rebalancing: "
        f"{_tasks(task_ids)}."
    )


def stopped_pending(name: str, count: int) -> str:
    return f"(service {name}) stopped {count} pending tasks."


def failed_container_checks(name: str, task_id: str) -> str:
    return f"(service {name}) (task {task_id}) failed container health checks."


def failed_target_check(name: str, task_id: str, port: int, group: str | None, reason: str) -> str:
    return f"(service {name}) (task {task_id}) {_unhealthy(port, group, reason)}"


def unused_targets(name: str, port: int, group: str | None, reason: str) -> str:
    """Of all of its tasks: nothing asks them whether they are healthy."""
    return f"(service {name}) {_unhealthy(port, group, reason)}"


def _unhealthy(port: int, group: str | None, reason: str) -> str:
    return f"(port {port}) is unhealthy in (target-group {group}) due to (reason {reason})."


def registered(name: str, group: str, count: int) -> str:
    return f"(service {name}) registered {count} targets in (target-group {group})"


def deregistered(name: str, group: str, count: int) -> str:
    return f"(service {name}) deregistered {count} targets in (target-group {group})"


def draining(name: str, deployment_id: str, count: int) -> str:
    return f"(service {name}, taskSet {deployment_id}) has begun draining connections on {count} tasks."


def not_registered(group: str) -> str:
    """Why a task could not start; told of its service, it is an event."""
    return f"{_NOT_REGISTERED} (target-group {group}) with (error One or more target groups not found)"


def step_failed(name: str, group: str, error: str, *, is_registering: bool) -> str:
    """A target that cannot be made one, or none any more, again and again."""
    what = "register targets in" if is_registering else "deregister targets in"
    return f"(service {name}) failed to {what} (target-group {group}) with (error {error})"


def not_started(name: str, reason: str) -> str:
    return f"(service {name}) {reason}" if reason.startswith(_NOT_REGISTERED) else not_placed(name, reason)


def not_placed(name: str, reason: str) -> str:
    return f"(service {name}) was unable to place a task. Reason: {reason.rstrip('.')}."


def throttled(name: str) -> str:
    """The account's launch rate is used up."""
    return f"(service {name}) operations are being throttled. Will try again later."


def impaired(name: str) -> str:
    return f"(service {name}) is unable to consistently start tasks successfully."


def steady(name: str) -> str:
    return f"(service {name}) has reached a steady state."


def deployment_completed(name: str, deployment_id: str) -> str:
    return f"(service {name}) (deployment {deployment_id}) deployment completed."


def deployment_failed(name: str, deployment_id: str) -> str:
    return f"(service {name}) (deployment {deployment_id}) deployment failed: tasks failed to start."


def rolling_back(name: str, deployment_id: str) -> str:
    return f"(service {name}) rolling back to deployment {deployment_id}."


def no_way(name: str) -> str:
    return (
        f"(service {name}) was unable to stop or start tasks during a deployment because of the service deployment "
        "configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
    )


def protected(name: str, deployment_id: str, count: int) -> str:
    return (
        f"(service {name}) was unable to reach steady state because (taskSet {deployment_id}) was unable to scale in "
        f"due to (reason {count} tasks under protection)"
    )


def not_balanced(name: str, counts: Mapping[str, int]) -> str:
    return f"(service {name}) is not AZ balanced with {_zones(counts)}. AZ Rebalancing in progress."


def balanced(name: str, counts: Mapping[str, int]) -> str:
    return f"(service {name}) is AZ balanced with {_zones(counts)}."


class Teller:
    """The events of one plan, in their order, and what is remembered of those that are not repeated."""

    def __init__(self, name: str, told: Mapping[str, float], now: float, knobs: Knobs) -> None:
        self.name = name
        self.events: list[str] = []
        self.told = told
        self._now = now
        self._knobs = knobs

    def say(self, message: str) -> None:
        self.events.append(message)

    def complain(self, message: str) -> None:
        """Of trouble: not if the same was told within the last hours, and its cause was there since. Of too many kinds
        of trouble the oldest is forgotten."""
        before = self.told.get(message)
        if before is not None and self._now < before + self._knobs.service_event_repeat_s:
            return
        self.say(message)
        horizon = self._now - self._knobs.service_event_repeat_s
        kept = [(at, text) for text, at in self.told.items() if at > horizon and text != message]
        newest = sorted(kept)[-(self._knobs.service_told_max - 1) :]
        self.told = {**{text: at for at, text in newest}, message: self._now}

    def forgive(self) -> None:
        """The service is steady: the causes are gone."""
        if self.told:
            self.told = {}


def _tasks(task_ids: Sequence[str]) -> str:
    return " ".join(f"(task {task_id})" for task_id in task_ids)


def _zones(counts: Mapping[str, int]) -> str:
    fullest_first = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} tasks in {zone}" for zone, count in fullest_first)
