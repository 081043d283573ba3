"""Public parameters below /aws/service: those that say something true of this region. Pure.

What AWS publishes of its own machines and images (`/aws/service/ecs/optimized-ami/...`) names nothing that is here, so
it is not found. Invariant: nobody stores anything in these names (`names.check_new`).
"""

from collections.abc import Iterable, Mapping, Sequence

from .book import ParameterBook
from .records import STANDARD, STRING, Parameter, Version

_SERVICES = frozenset(
    {"acm", "cloudtrail", "ec2", "ecr", "ecs", "iam", "kms", "secretsmanager", "servicediscovery", "ssm", "sts"}
)
_ROOT = "/aws/service/global-infrastructure"
OWNER = ""  # the account in their ARNs


class PublicParameters:
    """`zones`: (name, id) pairs of the region; `services`: those which are here, told where AWS has the same name."""

    def __init__(self, region: str, zones: Sequence[tuple[str, str]], services: Iterable[str], at: float) -> None:
        """`at`: since when they hold, epoch seconds."""
        self._values = _values(region, zones, sorted(_SERVICES & set(services)))
        version = Version(number=1, type=STRING, tier=STANDARD, data_type="text", modified=round(at, 3), user="")
        self.book = ParameterBook(
            OWNER, 1, [Parameter(account=OWNER, name=name, current=version) for name in self._values]
        )

    def value(self, parameter: Parameter) -> str:
        return self._values[parameter.name]


def _values(region: str, zones: Sequence[tuple[str, str]], services: Sequence[str]) -> Mapping[str, str]:
    regional = f"{_ROOT}/regions/{region}"
    found = {
        regional: region,
        f"{regional}/partition": "aws",
    }
    for _, zone in zones:
        found |= {
            f"{regional}/availability-zones/{zone}": zone,
            f"{_ROOT}/availability-zones/{zone}": zone,
            f"{_ROOT}/availability-zones/{zone}/parent-region": region,
            f"{_ROOT}/availability-zones/{zone}/zone-type": "availability-zone",
        }
    for service in services:
        found |= {
            f"{_ROOT}/services/{service}": service,
            f"{_ROOT}/services/{service}/regions/{region}": region,
            f"{regional}/services/{service}": service,
        }
    return found
