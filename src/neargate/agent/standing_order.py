"""The operator's order to stop every task of this machine without the server, as a file of the agent's directory.

Written by `neargate down --force`, obeyed by the agent at once or at its next start. Must not know how a task stops.
Invariant: the file goes only after every stop that it asks for is durable in the agent's own state, so that a kill of
whoever wrote or obeys it loses nothing; a task that is ordered afterwards is not meant.
"""

import json
import os
from pathlib import Path

_NAME = "stop-everything.json"
_REASON_MAX = 255  # characters of the operator's words
_UNREADABLE = "Stopped by the operator of the machine."


class StandingOrder:
    """`directory`: the agent's own, kept over restarts."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME

    def give(self, reason: str) -> None:
        """Durable when this returns, over a power cut too. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        with fresh.open("w") as file:
            json.dump({"reason": reason[:_REASON_MAX]}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._sync_directory()

    def reason(self) -> str | None:
        """Why everything is to stop; None while nothing was ordered. A damaged file is still the operator's order."""
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return None
        try:
            return str(json.loads(text)["reason"])
        except (ValueError, KeyError, TypeError):
            return _UNREADABLE

    def fulfilled(self) -> None:
        self._path.unlink(missing_ok=True)
        self._sync_directory()

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
