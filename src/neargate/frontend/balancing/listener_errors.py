"""Errors of listeners and rules, by AWS's codes. What AWS says in one fixed sentence is said here."""

from collections.abc import Iterable

from ...model.errors import AwsError


class DuplicateListener(AwsError):
    code = "DuplicateListener"

    def __init__(self, balancer: str) -> None:
        super().__init__(f"A listener already exists on this port for this load balancer '{balancer}'")


class TooManyListeners(AwsError):
    code = "TooManyListeners"

    def __init__(self, balancer: str) -> None:
        super().__init__(f"The maximum number of listeners has been reached on load balancer '{balancer}'")


class TooManyRules(AwsError):
    code = "TooManyRules"

    def __init__(self, balancer: str) -> None:
        super().__init__(f"The maximum number of rules has been reached on load balancer '{balancer}'")


class TooManyCertificates(AwsError):
    code = "TooManyCertificates"

    def __init__(self) -> None:
        super().__init__("The maximum number of certificates per load balancer has been reached")


class TooManyActions(AwsError):
    code = "TooManyActions"

    def __init__(self) -> None:
        super().__init__("A rule can have one action of type forward, redirect or fixed-response, and no other")


class TooManyUniqueTargetGroups(AwsError):
    code = "TooManyUniqueTargetGroupsPerLoadBalancer"

    def __init__(self, balancer: str) -> None:
        super().__init__(f"The maximum number of target groups has been reached on load balancer '{balancer}'")


class TargetGroupAssociationLimit(AwsError):
    code = "TargetGroupAssociationLimit"

    def __init__(self, groups: Iterable[str]) -> None:
        named = ", ".join(groups)
        super().__init__(f"The following target groups cannot be associated with more than one load balancer: {named}")


class IncompatibleProtocols(AwsError):
    code = "IncompatibleProtocols"

    def __init__(self, group: str, protocol: str, listener: str) -> None:
        super().__init__(
            f"The protocol '{protocol}' of target group '{group}' cannot be used by a listener of protocol '{listener}'"
        )


class UnsupportedProtocol(AwsError):
    code = "UnsupportedProtocol"


class CertificateNotFound(AwsError):
    code = "CertificateNotFound"

    def __init__(self, certificate: str) -> None:
        super().__init__(f"Certificate '{certificate[:255]}' not found")


class UnsupportedCertificate(AwsError):
    code = "UnsupportedCertificate"

    def __init__(self, certificate: str) -> None:
        super().__init__(
            f"The certificate '{certificate}' must have a fully-qualified domain name, a supported signature, and a "
            "supported key size."
        )


class SslPolicyNotFound(AwsError):
    code = "SSLPolicyNotFound"

    def __init__(self, policy: str) -> None:
        super().__init__(f"SSL policy '{policy[:255]}' not found")


class AlpnPolicyNotFound(AwsError):
    code = "ALPNPolicyNotFound"

    def __init__(self, policy: str) -> None:
        super().__init__(f"ALPN policy '{policy[:255]}' is not supported")


class InvalidAction(AwsError):
    code = "InvalidLoadBalancerAction"


class PriorityInUse(AwsError):
    code = "PriorityInUse"

    def __init__(self, priority: int) -> None:
        super().__init__(f"Priority '{priority}' is currently in use")
