/*
 * The guest's first process as a program of the machine that tests it, with a socket for its port and no rights at all.
 *
 *   guest_harness DIRECTORY SOCKET [LOOKS]
 *
 * as root: it goes into the directory and becomes nobody before it hears a word. With LOOKS a new host's first words
 * come before the news that it is connected, which are there when the port was looked at so often.
 *
 * Linked with guest/agent but for its boot.c and its main, by --wrap of the calls named here. Everything else is real:
 * files (of the directory), processes, pipes, terminals, rtnetlink (nobody may change a thing), clock, mounts (refused).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "boot.h"
#include "frames.h"

#define NOBODY 65534
#define LIFE_S 120 /* of what it starts */

size_t __sanitizer_get_current_allocated_bytes(void);
ssize_t __real_read(int file, void *bytes, size_t length);
ssize_t __real_write(int file, const void *bytes, size_t length);
int __real_open(const char *path, int flags, mode_t mode);
int __real_kill(pid_t pid, int number);
int __real_poll(struct pollfd *polled, nfds_t count, int wait_ms);
int agent_main(void);

#define FIRST_WORDS_MS 1000

static int listener = -1, devices = -1;
static int looks_of_news, looks_left;

/* What belongs to the boot of a machine is left out: guest/agent/boot.c. */
void mount_system(void) {
    umask(0);
}

void settle_process(void) {
}

void load_modules(void) {
}

int open_port(const char *name) {
    (void)name;
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* The port is there for the next host as well: nothing comes while there is none. */
ssize_t __wrap_read(int file, void *bytes, size_t length) {
    ssize_t got = __real_read(file, bytes, length);
    if (file == port && got < 0 && errno == EAGAIN && looks_left > 0)
        return 0;
    if (file != port || got > 0 || (got < 0 && errno == EAGAIN))
        return got;
    int next = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (next >= 0) {
        fprintf(stderr, "allocated %zu\n", __sanitizer_get_current_allocated_bytes());
        dup3(next, port, O_CLOEXEC);
        close(next);
        looks_left = looks_of_news;
        if (looks_left > 0 && __real_poll(&(struct pollfd){.fd = port, .events = POLLIN}, 1, FIRST_WORDS_MS) == 1)
            return __real_read(port, bytes, length);
    }
    return 0;
}

/* Alone the port is looked at for whether a host is connected. */
int __wrap_poll(struct pollfd *polled, nfds_t count, int wait_ms) {
    int ready = __real_poll(polled, count, wait_ms);
    if (count == 1 && polled->fd == port && looks_left > 0) {
        looks_left--;
        polled->revents |= POLLHUP;
    }
    return ready;
}

/* A frame whole or not at all, as the port does it. */
ssize_t __wrap_write(int file, const void *bytes, size_t length) {
    struct pollfd polled = {.fd = port, .events = POLLOUT};
    if (file != port)
        return __real_write(file, bytes, length);
    int is_ready = looks_left == 0 && __real_poll(&polled, 1, 0) == 1;
    if (!is_ready || !(polled.revents & POLLOUT) || polled.revents & POLLHUP) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t written = __real_write(file, bytes, length);
    if (written >= 0 && (size_t)written < length)
        abort(); /* the socket's buffer is less than was thought */
    return written;
}

int __wrap_open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list more;
        va_start(more, flags);
        mode = va_arg(more, mode_t);
        va_end(more);
    }
    if (strcmp(path, "/dev/ptmx") == 0)
        return openat(devices, "ptmx", flags);
    return __real_open(path, flags, mode);
}

int __wrap_kill(pid_t pid, int number) {
    if (pid >= -1 && pid <= 1)
        abort(); /* of the first process that would be itself, or everybody */
    return __real_kill(pid, number);
}

static void say(size_t count) {
    static char line[4096];
    memset(line, '=', sizeof line);
    while (count > 0) {
        ssize_t written = __real_write(1, line, count < sizeof line ? count : sizeof line);
        if (written <= 0)
            return;
        count -= (size_t)written;
    }
}

static void pass(void) {
    char bytes[4096];
    for (ssize_t got; (got = __real_read(0, bytes, sizeof bytes)) > 0;)
        if (__real_write(1, bytes, (size_t)got) < 0)
            return;
}

/* Makes a child, writes its number (or what is said instead) to a file, and leaves it alone. */
static void make(const char *path, const char *life, const char *instead) {
    pid_t child = fork();
    if (child == 0) {
        usleep((useconds_t)atoi(life) % 20000);
        _exit(9);
    }
    FILE *file = fopen(path, "w");
    if (file && *instead)
        fputs(instead, file);
    else if (file)
        fprintf(file, "%d\n", child);
    if (file)
        fclose(file);
}

/* There is nothing to execute where it is: a few programs are in here. */
int __wrap_execvp(const char *name, char *const argv[]) {
    const char *first = argv[1] ? argv[1] : "", *second = argv[1] && argv[2] ? argv[2] : "";
    const char *third = *second && argv[3] ? argv[3] : "";
    close_range(3, ~0U, 0); /* as a program's beginning would */
    alarm(LIFE_S);
    if (strcmp(name, "exit") == 0)
        _exit(atoi(first) & 255);
    if (strcmp(name, "say") == 0)
        say((size_t)atoi(first) % 1000000);
    else if (strcmp(name, "pass") == 0)
        pass();
    else if (strcmp(name, "make") == 0)
        make(first, second, third);
    else if (strcmp(name, "wait") == 0)
        for (;;)
            pause();
    else {
        errno = ENOENT;
        return -1;
    }
    _exit(0);
}

static void leave_all_rights(const char *directory) {
    if (chroot(directory) != 0 || chdir("/") != 0 || setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 ||
        setuid(NOBODY) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
        setuid(0) == 0) {
        perror("it has its rights yet");
        exit(1);
    }
}

int main(int count, char **argv) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (count < 3 || count > 4 || strlen(argv[2]) >= sizeof name.sun_path)
        return 2;
    strcpy(name.sun_path, argv[2]);
    looks_of_news = count == 4 ? atoi(argv[3]) : 0;
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    devices = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&name, sizeof name) != 0 || listen(listener, 8) != 0)
        return 2;
    leave_all_rights(argv[1]);
    return agent_main();
}
