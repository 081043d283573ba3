"""What every guest must do that speaks protocol 2. A test class subclasses `GuestSuite` and says how to reach one.

The promises here are those the microVM engine builds on: output is lost or doubled by no reconnect, what is not kept
ends with its connection, an exit is kept until it is forgotten, who does not read keeps only one process waiting.
"""

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

import pytest

from ...sandbox.microvm.errors import GuestRefused
from ...sandbox.microvm.guest import Guest, Process

Connect = Callable[[], Awaitable[Guest]]
Story = Callable[[Connect], Awaitable[None]]
LOOKS = 400
BIG = 1_000_000
PID_FILE = "/run/suite.pid"


async def everything(process: Process, start: int | None = None) -> bytes:
    """Its output from there on, to the end."""
    return b"".join([part async for part in process.output(start)])


async def begun(process: Process, count: int, start: int | None = None) -> bytes:
    """At least that much of its output; the part in which that was reached is not acknowledged."""
    parts = process.output(start)
    got = b""
    try:
        async for part in parts:
            got += part
            if len(got) >= count:
                break
    finally:
        await parts.aclose()
    return got


class GuestSuite(ABC):
    """`play` runs a story with a machine that has just booted. Programs are shell lines, only those in `PROGRAMS`."""

    EXIT_3 = "exit 3"
    BOTH = "echo out; echo err >&2"
    SLEEP = "exec sleep 1000"
    CAT = "exec cat"
    TRAP = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    MUCH = f"head -c {BIG} /dev/zero"
    CHILD = "sleep 1000 & echo left"
    CONTAINER = f"sleep 1000 & echo $! > {PID_FILE}"
    NO_CONTAINER = "echo no; exit 7"
    PROGRAMS = (EXIT_3, BOTH, SLEEP, CAT, TRAP, MUCH, CHILD, CONTAINER, NO_CONTAINER)

    @abstractmethod
    def play(self, story: Story) -> None: ...

    @abstractmethod
    async def pause(self) -> None:
        """A moment of the guest's time."""

    def shell(self, line: str) -> tuple[str, ...]:
        return ("/bin/sh", "-c", line)

    async def started(self, guest: Guest, line: str, *, kept: bool = False) -> Process:
        return await guest.run(self.shell(line), kept=kept)

    # ---------------------------------------------------------------- what is asked of the guest itself

    def test_it_says_who_it_is(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            assert guest.protocol == 2
            assert guest.kernel

        self.play(story)

    def test_a_file_of_any_size_is_read_back_as_far_as_a_frame_goes(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            content = bytes(range(256)) * 600
            await guest.file("/run/suite", content, mode=0o600)
            read = await guest.read("/run/suite")
            assert 16 * 1024 < len(read) <= 65536 and content.startswith(read)
            await guest.file("/run/suite", b"short")
            assert await guest.read("/run/suite") == b"short"
            await guest.file("/run/suite", b"")
            assert await guest.read("/run/suite") == b""

        self.play(story)

    def test_what_cannot_be_done_is_refused_with_its_errno_and_the_guest_goes_on(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            with pytest.raises(GuestRefused) as refused:
                await guest.read("/run/missing")
            assert refused.value.errno == errno.ENOENT
            await guest.directory("/run/suite.d/below", mode=0o700)
            await guest.entropy(bytes(64))

        self.play(story)

    # ---------------------------------------------------------------- processes

    def test_a_process_has_an_exit_code_and_one_output(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            assert await (await self.started(guest, self.EXIT_3)).wait() == 3
            process = await self.started(guest, self.BOTH)
            assert process.pid
            assert await everything(process) == b"out\nerr\n"
            assert await process.wait() == 0

        self.play(story)

    def test_a_command_that_is_not_there_gives_127(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            assert await (await guest.run(("no-such-command",))).wait() == 127

        self.play(story)

    def test_input_is_given_in_order_and_ends(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            process = await self.started(guest, self.CAT)
            said = bytes(range(256)) * 1024

            async def speak() -> None:
                await process.write(said)
                await process.end_input()

            async with asyncio.TaskGroup() as group:
                group.create_task(speak())
                heard = group.create_task(everything(process))
            assert heard.result() == said
            assert await process.wait() == 0
            await process.write(b"late")

        self.play(story)

    def test_a_signal_ends_it_or_is_caught(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            killed = await self.started(guest, self.SLEEP)
            await killed.signal(9)
            assert await killed.wait() == 137
            await killed.signal(9)
            catching = await self.started(guest, self.TRAP)
            assert await begun(catching, 1) == b"ready\n"
            await catching.signal(15)
            assert await catching.wait() == 5

        self.play(story)

    def test_an_exit_does_not_wait_for_children_that_hold_the_output(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            process = await self.started(guest, self.CHILD)
            assert await process.wait() == 0
            assert await begun(process, 5) == b"left\n"
            await process.forget()
            assert process.number not in guest.processes

        self.play(story)

    def test_who_does_not_read_keeps_only_one_process_waiting(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            much = await self.started(guest, self.MUCH)
            assert await begun(much, 1)
            assert await everything(await self.started(guest, self.BOTH)) == b"out\nerr\n"
            assert much.exit_code is None, "its output waits in the guest"
            assert await everything(much, 0) == bytes(BIG)
            assert await much.wait() == 0

        self.play(story)

    def test_what_runs_is_not_forgotten_and_what_ended_is_once(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            process = await self.started(guest, self.SLEEP)
            with pytest.raises(GuestRefused) as refused:
                await process.forget()
            assert refused.value.errno == errno.EBUSY
            await process.end()
            assert not guest.processes
            await process.forget()

        self.play(story)

    def test_a_container_is_what_its_command_made(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            container = await guest.run(self.shell(self.CONTAINER), kept=True, pid_file=PID_FILE)
            assert container.pid and container.exit_code is None
            await container.signal(9)
            assert await container.wait() == 137

        self.play(story)

    def test_a_container_that_was_not_made_has_its_commands_code_and_words(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            container = await guest.run(self.shell(self.NO_CONTAINER), kept=True, pid_file=PID_FILE)
            assert container.pid is None
            assert await container.wait() == 7
            assert await everything(container) == b"no\n"
            await container.forget()

        self.play(story)

    # ---------------------------------------------------------------- connections

    def test_what_is_kept_runs_on_and_the_rest_ends_with_the_connection(self) -> None:
        async def story(connect: Connect) -> None:
            first = await connect()
            kept = await self.started(first, self.SLEEP, kept=True)
            ended = await self.started(first, self.EXIT_3, kept=True)
            await self.started(first, self.SLEEP)
            await ended.wait()
            await first.close()
            second = await connect()
            assert set(second.processes) == {kept.number, ended.number}
            assert second.processes[kept.number].pid == kept.pid
            assert await second.processes[ended.number].wait() == 3
            await second.processes[kept.number].signal(9)
            assert await second.processes[kept.number].wait() == 137
            await second.processes[ended.number].forget()
            await second.close()
            assert set((await connect()).processes) == {kept.number}

        self.play(story)

    def test_no_output_is_lost_or_doubled_over_connections(self) -> None:
        async def story(connect: Connect) -> None:
            guest = await connect()
            process = await self.started(guest, self.MUCH, kept=True)
            number, got = process.number, 0
            while got < BIG:
                part = await begun(guest.processes[number], 100_000, got)
                got += len(part)
                assert not part.strip(b"\0")
                await guest.close()
                guest = await connect()
                assert guest.processes[number].acknowledged <= got
            assert got == BIG
            assert await everything(guest.processes[number], got) == b""
            assert await guest.processes[number].wait() == 0

        self.play(story)

    def test_a_child_that_was_killed_with_its_connection_is_gone(self) -> None:
        """What was not kept is no stream any more; its number is not used again."""

        async def story(connect: Connect) -> None:
            first = await connect()
            process = await self.started(first, self.SLEEP)
            await first.close()
            second = await connect()
            assert not second.processes
            other = await self.started(second, self.SLEEP)
            assert other.number > process.number

        self.play(story)
