"""The system calls a task may make: the ideas of Docker's default profile, as data of our own. Pure.

Owns: the allow-list (everything else fails with EPERM), the argument checks (no new namespaces, no AF_ALG or AF_VSOCK
sockets, only harmless personalities) and what CAP_SYS_PTRACE adds. Invariant: nothing here depends on the image.
"""

from typing import Any

_EPERM = 1
_ENOSYS = 38
# CLONE_NEW{TIME,NS,CGROUP,UTS,IPC,USER,PID,NET}: none of them may be set.
_CLONE_NAMESPACES = 0x7E020000
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_AF_ALG = 38
_AF_VSOCK = 40

# 32-bit programs run. The x32 ABI, which distributions switch off, would cost 5 ms per start for nothing.
_ARCHITECTURES = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
}

_WITH_SYS_PTRACE = ("kcmp", "pidfd_getfd", "process_madvise")

# In the order of the 32-bit numbers, highest first, then the calls that only 64-bit programs have: libseccomp keeps a
# sorted list and walks it for each rule. So the runtime builds the filter in 3 ms, in the alphabet's order in 13, and
# every start of a container waits for it. io_uring is left out as in Docker since 2023: its operations pass unseen.
_ALLOWED = """
removexattrat listxattrat getxattrat setxattrat mseal listmount statmount futex_requeue futex_wait futex_wake
map_shadow_stack fchmodat2 cachestat futex_waitv process_mrelease memfd_secret landlock_restrict_self
landlock_add_rule landlock_create_ruleset epoll_pwait2 faccessat2 openat2 close_range pidfd_open pidfd_send_signal
sched_rr_get_interval_time64 futex_time64 rt_sigtimedwait_time64 semtimedop_time64 mq_timedreceive_time64
mq_timedsend_time64 recvmmsg_time64 io_pgetevents_time64 ppoll_time64 pselect6_time64 utimensat_time64
timerfd_settime64 timerfd_gettime64 timer_settime64 timer_gettime64 clock_nanosleep_time64 clock_getres_time64
clock_adjtime64 clock_gettime64 rseq io_pgetevents arch_prctl statx pkey_free pkey_alloc pkey_mprotect pwritev2
preadv2 copy_file_range mlock2 membarrier execveat memfd_create getrandom seccomp renameat2 sched_getattr
sched_setattr process_vm_writev process_vm_readv syncfs clock_adjtime name_to_handle_at prlimit64 fanotify_mark
rt_tgsigqueueinfo pwritev preadv inotify_init1 pipe2 dup3 epoll_create1 eventfd2 signalfd4 timerfd_gettime
timerfd_settime fallocate eventfd timerfd_create signalfd utimensat epoll_pwait getcpu vmsplice tee sync_file_range
splice get_robust_list set_robust_list ppoll pselect6 faccessat fchmodat readlinkat symlinkat linkat renameat
unlinkat fstatat64 futimesat fchownat mknodat mkdirat openat inotify_rm_watch inotify_add_watch inotify_init
ioprio_get ioprio_set waitid mq_getsetattr mq_notify mq_timedreceive mq_timedsend mq_unlink mq_open fadvise64_64
utimes tgkill fstatfs64 statfs64 clock_nanosleep clock_getres clock_gettime timer_delete timer_getoverrun
timer_gettime timer_settime timer_create set_tid_address remap_file_pages epoll_wait epoll_ctl epoll_create
exit_group fadvise64 io_cancel io_submit io_getevents io_destroy io_setup get_thread_area set_thread_area
sched_getaffinity sched_setaffinity futex sendfile64 tkill fremovexattr lremovexattr removexattr flistxattr
llistxattr listxattr fgetxattr lgetxattr getxattr fsetxattr lsetxattr setxattr readahead gettid fcntl64 getdents64
madvise mincore setfsgid32 setfsuid32 setgid32 setuid32 chown32 getresgid32 setresgid32 getresuid32 setresuid32
fchown32 setgroups32 getgroups32 setregid32 setreuid32 getegid32 geteuid32 getgid32 getuid32 lchown32 fstat64
lstat64 stat64 ftruncate64 truncate64 mmap2 ugetrlimit vfork sendfile sigaltstack capset capget getcwd chown
pwrite64 pread64 rt_sigsuspend rt_sigqueueinfo rt_sigtimedwait rt_sigpending rt_sigprocmask rt_sigaction
rt_sigreturn prctl getresgid setresgid poll getresuid setresuid mremap nanosleep sched_rr_get_interval
sched_get_priority_min sched_get_priority_max sched_yield sched_getscheduler sched_setscheduler sched_getparam
sched_setparam munlockall mlockall munlock mlock fdatasync getsid writev readv msync flock _newselect getdents
_llseek setfsgid setfsuid fchdir getpgid sigprocmask mprotect adjtimex modify_ldt uname sigreturn fsync ipc sysinfo
wait4 fstat lstat stat getitimer setitimer fstatfs statfs setpriority getpriority fchown fchmod
ftruncate truncate munmap mmap readlink symlink select setgroups getgroups gettimeofday getrusage getrlimit
setrlimit setregid setreuid setsid getpgrp getppid dup2 chroot umask setpgid fcntl ioctl getegid geteuid getgid
setgid brk times pipe dup rmdir mkdir rename kill sync access utime pause alarm ptrace getuid setuid getpid lseek
lchown chmod mknod time chdir execve unlink link creat waitpid close open write read fork exit restart_syscall
sendmmsg recvmmsg accept4 newfstatat semtimedop epoll_wait_old epoll_ctl_old msgctl msgrcv msgsnd msgget shmdt
semctl semop semget getsockopt setsockopt socketpair getpeername getsockname listen bind shutdown recvmsg sendmsg
recvfrom sendto accept connect shmctl shmat shmget uretprobe
""".split()  # noqa: SIM905 - a list literal would be four pages long

_ALLOWED_ON_ARM = (
    *("arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush"),
    *("recv", "send", "set_tls", "sync_file_range2"),
)


def seccomp_profile(architecture: str, capabilities: tuple[str, ...]) -> dict[str, Any]:
    """The `linux.seccomp` member of an OCI runtime specification."""
    allowed = [*_ALLOWED, *(_ALLOWED_ON_ARM if architecture == "arm64" else ())]
    if "CAP_SYS_PTRACE" in capabilities:
        allowed.extend(_WITH_SYS_PTRACE)
    rules: list[dict[str, Any]] = [
        # A 32-bit program's second way to a socket, whose family lies in memory where no filter sees it. Docker refused
        # it so, then left AF_ALG to AppArmor and SELinux, which not every machine has. Kernels have had socket itself
        # for 32 bits since 4.3. First, and not EPERM: else the rules of socket, which libseccomp also makes rules of
        # socketcall, would win, or the runtime would leave this one out as being the default.
        {"names": ["socketcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        {"names": allowed, "action": "SCMP_ACT_ALLOW"},
        _allow("clone", 0, _CLONE_NAMESPACES, "SCMP_CMP_MASKED_EQ", value_two=0),
        # The C library falls back to clone only on ENOSYS.
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
        _allow("socket", 0, _AF_ALG, "SCMP_CMP_LT"),
        _allow("socket", 0, _AF_ALG + 1, "SCMP_CMP_EQ"),
        _allow("socket", 0, _AF_VSOCK, "SCMP_CMP_GT"),
    ]
    rules.extend(_allow("personality", 0, value, "SCMP_CMP_EQ") for value in _PERSONALITIES)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(_ARCHITECTURES[architecture]),
        "syscalls": rules,
    }


def _allow(name: str, index: int, value: int, operator: str, *, value_two: int = 0) -> dict[str, Any]:
    argument = {"index": index, "value": value, "valueTwo": value_two, "op": operator}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]}
