"""What tasks wrote, made safe for a person's terminal: it may not move the cursor, set titles or answer for the user.

Owns which characters a terminal would obey. Must not know where text comes from. Invariant: what `safe` returns has
no control character but tabs, line ends and colours, and colours end with their line.
"""

import re
import sys
import unicodedata

# Colours and weight (SGR) only: they change how letters look, nothing else.
_COLOUR = re.compile(r"(\x1b\[[0-9;:]{0,40}m)")
_RESET = "\x1b[0m"
_KEPT = "\t"


def for_reader(text: str, *, raw: bool = False) -> str:
    """As it is for a file, a pipe or with `raw`; else as a terminal may have it. Lines stay lines."""
    if raw or not sys.stdout.isatty():
        return text
    return "\n".join(safe(line) for line in text.split("\n"))


def safe(line: str) -> str:
    """One line. Control characters are shown as in a Python string: `\\x1b`."""
    parts = _COLOUR.split(line)
    shown = "".join(part if n % 2 else "".join(map(_shown, part)) for n, part in enumerate(parts))
    return shown + _RESET if len(parts) > 1 else shown


def _shown(character: str) -> str:
    """Cc: C0, DEL and C1. Cf: what reverses or hides text, for example U+202E."""
    if character in _KEPT or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character
    return character.encode("unicode_escape").decode()
