"""The filter of a monitor's system calls, run as the kernel runs it."""

import errno
import struct

import pytest

from neargate.sandbox.microvm import system_calls

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOWED, KILLED = 0x7FFF0000, 0x80000000
CLONE, CLONE3, SOCKETPAIR = 56, 435, 53
AF_UNIX, AF_VSOCK = 1, 40
NEW_NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
                  "pid": 0x20000000, "net": 0x40000000}  # fmt: skip
THREAD = 0x3D0F00  # as the C library makes one
# What a machine is made and run with: memory, files and descriptors it was given, threads, its own execve.
NEEDED = {"read": 0, "write": 1, "mmap": 9, "ioctl": 16, "preadv": 295, "fallocate": 285, "futex": 202, "ppoll": 271,
          "accept4": 288, "recvmsg": 47, "sendmsg": 46, "listen": 50, "execve": 59, "eventfd2": 290, "signalfd4": 289,
          "prctl": 157, "seccomp": 317, "openat": 257, "madvise": 28, "exit_group": 231}  # fmt: skip


def run(number: int, argument: int = 0, arch: int = X86_64) -> int:
    """What the filter answers: classic BPF over `struct seccomp_data`."""
    data = struct.pack("<IIQQ", number, arch, 0, argument)
    program = list(struct.iter_unpack("<HBBI", system_calls.program()))
    at = value = 0
    while True:
        code, is_so, is_not, operand = program[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
        elif code == 0x06:
            return int(operand)
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            at += is_so if holds else is_not


def refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("name", system_calls.DENIED)
def test_what_is_listed_is_refused(name: str) -> None:
    assert run(system_calls.DENIED[name]) == refused(errno.EPERM)


@pytest.mark.parametrize("name", NEEDED)
def test_what_a_machine_needs_is_allowed(name: str) -> None:
    assert run(NEEDED[name]) == ALLOWED


@pytest.mark.parametrize("name", NEW_NAMESPACES)
def test_threads_are_made_and_namespaces_are_not(name: str) -> None:
    # `struct seccomp_data` has the first argument at 16; the instruction pointer is before it.
    assert run(CLONE, THREAD) == ALLOWED
    assert run(CLONE, THREAD | NEW_NAMESPACES[name]) == refused(errno.EPERM)


def test_the_newer_clone_is_not_there_so_that_the_older_one_is_used() -> None:
    assert run(CLONE3) == refused(errno.ENOSYS)


def test_a_pair_of_sockets_is_of_this_process_alone() -> None:
    assert run(SOCKETPAIR, AF_UNIX) == ALLOWED
    assert run(SOCKETPAIR, AF_VSOCK) == refused(errno.EAFNOSUPPORT)


@pytest.mark.parametrize("number", [0, 41, 272, CLONE])
def test_the_other_conventions_of_calls_end_the_process(number: int) -> None:
    assert run(number, arch=I386) == run(number, arch=AARCH64) == KILLED
    assert run(number | 0x40000000) == KILLED


def test_it_is_as_long_as_the_kernel_takes() -> None:
    assert len(system_calls.program()) % 8 == 0 and len(system_calls.program()) // 8 <= 4096
