"""One authenticated request on its way to an operation."""

from dataclasses import dataclass, field
from typing import Any

from ..model.arn import Arn


class RawBody(bytes):
    """An answer already encoded in the caller's protocol (JSON documents joined, not rebuilt)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who calls: proven by the signature."""

    account: str
    arn: str
    user_id: str
    access_key_id: str
    is_administrator: bool


@dataclass(kw_only=True, slots=True)
class Call:
    """What an operation knows of its request. `authorize` (authorize.py) must be asked before anything is changed."""

    service: str  # signing name: ecs, ec2, logs, sts
    operation: str
    protocol: str  # json, query, ec2
    region: str
    principal: Principal
    request_id: str
    now: float
    authorised_actions: list[str] = field(default_factory=list)

    @property
    def account(self) -> str:
        return self.principal.account

    def arn(self, service: str, resource: str) -> str:
        return str(Arn(service=service, region=self.region, account=self.account, resource=resource))


Params = dict[str, Any]  # members by wire name; timestamps are epoch floats, blobs bytes; shape-checked
Answer = dict[str, Any] | RawBody
