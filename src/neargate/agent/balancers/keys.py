"""Where private keys of listeners' certificates outlive the agent's process, but not the machine: files in memory.

Owns one file for each certificate, root's alone, called by the digest of what is in it; and what a plan is without
keys, which is all that a disk ever holds. Must not know proxies, whose own copies are theirs. Invariants: nothing is
written to a directory that is not in memory; what a file holds is what its name says, or it does not count.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from ...model.balancing import BalancerPlan, PlannedCertificate
from ..credential_files import is_in_memory

Change = Callable[[PlannedCertificate], PlannedCertificate | None]
_DIGEST = "sha256:"  # no PEM begins so
_UNKNOWN = 0  # a generation that any plan of a server is later than
_UNFINISHED = ".unfinished"


class KeyFiles:
    """All calls block, on one thread, and raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, plan: BalancerPlan) -> None:
        """Returns when every key of the plan would survive the agent's end."""
        for certificate in _certificates(plan):
            path = self._directory / _digest(certificate.pem)
            if path.exists():
                continue
            unfinished = path.with_name(path.name + _UNFINISHED)
            unfinished.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(unfinished, flags, 0o600), "wb") as file:
                file.write(certificate.pem.encode(errors="replace"))
            unfinished.replace(path)

    def load(self) -> dict[str, str]:
        """By digest."""
        found = {}
        for path in self._directory.iterdir():
            pem = path.read_bytes().decode(errors="replace")
            if _digest(pem) == path.name:
                found[path.name] = pem
        return found

    def keep(self, plans: Iterable[BalancerPlan]) -> None:
        """What none of them shows goes."""
        kept = {_digest(one.pem) for plan in plans for one in _certificates(plan)}
        for path in self._directory.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)


def key_files(directory: Path) -> KeyFiles | None:
    """None where the directory would be on a disk: no key is written there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
    return KeyFiles(directory) if is_in_memory(directory, mounts) else None


def has_keys(plan: BalancerPlan) -> bool:
    return not all(map(_is_digest, _certificates(plan)))


def without_keys(plan: BalancerPlan) -> BalancerPlan:
    """In the place of each certificate and its key stands what finds them again."""
    return _with_certificates(
        plan, lambda one: one if _is_digest(one) else replace(one, pem=_DIGEST + _digest(one.pem))
    )


def with_keys(plan: BalancerPlan, known: Mapping[str, str]) -> BalancerPlan:
    """As it was. Where a key is gone: what can be served without it, as a plan that any of the server's replaces."""
    certificates = _certificates(plan)
    missing = [one for one in certificates if _is_digest(one) and one.pem.removeprefix(_DIGEST) not in known]

    def whole(one: PlannedCertificate) -> PlannedCertificate | None:
        if not _is_digest(one):
            return one
        pem = known.get(one.pem.removeprefix(_DIGEST))
        return None if pem is None else replace(one, pem=pem)

    found = _with_certificates(plan, whole)
    return replace(found, generation=_UNKNOWN) if missing else found


def _with_certificates(plan: BalancerPlan, changed: Change) -> BalancerPlan:
    """A listener that had certificates and has none left could not begin, and would keep the others from it."""
    listeners = []
    for listener in plan.listeners:
        now = tuple(one for one in map(changed, listener.certificates) if one is not None)
        if now or not listener.certificates:
            listeners.append(replace(listener, certificates=now))
    return replace(plan, listeners=tuple(listeners))


def _certificates(plan: BalancerPlan) -> list[PlannedCertificate]:
    return [one for listener in plan.listeners for one in listener.certificates]


def _is_digest(one: PlannedCertificate) -> bool:
    return one.pem.startswith(_DIGEST)


def _digest(pem: str) -> str:
    return sha256(pem.encode(errors="replace")).hexdigest()
