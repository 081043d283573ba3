"""Which image a task takes when its tag has moved: what the tag names, unless its definition wants it resolved once.

AWS resolves tags once per deployment of a service and at no other time (Amazon ECS Developer Guide, "Container image
resolution"). `versionConsistency` said in so many words holds for single tasks too: docs/decisions/0025.
"""

from typing import Any

import pytest

from neargate.testing import oci_image
from neargate.testing.oci_image import Entry, build_image, build_layer

from .region import LiveRegion


def push(region: LiveRegion, repository: str, word: str) -> None:
    said = build_layer([Entry(path="word", content=f"{word}\n".encode(), mode=0o644)])
    config: dict[str, object] = {"Cmd": ["cat", "/word"], "Env": ["PATH=/bin"]}
    oci_image.push(region.registry, repository, "moving", build_image([oci_image.busybox_layer(), said], config=config))


@pytest.mark.parametrize("value", [None, "enabled", "disabled"])
def test_a_tag_that_moves(region: LiveRegion, value: str | None) -> None:
    keeps = value == "enabled"
    repository = f"versions-{value or 'unsaid'}".lower()
    reference = f"{region.registry}/{repository}:moving"
    member = {} if value is None else {"versionConsistency": value}
    logs = {"logConfiguration": region.log_config("/test/output")}
    push(region, repository, "first")
    definition = region.register({"image": reference, **member, **logs})
    stored = region.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert stored["containerDefinitions"][0].get("versionConsistency") == value
    seen: list[dict[str, Any]] = []
    for word in ("first", "second"):
        push(region, repository, word)
        task = region.wait_status(region.run(definition), "STOPPED")
        assert region.output_of(task["taskArn"]) == ["first" if keeps else word]
        seen.append(task["containers"][0])
    # Since September 2024 AWS leaves the name as it was given, beside the digest.
    assert [container["image"] for container in seen] == [reference] * 2
    assert (seen[0]["imageDigest"] == seen[1]["imageDigest"]) is keeps
    if keeps:
        task = region.wait_status(region.run(region.register({"image": reference, **member, **logs})), "STOPPED")
        assert region.output_of(task["taskArn"]) == ["second"], "a new revision begins with what the tag names now"
