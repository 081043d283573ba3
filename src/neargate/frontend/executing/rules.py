"""What a cluster's `executeCommandConfiguration` makes of its sessions: where they are logged, by what encrypted. Pure.

Owns the sentences for what cannot be had here. Must not know tasks or clients. Invariant: who wants a session kept in a
way that there is not gets no session.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ...interfaces.roles import ExecutedTask
from ...model.errors import ClientError

NOT_ENCRYPTED = (
    "We couldn't start the session because encryption is not set up on the selected CloudWatch Logs log group. "
    "Either encrypt the log group or choose an option to enable logging without encryption."
)
_NO_BUCKETS = (
    "The executeCommandConfiguration of this cluster wants sessions logged to Amazon S3 (s3BucketName), which Neargate "
    "does not do. Name a cloudWatchLogGroupName alone with UpdateCluster."
)


class SessionRules(Struct, frozen=True, kw_only=True, array_like=True):
    """`log_group` None: DEFAULT, the container's own; empty: sessions are not logged. `key_id`: KMS's; empty: none."""

    log_group: str | None = None
    needs_encrypted_group: bool = False
    key_id: str = ""


def session_rules(cluster: Mapping[str, Any]) -> SessionRules:
    """Of a cluster's document, configuration included. Raises ClientError."""
    asked = (cluster.get("configuration") or {}).get("executeCommandConfiguration") or {}
    key_id = asked.get("kmsKeyId") or ""
    logging = asked.get("logging") or "DEFAULT"
    if logging != "OVERRIDE":
        return SessionRules(log_group="" if logging == "NONE" else None, key_id=key_id)
    logs = asked.get("logConfiguration") or {}
    if logs.get("s3BucketName"):
        raise ClientError(_NO_BUCKETS)
    return SessionRules(
        log_group=logs.get("cloudWatchLogGroupName") or "",
        needs_encrypted_group=bool(logs.get("cloudWatchEncryptionEnabled")),
        key_id=key_id,
    )


def log_group(rules: SessionRules, task: ExecutedTask, region: str) -> str:
    """Where a session is logged; empty: nowhere."""
    if rules.log_group is not None:
        return rules.log_group
    return task.log_group if task.log_group and task.log_region == region else ""
