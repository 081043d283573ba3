"""Which certificate a request means, whether its caller may do that, and the tags that it gives."""

from ....model.arn import Arn
from ...authorize import Resource, Values, authorize, request_tags
from ...balancing.lookup import certificate_users
from ...call import Call
from ...certificates.changes import required
from ...certificates.errors import Invalid, InvalidArn
from ...certificates.records import Certificate, Pairs
from ...services import Services


def certificate_meant(
    call: Call, services: Services, arn: str, context: dict[str, Values] | None = None
) -> Certificate:
    """After leave for it. Raises AccessDenied, InvalidArn, CertificateNotFound."""
    parts = Arn.parse(arn)
    if parts is None or parts.service != "acm" or not parts.resource.startswith("certificate/"):
        raise InvalidArn(arn)
    found = services.certificates.certificate(call.account, arn)
    tags = {} if found is None else dict(found.tags)
    authorize(call, f"acm:{call.operation}", [Resource(arn=arn, tags=tags)], context)
    return required(services.certificates.shelf(call.account), arn)


def users_of(call: Call, services: Services, arn: str) -> tuple[str, ...]:
    """ARNs of the load balancers that show it."""
    return certificate_users(services.network.shelf(call.account), arn)


def ask_for_tags(call: Call, tags: Pairs) -> None:
    """Of a certificate that is to be made."""
    if tags:
        authorize(call, "acm:AddTagsToCertificate", ["*"], request_tags(dict(tags)))


def given_tags(given: list[dict[str, str]] | None) -> Pairs:
    """Raises Invalid."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in given or []}
    if any(key.lower().startswith("aws:") for key in tags):
        raise Invalid("AWS internal tags cannot be changed with this API")
    return tuple(tags.items())


def named_tags(tags: Pairs) -> list[dict[str, str]]:
    """A key that was given alone is shown alone."""
    return [{"Key": key, "Value": value} if value else {"Key": key} for key, value in tags]
