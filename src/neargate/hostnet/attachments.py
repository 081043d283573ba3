"""What this host was told to build: attached ENIs and applied VPC plans.

The files lie in the run directory, which a reboot empties together with the namespaces they speak of. A file is
replaced at one instant. An interface's is written before the first step of its making and removed after the last step
of its undoing, so a killed agent finds in it everything that may exist; a plan's when the kernel has taken it, so that
no agent starts with one that the kernel refuses.
"""

import os
import re
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from ..interfaces.hostnet import HostError
from ..model.network import Eni, VpcPlan

T = TypeVar("T")
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def safe_id(text: str) -> str:
    """The id, if it can be a file's name. Raises HostError."""
    if not _SAFE_ID.fullmatch(text):
        raise HostError(f"{text[:80]!r} cannot name anything on a host")
    return text


def safe_name(text: str) -> str:
    """A container's name, which may fill a whole file name. Raises HostError."""
    if not _SAFE_NAME.fullmatch(text):
        raise HostError(f"{text[:80]!r} cannot name a container")
    return text


class Records:
    """`enis` by task id, `plans` by VPC id."""

    def __init__(self, run_directory: Path) -> None:
        self._enis = run_directory / "enis"
        self._plans = run_directory / "vpcs"
        self._taps = run_directory / "taps"  # empty files

    def prepare(self) -> None:
        for directory in (self._enis, self._plans, self._taps):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def enis(self) -> dict[str, Eni]:
        return _read_all(self._enis, Eni)

    def plans(self) -> dict[str, VpcPlan]:
        return _read_all(self._plans, VpcPlan)

    def write_eni(self, task_id: str, eni: Eni) -> None:
        _write(self._enis / task_id, eni)

    def write_plan(self, plan: VpcPlan) -> None:
        _write(self._plans / plan.vpc_id, plan)

    def taps(self) -> list[str]:
        """Ids of tasks that may have a tap."""
        return [path.name for path in sorted(self._taps.iterdir())] if self._taps.is_dir() else []

    def has_tap(self, task_id: str) -> bool:
        return (self._taps / task_id).exists()

    def write_tap(self, task_id: str) -> None:
        (self._taps / task_id).touch(mode=0o600)

    def forget_tap(self, task_id: str) -> None:
        (self._taps / task_id).unlink(missing_ok=True)

    def forget_eni(self, task_id: str) -> None:
        (self._enis / task_id).unlink(missing_ok=True)

    def forget_plan(self, vpc_id: str) -> None:
        (self._plans / vpc_id).unlink(missing_ok=True)

    def clear(self) -> None:
        for directory in (self._enis, self._plans, self._taps):
            shutil.rmtree(directory, ignore_errors=True)


def _write(path: Path, value: Eni | VpcPlan) -> None:
    # A name that is no id, so that a half-written file is never read as a record.
    temporary = path.with_name(f"~{path.name}")
    temporary.write_bytes(msgspec.json.encode(value))
    os.replace(temporary, path)


def _read_all(directory: Path, kind: type[T]) -> dict[str, T]:
    if not directory.is_dir():
        return {}
    paths = [path for path in sorted(directory.iterdir()) if _SAFE_ID.fullmatch(path.name)]
    return {path.name: msgspec.json.decode(path.read_bytes(), type=kind) for path in paths}
