"""A revision that asks for it keeps the digests that its first task pulled; nobody else's images are held."""

from typing import Any

from neargate.agent.hooks.image import _reference
from neargate.clusters.image_pins import ImagePins
from neargate.link.messages import RunOrder, decode_to_agent
from neargate.model.launch import ContainerLaunch
from neargate.testing.cell_rig import DEFINITION, ZONES, CellRig, host_of, in_cell, running, subnet

ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}
HOST = host_of(ZONES[0])
FIRST, SECOND = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def revision(number: int, **members: Any) -> dict[str, Any]:
    web, side = DEFINITION["containerDefinitions"]
    return DEFINITION | {
        "taskDefinitionArn": DEFINITION["taskDefinitionArn"].replace(":1", f":{number}"),
        "revision": number,
        "containerDefinitions": [web | members, side],
    }


async def ordered(rig: CellRig, definition: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A new task, and what its containers' images are pulled as."""
    [task] = await rig.run(**ONE_ZONE, definition=definition)
    found: dict[str, str] = {}
    for order in await rig.cell.orders.to_run(HOST, 0, 100):
        message = decode_to_agent(order.message)
        assert isinstance(message, RunOrder)
        if message.launch.task_arn == task["taskArn"]:
            found = {container.name: _reference(container) for container in message.launch.containers}
    return task, found


def pulled(digest: str) -> dict[str, Any]:
    return {"containers": (running("web", image_digest=digest), running("side", image_digest=digest))}


def test_the_first_report_counts_for_the_revision_and_outlives_the_process() -> None:
    async def body(rig: CellRig) -> None:
        keeps = revision(1, versionConsistency="enabled")
        first, images = await ordered(rig, keeps)
        beside, _ = await ordered(rig, keeps)
        assert images == {"web": "registry.example/web:1", "side": "registry.example/side:1"}
        await rig.reopen()  # before anybody has told it
        await rig.report(first, "PENDING", 1, **pulled(FIRST))
        await rig.report(beside, "PENDING", 1, **pulled(SECOND))
        pinned = {"web": f"registry.example/web:1@{FIRST}", "side": "registry.example/side:1"}
        assert (await ordered(rig, keeps))[1] == pinned
        await rig.reopen()
        assert (await ordered(rig, keeps))[1] == pinned
        _, others = await ordered(rig, revision(2, versionConsistency="enabled"))
        assert others["web"] == "registry.example/web:1", "another revision begins anew"

    in_cell(body)


def test_who_asks_for_nothing_gets_what_the_tag_names() -> None:
    async def body(rig: CellRig) -> None:
        for number, members in enumerate(({}, {"versionConsistency": "disabled"}), start=1):
            task, images = await ordered(rig, revision(number, **members))
            await rig.report(task, "PENDING", 1, **pulled(FIRST))
            assert (await ordered(rig, revision(number, **members)))[1] == images

    in_cell(body)


def test_what_is_no_digest_pins_nothing() -> None:
    async def body(rig: CellRig) -> None:
        keeps = revision(1, versionConsistency="enabled")
        task, images = await ordered(rig, keeps)
        await rig.report(task, "PENDING", 1, **pulled("sha256:1@evil.example/x"))
        assert (await ordered(rig, keeps))[1] == images

    in_cell(body)


def test_an_image_that_names_its_digest_is_pulled_by_that() -> None:
    named = ContainerLaunch(name="web", image=f"r.example/web@{SECOND}", arn="a", image_pin=FIRST)
    assert _reference(named) == f"r.example/web@{SECOND}"


def test_a_revision_that_can_be_run_no_more_keeps_nothing() -> None:
    async def body(rig: CellRig) -> None:
        revisions = [revision(number, versionConsistency="enabled") for number in (1, 2, 3)]
        arns = [one["taskDefinitionArn"] for one in revisions]
        first, _ = await ordered(rig, revisions[0])
        await ordered(rig, revisions[1])
        await ordered(rig, revisions[2])
        await rig.report(first, "PENDING", 1, **pulled(FIRST))
        assert await rig.cell.sweepers.sweep_pins(lambda arn: False) is None
        said = await rig.cell.sweepers.sweep_pins(lambda arn: arn in arns[:2])
        assert said == "forgot the images of 2 revisions that can be run no more"
        assert await rig.cell.sweepers.sweep_pins(lambda arn: arn in arns[:2]) is None
        for _ in range(2):  # as it is in memory, then as it is kept
            assert (await ordered(rig, revisions[0]))[1]["web"] == "registry.example/web:1"
            await rig.cell.sweepers.sweep_pins(lambda arn: arn == arns[0])
            await rig.reopen()

    in_cell(body)


def test_all_revisions_are_looked_at_in_turn() -> None:
    pins = ImagePins()
    for number in range(1, 8):
        pins.want(revision(number, versionConsistency="enabled"))
    pins.learned([("an ARN that was forgotten", "web", FIRST)])
    turns = [pins.next_definitions(3) for _ in range(3)]
    assert [len(turn) for turn in turns] == [3, 3, 1] and len({arn for turn in turns for arn in turn}) == 7
    assert pins.next_definitions(3) == turns[0] and len(pins.next_definitions(7)) == 7
    pins.forget([arn for turn in turns for arn in turn])
    assert not pins.is_waiting and pins.next_definitions(3) == []
