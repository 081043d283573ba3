"""The host's uplink as its mode says, kept as it is to be: made at the start, looked after, undone by `remove`.

Owns the order of things between modes. All work runs on the one thread of the `uplink` lane, in the host's network
namespace, apart from the lane that starts tasks. Invariants: a mode that is not this one's has left nothing when this
one begins; an uplink that cannot be made harms no task, and says why.
"""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from ...interfaces.hostnet import HostError, Strays, TaskNetwork
from ...log import get_logger
from ...model.knobs import DEFAULT_KNOBS, Knobs
from ...model.network import Eni, VpcPlan
from ...uplink.pools import NOTHING_OUTSIDE, Outside
from ...uplink.texts import settled_mode
from ...world import World
from ..attachments import safe_id
from ..host_state import address_changes, own_networks, own_networks6
from ..namespaces import Namespaces
from ..netlink import Netlink
from ..network import LinuxNetwork
from ..nftables import NftablesError, NftablesMissing
from ..underlay import Underlay
from .edge import EdgeSide
from .nat import NatUplink
from .pasta import PastaProcess, program
from .record import UplinkFiles, UplinkState
from .user import STARTS, UserUplink

_LANE = "uplink"
_REFUSED_MAX = 250
_TAP = "tap"  # in the run directory: pasta's mark
_FAILURES = (HostError, NftablesError, NftablesMissing, OSError, ValueError)
log = get_logger(__name__)


class Uplink:
    """`asked`: auto, nat, user or none. `log_file`: what pasta says."""

    def __init__(
        self,
        world: World,
        *,
        asked: str,
        instance: str,
        run_dir: Path,
        public_pool: str,
        log_file: Path,
        knobs: Knobs = DEFAULT_KNOBS,
    ) -> None:
        self._world = world
        self._asked = asked
        self._knobs = knobs
        self._mode = "none"
        self._files = UplinkFiles(run_dir)
        self._edge = EdgeSide(Namespaces(run_dir / "netns", world.die), public_pool, knobs.uplink_mtu)
        self._nat = NatUplink(self._files, self._edge, safe_id(instance), public_pool)
        process = PastaProcess(run_dir / _TAP, log_file)
        self._user = UserUplink(self._files, self._edge, process, monotonic=world.monotonic, die=world.die)
        self._settled = False
        self._told: UplinkState | None = None
        self._changes: socket.socket | None = None
        self._keeper: asyncio.Task[object] | None = None
        self._outside: Outside = NOTHING_OUTSIDE
        self._looks_soon = False

    async def start(self) -> None:
        """After the edge is there. Returns when the uplink works, or cannot now, or after a while: it is tried on."""
        await self.leave()
        self._settled = False
        state = await self._world.offload(_LANE, self._look)
        until = self._world.monotonic() + self._knobs.uplink_ready_s
        while state.why == STARTS and self._world.monotonic() < until:
            await self._world.sleep(self._knobs.uplink_soon_s)
            state = await self._world.offload(_LANE, self._look)
        if self._edge.exists or not self._settled:
            self._changes = await self._world.offload(_LANE, address_changes)
            self._keeper = self._world.spawn(self._keep(self._changes), "uplink")

    async def know(self, outside: Outside) -> None:
        """The operator's pools, and who has addresses of them, as the host has them now. What tasks of a new pool send
        passes when this returns; neighbours find a new address soon after."""
        before, self._outside = self._outside, outside
        if self._keeper is None or outside == before:
            return
        if outside.pools != before.pools:
            await self._world.offload(_LANE, self._look)
        elif not self._looks_soon:
            self._looks_soon = True
            self._world.spawn(self._look_soon(), "uplink")

    async def _look_soon(self) -> None:
        self._looks_soon = False
        if self._keeper is not None:
            await self._world.offload(_LANE, self._look)

    async def leave(self) -> None:
        """Look after it no longer; everything stays for the next agent."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        if self._changes is not None:
            self._changes.close()
            self._changes = None

    async def remove(self) -> None:
        """Undo everything that any mode may have made. Repeatable. Raises HostError."""
        await self.leave()
        await self._world.offload(_LANE, self._remove)

    async def _keep(self, changes: socket.socket) -> None:
        """Look again and again, at once when the host's addresses change: a task must not reach a new one either."""
        loop = asyncio.get_running_loop()
        while True:
            state = await self._world.offload(_LANE, self._look)
            period = self._knobs.uplink_look_s if state.works else self._knobs.uplink_soon_s
            try:
                async with asyncio.timeout(period):  # Python 3.11's wait_for loses a cancellation that meets a change
                    await loop.sock_recv(changes, 1 << 16)
                _drain(changes)
            except TimeoutError:
                continue
            except OSError as error:
                log.info("changes of addresses were missed; all are looked at", why=str(error))

    def _look(self) -> UplinkState:
        state = UplinkState(asked=self._asked, mode=self._mode, works=True, refused=self._outside.refused)
        try:
            if not self._settled:
                self._settle()
                state = replace(state, mode=self._mode)
            if not self._edge.exists:
                raise HostError("the host's network is not started")
            with Netlink() as host:
                if self._mode == "none":
                    self._edge.keep_off(own_networks(host) | own_networks6(host))
                    return self._tell(replace(state, notes=_hidden(self._outside)))
                if self._mode == "nat":
                    self._nat.know(self._outside)
                    return self._tell(replace(state, notes=self._nat.look(host)))
                self._edge.know(self._outside.cidrs)
                pid = self._user.look(host).pid
                return self._tell(replace(state, pid=pid, notes=(*_hidden(self._outside), *self._user.notes)))
        except _FAILURES as error:
            return self._tell(replace(state, mode=self._mode, works=False, why=str(error)))

    def _settle(self) -> None:
        """Undo what another mode has made, before anything is recorded of this one."""
        self._mode = settled_mode(self._asked, has_pasta=program() is not None)
        self._edge.forget()
        record = self._files.record()
        if self._mode != "user":
            self._user.remove()
        if self._mode == "none" and self._edge.exists:
            self._edge.lead_nowhere()
        if record is not None and record.mode != self._mode:
            if record.mode == "nat":
                self._nat.remove()
            self._files.forget()
        self._settled = True

    def _tell(self, state: UplinkState) -> UplinkState:
        if state != self._told:
            say = log.info if state.works or state.why == STARTS else log.warning
            said = [*state.notes, *state.refused]
            say("uplink", mode=state.mode, works=state.works, why=state.why, notes=said)
            try:
                self._files.tell(state)
            except OSError as error:
                log.warning("the uplink's state cannot be written", why=str(error))
            self._told = state
        return state

    def _remove(self) -> None:
        try:
            self._edge.close()
            self._user.remove()
            self._nat.remove()
            self._files.clear()
        except (NftablesError, NftablesMissing, OSError, ValueError) as error:
            raise HostError(f"cannot remove the uplink: {error}") from error


def _hidden(outside: Outside) -> tuple[str, ...]:
    sentence = "is found by nobody beyond this machine: that takes --uplink nat"
    return tuple(f"{cidr} {sentence}" for cidr in outside.open_cidrs)


def _drain(changes: socket.socket) -> None:
    with suppress(BlockingIOError):
        while changes.recv(1 << 16):
            continue


class UplinkedNetwork(LinuxNetwork):
    """The host's network with its uplink and its underlay's log: started, left and removed together."""

    uplink: Uplink | None = None
    underlay: Underlay | None = None

    @property
    def strays(self) -> Strays:
        return self.underlay.strays if self.underlay is not None else Strays()

    @property
    def refused_pools(self) -> str:
        """What this host has against pools of the region's, cut to what is told of a host."""
        return "; ".join(self.outside.refused)[:_REFUSED_MAX]

    async def start(self) -> None:
        await super().start()
        if self.underlay is not None:
            await self.underlay.start()
        if self.uplink is not None:
            await self.uplink.know(self.outside)
            await self.uplink.start()

    async def apply_vpc(self, plan: VpcPlan) -> None:
        await super().apply_vpc(plan)
        await self._tell_uplink()

    async def remove_vpc(self, vpc_id: str, generation: int) -> None:
        await super().remove_vpc(vpc_id, generation)
        await self._tell_uplink()

    async def consider_pools(self) -> None:
        try:
            await super().consider_pools()
        finally:
            await self._tell_uplink()

    async def attach_eni(self, task_id: str, eni: Eni) -> TaskNetwork:
        attached = await super().attach_eni(task_id, eni)
        await self._tell_uplink()
        return attached

    async def detach_eni(self, task_id: str) -> None:
        await super().detach_eni(task_id)
        await self._tell_uplink()

    async def _tell_uplink(self) -> None:
        if self.uplink is not None:
            await self.uplink.know(self.outside)

    async def close(self) -> None:
        for part in (self.uplink, self.underlay):
            if part is not None:
                await part.leave()
        await super().close()

    async def remove_all(self) -> None:
        for part in (self.uplink, self.underlay):
            if part is not None:
                await part.remove()
        await super().remove_all()
