"""Walk-throughs of the documentation, run as their reader would: every shell block in order, in one shell.

Owns what a block is, and when two texts say the same: ids and times are compared by their form, and an id that stands
in several places is everywhere the same one. Must not know what the blocks are about. Invariant: nothing else is passed
over; a block that shows no output has none.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1e"  # stands in no document and is printed by no program of them
_HEX = "[0-9a-f]"
_OF_EC2 = ("vpc", "subnet", "sg", "sgr", "eni", "rtb", "acl", "igw", "nat", "eipalloc")
# What differs from run to run: name -> its exact form.
_FORMS = {
    "request": f"{_HEX}{{8}}-{_HEX}{{4}}-4{_HEX}{{3}}-[89ab]{_HEX}{{3}}-{_HEX}{{12}}",
    "task": f"{_HEX}{{32}}",
    **{key: f"{key}[A-Z2-7]{{16}}" for key in ("AKIA", "ASIA")},
    **{identity: f"{identity}[A-Z2-7]{{17}}" for identity in ("AIDA", "AROA")},
    **{resource: f"{resource}-{_HEX}{{17}}" for resource in _OF_EC2},
    "time": r"20\d\d-[01]\d-[0-3]\dT[012]\d:[0-5]\d:[0-5]\dZ",
    "times": r"[1-9]\d? times",
}
_ANY = re.compile("|".join(rf"(?P<{name}>(?<![\w-]){form}(?![\w-]))" for name, form in _FORMS.items()))
_UNNUMBERED = ("time", "times")
_KILLED_WITHIN_S = 10.0


class NotAWalkthrough(Exception):
    """The document has an output that belongs to no shell block."""


class Broken(Exception):
    """The shell ended before the last block, or something of it did not end; the message says more."""


class Step(Struct, frozen=True, kw_only=True):
    """A shell block. `line`: where it begins in the document; `printed`: what the document says that it prints."""

    line: int
    commands: str
    printed: str


class Names:
    """Gives ids names in the order in which they appear, over the whole of a walk-through."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}

    def plain(self, text: str) -> str:
        return _ANY.sub(self._name, text)

    def _name(self, found: "re.Match[str]") -> str:
        kind = str(found.lastgroup)
        if kind in _UNNUMBERED:
            return f"<{kind}>"
        known = self._known.setdefault(kind, {})
        return known.setdefault(found[0], f"<{kind} {len(known) + 1}>")


def steps(document: str) -> list[Step]:
    """The `sh` blocks, each with the `text` block that follows it before the next one, if any."""
    found: list[Step] = []
    for block in _BLOCK.finditer(document):
        line = document.count("\n", 0, block.start()) + 1
        if block[1] == "sh":
            found.append(Step(line=line, commands=block[2], printed=""))
        elif block[1] == "text":
            if not found or found[-1].printed:
                raise NotAWalkthrough(f"line {line}: an output of no shell block")
            found[-1] = Step(line=found[-1].line, commands=found[-1].commands, printed=block[2])
    return found


def run(
    walk: list[Step], directory: Path, *, cwd: Path, environment: Mapping[str, str], timeout_s: float, strict: bool
) -> list[str]:
    """What each block printed, errors among it. `strict`: the shell ends at the first command that fails.

    Both the script and what it prints lie in `directory`: a process that the walk-through leaves in the background
    keeps nobody waiting for the end of a pipe. Raises Broken.
    """
    script, output = directory / "walkthrough.sh", directory / "walkthrough.out"
    head = "set -eo pipefail\n" if strict else ""
    script.write_text(head + "".join(f"{{\n{step.commands}}} < /dev/null\nprintf '{_MARK}'\n" for step in walk))
    with output.open("wb") as file:
        command = ["bash", "--noprofile", "--norc", str(script)]
        shell = subprocess.Popen(
            command, stdout=file, stderr=file, cwd=cwd, env=dict(environment), start_new_session=True
        )
        try:
            shell.wait(timeout_s)
        finally:
            _end_group(shell)
    printed = output.read_text(errors="replace").split(_MARK)
    if len(printed) != len(walk) + 1:
        raise Broken(f"the block of line {walk[len(printed) - 1].line} was the last one:\n{printed[-1]}")
    return printed[:-1]


def assert_true(walk: list[Step], printed: list[str]) -> None:
    """The document says what was printed; and each block counts: had it said more, that would have been noticed."""
    difference = first_difference(walk, printed)
    assert difference is None, difference
    for number, step in enumerate(walk):
        longer = replace(step, printed=step.printed + "and more\n")
        assert first_difference([*walk[:number], longer, *walk[number + 1 :]], printed) is not None, step.line


def first_difference(walk: list[Step], printed: list[str]) -> str | None:
    """A sentence with the document's line and what is printed there; None when the document is true."""
    in_document, in_truth = Names(), Names()
    for step, text in zip(walk, printed, strict=True):
        if in_document.plain(step.printed) != in_truth.plain(text):
            return f"the block of line {step.line} prints\n{text}\nand the document says\n{step.printed}"
    return None


def _end_group(shell: "subprocess.Popen[bytes]") -> None:
    """The shell, and what it left in the background; what made itself a session of its own lives on.

    Returns once none of them runs: a signal that was sent has ended nobody yet.
    """
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # nothing is left of it
    shell.wait()
    deadline = time.monotonic() + _KILLED_WITHIN_S
    while running := [pid for pid in os.listdir("/proc") if pid.isdecimal() and _runs_in(shell.pid, pid)]:
        if time.monotonic() > deadline:
            raise Broken(f"processes {', '.join(running)} outlive their kill")
        time.sleep(0.005)


def _runs_in(group: int, pid: str) -> bool:
    """The dead whose parent has not asked for them yet do not run."""
    try:
        stat = Path("/proc", pid, "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, _, its_group = stat.rpartition(b")")[2].split()[:3]
    return int(its_group) == group and state not in b"ZX"
