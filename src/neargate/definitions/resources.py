"""CPU and memory of a task and of its containers.

Owns the sums and AWS's words for them. Invariant: what passes can be reserved on a host as one number each.
"""

from ..model.errors import ClientError
from .reading import Document, invalid_setting
from .sizes import is_fargate_size, parse_cpu, parse_memory

# Below this a container's runtime itself does not fit (AWS: "do not specify less than 6 MiB").
CONTAINER_MEMORY_MIN_MIB = 6
# Bounds of the EC2 launch type, whose definitions are kept as data.
TASK_CPU_MIN_UNITS = 128
TASK_CPU_MAX_UNITS = 196608


def check_task_size(request: Document) -> None:
    """The text forms of the task's own cpu and memory, for every launch type."""
    if request.get("cpu") is not None:
        cpu = parse_cpu(request["cpu"])
        if cpu is None or not TASK_CPU_MIN_UNITS <= cpu <= TASK_CPU_MAX_UNITS:
            raise ClientError(
                "Invalid 'cpu' setting for task. "
                "For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
            )
    if request.get("memory") is not None and parse_memory(request["memory"]) is None:
        raise ClientError("Invalid 'memory' setting for task.")


def check_fargate_size(request: Document) -> None:
    for name in ("cpu", "memory"):
        if request.get(name) is None:
            raise ClientError(f"Fargate requires that '{name}' be defined at the task level.")
    cpu, memory = parse_cpu(request["cpu"]), parse_memory(request["memory"])
    if cpu is None or memory is None or not is_fargate_size(cpu, memory):
        raise ClientError("No Fargate configuration exists for given values.")


def check_container_resources(container: Document, task: Document) -> None:
    """One container's numbers against each other and against the task."""
    name = container["name"]
    if (container.get("cpu") or 0) < 0:
        raise invalid_setting(name, "cpu")
    memory, reservation = container.get("memory"), container.get("memoryReservation")
    for setting, value in (("memory", memory), ("memoryReservation", reservation)):
        if value is not None and value < CONTAINER_MEMORY_MIN_MIB:
            raise invalid_setting(name, setting)
    if memory is not None and reservation is not None and reservation > memory:
        raise ClientError(
            f"Invalid setting for container '{name}'. 'memoryReservation' must be less than or equal to 'memory'."
        )
    if task.get("memory") is None:
        if memory is None and reservation is None:
            raise ClientError(
                f"Invalid setting for container '{name}'. "
                "At least one of 'memory' or 'memoryReservation' must be specified."
            )
        return
    limit = parse_memory(task["memory"]) or 0
    for setting, value in (("memory", memory), ("memoryReservation", reservation)):
        if value is not None and value > limit:
            raise ClientError(f"The '{setting}' setting for container '{name}' is greater than for the task.")


def check_container_sums(task: Document) -> None:
    """What all containers reserve together must fit into the task, where the task says how big it is."""
    containers = task["containerDefinitions"]
    if task.get("cpu") is not None and sum(item.get("cpu") or 0 for item in containers) > (parse_cpu(task["cpu"]) or 0):
        raise ClientError("The sum of all container 'cpu' values cannot be greater than the task-level 'cpu' value.")
    # What is reserved counts, as AWS counts it: the soft limit where there is one, else the hard one.
    reserved = sum(item.get("memoryReservation") or item.get("memory") or 0 for item in containers)
    if task.get("memory") is not None and reserved > (parse_memory(task["memory"]) or 0):
        raise ClientError(
            "The sum of all container 'memory' values cannot be greater than the task-level 'memory' value."
        )
