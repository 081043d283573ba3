"""The processes' own log lines: an event in words and its facts as `key=value`, over the standard library's logging.

A line is one line whatever the values hold: text that could break it is quoted, since some of it comes from callers.
"""

import logging
import sys
from time import gmtime

Value = object


class Log:
    """Named after the module that speaks. `bind` gives a log whose lines all carry some facts."""

    def __init__(self, name: str, facts: dict[str, Value] | None = None) -> None:
        self._logger = logging.getLogger(name)
        self._facts = facts or {}

    def bind(self, **facts: Value) -> "Log":
        return Log(self._logger.name, {**self._facts, **facts})

    def info(self, event: str, **facts: Value) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: Value) -> None:
        self._write(logging.WARNING, event, facts)

    def error(self, event: str, **facts: Value) -> None:
        self._write(logging.ERROR, event, facts)

    def exception(self, event: str, **facts: Value) -> None:
        """Called where an exception is handled: its stack follows the line."""
        self._write(logging.ERROR, event, facts, exc_info=True)

    def _write(self, level: int, event: str, facts: dict[str, Value], *, exc_info: bool = False) -> None:
        if not self._logger.isEnabledFor(level):
            return
        merged = {**self._facts, **facts}
        words = "".join(f" {name}={_shown(value)}" for name, value in merged.items())
        self._logger.log(level, "%s%s", event, words, exc_info=exc_info, extra={"event": event, "facts": merged})


def _shown(value: Value) -> str:
    text = str(value)
    plain = bool(text) and text.isprintable() and not any(mark in text for mark in " \"'=")
    return text if plain else repr(text)


def get_logger(name: str) -> Log:
    return Log(name)


def write_to_stderr() -> None:
    """For the processes: UTC time, level, line."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = gmtime
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    logging.getLogger("neargate").setLevel(logging.INFO)
