/*
 * A program in a machine monitor's place, as somebody has it who got out of a guest: it says what it can touch.
 *
 * It answers for QEMU where the driver asks (`--version`, the monitor's protocol on descriptor 4), so that it is
 * started as QEMU is. Who connects to descriptor 3, the guest's channel, is told one finding a line, then `end`.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHANNEL = 3, MONITOR = 4, FAMILIES = 64, PIDS = 70000, DESCRIPTORS = 4096 };

extern char **environ;
static FILE *told;
static pid_t answering; /* in its own process: the driver asks while the other looks */

static void look_at(const char *path) {
    struct stat found;
    char below[4096];
    if (lstat(path, &found) != 0)
        return;
    fprintf(told, "file %s %s\n", path,
            S_ISDIR(found.st_mode) ? "directory" : S_ISREG(found.st_mode) ? "regular" : "special");
    if (S_ISREG(found.st_mode)) {
        int file = open(path, O_WRONLY);
        if (file >= 0)
            fprintf(told, "writes %s\n", path);
        if (file >= 0)
            close(file);
        if (chmod(path, found.st_mode & 07777) == 0)
            fprintf(told, "owns %s\n", path);
        if (faccessat(AT_FDCWD, path, X_OK, 0) == 0)
            fprintf(told, "executes %s\n", path);
        if (found.st_mode & (S_ISUID | S_ISGID))
            fprintf(told, "special rights %s\n", path);
    }
    if (!S_ISDIR(found.st_mode))
        return;
    snprintf(below, sizeof below, "%s/new", path);
    if (mkdir(below, 0700) == 0 || mknod(below, S_IFREG | 0600, 0) == 0)
        fprintf(told, "makes files in %s\n", path);
    DIR *directory = opendir(path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
            snprintf(below, sizeof below, "%s/%s", strcmp(path, "/") ? path : "", entry->d_name);
            look_at(below);
        }
    closedir(directory);
}

static void look_at_descriptors(int ours) {
    for (int number = 0; number < DESCRIPTORS; number++) {
        struct stat found;
        if (number == ours || fstat(number, &found) != 0)
            continue;
        int listens = 0;
        getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &(socklen_t){sizeof listens});
        if (S_ISCHR(found.st_mode))
            fprintf(told, "descriptor %d device %u:%u\n", number, major(found.st_rdev), minor(found.st_rdev));
        else
            fprintf(told, "descriptor %d %s\n", number,
                    S_ISSOCK(found.st_mode) ? (listens ? "listener" : "connection") :
                    S_ISFIFO(found.st_mode) ? "pipe" : S_ISDIR(found.st_mode) ? "directory" : "other");
    }
}

static void look_at_others(void) {
    for (pid_t pid = 2; pid < PIDS; pid++)
        if (pid != answering && (kill(pid, 0) == 0 || errno == EPERM))
            fprintf(told, "process %d\n", pid);
    for (int family = 0; family < FAMILIES; family++)
        for (int kind = SOCK_STREAM; kind <= SOCK_SEQPACKET; kind++) {
            int pair[2], made = socket(family, kind, 0);
            if (made >= 0)
                fprintf(told, "socket of family %d\n", family);
            if (family != AF_UNIX && socketpair(family, kind, 0, pair) == 0)
                fprintf(told, "pair of family %d\n", family);
        }
    struct utsname names;
    uname(&names);
    fprintf(told, "host name %s\n", names.nodename);
    for (char **word = environ; *word; word++)
        fprintf(told, "environment %s\n", *word);
}

static void look_at_itself(void) {
    uid_t uid[3];
    gid_t gid[3];
    getresuid(&uid[0], &uid[1], &uid[2]);
    getresgid(&gid[0], &gid[1], &gid[2]);
    fprintf(told, "users %u %u %u groups %u %u %u more %d\n", uid[0], uid[1], uid[2], gid[0], gid[1], gid[2],
            getgroups(0, NULL));
    for (int capability = 0; capability < 64; capability++) {
        if (prctl(PR_CAPBSET_READ, capability) == 1)
            fprintf(told, "capability %d in the bounding set\n", capability);
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) == 1)
            fprintf(told, "ambient capability %d\n", capability);
    }
    unsigned header[2] = {0x20080522, 0}, sets[6] = {0};
    if (syscall(SYS_capget, header, sets) != 0 || (sets[0] | sets[1] | sets[2] | sets[3] | sets[4] | sets[5]))
        fprintf(told, "capabilities\n");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        fprintf(told, "new rights\n");
}

/* Each in a child of its own, so that what works changes nothing for the next. */
#define TRY(name, call)                                                                                               \
    do {                                                                                                              \
        fflush(told);                                                                                                 \
        pid_t child = fork();                                                                                         \
        if (child == 0)                                                                                               \
            _exit((long)(call) == -1L);                                                                               \
        int status = 1;                                                                                               \
        if (child > 0)                                                                                                \
            waitpid(child, &status, 0);                                                                               \
        if (status == 0)                                                                                              \
            fprintf(told, "can %s\n", name);                                                                          \
    } while (0)

static void try_rights(void) {
    static char memory[4096];
    struct iovec here = {memory, 8}, there = {memory + 64, 8};
    struct rlimit files = {8192, 8192};
    struct timeval now = {0};
    TRY("fork", 0);
    TRY("make shared memory of its own", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
    TRY("become root", setuid(0));
    TRY("change its group", setgid(0));
    TRY("have groups", setgroups(1, (gid_t[]){0}));
    TRY("make a user namespace", unshare(CLONE_NEWUSER));
    TRY("make a mount namespace", unshare(CLONE_NEWNS));
    TRY("make a network namespace", unshare(CLONE_NEWNET));
    TRY("clone a user namespace", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    TRY("mount", mount("none", "/", "tmpfs", 0, NULL));
    TRY("open a file system", syscall(SYS_fsopen, "tmpfs", 0));
    TRY("open a tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    TRY("change its root", chroot("/"));
    TRY("make a device", mknod("/kernel.new", S_IFCHR | 0600, makedev(1, 1)));
    TRY("trace", ptrace(PTRACE_TRACEME, 0, 0, 0));
    TRY("read another's memory", process_vm_readv(getpid(), &here, 1, &there, 1, 0));
    TRY("have keys", syscall(SYS_keyctl, 0, -3, 0));
    TRY("add keys", syscall(SYS_add_key, "user", "x", "y", 1, -2));
    TRY("load a program into the kernel", syscall(SYS_bpf, 0, memory, 64));
    TRY("make a map in the kernel", syscall(SYS_bpf, 0, (unsigned[32]){2, 4, 4, 1}, 72));
    TRY("count events", syscall(SYS_perf_event_open, (unsigned[32]){1, 112, 9}, 0, -1, -1, 0));
    TRY("handle faults", syscall(SYS_userfaultfd, 1));
    TRY("make a ring", syscall(SYS_io_uring_setup, 4, memory));
    TRY("read the kernel's messages", syscall(SYS_syslog, 3, memory, sizeof memory));
    TRY("set the host's name", sethostname("x", 1));
    TRY("set the clock", settimeofday(&now, NULL));
    TRY("use ports", syscall(SYS_iopl, 3));
    TRY("have more descriptors", setrlimit(RLIMIT_NOFILE, &files));
    TRY("go before others", setpriority(PRIO_PROCESS, 0, -20));
    TRY("run in real time", sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}));
    TRY("lock memory", syscall(SYS_mlock, memory, sizeof memory));
    TRY("watch the file system", syscall(SYS_fanotify_init, 0, 0));
    TRY("swap", syscall(SYS_swapon, "/kernel", 0));
    TRY("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0x01234567, 0));
    TRY("load a module", syscall(SYS_finit_module, CHANNEL, "", 0));
    TRY("load a kernel", syscall(SYS_kexec_load, 0, 0, memory, 0));
    TRY("address its space anew", syscall(SYS_personality, 0x0040000));
    /* Of descriptor 5, its network interface, where there is one. */
    TRY("see its interface's namespace", ioctl(5, _IO('T', 227)));
    TRY("have another interface", ioctl(5, _IOW('T', 202, int), memory));
}

static void tell(int connection) {
    told = fdopen(connection, "w");
    look_at("/");
    look_at_descriptors(connection);
    look_at_others();
    look_at_itself();
    try_rights();
    fprintf(told, "end\n");
    fclose(told);
}

/* Greets, and has no objection to anything. */
static void answer(int connection) {
    static const char greeting[] = "{\"QMP\":{}}\n";
    char line[65536];
    size_t filled = 0;
    ssize_t more = write(connection, greeting, sizeof greeting - 1);
    while ((more = read(connection, line + filled, sizeof line - 1 - filled)) > 0) {
        filled += (size_t)more;
        line[filled] = 0;
        if (!strchr(line, '\n'))
            continue;
        char *number = strstr(line, "\"id\":"), said[128];
        int length = snprintf(said, sizeof said, "{\"return\":{},\"id\":%ld}\n", number ? atol(number + 5) : 0);
        if (write(connection, said, (size_t)length) != length)
            break;
        filled = 0;
    }
    _exit(0);
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "--version")) {
        puts("QEMU emulator version 7.2.0 (another program in its place)");
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    struct pollfd ready[2] = {{.fd = CHANNEL, .events = POLLIN}, {.fd = MONITOR, .events = POLLIN}};
    for (;;) {
        poll(ready, 2, -1);
        if (ready[1].revents) {
            int connection = accept4(MONITOR, NULL, NULL, SOCK_CLOEXEC);
            answering = fork();
            if (answering == 0)
                answer(connection);
            close(connection);
        }
        if (ready[0].revents)
            tell(accept4(CHANNEL, NULL, NULL, SOCK_CLOEXEC));
    }
}
