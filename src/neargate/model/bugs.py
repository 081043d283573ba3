"""Where an exception that nobody expected came from, for the process's log.

Its text is left out, and so are those of its causes: a KeyError or a failed conversion quotes the value that it met,
and that may be what a caller sent in confidence. Frames and types say where to look; they quote only this program.
"""

import traceback
from pathlib import PurePath

_CAUSES_MAX = 4
_FRAMES_MAX = 8


def told(error: BaseException) -> str:
    """One line: each exception of the chain with its innermost frames, the last one raised first."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < _CAUSES_MAX:
        frames = traceback.extract_tb(current.__traceback__)[-_FRAMES_MAX:]
        path = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        parts.append(f"{type(current).__name__} at {path}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "; after ".join(parts)
