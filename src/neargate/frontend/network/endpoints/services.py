"""The region's own services that interface endpoints lead to: their names, on AWS's pattern. Pure.

`service` is the end of a service's name: `ecs` of com.amazonaws.REGION.ecs. Invariant: what is here is answered at an
endpoint of it, and nothing else is.
"""

from collections.abc import Mapping

from msgspec import Struct


class RegionService(Struct, frozen=True, kw_only=True):
    """`host`: what its public name begins with; `own`: what names of endpoints have in its place, where that differs.

    `signing`: the names by which requests to it are signed. `is_wild`: all names below `host` are the service's too.
    """

    host: str
    signing: tuple[str, ...]
    own: str = ""
    is_wild: bool = False
    takes_images: bool = False  # container tools' requests
    takes_terminals: bool = False  # WebSockets of executed commands


def _plain(name: str, *signing: str) -> RegionService:
    return RegionService(host=name, signing=signing or (name,))


# Those of the container agent are asked by nothing here, whose hosts speak to the region another way; clusters of EC2
# instances need endpoints of them, and configurations have them.
SERVICES: Mapping[str, RegionService] = {
    "cloudtrail": _plain("cloudtrail"),
    "ec2": _plain("ec2"),
    "ecr.api": _plain("api.ecr", "ecr"),
    "ecr.dkr": RegionService(host="dkr.ecr", signing=(), is_wild=True, takes_images=True),
    "ecs": _plain("ecs"),
    "ecs-agent": RegionService(host="ecs-a", signing=("ecs",), own="ecs-agent"),
    "ecs-telemetry": RegionService(host="ecs-t", signing=("ecs",), own="ecs-telemetry"),
    "elasticloadbalancing": _plain("elasticloadbalancing"),
    "kms": _plain("kms"),
    "logs": _plain("logs"),
    "secretsmanager": _plain("secretsmanager"),
    "servicediscovery": _plain("servicediscovery"),
    "ssm": _plain("ssm"),
    "ssmmessages": RegionService(host="ssmmessages", signing=("ssmmessages",), takes_terminals=True),
    "sts": _plain("sts"),
}


def service_of(name: str) -> str | None:
    """The end of a service's name; None where no interface endpoint leads to it."""
    words = name.split(".", 3)
    return words[3] if len(words) == 4 and words[:2] == ["com", "amazonaws"] and words[3] in SERVICES else None


def service_name(region: str, service: str) -> str:
    return f"com.amazonaws.{region}.{service}"


def private_names(name: str) -> tuple[str, ...]:
    """The public names of the service of this name, which private DNS makes the endpoint's. `*.`: all below."""
    known, region = _known(name)
    public = f"{known.host}.{region}.amazonaws.com"
    return (public, f"*.{public}") if known.is_wild else (public,)


def base_name(name: str) -> str:
    """What the names of endpoints for the service of this name end in."""
    known, region = _known(name)
    return f"{known.own or known.host}.{region}.vpce.amazonaws.com"


def _known(name: str) -> tuple[RegionService, str]:
    service = service_of(name)
    assert service is not None, "endpoints are made for these services only"
    return SERVICES[service], name.split(".", 3)[2]
