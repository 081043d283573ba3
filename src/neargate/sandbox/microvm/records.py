"""The engine's records on this host: a directory for each machine, in a place that a reboot empties. Blocking.

Owns: names and atomicity of the files. Invariant: a file is whole or not there; of a container without a blueprint
nothing was made that its deletion or the next attempt does not take away. The place is memory (`run_dir` is a tmpfs):
environments hold secrets, which no disk may keep.
"""

import os
import re
import shutil
from pathlib import Path
from typing import TypeVar

import msgspec

from .record import Blueprint, Machine, Run

_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,200}", re.ASCII)
_MACHINE = "machine"
_BLUEPRINT, _RUN = ".blueprint", ".run"
T = TypeVar("T")


class Records:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self) -> list[tuple[Machine, list[tuple[Blueprint, Run]]]]:
        """All machines, with their containers in the order of their ids."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = []
        for place in sorted(self._directory.iterdir()):
            machine = _read(place / _MACHINE, Machine) or Machine(task_id=place.name)
            containers = []
            for path in sorted(place.glob(f"*{_BLUEPRINT}")):
                blueprint = _read(path, Blueprint)
                if blueprint is not None:
                    containers.append((blueprint, _read(path.with_suffix(_RUN), Run) or Run()))
            found.append((machine, containers))
        return found

    def save_machine(self, machine: Machine) -> None:
        _write(self._place(machine.task_id) / _MACHINE, machine)

    def save_blueprint(self, blueprint: Blueprint) -> None:
        _write(self._place(blueprint.task_id) / (safe(blueprint.runtime_id) + _BLUEPRINT), blueprint)

    def save_run(self, blueprint: Blueprint, run: Run) -> None:
        _write(self._place(blueprint.task_id) / (safe(blueprint.runtime_id) + _RUN), run)

    def forget(self, blueprint: Blueprint) -> None:
        """The blueprint goes last: a run alone is nobody's."""
        place = self._directory / safe(blueprint.task_id)
        for kind in (_RUN, _BLUEPRINT):
            (place / (safe(blueprint.runtime_id) + kind)).unlink(missing_ok=True)

    def forget_machine(self, task_id: str) -> None:
        shutil.rmtree(self._directory / safe(task_id), ignore_errors=True)

    def streams(self, task_id: str) -> str:
        """The file that says which numbers the machine's streams have had (`numbers.py`)."""
        return str(self._directory / safe(task_id) / "streams")

    def _place(self, task_id: str) -> Path:
        place = self._directory / safe(task_id)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place


def safe(name: str) -> str:
    """A name that is a file's name and nothing else. Raises ValueError."""
    if not _SAFE.fullmatch(name) or name == _MACHINE:
        raise ValueError(f"{name!r} names no container and no task")
    return name


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # never wholly written: an older release's, or none


def _write(path: Path, value: object) -> None:
    unfinished = path.with_name(f".{path.name}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(value))
    unfinished.replace(path)
