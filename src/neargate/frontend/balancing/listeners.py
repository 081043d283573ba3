"""What calls make of listeners: shelf in, change out. Pure; certificates are looked up by who calls.

Invariants: a load balancer has one listener a port; one that ends TLS has a default certificate and a policy, another
one has neither; the first of `certificates` is the default one, the rest is the list that SNI chooses from.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ...model.tls_policies import DEFAULT_POLICY, TLS_POLICIES
from ..certificates.records import Certificate
from ..network.records.objects import Tags
from ..regional.shelves import Change, Shelf
from . import lookup
from .arns import listener_arn
from .associations import check_actions
from .errors import InvalidConfigurationRequest, OperationNotPermitted, ValidationError
from .limits import AWS_LIMITS, Limits
from .listener_attributes import kept_for
from .listener_errors import (
    AlpnPolicyNotFound,
    CertificateNotFound,
    DuplicateListener,
    InvalidAction,
    SslPolicyNotFound,
    TooManyCertificates,
    TooManyListeners,
    UnsupportedCertificate,
    UnsupportedProtocol,
)
from .objects import Action, Listener, LoadBalancer
from .room import check_certificates as check_room_for_certificates
from .room import has_room_for

PROTOCOLS = {"application": ("HTTP", "HTTPS"), "network": ("UDP", "TCP", "TLS", "TCP_UDP")}  # AWS's
NOT_BUILT = ("TCP_UDP", "UDP")
ENDS_TLS = ("HTTPS", "TLS")
ALPN_POLICIES = ("HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None")
Known = Callable[[str], Certificate | None]


class WantedListener(Struct, frozen=True, kw_only=True):
    """What a call says; None: nothing. `certificates`: ARNs."""

    port: int | None = None
    protocol: str | None = None
    actions: tuple[Action, ...] | None = None
    certificates: tuple[str, ...] | None = None
    ssl_policy: str | None = None
    alpn: tuple[str, ...] | None = None


def create(
    shelf: Shelf,
    balancer_arn: str,
    wanted: WantedListener,
    known: Known,
    tags: Tags,
    number: str,
    now: float,
    limits: Limits = AWS_LIMITS,
) -> Change[Listener]:
    """Repeatable with the same settings. Raises what ELB raises for each thing that cannot be."""
    balancer = lookup.required_balancer(shelf, balancer_arn)
    if wanted.protocol is None:
        raise ValidationError("A listener protocol must be specified")
    if wanted.port is None:
        raise ValidationError("A listener port must be specified")
    assert wanted.actions is not None, "of given_actions"
    made = _settled(
        Listener(
            account=shelf.account,
            name=listener_arn(balancer_arn, number),
            load_balancer=balancer_arn,
            port=wanted.port,
            protocol=wanted.protocol,
            created_at=now,
            default=wanted.actions,
            tags=tags,
        ),
        wanted,
        balancer,
        known,
    )
    beside = list(lookup.listeners_of(shelf, balancer_arn))
    same = next((one for one in beside if one.port == made.port), None)
    if same is not None:
        if _is_same(same, made):
            return Change(result=same)
        raise DuplicateListener(balancer_arn)
    if len(beside) >= limits.of(balancer.lb_type).listeners:
        raise TooManyListeners(balancer.label)
    check_actions(shelf, balancer, made.protocol, made.default, limits)
    _check_room(shelf, balancer, made, known, limits)
    return Change(result=made, put=(made,))


def _is_same(one: Listener, other: Listener) -> bool:
    settings = [
        (each.protocol, each.default, each.certificates[:1], each.ssl_policy, each.alpn) for each in (one, other)
    ]
    return settings[0] == settings[1]


def _check_room(shelf: Shelf, balancer: LoadBalancer, after: Listener, known: Known, limits: Limits) -> None:
    """Raises TooManyCertificates, InvalidAction."""
    check_room_for_certificates(shelf, balancer, after, known, limits)
    if not has_room_for(shelf, balancer, after):
        raise InvalidAction(f"The rules of the load balancer '{balancer.label}' are too long together")


def modify(
    shelf: Shelf, arn: str, wanted: WantedListener, known: Known, limits: Limits = AWS_LIMITS
) -> Change[Listener]:
    """Certificates of the list stay; what another protocol cannot have goes."""
    before = lookup.required_listener(shelf, arn)
    balancer = lookup.required_balancer(shelf, before.load_balancer)
    after = replace(
        before,
        port=before.port if wanted.port is None else wanted.port,
        protocol=wanted.protocol or before.protocol,
        default=before.default if wanted.actions is None else wanted.actions,
    )
    after = _settled(after, wanted, balancer, known)
    if any(one.port == after.port for one in lookup.listeners_of(shelf, balancer.arn) if one.arn != arn):
        raise DuplicateListener(balancer.arn)
    check_actions(shelf, balancer, after.protocol, after.default, limits, arn)
    _check_room(shelf, balancer, after, known, limits)
    for rule in lookup.rules_of(shelf, arn) if after.protocol != before.protocol else ():
        check_actions(shelf, balancer, after.protocol, rule.actions, limits, rule.arn)
    return Change(result=after, put=(after,) if after != before else ())


def delete(shelf: Shelf, arn: str) -> Change[None]:
    """Its rules go with it. Raises ListenerNotFound."""
    found = lookup.required_listener(shelf, arn)
    return Change(result=None, drop=(found, *lookup.rules_of(shelf, arn)))


# -- what belongs to a protocol


def _settled(listener: Listener, wanted: WantedListener, balancer: LoadBalancer, known: Known) -> Listener:
    """With the certificates, policies and attributes that its protocol has."""
    allowed = PROTOCOLS[balancer.lb_type]
    if listener.protocol not in allowed:
        raise ValidationError(f"Listener protocol '{listener.protocol}' must be one of '{', '.join(allowed)}'")
    if listener.protocol in NOT_BUILT:
        raise UnsupportedProtocol(f"Neargate does not support {listener.protocol} listeners")
    if listener.protocol in ENDS_TLS:
        settled = replace(
            listener,
            certificates=_certificates(listener, wanted, known),
            ssl_policy=_policy(listener, wanted),
            alpn=_alpn(listener, wanted),
        )
    else:
        _refuse_tls(listener.protocol, wanted)
        settled = replace(listener, certificates=(), ssl_policy=None, alpn=None)
    return replace(settled, attributes=kept_for(settled.protocol, settled.attributes))


def _refuse_tls(protocol: str, wanted: WantedListener) -> None:
    if wanted.certificates:
        raise InvalidConfigurationRequest(f"Certificates cannot be specified for {protocol} listeners")
    if wanted.ssl_policy:
        raise InvalidConfigurationRequest(f"An SSL policy cannot be specified for {protocol} listeners")
    if wanted.alpn:
        raise InvalidConfigurationRequest(f"An ALPN policy cannot be specified for {protocol} listeners")


def _certificates(listener: Listener, wanted: WantedListener, known: Known) -> tuple[str, ...]:
    given = wanted.certificates
    if given is None and listener.certificates:
        return listener.certificates
    if not given:
        raise ValidationError(f"A certificate must be specified for {listener.protocol} listeners")
    if len(given) > 1:
        raise ValidationError(f"Up to '1' certificate ARNs can be specified, but '{len(given)}' were specified")
    check_certificates(given, known)
    return (given[0], *listener.certificates[1:])


def _policy(listener: Listener, wanted: WantedListener) -> str:
    named = wanted.ssl_policy or listener.ssl_policy or DEFAULT_POLICY
    if named not in TLS_POLICIES:
        raise SslPolicyNotFound(named)
    return named


def _alpn(listener: Listener, wanted: WantedListener) -> str | None:
    if listener.protocol != "TLS":
        if wanted.alpn:
            raise InvalidConfigurationRequest("An ALPN policy can be specified for TLS listeners only")
        return None
    if wanted.alpn is None:
        return listener.alpn
    if len(wanted.alpn) > 1:
        raise ValidationError("You can specify only one ALPN policy")
    named = next(iter(wanted.alpn), "None")
    if named not in ALPN_POLICIES:
        raise AlpnPolicyNotFound(named)
    return named


def check_certificates(given: Sequence[str], known: Known) -> None:
    """Raises CertificateNotFound, UnsupportedCertificate."""
    for arn in given:
        found = known(arn)
        if found is None:
            raise CertificateNotFound(arn)
        if not found.facts.is_servable:
            raise UnsupportedCertificate(arn)


# -- the list that SNI chooses from


def add_certificates(
    shelf: Shelf, arn: str, given: Sequence[str], known: Known, limits: Limits = AWS_LIMITS
) -> Change[Listener]:
    """One that is in the list already is not added again. Raises ListenerNotFound, TooManyCertificates."""
    found = _of_tls(shelf, arn)
    balancer = lookup.required_balancer(shelf, found.load_balancer)
    if len(given) > limits.of(balancer.lb_type).certificates:
        raise TooManyCertificates
    check_certificates(given, known)
    listed = tuple(dict.fromkeys((*found.certificates[1:], *given)))
    after = replace(found, certificates=(*found.certificates[:1], *listed))
    if after != found:
        check_room_for_certificates(shelf, balancer, after, known, limits)
    return Change(result=after, put=(after,) if after != found else ())


def remove_certificates(shelf: Shelf, arn: str, given: Sequence[str]) -> Change[Listener]:
    """Raises ListenerNotFound, OperationNotPermitted: the default one can only be replaced."""
    found = _of_tls(shelf, arn)
    default, listed = found.certificates[0], found.certificates[1:]
    if default in given and default not in listed:
        raise OperationNotPermitted(f"Default certificate '{default}' cannot be removed from a listener")
    after = replace(found, certificates=(default, *(one for one in listed if one not in given)))
    return Change(result=after, put=(after,) if after != found else ())


def _of_tls(shelf: Shelf, arn: str) -> Listener:
    found = lookup.required_listener(shelf, arn)
    if found.protocol not in ENDS_TLS:
        raise ValidationError(f"A listener of protocol '{found.protocol}' has no certificates")
    return found
