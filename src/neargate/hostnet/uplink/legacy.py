"""Rules of ours in chains of the older iptables, which nftables does not show: asked and changed by its own program.

Blocking; in the host's namespace. Used only where that iptables has rules at all: a host without pays for nothing.
"""

import shutil
import subprocess

from ...interfaces.hostnet import HostError
from ...uplink import legacy_rules
from ...uplink.firewalls import Passage
from ..host_state import has_legacy_filter

_PROGRAM = "iptables-legacy"
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_WAIT_S = "5"  # for whoever else changes the rules just now
_NOTHING = Passage(needed=(), text="")


class LegacyRules:
    """`mark`: the comment of our rules."""

    def __init__(self, link: str, public_pool: str, mark: str) -> None:
        self._link = link
        self._pool = public_pool
        self._mark = mark

    def read(self) -> str:
        """All rules; empty where there are none, or nothing that could show them."""
        binary = shutil.which(_PROGRAM, path=_PATH)
        if binary is None or not has_legacy_filter():
            return ""
        return _run([binary, "-w", _WAIT_S, "-S"])

    def needed(self, text: str, outer: str, found: str = "") -> tuple[Passage, list[list[str]]]:
        """Of what was read: where rules of ours are needed, and the commands for `change`."""
        if not text:
            return _NOTHING, []
        return legacy_rules.needed(text, link=self._link, pool=self._pool, outer=outer, mark=self._mark, found=found)

    def change(self, commands: list[list[str]]) -> None:
        for words in commands:
            _run([_PROGRAM, "-w", _WAIT_S, *words])

    def remove(self) -> None:
        self.change(legacy_rules.removal(self.read(), self._mark))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env={"PATH": _PATH}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)}: {done.stderr.strip()[-300:]}")
    return done.stdout
