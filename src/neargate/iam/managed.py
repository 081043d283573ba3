"""AWS's managed policies, by ARN: what an account finds there without having made it.

Compiled when first asked for; nobody's registry owns or changes them.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from .document import Policy, PolicyKind, compile_policy
from .managed_documents import STATEMENTS


class ManagedPolicy(Struct, frozen=True, kw_only=True):
    """`created` and `updated`: ISO 8601. `policy_id`: AWS's. What is not attachable belongs to service-linked roles."""

    name: str
    path: str
    version_id: str
    policy_id: str
    created: str
    updated: str

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::aws:policy{self.path}{self.name}"

    @property
    def attachable(self) -> bool:
        return not self.path.startswith("/aws-service-role/")

    @property
    def document(self) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": list(STATEMENTS[self.name])}


# name, path, default version, id; created, updated
_KNOWN = """
    AdministratorAccess / v1 ANPAIWMBCKSKIEE64ZLYK
        2015-02-06T18:39:46Z 2015-02-06T18:39:46Z
    PowerUserAccess / v12 ANPAJYRXTHIB4FOVS3ZXS
        2015-02-06T18:39:47Z 2026-02-12T17:59:14Z
    ReadOnlyAccess / v190 ANPAILL3HVNFSB6DCOWYQ
        2015-02-06T18:39:48Z 2026-09-24T17:37:08Z
    IAMFullAccess / v2 ANPAI7XKCFMBPM3QQRRVQ
        2015-02-06T18:40:38Z 2019-06-21T19:40:00Z
    IAMReadOnlyAccess / v4 ANPAJKSO7NDY4T57MWDSQ
        2015-02-06T18:40:39Z 2018-01-25T19:11:27Z
    CloudWatchLogsFullAccess / v8 ANPAJ3ZGNWK2R5HW5BQFO
        2015-02-06T18:40:02Z 2026-02-12T18:00:33Z
    CloudWatchLogsReadOnlyAccess / v12 ANPAJ2YIYDYSNNEHK3VKW
        2015-02-06T18:40:03Z 2026-02-12T17:59:13Z
    AmazonEC2ContainerRegistryReadOnly / v3 ANPAIFYZPA37OOHVIH7KQ
        2015-12-21T17:04:15Z 2019-12-10T20:56:32Z
    AmazonEC2ContainerRegistryPowerUser / v3 ANPAJDNE5PIHROIBGGDDW
        2015-12-21T17:05:33Z 2019-12-10T20:48:08Z
    AmazonEC2ContainerRegistryFullAccess / v3 ANPAIESRL7KD7IIVF6V4W
        2015-12-21T17:06:48Z 2020-12-05T00:04:19Z
    AmazonSSMReadOnlyAccess / v1 ANPAJODSKQGGJTHRYZ5FC
        2015-05-29T17:44:19Z 2015-05-29T17:44:19Z
    SecretsManagerReadWrite / v6 ANPAI3VG7CI5BIQZQ6G2E
        2018-04-04T18:05:29Z 2026-08-25T23:37:10Z
    AmazonVPCFullAccess / v13 ANPAJBWPGNOVKZD3JI2P2
        2015-02-06T18:41:16Z 2026-02-12T18:00:44Z
    ElasticLoadBalancingFullAccess / v9 ANPAIDPMLA3IUIOQCISJ4
        2018-09-20T20:42:07Z 2026-02-23T18:57:07Z
    AmazonECSTaskExecutionRolePolicy /service-role/ v1 ANPAJG4T4G4PV56DE72PY
        2017-11-16T18:48:22Z 2017-11-16T18:48:22Z
    AmazonECS_FullAccess / v22 ANPAJ7S7AN6YQPTJC7IFS
        2017-11-07T21:36:54Z 2026-09-02T14:47:07Z
    AmazonEC2ContainerServiceEventsRole /service-role/ v3 ANPAITKFNIUAG27VSYNZ4
        2017-05-30T16:51:35Z 2023-03-06T22:25:12Z
    AmazonECSServiceRolePolicy /aws-service-role/ v24 ANPAIVUWKCAI7URU4WUEI
        2017-10-14T01:18:58Z 2026-04-22T23:12:09Z
    AWSApplicationAutoscalingECSServicePolicy /aws-service-role/ v3 ANPAJFXLLV7AKH5PSFOYG
        2017-10-25T23:53:08Z 2026-05-20T21:27:13Z
"""


def _known() -> dict[str, ManagedPolicy]:
    found = {}
    words = iter(_KNOWN.split())
    for name, path, version_id, policy_id, created, updated in zip(*[words] * 6, strict=True):
        policy = ManagedPolicy(
            name=name, path=path, version_id=version_id, policy_id=policy_id, created=created, updated=updated
        )
        found[policy.arn] = policy
    return found


MANAGED_POLICIES: Mapping[str, ManagedPolicy] = MappingProxyType(_known())


@cache
def compiled(arn: str) -> Policy:
    """The policy as identities have it. Raises KeyError for an ARN that AWS has not."""
    return compile_policy(MANAGED_POLICIES[arn].document, kind=PolicyKind.IDENTITY)
