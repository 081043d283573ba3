"""Listeners and security policies in the shapes of ELBv2's answers."""

from typing import Any

from ....model.tls_policies import TlsPolicy
from ...balancing.actions import shown_action
from ...balancing.objects import Listener


def listener_shown(one: Listener) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ListenerArn": one.arn,
        "LoadBalancerArn": one.load_balancer,
        "Port": one.port,
        "Protocol": one.protocol,
        "DefaultActions": [shown_action(action) for action in one.default],
    }
    if one.certificates:
        shown["Certificates"] = [{"CertificateArn": one.certificates[0]}]
        shown["SslPolicy"] = one.ssl_policy
    if one.alpn is not None:
        shown["AlpnPolicy"] = [one.alpn]
    if one.protocol == "HTTPS":
        shown["MutualAuthentication"] = {"Mode": "off"}
    return shown


def certificates_shown(one: Listener) -> list[dict[str, Any]]:
    """The default one, which may be in the list, too."""
    return [{"CertificateArn": arn, "IsDefault": place == 0} for place, arn in enumerate(one.certificates)]


def policy_shown(one: TlsPolicy) -> dict[str, Any]:
    return {
        "Name": one.name,
        "SslProtocols": list(one.protocols),
        "Ciphers": [{"Name": name, "Priority": place} for place, name in enumerate(one.ciphers, 1)],
        "SupportedLoadBalancerTypes": ["application", "network"],
    }
