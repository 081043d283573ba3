"""Makes plans with the keys of certificates, which are opened once and not at each change of an account's network."""

from ...model.balancing import BalancerPlan, PlannedCertificate
from ..certificates.registry import CertificateRegistry
from ..regional.shelves import Shelf
from .objects import LoadBalancer
from .plans import balancer_plan


class KeyedPlanner:
    """What is kept is forgotten when its account's certificates change."""

    def __init__(self, certificates: CertificateRegistry) -> None:
        self._certificates = certificates
        self._opened: dict[str, tuple[int, dict[str, PlannedCertificate | None]]] = {}  # (generation, by ARN)

    def __call__(self, shelf: Shelf, balancer: LoadBalancer, generation: int) -> BalancerPlan:
        return balancer_plan(shelf, balancer, lambda arn: self._open(shelf.account, arn), generation)

    def beside(self, account: str) -> int:
        """How often the account's certificates had changed."""
        return self._certificates.shelf(account).generation

    def _open(self, account: str, arn: str) -> PlannedCertificate | None:
        now = self.beside(account)
        known, opened = self._opened.get(account, (-1, {}))
        if known != now:
            opened = {}
            self._opened[account] = now, opened
        if arn not in opened:
            opened[arn] = self._certificates.planned(account, arn)
        return opened[arn]
