"""Which files a task's definition gives its containers, and the memory that those with secrets take. Pure.

Owns their numbering, by which a next process of the agent finds them, and the count against the task's memory. Must not
know values. Invariant: the memory follows from the launch alone: what a secret is, its size included, changes nothing.
"""

from collections.abc import Mapping

from ..model.concealed import Concealed
from ..model.launch import ContainerLaunch, TaskLaunch

MIB = 1024 * 1024


class GivenFile(Concealed, frozen=True, kw_only=True):
    """`number`: its place among the files of its container. `secret_name`: whose value it is; empty: a plain text."""

    number: int
    path: str
    text: str
    secret_name: str = ""


def given_files(container: ContainerLaunch, values: Mapping[str, str]) -> tuple[GivenFile, ...]:
    """`values`: of the container's secrets, by name."""
    plain = [(file.path, file.text, "") for file in container.files]
    secret = [(path, values[item.name], item.name) for item in container.secrets for path in item.file_paths]
    return tuple(
        GivenFile(number=number, path=path, text=text, secret_name=name)
        for number, (path, text, name) in enumerate([*plain, *secret])
    )


def secret_files_mib(task: TaskLaunch, file_max_bytes: int) -> int:
    """What is held for them, in whole MiB; 0 for a task without."""
    count = sum(len(secret.file_paths) for container in task.containers for secret in container.secrets)
    return -(-count * file_max_bytes // MIB)
