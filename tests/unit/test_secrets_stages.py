"""Staging labels: on one version each, AWSCURRENT never lost, the one before it known, whatever is done when."""

import random

import pytest

from neargate.frontend.secrets.errors import SecretInvalid, SecretLimit, SecretNotFound
from neargate.frontend.secrets.records import CURRENT, PENDING, PREVIOUS, Secret, Version
from neargate.frontend.secrets.stages import STAGES_MAX, VERSIONS_MAX, with_label_moved, with_new_version
from neargate.model.errors import AwsError


def secret(*versions: Version) -> Secret:
    return Secret(
        account="123456789012",
        name="db",
        region="us-east-1",
        suffix="AbCdEf",
        created=1,
        changed=1,
        versions=versions,
    )


def version(number: int, *stages: str) -> Version:
    return Version(id=f"v{number}", created=number, stages=stages, key="k", size=1)


def labels(secret: Secret) -> dict[str, set[str]]:
    return {one.id: set(one.stages) for one in secret.versions}


def test_the_first_value_is_the_current_one_whatever_it_is_called() -> None:
    assert labels(with_new_version(secret(), version(1, PENDING))) == {"v1": {PENDING, CURRENT}}


def test_a_new_value_makes_the_current_one_the_previous() -> None:
    found = with_new_version(secret(version(1, CURRENT)), version(2, CURRENT))
    found = with_new_version(found, version(3, CURRENT))
    assert labels(found) == {"v1": set(), "v2": {PREVIOUS}, "v3": {CURRENT}}


def test_labels_leave_the_version_that_had_them() -> None:
    found = with_new_version(secret(version(1, CURRENT, "blue")), version(2, "blue"))
    assert labels(found) == {"v1": {CURRENT}, "v2": {"blue"}}


def test_the_current_label_moves_back() -> None:
    before = secret(version(1, PREVIOUS), version(2, CURRENT))
    assert labels(with_label_moved(before, CURRENT, remove_from="v2", move_to="v1")) == {
        "v1": {CURRENT},
        "v2": {PREVIOUS},
    }


@pytest.mark.parametrize(
    ("stage", "remove_from", "move_to", "error"),
    [
        (CURRENT, "v2", None, SecretInvalid),
        (CURRENT, None, "v1", SecretInvalid),
        (CURRENT, "v1", "v2", SecretInvalid),
        ("blue", None, None, SecretInvalid),
        ("blue", None, "v9", SecretNotFound),
        ("blue", "v9", None, SecretNotFound),
    ],
)
def test_moves_that_are_refused(
    stage: str, remove_from: str | None, move_to: str | None, error: type[AwsError]
) -> None:
    with pytest.raises(error):
        with_label_moved(
            secret(version(1, PREVIOUS), version(2, CURRENT)), stage, remove_from=remove_from, move_to=move_to
        )


def test_versions_and_labels_are_bounded() -> None:
    full = secret(*(version(number) for number in range(VERSIONS_MAX - 1)), version(999, CURRENT))
    found = with_new_version(full, version(1000, CURRENT))
    assert len(found.versions) == VERSIONS_MAX and found.versions[0].id == "v1"
    assert [one.id for one in found.versions[-2:]] == ["v999", "v1000"]
    crowded = secret(version(1, CURRENT, *(f"l{number}" for number in range(STAGES_MAX - 1))))
    with pytest.raises(SecretLimit):
        with_new_version(crowded, version(2, "one-more"))


@pytest.mark.parametrize("seed", range(20))
def test_in_any_history_a_label_is_on_one_version_and_the_current_one_is_there(seed: int) -> None:
    chance = random.Random(seed)
    found, count, moves = secret(), 0, 0
    for _ in range(300):
        stage = chance.choice([CURRENT, PREVIOUS, PENDING, "blue", "green"])
        ids = [one.id for one in found.versions] or ["v0"]
        before = found
        try:
            if chance.random() < 0.4:
                count += 1
                found = with_new_version(found, version(count, *chance.sample([CURRENT, PENDING, "blue"], 2)))
            else:
                holder = found.staged(stage)
                named = chance.choice([None, *ids, *([holder.id] * len(ids) if holder else [])])
                found = with_label_moved(found, stage, remove_from=named, move_to=chance.choice([None, *ids]))
                moves += 1
        except AwsError:
            assert found is before
        every = [label for one in found.versions for label in one.stages]
        assert len(every) == len(set(every))
        assert not found.versions or CURRENT in every
        was, now = before.staged(CURRENT), found.staged(CURRENT)
        if was is not None and now is not None and was.id != now.id:
            previous = found.staged(PREVIOUS)
            assert previous is not None and previous.id == was.id
    assert count > 50 and moves > 10
