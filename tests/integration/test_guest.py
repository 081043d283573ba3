"""The guest of a microVM does what its host says, and no more: a real QEMU without KVM, a real kernel, crun."""

import json
import signal
import struct
from contextlib import closing
from pathlib import Path

from .guest_rig import (
    CLOCK,
    CONTAINER,
    DIRECTORY,
    ENTROPY,
    EVERYTHING,
    FILE,
    FORGET,
    INPUT,
    KEPT,
    NETLINK,
    READ,
    RESIZE,
    RUN,
    SHELL,
    SIGNAL,
    TERMINAL,
    Connection,
    Machine,
    connected,
    sh,
    until,
    words,
)

SPOOL = 256 * 1024
STREAMS = 512
NUMBERS = "".join(f"{number}\n" for number in range(1, 100_001)).encode()  # what `seq 100000` writes: 588895 bytes


def test_it_says_what_it_is(guest: Connection, guest_build: Path) -> None:
    manifest = json.loads((guest_build / "manifest.json").read_text())
    assert guest.words == {"protocol": 2, "kernel": manifest["kernel"]}
    assert manifest["protocol"] == 2


def test_a_process_has_input_output_and_an_end(guest: Connection) -> None:
    number = guest.run(SHELL, "cat")
    guest.send(INPUT, number, b"through\n")
    guest.send(INPUT, number)
    assert guest.end(number) == (0, "through\n")
    assert guest.told[number].taken == len("through\n")
    assert guest.end(sh(guest, "echo one; echo two >&2; exit 3")) == (3, "one\ntwo\n")
    assert guest.end(guest.run("not-there")) == (127, "")
    assert guest.end(sh(guest, "kill -9 $$")) == (128 + 9, "")


def test_a_process_begins_with_nothing_of_the_first_ones(guest: Connection) -> None:
    """Neither its ignored signals nor its mask nor its limits, which the kernel takes from the machine's memory."""
    status = guest.shell("cat /proc/self/status; ulimit -u; umask; ls /proc/self/fd | wc -l")
    assert "SigIgn:\t0000000000000000" in status and "SigBlk:\t0000000000000000" in status
    assert status.split()[-3:] == ["unlimited", "0022", "4"]  # the three, and the directory that is listed


def test_output_beyond_the_window_waits_and_comes_whole(guest: Connection) -> None:
    number = guest.run(SHELL, "seq", "100000", limit=0)
    told = guest.told[number]
    guest.until(lambda: told.pid is not None)
    guest.quiet()
    assert told.output == b""
    guest.window(number, 0, 1000)
    guest.until(lambda: len(told.output) >= 1000)
    guest.quiet()
    assert told.output == NUMBERS[:1000]
    guest.window(number, 0, EVERYTHING)
    guest.until(lambda: len(told.output) >= SPOOL)
    guest.quiet()
    assert told.output == NUMBERS[:SPOOL] and told.code is None  # so much is kept, and its writer waits
    while not told.is_over:
        guest.window(number, len(told.output), len(told.output) + 50_000)
        before = len(told.output)
        guest.until(lambda before=before: len(told.output) > before or told.is_over)
    assert (told.output, told.length, told.code) == (NUMBERS, len(NUMBERS), 0)
    guest.done(FORGET, stream=number)


def test_one_that_waits_keeps_no_other_waiting(guest: Connection) -> None:
    waiting = [guest.run(SHELL, "yes", limit=0) for _ in range(3)]
    unread = guest.run(SHELL, "sleep", "1000")
    guest.send(INPUT, unread, bytes(65536))
    assert guest.shell("echo on") == "on\n"
    for number in (*waiting, unread):
        guest.send(SIGNAL, number, bytes([signal.SIGKILL]))
    for number in waiting:
        guest.until(lambda number=number: guest.told[number].code is not None)
        guest.done(FORGET, stream=number)  # its output is in nobody's way


def test_input_that_is_not_taken_waits(guest: Connection) -> None:
    """The pipe and 64 KiB: what goes beyond that is the host's mistake. The rest is taken when the process reads."""
    guest.shell("rm -f /run/fifo; mkfifo /run/fifo")
    number = sh(guest, "read line < /run/fifo; wc -c")
    told = guest.told[number]
    guest.send(INPUT, number, bytes(65536))
    guest.until(lambda: told.taken == 65536)  # into the pipe
    guest.send(INPUT, number, bytes(65536))
    guest.quiet()
    assert told.taken == 65536 and told.errno is None
    guest.send(INPUT, number, b"1")
    guest.until(lambda: told.errno is not None)
    assert told.errno == 75  # EOVERFLOW
    guest.send(INPUT, number)
    guest.shell("echo go > /run/fifo")
    assert guest.end(number) == (0, "131072\n")
    assert told.taken == 131072


def test_input_that_nobody_can_take_any_more_is_taken(guest: Connection) -> None:
    number = sh(guest, "exec < /dev/null; echo shut; sleep 1000")
    guest.until(lambda: guest.told[number].output == b"shut\n")
    guest.send(INPUT, number, bytes(1000))
    guest.until(lambda: guest.told[number].taken == 1000)


def test_a_signal_goes_to_the_whole_group(guest: Connection) -> None:
    number = sh(guest, "sleep 1000 & echo $!; wait")
    told = guest.told[number]
    guest.until(lambda: told.output.endswith(b"\n"))
    guest.send(SIGNAL, number, bytes([signal.SIGTERM]))
    assert guest.end(number)[0] == 128 + signal.SIGTERM  # the output has ended too: the child had it open
    guest.send(SIGNAL, number, bytes([signal.SIGTERM]))  # nobody is there any more, which is no failure
    guest.quiet()
    assert told.errno is None


def test_a_forgotten_stream_is_gone_and_a_running_one_is_not_forgotten(guest: Connection) -> None:
    number = guest.run(SHELL, "sleep", "1000")
    assert guest.ask(FORGET, stream=number).errno == 16  # EBUSY
    guest.send(SIGNAL, number, bytes([signal.SIGKILL]))
    guest.end(number)
    assert guest.ask(FORGET, stream=number).is_done  # done already is done
    kept = guest.run(SHELL, "true", flags=KEPT)
    guest.until(lambda: guest.told[kept].is_over)
    guest.told[kept].errno = None
    guest.send(RUN, kept, struct.pack("<IHH", 0, 0, 0) + words(SHELL))
    guest.until(lambda: guest.told[kept].errno is not None)
    assert guest.told[kept].errno == 17  # EEXIST
    guest.done(FORGET, stream=kept)


def test_a_full_table_says_so(guest: Connection) -> None:
    numbers = [guest.run(SHELL, "true", limit=0) for _ in range(STREAMS)]
    assert guest.ask(RUN, struct.pack("<IHH", 0, 0, 0) + words(SHELL)).errno == 11  # EAGAIN
    guest.until(lambda: guest.told[numbers[0]].code is not None)
    guest.done(FORGET, stream=numbers[0])
    assert guest.shell("echo room") == "room\n"
    guest.until(lambda: all(guest.told[number].is_over for number in numbers[1:]))


def test_a_host_that_does_not_listen_loses_nothing(guest: Connection) -> None:
    """The port is full, and much waits behind it; when the host listens again all of it comes."""
    numbers = [guest.run(SHELL, "seq", "100000") for _ in range(4)]
    until(lambda: guest.unheard_bytes() > 100_000)
    for number in numbers:
        told = guest.told[number]
        while not told.is_over:
            seen = len(told.output)
            guest.window(number, seen, EVERYTHING)
            guest.until(lambda told=told, seen=seen: len(told.output) > seen or told.is_over)
        assert (told.output, told.code) == (NUMBERS, 0)


def test_a_kept_stream_goes_on_over_connections_and_another_does_not(machine: Machine) -> None:
    with machine.connection() as guest:
        kept = guest.run(SHELL, "seq", "100000", flags=KEPT, limit=300_000)
        other = sh(guest, "echo other; sleep 1000")
        told = guest.told[kept]
        guest.until(lambda: len(told.output) >= 200_000 and bool(guest.told[other].output))
        had = bytes(told.output)
        pid, other_pid = told.pid, guest.told[other].pid
    with machine.connection() as guest:
        assert list(guest.kept) == [kept]
        flags, kept_pid, has_exited, _, _, acknowledged, produced = guest.kept[kept]
        assert (flags, kept_pid, has_exited, acknowledged) == (KEPT, pid, 0, 0)
        assert len(had) <= produced <= SPOOL
        guest.quiet()
        assert guest.told[kept].output == b""  # no window yet
        assert f"{other_pid}" not in guest.shell("ls /proc").split()
        guest.window(kept, 150_000, 170_000)
        guest.until(lambda: len(guest.told[kept].output) == 20_000)
    with machine.connection() as guest:
        told = guest.told[kept]
        assert guest.kept[kept][5] == told.begin == 150_000
        while not told.is_over:
            seen = told.begin + len(told.output)
            guest.window(kept, seen, seen + SPOOL)
            guest.until(lambda seen=seen: told.begin + len(told.output) > seen or told.is_over)
        assert NUMBERS[:150_000] + told.output == NUMBERS
        assert had == NUMBERS[: len(had)]
    with machine.connection() as guest:
        assert guest.kept[kept] == (KEPT, pid, 1, 0, 1, guest.kept[kept][5], len(NUMBERS))
        guest.window(kept, len(NUMBERS), EVERYTHING)
        guest.until(lambda: guest.told[kept].length == len(NUMBERS))  # said once more, of one that had ended before
        guest.done(FORGET, stream=kept)
    with machine.connection() as guest:
        assert guest.kept == {}


def test_an_end_while_nobody_was_connected_is_told(machine: Machine) -> None:
    with machine.connection() as guest:
        guest.shell("rm -f /run/gate; mkfifo /run/gate")
        kept = sh(guest, "read line < /run/gate; exit 9", flags=KEPT)
        opener = sh(guest, "sleep 0.2; echo > /run/gate", flags=KEPT)
        guest.until(lambda: guest.told[opener].pid is not None)

    def are_over() -> bool:
        with machine.connection() as guest:
            return all(told[2] and told[4] for told in guest.kept.values())

    until(are_over)
    with machine.connection() as guest:
        assert guest.kept[kept][2:5] == (1, 9, 1)
        guest.quiet()
        assert guest.told[kept].code == 9  # by that alone: an EXIT would have been a second one
        for number in (kept, opener):
            guest.done(FORGET, stream=number)


def test_half_a_frame_of_a_host_that_is_gone_is_dropped(machine: Machine, guest_directory: Path) -> None:
    body = struct.pack("<IIIB", 0o600, 0, 0, 0) + words("/run/half") + bytes(60_000)
    head = struct.pack("<IBI", len(body), FILE, 1 << 31)
    for length in (0, 1, 8, 9, 100, 30_000, 60_000, len(head + body) - 1):
        with closing(connected(guest_directory / "cold" / "agent")) as gone:
            gone.sendall((head + body)[:length])
        with machine.connection() as guest:
            assert guest.ask(READ, words("/run/half")).errno == 2  # ENOENT


def test_frames_are_heard_however_they_are_cut(guest: Connection) -> None:
    number = guest.run(SHELL, "cat")
    frames = b"".join(
        struct.pack("<IBI", len(part), INPUT, number) + part for part in (b"one ", b"two ", bytes(5000), b"three", b"")
    )
    for at in range(60):
        guest.send_raw(frames[at : at + 1])
    guest.send_raw(frames[60:])
    assert guest.end(number) == (0, "one two " + "\0" * 5000 + "three")


def test_what_breaks_the_rules_is_refused(guest: Connection) -> None:
    for kind, payload, errno in (
        (RUN, b"", 22),
        (RUN, struct.pack("<IHH", 8, 0, 0) + words(SHELL), 22),  # a flag that is none
        (RUN, struct.pack("<IHH", CONTAINER, 0, 0) + words("/run/pid"), 22),  # no command
        (RUN, struct.pack("<IHH", 0, 0, 0) + b"/run/busybox", 22),  # no end
        (FILE, struct.pack("<IIIB", 0, 0, 0, 2) + words("/run/a"), 22),
        (FILE, b"\0\0\0\0", 22),
        (DIRECTORY, b"", 22),
        (READ, b"", 22),
        (READ, b"/proc/version", 22),  # no end
        (NETLINK, struct.pack("<IHHII", 17, 16, 0, 0, 0), 22),  # longer than it is
        (CLOCK, bytes(11), 22),
        (ENTROPY, bytes(257), 22),
        (99, b"", 71),  # EPROTO
    ):
        assert guest.ask(kind, payload).errno == errno, (kind, payload)


def test_a_terminal_is_the_process_s_own_and_changes_its_size(guest: Connection) -> None:
    script = (
        'trap "stty size" WINCH; stty size; tty; echo ready > /dev/tty; while :; do read line && echo "<$line>"; done'
    )
    number = guest.run(SHELL, "sh", "-c", script, flags=TERMINAL, size=(80, 24))
    told = guest.told[number]
    guest.until(lambda: b"ready" in told.output)
    assert told.output.startswith(b"24 80\r\n/dev/pts/")
    guest.send(RESIZE, number, struct.pack("<HH", 132, 50))
    guest.until(lambda: b"50 132\r\n" in told.output)
    guest.send(INPUT, number, b"typed\n")
    guest.until(lambda: b"typed\r\n<typed>\r\n" in told.output)  # echoed, then read
    guest.send(INPUT, number)  # a terminal's input does not end
    guest.send(INPUT, number, b"\x03")  # but an interrupt is typed
    guest.until(lambda: told.is_over)
    assert told.code == 128 + signal.SIGINT
    guest.done(FORGET, stream=number)


def test_orphans_are_collected(guest: Connection) -> None:
    guest.shell("for one in 1 2 3; do (sleep 0.01 &); done")
    number = guest.run("/run/none", SHELL, "sh", "-c", "(sleep 0.05 &); sleep 0.3", flags=CONTAINER)
    guest.end(number)
    states = guest.shell("sleep 0.2; cat /proc/[0-9]*/stat")
    assert not [line for line in states.splitlines() if " Z " in line]
