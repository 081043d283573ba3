"""Which images go when the disk runs low, and that nothing is pulled meanwhile."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.sandbox.pull.collector import Kept, least_used
from neargate.sandbox.pull.share import Turnstile
from neargate.testing.agent_host import TASK_ID, AgentHost, launch, play

KEPT = st.builds(
    Kept,
    name=st.text("abc", min_size=1, max_size=3),
    digest=st.sampled_from(["d1", "d2", "d3", "d4"]),
    used_at=st.floats(0, 1000),
)


@given(st.lists(KEPT), st.frozensets(st.sampled_from(["d1", "d2", "d3"])), st.floats(0, 1000))
def test_the_least_recently_used_goes_first_and_the_needed_never(
    images: list[Kept], spared: frozenset[str], before: float
) -> None:
    order = least_used(images, spared, before)
    assert all(image.digest not in spared and image.used_at < before for image in order)
    assert [image.used_at for image in order] == sorted(image.used_at for image in order)
    assert len(order) == sum(image.digest not in spared and image.used_at < before for image in images)


def test_whoever_is_alone_waits_for_those_inside_and_nobody_enters() -> None:
    async def story() -> list[str]:
        turnstile, seen, leave = Turnstile(), [], asyncio.Event()

        async def pull(name: str) -> None:
            async with turnstile.shared():
                seen.append(f"{name} in")
                await leave.wait()
                seen.append(f"{name} out")

        async def collect() -> None:
            async with turnstile.alone(60):
                seen.append("alone")

        first = asyncio.ensure_future(pull("first"))
        await asyncio.sleep(0)
        alone = asyncio.ensure_future(collect())
        await asyncio.sleep(0)
        second = asyncio.ensure_future(pull("second"))
        await asyncio.sleep(0)
        assert seen == ["first in"]
        leave.set()
        await asyncio.gather(first, alone, second)
        return seen

    assert asyncio.run(story()) == ["first in", "first out", "alone", "second in", "second out"]


def test_a_pull_that_lasts_is_not_waited_for() -> None:
    async def story() -> None:
        turnstile = Turnstile()
        async with turnstile.shared():
            with pytest.raises(TimeoutError):
                async with turnstile.alone(0.01):
                    raise AssertionError("not alone")
            async with turnstile.shared():
                pass  # the others go on
        async with turnstile.alone(1):
            pass

    asyncio.run(story())


def test_the_images_of_tasks_are_spared(tmp_path: Path) -> None:
    async def scenario(host: AgentHost) -> None:
        host.server.run(launch())
        running = await host.server.status(TASK_ID, "RUNNING")
        digest = running.containers[0].image_digest
        host.kill()
        host.sandbox.spared.clear()
        await host.started()
        while not host.sandbox.spared:
            await host.clock.sleep(1)
        assert digest is not None and host.sandbox.spared == [frozenset({digest})], "also by the next agent"

    play(tmp_path, scenario)
