#define _GNU_SOURCE
#include "terminals.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the process has a terminal's ruling end there, of whichever mount of devpts. */
static int is_master(pid_t process, const char *number) {
    char path[64], target[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/fd/%s", (int)process, number);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 5)
        return 0;
    target[length] = 0;
    return strcmp(target + length - 5, "/ptmx") == 0;
}

/* By descriptors: a name that a container has given to something is never opened. */
static void resize_of(pid_t process, const struct winsize *size) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    DIR *descriptors = opendir(path);
    int handle = descriptors ? (int)syscall(SYS_pidfd_open, process, 0) : -1;
    struct dirent *entry;
    while (handle >= 0 && (entry = readdir(descriptors))) {
        if (!is_master(process, entry->d_name))
            continue;
        int master = (int)syscall(SYS_pidfd_getfd, handle, atoi(entry->d_name), 0);
        if (master >= 0) {
            ioctl(master, TIOCSWINSZ, size);
            close(master);
        }
    }
    if (handle >= 0)
        close(handle);
    if (descriptors)
        closedir(descriptors);
}

void terminal_resize(int master, pid_t process, const struct winsize *size) {
    ioctl(master, TIOCSWINSZ, size);
    if (process > 0)
        resize_of(process, size);
}
