"""What the uplink changed on the host, written down before it is changed, and how it does, for the operator.

Both files lie in the run directory, which a reboot empties together with what they speak of. Invariant: what is not in
the record was not made; what is in it may have been.
"""

import os
from pathlib import Path

import msgspec

_RECORD, _STATE = "uplink.json", "uplink-state.json"


class UplinkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`mode`: nat or user. `opened`: links whose forwarding was off before us, `opened6` that of IPv6. `passed`: rules
    of ours may be in chains of others. `answered`: (link, address) that is answered for there by our doing; `delays`:
    (link, how long the kernel waited before it did, before us), of the release before; `switched`: (sysctl, what it was
    before us)."""

    mode: str
    opened: tuple[str, ...] = ()
    opened6: tuple[str, ...] = ()
    passed: bool = False
    answered: tuple[tuple[str, str], ...] = ()
    delays: tuple[tuple[str, str], ...] = ()
    switched: tuple[tuple[str, str], ...] = ()


class UplinkState(msgspec.Struct, frozen=True, kw_only=True):
    """`mode`: nat, user or none. `works` is false with the reason in `why`; `notes` say what else was done or seen,
    `refused` which pools of the region's this host does not let it have."""

    asked: str
    mode: str
    works: bool = False
    why: str = ""
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    pid: int = 0


class UplinkFiles:
    def __init__(self, run_directory: Path) -> None:
        self._record = run_directory / _RECORD
        self._state = run_directory / _STATE

    def record(self) -> UplinkRecord | None:
        try:
            return msgspec.json.decode(self._record.read_bytes(), type=UplinkRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # not one that we wrote: our rules are found without it

    def write(self, record: UplinkRecord) -> None:
        _write(self._record, record)

    def forget(self) -> None:
        """Nothing is made any more."""
        self._record.unlink(missing_ok=True)

    def clear(self) -> None:
        self.forget()
        self._state.unlink(missing_ok=True)

    def tell(self, state: UplinkState) -> None:
        _write(self._state, state)

    def state(self) -> UplinkState | None:
        """None where no agent has said anything yet. Raises PermissionError for whoever may not look."""
        try:
            return msgspec.json.decode(self._state.read_bytes(), type=UplinkState)
        except FileNotFoundError:
            return None


def _write(path: Path, value: UplinkRecord | UplinkState) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"~{path.name}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(value))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
