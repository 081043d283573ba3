"""What a cell asks of its region about tasks that are to go for the sake of what is below them.

Owns the Protocol only. Invariant: what is asked here is from memory, and durable.
"""

from typing import Protocol

Software = tuple[str, str]  # releases of a host's guest image and VMM


class RetirementRules(Protocol):
    def emptied(self) -> frozenset[str]:
        """Hosts that their operator wants without tasks."""

    def given_up(self) -> frozenset[str]:
        """Hosts that are off for good, in their operator's word."""

    def rolled_out(self) -> frozenset[Software]:
        """What machines are to run: those with older software go on hosts that have this."""

    def wait_s(self, account: str) -> float:
        """From the notice to the stop of a task of no service."""
