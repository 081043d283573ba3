"""The namespaces that a task's processes are in from outside: its network's, and the users' that this belongs to.

Owns that they are made and go together, and whether new tasks get a namespace of users: where a trial with one of them
found nothing against it. Blocking. Must not know interfaces. Invariant: a network namespace that is there stays what it
is, so that a task keeps what it began with; its user namespace is whole before it.
"""

from collections.abc import Sequence
from pathlib import Path

from ..interfaces.hostnet import HostError
from ..model.host_ids import IDS, UserNamespace, given_away
from .namespaces import Namespaces, set_control
from .user_namespaces import UserNamespaces

GIVEN = (Path("/etc/subuid"), Path("/etc/subgid"))
TRIAL = "trial"  # the name of one for the time of a start; a task's is longer
NO_USERS_NOTE = "why-no-user-namespaces"  # in the network's run directory: `end_trial`
_PING_GROUPS, _NOBODY = "net.ipv4.ping_group_range", "1 0"


class TaskNamespaces:
    """`gives_users`: for those that are made from now on. `given`: files that say which ids the host's users have."""

    def __init__(self, namespaces: Namespaces, users: UserNamespaces, given: tuple[Path, ...] = GIVEN) -> None:
        self._given = given
        self._namespaces = namespaces
        self._users = users
        self.gives_users = False

    def ensure(self, name: str) -> bool:
        """True if it was made by this call."""
        if not self.gives_users:
            return self._namespaces.ensure(name)
        if self._namespaces.exists(name):
            return False
        self._make(name)
        return True

    def users_of(self, name: str) -> UserNamespace | None:
        return self._users.find(name)

    def begin_trial(self) -> tuple[UserNamespace, str]:
        """What a task would get, and the path of its network's namespace. Raises OSError, HostError."""
        for file in self._given:
            if file.exists() and (line := given_away(file.read_text(errors="replace"))):
                raise HostError(f"{file} gives ids of tasks to users: {line[:200]}")
        self.delete(TRIAL)
        self._make(TRIAL)
        made = self._users.find(TRIAL)
        if made is None:
            raise HostError("a user namespace does not last")
        return made, str(self._namespaces.path(TRIAL))

    def end_trial(self, reason: str | None, note: Path) -> None:
        """`reason`: what was found against it. `note`: a file that says so to others; empty: nothing."""
        self.delete(TRIAL)
        self.gives_users = reason is None
        note.write_text(reason or "")

    def set_controls(self, name: str, controls: Sequence[tuple[str, str]]) -> None:
        """In the calling thread's namespace, which is that of this name. Raises HostError."""
        users = self.users_of(name)
        for control, value in controls:
            set_control(control, value if users is None else seen_from_host(users, control, value))

    def delete(self, name: str) -> None:
        """After all that ran in it. May be repeated."""
        self._namespaces.delete(name)
        self._users.delete(name)

    def delete_strays(self, known: set[str]) -> None:
        """Namespaces of users that are none of these, and what was left of ranges."""
        for name in self._users.names():
            if name not in known:
                self._users.delete(name)
        self._users.sweep()

    def delete_all(self) -> None:
        """Networks', too, of whatever name."""
        for name in (*self._namespaces.names(), *self._users.names()):
            self.delete(name)
        self._users.sweep()

    def _make(self, name: str) -> None:
        with self._users.made(name) as network:
            self._namespaces.keep(name, network)


def seen_from_host(users: UserNamespace, control: str, value: str) -> str:
    """A kernel parameter as the host has to write it, so that the task has `value`: ids are its own."""
    words = value.split()
    if control != _PING_GROUPS or len(words) != 2 or not all(word.isdecimal() for word in words):
        return value
    low, high = (int(word) for word in words)
    if low > high or low >= IDS:
        return _NOBODY  # not the host's groups of these numbers, among which are those of tasks
    return f"{users.of_host(low)} {users.of_host(min(high, IDS - 1))}"
