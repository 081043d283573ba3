"""What can be told of a region while its server does not run or answer: its processes, the agent's tasks, what to type.

Reads pid files and asks the agent. Must not start or stop anything.
"""

from typing import Any

from . import locks, processes
from .admin import NotThere, Silent, exchange
from .paths import RegionPaths

PROCESSES = ("server", "agent", "containerd", "images")
TASKS_SHOWN = 10
ASK_S = 3.0


def account(paths: RegionPaths, task: str = "") -> str:
    """Lines to go beneath the sentence that says that no server answers. `task`: only those that begin with it."""
    found = {name: processes.find(paths.pid_file(name)) for name in PROCESSES}
    running = [f"{name} (pid {process.pid})" for name, process in found.items() if process is not None]
    lines = [f"running: {', '.join(running) or 'nothing'}"]
    watched = locks.is_taken(paths.up_lock)
    if watched:
        lines.append("neargate up watches over it and starts what has ended")
    if found["agent"] is not None:
        lines += _tasks(paths, task)
    if running:
        option = paths.as_option
        if not watched:
            lines.append(f"take over what runs: neargate up{option}")
        lines.append(f"stop everything: neargate down{option}; if the API cannot start: neargate down --force{option}")
    return "\n".join(f"  {line}" for line in lines)


def _tasks(paths: RegionPaths, task: str) -> list[str]:
    """Of the agent, which knows what it holds; its own words, since nothing else is there to ask."""
    begins = task.rpartition("/")[2]
    try:
        answer = exchange(paths.agent_socket, {"request": "tasks", "task": begins}, ASK_S)
    except NotThere:
        return []
    except Silent:
        return [f"the agent does not answer; its log: {paths.log_file('agent')}"]
    if not answer.get("ready"):
        return ["the agent still looks for the tasks it held before"]
    count, shown = int(answer["count"]), answer["tasks"][:TASKS_SHOWN]
    lines = [f"the agent holds {count} task{'s' if count != 1 else ''}{f' that begin with {begins}' if begins else ''}"]
    lines += [f"  {_row(item)}" for item in shown]
    return [*lines, f"  ... and {count - len(shown)} more"] if count > len(shown) else lines


def _row(task: dict[str, Any]) -> str:
    text = f"{task['id']}  {task['definition']}  {task['status']}  {task['address'] or '-'}"
    if task["stop_code"]:
        text += f"  {task['stop_code']}: {task['stopped_reason']}"
    ended = [
        f"{item['name']} ended with {item['exit_code']}" for item in task["containers"] if item["exit_code"] is not None
    ]
    return f"{text}  ({', '.join(ended)})" if ended else text
