"""Which system calls a machine's monitor never makes, as a filter of the kernel (seccomp, classic BPF). Pure.

Owns the list. It holds from before the monitor's first instruction, below the filter that a monitor gives itself once
it has read its options. Who got into the monitor makes no namespace, no socket, no mount and no trace, and asks the
kernel for nothing that has been a way into it. Invariant: what is not listed is a matter of rights, of which the
process has none. Numbers are those of x86-64 (`arch/x86/entry/syscalls/syscall_64.tbl`).
"""

import struct
from collections.abc import Iterator
from typing import Final

_X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64
_X32 = 0x40000000  # numbers from here on: the other calling convention
_NR, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; the low half of the argument
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_AF_UNIX = 1
_CLONE, _CLONE3, _SOCKETPAIR = 56, 435, 53
_CLONE_NAMESPACES = 0x7E020000

# Connections are given to a monitor as descriptors, its listeners too: it makes none itself.
_SOCKETS = {"socket": 41, "connect": 42, "bind": 49}
_NAMESPACES = {"unshare": 272, "setns": 308, "pivot_root": 155, "chroot": 161, "mount": 165, "umount2": 166}
_MOUNTS = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300,
    "quotactl": 179, "quotactl_fd": 443, "swapon": 167, "swapoff": 168,
}  # fmt: skip
_OTHERS = {
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "process_madvise": 440, "migrate_pages": 256, "move_pages": 279,
}  # fmt: skip
_KEYS = {"add_key": 248, "request_key": 249, "keyctl": 250}
_KERNEL = {
    "syslog": 103, "personality": 135, "acct": 163, "reboot": 169, "sethostname": 170, "setdomainname": 171,
    "iopl": 172, "ioperm": 173, "modify_ldt": 154, "init_module": 175, "delete_module": 176, "finit_module": 313,
    "kexec_load": 246, "kexec_file_load": 320, "perf_event_open": 298, "bpf": 321, "userfaultfd": 323,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "vmsplice": 278, "memfd_secret": 447,
    "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
}  # fmt: skip
# The disks of images are many machines' and the agent's, which locks them while it looks and would wait for ever.
_LOCKS = {"flock": 73}
DENIED: Final = _SOCKETS | _NAMESPACES | _MOUNTS | _OTHERS | _KEYS | _KERNEL | _LOCKS


def program() -> bytes:
    """Of `struct sock_filter`s, in the order in which they are run."""
    return b"".join(struct.pack("<HBBI", *one) for one in _instructions())


def _instructions() -> Iterator[tuple[int, int, int, int]]:
    """Code, how many to pass over where it is so and where not, operand."""
    yield _LOAD, 0, 0, _ARCH
    yield _EQUAL, 1, 0, _X86_64
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NR
    yield _AT_LEAST, 0, 1, _X32
    yield _RETURN, 0, 0, _KILL
    for number in sorted(DENIED.values()):
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ERRNO | _EPERM
    # Its flags are in memory, where no filter sees them; the C library then uses the older call.
    yield _EQUAL, 0, 1, _CLONE3
    yield _RETURN, 0, 0, _ERRNO | _ENOSYS
    yield _EQUAL, 0, 4, _CLONE
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    yield _ANY_BIT, 0, 1, _CLONE_NAMESPACES
    yield _RETURN, 0, 0, _ERRNO | _EPERM
    yield _RETURN, 0, 0, _ALLOW
    yield _EQUAL, 0, 3, _SOCKETPAIR
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    yield _EQUAL, 1, 0, _AF_UNIX
    yield _RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT
    yield _RETURN, 0, 0, _ALLOW
