"""What every Sandbox must do. A test class subclasses `SandboxSuite` and says how to get an engine.

The promises here are those the agent builds on: every call may be repeated, an exit and its code are kept until the
container is deleted, nothing is left after the deletion.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from ...interfaces.sandbox import (
    ContainerConfig,
    ContainerState,
    Exit,
    Image,
    PauseConfig,
    PullRequest,
    Sandbox,
    SandboxError,
)

ACCOUNT = "123456789012"
LOOKS = 400
Story = Callable[[Sandbox], Awaitable[None]]


class SandboxSuite(ABC):
    """`play` runs a story with a started engine. `reference` names an image with a shell.

    Programs are shell lines, of which the suite uses only those in `PROGRAMS`; a fake engine acts them out.
    """

    PROGRAMS = ("exit 3", "sleep 1000", "trap 'exit 5' TERM; while :; do sleep 0.05; done", "echo out; echo err >&2")

    @abstractmethod
    def play(self, story: Story) -> None: ...

    @property
    @abstractmethod
    def reference(self) -> str: ...

    @abstractmethod
    def config(self, image: Image, name: str, program: str) -> ContainerConfig:
        """A container of its own task, with a disk and a log file."""

    @abstractmethod
    async def pause(self) -> None:
        """A moment of the engine's time."""

    async def pulled(self, engine: Sandbox) -> Image:
        return await engine.pull_image(PullRequest(reference=self.reference, account=ACCOUNT), lambda *_: None)

    async def running(self, engine: Sandbox, name: str, program: str) -> ContainerConfig:
        config = self.config(await self.pulled(engine), name, program)
        await engine.create_container(config)
        await engine.start_container(config.runtime_id)
        return config

    async def stopped(self, engine: Sandbox, runtime_id: str) -> ContainerState:
        for _ in range(LOOKS):
            state = await engine.get_container(runtime_id)
            assert state is not None, "a container that stopped is kept until it is deleted"
            if state.status == "stopped":
                return state
            await self.pause()
        raise AssertionError(f"{runtime_id} does not stop")

    def test_a_missing_image_is_told_in_the_words_of_aws(self) -> None:
        async def story(engine: Sandbox) -> None:
            request = PullRequest(reference=self.reference.rpartition(":")[0] + "-missing:1", account=ACCOUNT)
            with pytest.raises(SandboxError) as failure:
                await engine.pull_image(request, lambda *_: None)
            assert failure.value.reason.startswith("CannotPullContainerError:")

        self.play(story)

    def test_a_pull_may_be_repeated(self) -> None:
        async def story(engine: Sandbox) -> None:
            seen: list[tuple[int, int]] = []
            request = PullRequest(reference=self.reference, account=ACCOUNT)
            first = await engine.pull_image(request, lambda done, total: seen.append((done, total)))
            again = await engine.pull_image(request, lambda *_: None)
            assert first.digest == again.digest and first.digest.startswith("sha256:")
            assert first.unpacked_bytes > 0 and all(0 <= done <= total for done, total in seen)

        self.play(story)

    def test_an_exit_code_is_kept_until_the_deletion(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "exits", "exit 3")
            state = await self.stopped(engine, config.runtime_id)
            assert state.exit_code == 3 and state.exited_at is not None
            assert dict(state.labels)["suite"] == "exits"
            again = await engine.get_container(config.runtime_id)
            assert again is not None and (again.exit_code, again.exited_at) == (3, state.exited_at)
            assert await engine.oom_kills(config.runtime_id) == 0
            await engine.delete_container(config.runtime_id)
            assert await engine.get_container(config.runtime_id) is None

        self.play(story)

    def test_creating_starting_and_deleting_may_be_repeated(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = self.config(await self.pulled(engine), "twice", "sleep 1000")
            await engine.create_container(config)
            await engine.create_container(config)
            created = await engine.get_container(config.runtime_id)
            assert created is not None and created.status == "created"
            pid = await engine.start_container(config.runtime_id)
            assert await engine.start_container(config.runtime_id) == pid
            assert [item.runtime_id for item in await engine.list_containers()].count(config.runtime_id) == 1
            await engine.kill_container(config.runtime_id, 9)
            await engine.kill_container(config.runtime_id, 9)
            assert (await self.stopped(engine, config.runtime_id)).exit_code == 137
            await engine.delete_container(config.runtime_id)
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_container_that_ended_is_not_started_again(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "ended", "exit 3")
            before = await self.stopped(engine, config.runtime_id)
            await engine.create_container(config)
            after = await engine.get_container(config.runtime_id)
            assert after is not None and (after.status, after.exited_at) == ("stopped", before.exited_at)
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_container_that_may_begin_again_does(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = replace(self.config(await self.pulled(engine), "again", "sleep 1000"), may_restart=True)
            await engine.create_container(config)
            first = await engine.start_container(config.runtime_id)
            await engine.kill_container(config.runtime_id, 9)
            ended = await self.stopped(engine, config.runtime_id)
            pid = await engine.restart_container(config.runtime_id)
            state = await engine.get_container(config.runtime_id)
            assert state is not None and (state.status, state.pid) == ("running", pid) and pid != first
            assert await engine.restart_container(config.runtime_id) == pid, "one that runs is left as it is"
            told: list[Exit] = []

            async def listen() -> None:
                async for one in engine.exits():
                    told.append(one)
                    return

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(listen())
                await self.pause()
                await engine.kill_container(config.runtime_id, 9)
            assert (told[0].runtime_id, told[0].exit_code) == (config.runtime_id, ended.exit_code)
            assert (await self.stopped(engine, config.runtime_id)).exited_at != ended.exited_at
            await engine.delete_container(config.runtime_id)
            assert await engine.get_container(config.runtime_id) is None
            with pytest.raises(SandboxError):
                await engine.restart_container(config.runtime_id)

        self.play(story)

    def test_a_created_container_can_be_deleted(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = self.config(await self.pulled(engine), "unstarted", "sleep 1000")
            await engine.create_container(config)
            await engine.delete_container(config.runtime_id)
            assert await engine.get_container(config.runtime_id) is None

        self.play(story)

    def test_a_handler_of_sigterm_gives_its_own_code(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "handler", self.PROGRAMS[2])
            for _ in range(20):  # the handler is installed a moment after the start
                await self.pause()
            await engine.kill_container(config.runtime_id, 15)
            assert (await self.stopped(engine, config.runtime_id)).exit_code == 5
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_what_is_gone_is_no_error(self) -> None:
        async def story(engine: Sandbox) -> None:
            assert await engine.get_container("never-made") is None
            await engine.kill_container("never-made", 15)
            await engine.resume_container("never-made")
            await engine.delete_container("never-made")
            with pytest.raises(SandboxError):
                await engine.start_container("never-made")

        self.play(story)

    def test_exits_are_told_as_they_happen(self) -> None:
        async def story(engine: Sandbox) -> None:
            told: dict[str, Exit] = {}

            async def listen() -> None:
                async for one in engine.exits():
                    told[one.runtime_id] = one
                    if len(told) == 2:
                        return

            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(listen())
                await self.pause()
                configs = [await self.running(engine, name, "exit 3") for name in ("event-1", "event-2")]
            for config in configs:
                assert told[config.runtime_id].exit_code == 3 and told[config.runtime_id].exited_at > 0
                await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_paused_container_goes_on_after_its_resumption(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "paused", "sleep 1000")
            for _ in range(2):
                await engine.pause_container(config.runtime_id)
            state = await engine.get_container(config.runtime_id)
            assert state is not None and state.status == "running", "paused is a way of running"
            for _ in range(2):
                await engine.resume_container(config.runtime_id)
            await engine.kill_container(config.runtime_id, 9)
            await self.stopped(engine, config.runtime_id)
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_both_outputs_go_to_the_log_file(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "log", self.PROGRAMS[3])
            await self.stopped(engine, config.runtime_id)
            await engine.delete_container(config.runtime_id)
            assert config.log_path is not None
            # All of it is there after the deletion; between the two outputs there is no order.
            assert sorted(_read(config.log_path).splitlines()) == ["err", "out"]

        self.play(story)

    def test_a_command_runs_inside(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "exec", "sleep 1000")
            result = await engine.exec(config.runtime_id, "probe-1", ("sh", "-c", "true"), timeout_s=20)
            assert result.exit_code == 0
            await engine.kill_container(config.runtime_id, 9)
            await self.stopped(engine, config.runtime_id)
            ended = await engine.exec(config.runtime_id, "probe-2", ("sh", "-c", "true"), timeout_s=20)
            assert ended.exit_code, "nothing succeeds in a container that ended"
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_shell_on_a_terminal(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "terminal", "sleep 1000")
            terminal = await engine.open_terminal(config.runtime_id, "session-1", ("sh",))
            await terminal.resize(132, 43)
            await terminal.write(b"stty size\n")
            said = b""
            while b"43 132" not in said:
                part = await terminal.read()
                assert part, "a shell waits for more"
                said += part
            await terminal.write(b"exit 7\n")
            while await terminal.read():
                pass
            assert await terminal.wait() == 7
            await terminal.write(b"nobody\n")
            await terminal.close()
            await terminal.close()
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_terminal_ends_when_it_is_closed_or_its_container_ends(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "terminals", "sleep 1000")
            first = await engine.open_terminal(config.runtime_id, "first", ("sh",))
            second = await engine.open_terminal(config.runtime_id, "second", ("sh", "-c", "sleep 1000"))
            await first.close()
            await engine.kill_container(config.runtime_id, 9)
            assert await second.wait() == 137
            while await second.read():
                pass
            await second.close()
            with pytest.raises(SandboxError):
                await engine.open_terminal(config.runtime_id, "third", ("sh",))
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_command_that_is_not_there_opens_no_terminal(self) -> None:
        async def story(engine: Sandbox) -> None:
            config = await self.running(engine, "missing", "sleep 1000")
            with pytest.raises(SandboxError) as failure:
                await engine.open_terminal(config.runtime_id, "no-such", ("no-such-program",))
            assert "no-such-program" in failure.value.reason
            await engine.kill_container(config.runtime_id, 9)
            await engine.delete_container(config.runtime_id)

        self.play(story)

    def test_a_path_that_the_image_does_not_have_seeds_nothing(self) -> None:
        async def story(engine: Sandbox) -> None:
            image = await self.pulled(engine)
            target = self.config(image, "seed", "exit 3").disk_path
            assert await engine.seed_volume(image, "/not/there", target) is False
            assert os.listdir(target) == []

        self.play(story)

    def test_a_shared_process_namespace_ends_with_its_first_process(self) -> None:
        async def story(engine: Sandbox) -> None:
            near = self.config(await self.pulled(engine), "member", "sleep 1000")
            pause = PauseConfig(
                runtime_id=f"{near.task_id}-pause",
                task_id=near.task_id,
                netns_path=near.netns_path,
                cgroup_path=f"{near.cgroup_path}-pause",
                labels=(("suite", "pause"),),
                user_namespace=near.user_namespace,
            )
            await engine.create_pause(pause)
            await engine.create_pause(pause)
            pid = await engine.start_container(pause.runtime_id)
            assert await engine.start_container(pause.runtime_id) == pid
            await engine.create_pause(pause)
            [listed] = [item for item in await engine.list_containers() if item.runtime_id == pause.runtime_id]
            assert (listed.status, listed.pid, dict(listed.labels)["suite"]) == ("running", pid, "pause")
            member = replace(near, share_pid_with=pause.runtime_id)
            await engine.create_container(member)
            await engine.start_container(member.runtime_id)
            await engine.kill_container(pause.runtime_id, 9)
            for ended in (pause, member):
                assert (await self.stopped(engine, ended.runtime_id)).exit_code == 137
                await engine.delete_container(ended.runtime_id)
                assert await engine.get_container(ended.runtime_id) is None

        self.play(story)


def _read(path: str) -> str:
    return Path(path).read_text()
