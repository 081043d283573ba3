"""How SDKs ask: headers of their calls, and `wire.signing` under its old name, for tests and the simulator."""

from collections.abc import Sequence

from ..wire.signing import signed

__all__ = ("JSON_TARGETS", "credential", "form_headers", "json_headers", "signed")

JSON_TARGETS = {
    "acm": "CertificateManager",
    "cloudtrail": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
    "ecr": "AmazonEC2ContainerRegistry_V20150921",
    "ecs": "AmazonEC2ContainerServiceV20141113",
    "kms": "TrentService",
    "logs": "Logs_20140328",
    "secretsmanager": "secretsmanager",
    "service-quotas": "ServiceQuotasV20190624",
    "servicediscovery": "Route53AutoNaming_v20170314",
    "ssm": "AmazonSSM",
}


def json_headers(service: str, operation: str, host: str = "127.0.0.1:4566") -> list[tuple[bytes, bytes]]:
    """Unsigned headers of an AWS JSON 1.1 call."""
    return [
        (b"host", host.encode()),
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"x-amz-target", f"{JSON_TARGETS[service]}.{operation}".encode()),
    ]


def form_headers(host: str = "127.0.0.1:4566") -> list[tuple[bytes, bytes]]:
    return [
        (b"host", host.encode()),
        (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8"),
    ]


def credential(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The Authorization value, for tests that tamper with it."""
    return dict(headers)[b"authorization"]
