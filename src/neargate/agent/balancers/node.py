"""One node's proxy: the only one who starts it, replaces it, speaks to it and says what it says.

Level-triggered: each turn looks at what runs and does what is missing to the plan's. So a killed proxy is started at
once, a killed agent's next one goes on from what runs, and nothing but the plan and the process is ever the truth.
Must not know links or namespaces. Invariant: files that the proxy would refuse never reach a process that serves.
"""

import asyncio
import os
from collections.abc import Callable

from msgspec.structs import replace

from ...interfaces.hostnet import HostError
from ...interfaces.proxies import AccessLines, Proxy, ProxyHost
from ...model.balancing import INITIAL, BalancerPlan, NodeReport, NodeTraffic, PlannedNode
from ...model.knobs import Knobs
from ...proxying import changes, configuration, reports, stats, traffic
from ...proxying.changes import Seen
from ...proxying.configuration import Files, Place
from ...world import World
from .access_log import AccessLog
from .control import Control, Unanswered

LANE = "balancers"
_FREE_RESTARTS = 3
_STARTS = "The proxy is being started."
_SHORT_LIVED = "The proxy does not live long."
_MOMENT = 0.2  # of the time that a proxy has to start: so long nobody may answer while one takes over from another


class NodeRunner:
    """`say`: hears a report whenever it says something new."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        host: ProxyHost,
        eni_id: str,
        connections_max: int,
        say: Callable[[NodeReport], None],
        note: Callable[[str], None],
        ship: AccessLines,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._host = host
        self._eni_id = eni_id
        self._say = say
        self._note = note
        home = host.directory(eni_id)
        self._place = Place(directory=home, connections_max=connections_max)
        self._control = Control(knobs, f"{home}/{configuration.API}", f"{home}/{configuration.MASTER}")
        self._wanted: tuple[BalancerPlan, PlannedNode, Files] | None = None
        self._due = asyncio.Event()
        self._proxy: Proxy | None = None
        self._watched: int | None = None
        self._is_ended = False
        self._is_adopted = False  # what runs was here before us and was not looked at yet
        self._silent_since: float | None = None
        self._started_at = float("-inf")
        self._early_ends = 0
        self._refused: tuple[str, str] | None = None  # a shape, and what the proxy has against it
        self._access_log = AccessLog(world, knobs, host, eni_id, ship, note)
        self._known: dict[str, stats.Known] = {}
        self._seen: Seen = {}
        self._may_have_old = True
        self._old: list[Seen] = []  # of processes that were replaced and still have connections
        self._tally = traffic.Tally()
        self._last: NodeReport | None = None

    def give(self, plan: BalancerPlan, node: PlannedNode) -> None:
        if self._wanted is None or self._wanted[:2] != (plan, node):
            self._wanted = (plan, node, configuration.files(plan, node, self._place))
            self._due.set()

    def report(self) -> NodeReport | None:
        return self._last

    async def run(self) -> None:
        """Until `end`."""
        try:
            await self._turns()
        finally:
            self._access_log.close()
        self._unwatch()
        try:
            await self._world.offload(LANE, self._host.end, self._eni_id)
        except (HostError, OSError) as error:  # the next plans find what is left
            self._note(f"the proxy of {self._eni_id} is not ended yet: {error}")

    async def _turns(self) -> None:
        rest_s: float | None = None
        while not self._is_ended:
            try:
                async with asyncio.timeout(rest_s):
                    await self._due.wait()
            except TimeoutError:
                pass  # time for a look
            self._due.clear()
            if self._is_ended or self._wanted is None:
                continue
            plan, node, files = self._wanted
            why = await self._turn(plan, node, files)
            if why is None:
                rest_s = self._knobs.balancer_poll_fresh_s
                continue
            why = why or self._doubt()
            self._tell(plan, node, files.shape, why)
            rest_s = self._rest_s(why)

    def _rest_s(self, why: str) -> float:
        fresh = why == _STARTS or any(one.state == INITIAL for one in self._known.values())
        return self._knobs.balancer_poll_fresh_s if fresh else self._knobs.balancer_poll_s

    def end(self) -> None:
        self._is_ended = True
        self._due.set()

    # -- a turn

    async def _turn(self, plan: BalancerPlan, node: PlannedNode, files: Files) -> str | None:
        """Why the node does not serve; empty when it does; None when what was said holds until the next turn."""
        await self._access_log.follow(plan, node)
        try:
            why = await self._running(plan, node, files)
            if why:
                return why
            shape = await self._look(plan, node)
            if shape != files.shape:
                await self._replace(plan, node, files)
            if shape == files.shape or (self._refused or ("",))[0] != files.shape:
                await self._settle(plan, node)
            self._silent_since = None
        except Unanswered as error:
            return await self._silent(str(error))
        except (HostError, OSError) as error:
            return str(error)
        return ""

    async def _running(self, plan: BalancerPlan, node: PlannedNode, files: Files) -> str:
        if self._proxy is None:
            self._proxy = await self._world.offload(LANE, self._host.find, self._eni_id)
            self._is_adopted = self._proxy is not None
        if self._proxy is not None and await self._world.offload(LANE, self._host.is_alive, self._proxy):
            self._watch(self._proxy)
            return ""
        if self._proxy is not None:
            self._note(f"the proxy of {self._eni_id} ended and is started again")
            self._unwatch()
        now = self._world.monotonic()
        if not self._may_start(now):
            return _SHORT_LIVED
        await self._write(plan, node, files)
        faults = await self._world.offload(LANE, self._host.faults, self._eni_id)
        if faults:
            self._note(f"the proxy of {self._eni_id} takes no such files: {faults}")
            return f"The proxy refuses its configuration: {faults}"
        self._started_at = now
        self._proxy = await self._world.offload(LANE, self._host.start, self._eni_id)
        self._watch(self._proxy)
        return "" if await self._serves(files.shape) else _STARTS

    def _may_start(self, now: float) -> bool:
        """At once; but one that again and again ends soon after its start gets ever more time."""
        if now - self._started_at > self._knobs.balancer_stable_s:
            self._early_ends = 0
        rest_s = self._knobs.balancer_restart_rest_s * 2 ** min(max(0, self._early_ends - _FREE_RESTARTS), 5)
        if self._early_ends >= _FREE_RESTARTS and now - self._started_at < rest_s:
            return False
        self._early_ends += 1
        return True

    def _doubt(self) -> str:
        """One that ended again and again is believed when it has lived for a while: else names would lead to it and
        away again at each of its starts."""
        is_young = self._world.monotonic() - self._started_at <= self._knobs.balancer_stable_s
        return _SHORT_LIVED if self._early_ends > _FREE_RESTARTS and is_young else ""

    async def _write(self, plan: BalancerPlan, node: PlannedNode, files: Files) -> None:
        state = changes.state_file(plan, node, self._known)
        content = {**files.content, configuration.STATE: state}
        await self._world.offload(LANE, self._host.write, self._eni_id, content)

    async def _serves(self, shape: str) -> bool:
        """Wait until a process of this shape answers."""
        end = self._world.monotonic() + self._knobs.balancer_start_s
        pause = 0.01
        while self._world.monotonic() < end:
            try:
                if (await self._info())[0] == shape:
                    return True
            except Unanswered:
                pass  # not there yet
            if self._proxy is None or not await self._world.offload(LANE, self._host.is_alive, self._proxy):
                return False
            await self._world.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return False

    async def _look(self, plan: BalancerPlan, node: PlannedNode) -> str:
        """What runs, as it says; what is known afterwards of its targets. Raises Unanswered."""
        shape, pid = await self._info()
        rows = await self._rows()
        self._tally = traffic.grown(self._tally, pid, rows, is_adopted=self._is_adopted)
        self._seen = changes.seen(rows)
        self._known = reports.known_now(
            plan, node, self._seen, self._known, self._world.monotonic(), is_adopted=self._is_adopted
        )
        self._is_adopted = False
        return shape

    async def _info(self) -> tuple[str, int]:
        try:
            return stats.info(await self._control.ask("show info"))
        except ValueError as error:
            raise Unanswered(str(error)) from None

    async def _rows(self) -> list[stats.Row]:
        try:
            return stats.rows(await self._control.ask("show stat"))
        except ValueError as error:
            raise Unanswered(str(error)) from None

    async def _replace(self, plan: BalancerPlan, node: PlannedNode, files: Files) -> None:
        """Another process takes the listeners over; this one ends with its connections."""
        assert self._proxy is not None, "somebody answered"
        if self._refused is not None and self._refused[0] == files.shape:
            return
        await self._write(plan, node, files)
        faults = await self._world.offload(LANE, self._host.faults, self._eni_id)
        if faults:
            self._refused = (files.shape, f"The proxy refuses its configuration: {faults}")
            self._note(f"the proxy of {self._eni_id} keeps what it has: {faults}")
            return
        self._may_have_old = True
        await self._world.offload(LANE, self._host.replace, self._proxy)
        if not await self._serves(files.shape):
            raise Unanswered("it was not replaced in time")
        await self._look(plan, node)

    async def _settle(self, plan: BalancerPlan, node: PlannedNode) -> None:
        """Commands until what runs has the plan's targets."""
        batches = changes.commands(plan, node, self._seen, self._known)
        for line in changes.in_lines(batches):
            for complaint in changes.complaints(await self._control.ask(line)):
                self._note(f"the proxy of {self._eni_id}: {complaint}")
        await self._settle_old(plan, node)
        if batches:
            await self._look(plan, node)

    async def _settle_old(self, plan: BalancerPlan, node: PlannedNode) -> None:
        """Processes that were replaced and still have clients."""
        if not self._may_have_old:
            return
        found = []
        for pid in stats.replaced(await self._control.ask_master("show proc")):
            try:
                seen = await self._seen_by(pid)
                lines = changes.in_lines(changes.farewells(plan, node, seen))
                for line in lines:
                    await self._control.ask_worker(pid, line)
                # What came until it was told counts.
                found.append(await self._seen_by(pid) if lines else seen)
            except (Unanswered, ValueError):
                continue  # it ended meanwhile
        self._old = found
        self._may_have_old = bool(found)

    async def _seen_by(self, pid: int) -> Seen:
        return changes.seen(stats.rows(await self._control.ask_worker(pid, "show stat")))

    async def _silent(self, error: str) -> str | None:
        """One that runs and does not answer is ended after a while: another can. A moment is nothing: while one process
        takes over from another its commands may find nobody, though clients do."""
        now = self._world.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since <= self._knobs.balancer_start_s * _MOMENT:
            return None
        if self._proxy is not None and now - self._silent_since > self._knobs.balancer_start_s:
            self._note(f"the proxy of {self._eni_id} is ended, it answers nobody: {error}")
            try:
                await self._world.offload(LANE, self._host.end, self._eni_id)
            except (HostError, OSError) as fault:
                return f"The proxy does not answer, and cannot be ended: {fault}"
            self._silent_since = None
        return f"The proxy does not answer: {error}"

    # -- what is said

    def _tell(self, plan: BalancerPlan, node: PlannedNode, shape: str, why: str) -> None:
        found = reports.report(plan, node, self._known, [self._seen, *self._old], self._tally, why)
        found = replace(found, traffic=replace(found.traffic, lost_lines=self._access_log.lost))
        if not why and self._refused is not None and self._refused[0] == shape:
            found = replace(found, why=self._refused[1])  # it serves, by what it had before
        found = reports.heard(found)
        known, self._last = self._last, found
        if known is None or _standing(known) != _standing(found):
            self._say(found)

    # -- its end is heard of at once

    def _watch(self, proxy: Proxy) -> None:
        if self._watched is not None:
            return
        try:
            self._watched = self._host.opened(proxy)
        except OSError:
            self._due.set()  # it ended already
            return
        asyncio.get_running_loop().add_reader(self._watched, self._died, self._watched)

    def _died(self, _descriptor: int) -> None:
        self._unwatch()
        self._due.set()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            os.close(self._watched)
            self._watched = None


def _standing(report: NodeReport) -> NodeReport:
    """What is news; the rest is said each period."""
    return replace(report, requests=(), traffic=NodeTraffic())
