"""What a machine's tasks have of their roles: asked for as their containers ask, opened as the region opens it.

Owns the invariant's two halves. No task ever gets what was issued to another one. A task that runs and has a role has
credentials that are not over, unless its host was away from the server for longer than it had them then: they are
renewed at half of their life. Must not know how an agent keeps or renews them.
"""

from collections.abc import Callable, Mapping

import msgspec

from ...agent.agent import Agent
from ...agent.metadata.endpoint import Reply
from ...agent.task_record import Phase
from ...frontend.callers.sessions import Sessions
from ...frontend.envelope import Envelope
from ...model.knobs import Knobs
from ...model.lifecycle import DesiredStatus
from ...model.network import Eni
from .checkers import Checkers
from .net import Net
from .region import MASTER_KEY, REGION, SERVER, at_once
from .sim import Sim
from .workload import TASK_ROLES
from .world import EPOCH, SimWorld

_TIMERS_S = 2.5  # an agent looks at its timers once a second; a ping and its answer are quick
_ANSWERED_S = 1.0


class Contact:
    """How long a host has been away from the server, judged by answered pings. `look` is to be called often.

    `hinders`: whether something that pings do not notice keeps the server from answering this host.
    """

    def __init__(self, sim: Sim, net: Net, hinders: Callable[[str], bool], knobs: Knobs, host_id: str) -> None:
        self._sim = sim
        self._path = net.path(host_id)
        self._hinders = hinders
        self._host_id = host_id
        self.unnoticed_s = min(knobs.link_ping_period_s, knobs.link_silence_s / 2) + _TIMERS_S
        self._settled_s = 2 * knobs.task_credentials_look_s + _ANSWERED_S
        self._since: float | None = None
        self._last_at = float("-inf")

    def look(self) -> None:
        now = self._sim.now
        if now - self._path.answered_at > self.unnoticed_s or self._hinders(self._host_id):
            self._since = None
            return
        self._since = now if self._since is None else self._since
        if now - self._since >= self._settled_s:
            self._last_at = now

    @property
    def away_s(self) -> float:
        """Infinite until it was there for long enough to have got all that it asked for."""
        return self._sim.now - self._last_at


class Custody:
    """Of one machine. `begin` with each process of its agent."""

    def __init__(self, sim: Sim, checkers: Checkers, contact: Contact, knobs: Knobs, host_id: str) -> None:
        self._sim = sim
        self._checkers = checkers
        self._contact = contact
        self._host_id = host_id
        self._left_s = knobs.task_credentials_lifetime_s / 2 - knobs.task_credentials_look_s - contact.unnoticed_s
        self._seen: dict[str, tuple[str, int]] = {}  # task id -> access key id, number of the agent's process
        self._world: SimWorld
        self._agent: Agent
        self._sessions: Sessions

    def begin(self, world: SimWorld, agent: Agent) -> None:
        self._world, self._agent = world, agent
        self._sessions = Sessions(world, Envelope(MASTER_KEY, world), region=REGION)

    def started(self, task_id: str, may_ask: bool) -> None:
        """A container, which was told or not where it gets credentials."""
        own = self._checkers.family_of(task_id)
        if may_ask is not (own in TASK_ROLES):
            self._sim.fail("no-credentials", f"{task_id} ({own}) was{'' if may_ask else ' not'} told where it gets any")

    def look(self, asking: Mapping[str, str], enis: Mapping[str, Eni]) -> None:
        """`asking`: running task -> the path at which its containers ask. Nobody answers for a dead agent."""
        self._contact.look()
        process = self._world.process
        if process.is_dead or process.is_doomed or process.is_paused or not self._agent.is_adopted:
            return
        tasks = [task_id for task_id in asking if task_id in enis]
        for task_id, other in zip(tasks, (*tasks[1:], *tasks[:1]), strict=True):
            self._ask(task_id, enis[task_id], asking[task_id])
            if other != task_id and self._answer(enis[other], asking[task_id]).status == 200:
                self._sim.fail("foreign-credentials", f"{other} asked for those of {task_id} and got some")

    def _answer(self, eni: Eni, path: str) -> Reply:
        return at_once(self._agent.metadata.answer(eni.vpc_id, eni.private_ipv4, path))

    def _ask(self, task_id: str, eni: Eni, path: str) -> None:
        reply = self._answer(eni, path)
        if reply.status != 200:
            self._lacking(task_id, f"is answered {reply.status}")
            return
        shown = msgspec.json.decode(reply.body)
        session = self._sessions.open(shown["AccessKeyId"], shown["Token"], 0.0)
        whose, role = session.claims.session_name, session.claims.issuer_name
        own = self._checkers.family_of(task_id)
        if whose != task_id or role != TASK_ROLES[own] or session.secret_access_key != shown["SecretAccessKey"]:
            self._sim.fail("foreign-credentials", f"{task_id} ({own}) got those of {whose} ({role})")
        elif session.expires <= EPOCH + self._sim.now:
            self._lacking(task_id, "has credentials that are over")
        self._note(task_id, shown["AccessKeyId"])

    def _lacking(self, task_id: str, how: str) -> None:
        """Wrong clocks are let pass: nobody can tell how long something lasts by them."""
        if self._contact.away_s > self._left_s or any(map(self._sim.clock_was_set, (SERVER, self._host_id))):
            return
        record = self._agent.tasks.record(task_id)
        is_stopping = record is not None and record.phase in (Phase.STOPPING, Phase.STOPPED)
        if not is_stopping and self._checkers.wanted_of(task_id) == DesiredStatus.RUNNING:
            self._sim.fail("no-credentials", f"{task_id} {how}; its host was away for {self._contact.away_s:.1f} s")

    def _note(self, task_id: str, key_id: str) -> None:
        """What a batch of runs must have met."""
        known, number = self._seen.get(task_id, (key_id, self._world.process.number))
        if known != key_id:
            self._sim.count("credentials-renewed")
        elif number != self._world.process.number:
            self._sim.count("credentials-kept")
        self._seen[task_id] = (key_id, self._world.process.number)
