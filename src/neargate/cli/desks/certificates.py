"""The certificate of the authority that issues what ACM is asked for: what the operator's socket answers."""

from typing import Any

from ...frontend.certificates.registry import CertificateRegistry
from ...region import Region
from ..admin import Handler, ask
from ..paths import RegionPaths
from ..problems import Problem

Answer = dict[str, Any]
_REQUEST = "certificate-authority"


def handlers(region: Region) -> dict[str, Handler]:
    return {_REQUEST: CertificatesDesk(region.services.certificates).authority}


class CertificatesDesk:
    def __init__(self, registry: CertificateRegistry) -> None:
        self._registry = registry

    async def authority(self, _: Answer) -> Answer:
        """Empty: nothing was issued yet, and so there is none."""
        return {"certificate": self._registry.authority_pem() or ""}


def issuing_certificate(paths: RegionPaths) -> str:
    """PEM, asked of the running server. Raises Problem."""
    found = str(ask(paths, _REQUEST)["certificate"])
    if not found:
        raise Problem(
            "no certificate was requested yet: the authority that issues them is made for the first one; "
            "neargate aws acm request-certificate --domain-name NAME"
        )
    return found
