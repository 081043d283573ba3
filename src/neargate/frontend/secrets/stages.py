"""Which version of a secret has which staging label, and how a label moves. Pure.

Invariants: a label is on at most one version; AWSCURRENT, once there, is moved and never taken away; the version that
loses it is AWSPREVIOUS.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from .errors import SecretInvalid, SecretLimit, SecretNotFound
from .records import CURRENT, PREVIOUS, Secret, Version

VERSIONS_MAX = 100
STAGES_MAX = 20


def with_new_version(secret: Secret, version: Version) -> Secret:
    """`version` is the newest, with its labels; they leave the versions that had them. Raises SecretLimit."""
    stages = version.stages
    if secret.staged(CURRENT) is None and CURRENT not in stages:
        stages = (*stages, CURRENT)  # the first value of a secret is its current one
    before = secret.staged(CURRENT)
    others = tuple(_without(one, stages) for one in secret.versions)
    if CURRENT in stages and before is not None:
        others = _previous(others, before.id)
    changed = replace(secret, versions=(*others, replace(version, stages=stages)))
    return _checked(replace(changed, versions=_pruned(changed.versions)))


def with_label_moved(secret: Secret, stage: str, *, remove_from: str | None, move_to: str | None) -> Secret:
    """UpdateSecretVersionStage. Raises SecretInvalid, SecretNotFound, SecretLimit."""
    holder = secret.staged(stage)
    for version_id in (remove_from, move_to):
        if version_id is not None and secret.version(version_id) is None:
            raise SecretNotFound(f"Secrets Manager can't find the specified secret value for VersionId: {version_id}")
    if remove_from is not None and (holder is None or holder.id != remove_from):
        raise SecretInvalid(f"The staging label {stage} isn't attached to version {remove_from}.")
    if move_to is None:
        if remove_from is None:
            raise SecretInvalid("You must provide RemoveFromVersionId, MoveToVersionId, or both.")
        if stage == CURRENT:
            raise SecretInvalid(
                f"You can only move staging label {CURRENT} to a different secret version. It can't be completely "
                "removed."
            )
    elif holder is not None and holder.id == move_to:
        return secret
    elif holder is not None and remove_from is None:
        raise SecretInvalid(
            f"The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version "
            f"{holder.id}, so you must explicitly reference that version in RemoveFromVersionId."
        )
    versions = tuple(_without(one, (stage,)) for one in secret.versions)
    if stage == CURRENT and holder is not None:
        versions = _previous(versions, holder.id)
    if move_to is not None:
        versions = tuple(replace(one, stages=(*one.stages, stage)) if one.id == move_to else one for one in versions)
    return _checked(replace(secret, versions=versions))


def _previous(versions: Sequence[Version], version_id: str) -> tuple[Version, ...]:
    bare = (_without(one, (PREVIOUS,)) for one in versions)
    return tuple(replace(one, stages=(*one.stages, PREVIOUS)) if one.id == version_id else one for one in bare)


def _without(version: Version, stages: Sequence[str]) -> Version:
    left = tuple(stage for stage in version.stages if stage not in stages)
    return version if left == version.stages else replace(version, stages=left)


def _pruned(versions: tuple[Version, ...]) -> tuple[Version, ...]:
    """The oldest deprecated versions make room for newer ones."""
    excess = len(versions) - VERSIONS_MAX
    gone = {one.id for one in [one for one in versions if not one.stages][: max(excess, 0)]}
    return tuple(one for one in versions if one.id not in gone)


def _checked(secret: Secret) -> Secret:
    if len(secret.versions) > VERSIONS_MAX:
        raise SecretLimit(f"A secret has at most {VERSIONS_MAX} versions with staging labels.")
    if sum(len(one.stages) for one in secret.versions) > STAGES_MAX:
        raise SecretLimit(f"A secret has at most {STAGES_MAX} staging labels.")
    return replace(secret, size=sum(one.size for one in secret.versions))
