"""Who asks for what, and the answer: what the policy evaluator is given beside policies (`policy.py`), and gives.

Pure data. Owns no rule; `evaluate.py` decides. ARNs and actions as AWS writes them.
"""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct, field

# Condition keys by lower-case name; an absent key was not part of the request. Single-valued keys have one value.
Keys = Mapping[str, tuple[str, ...]]


class Request(Struct, frozen=True, kw_only=True):
    """One action on one resource. `resource` is an ARN, or `*` for actions that know none."""

    action: str  # ecs:RunTask
    resource: str
    keys: Keys = field(default_factory=dict)
    # The account that owns the resource. None: the one its ARN names, and the caller's own where the ARN names none.
    resource_account: str | None = None


class Caller(Struct, frozen=True, kw_only=True):
    """The principal as policies name it.

    `arn` is what GetCallerIdentity shows (an assumed-role ARN for sessions), `role_arn` the role's own ARN for them;
    `service` is set for AWS service principals (`ecs-tasks.amazonaws.com`); `federated` for web identity providers.
    """

    account: str
    arn: str
    user_id: str
    role_arn: str | None = None
    service: str | None = None
    federated: str | None = None


class Layer(Enum):
    """Which kind of policy decided; the value is AWS's word in the denial."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    TRUST = "role trust policy"
    ENDPOINT = "VPC endpoint policy"


class Decision(Struct, frozen=True, kw_only=True):
    """`explicit` is a Deny statement; otherwise a refusal means that `layer` allows nothing of the kind."""

    allowed: bool
    explicit: bool = False
    layer: Layer = Layer.IDENTITY
    policy: str | None = None  # name of the deciding policy, for the simulator and the record
    statement: str | None = None  # its Sid
