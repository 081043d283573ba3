#define _GNU_SOURCE
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frames.h"
#include "streams.h"
#include "terminals.h"

#define WORDS_MAX 1024
#define HEAD 8u      /* flags, columns, rows */
#define NO_CHILD 255 /* the exit code of a container's stream whose file names no child of ours */

static int split(char *words, size_t length, char **argv) {
    int count = 0;
    if (length == 0 || words[length - 1] != 0)
        return 0;
    for (size_t at = 0; at < length; at += strlen(words + at) + 1) {
        if (count == WORDS_MAX)
            return 0;
        argv[count++] = words + at;
    }
    argv[count] = NULL;
    return count;
}

static int open_pipes(struct stream *stream, int *input, int *output) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    *input = ends[0];
    stream->input = ends[1];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    stream->output = ends[0];
    *output = ends[1];
    fcntl(stream->input, F_SETFL, O_NONBLOCK);
    fcntl(stream->output, F_SETFL, O_NONBLOCK);
    return 0;
}

static int open_terminal(struct stream *stream, int *input, int *output, const struct winsize *size) {
    int unlocked = 0, master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0)
        return errno;
    stream->input = stream->output = master;
    if (ioctl(master, TIOCSPTLCK, &unlocked) != 0 || ioctl(master, TIOCSWINSZ, size) != 0)
        return errno;
    *input = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*input < 0)
        return errno;
    *output = fcntl(*input, F_DUPFD_CLOEXEC, 3);
    return *output < 0 ? errno : 0;
}

static void become(char **argv, int input, int output, int is_terminal) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    umask(022);
    setsid();
    dup2(input, 0);
    dup2(output, 1);
    dup2(output, 2);
    if (is_terminal)
        ioctl(0, TIOCSCTTY, 0);
    execvp(argv[0], argv);
    _exit(errno == ENOENT ? 127 : 126);
}

static int start(struct stream *stream, char **argv, const struct winsize *size) {
    int input = -1, output = -1, is_terminal = (stream->flags & RUN_TERMINAL) != 0;
    int failure = is_terminal ? open_terminal(stream, &input, &output, size) : open_pipes(stream, &input, &output);
    pid_t pid = failure ? -1 : fork();
    if (pid == 0)
        become(argv, input, output, is_terminal);
    if (!failure && pid < 0)
        failure = errno;
    shut(&input);
    shut(&output);
    if (!failure && stream->flags & RUN_CONTAINER)
        stream->command = pid;
    else if (!failure)
        stream->pid = stream->first_pid = pid;
    return failure;
}

int process_run(uint32_t number, char *payload, size_t length) {
    static char *words[WORDS_MAX + 1];
    if (length < HEAD)
        return EINVAL;
    struct winsize size = {.ws_col = get_u16(payload + 4), .ws_row = get_u16(payload + 6)};
    uint32_t flags = get_u32(payload);
    int is_container = (flags & RUN_CONTAINER) != 0;
    int count = split(payload + HEAD, length - HEAD, words);
    if (flags & ~(RUN_TERMINAL | RUN_CONTAINER | RUN_KEPT) || count <= is_container)
        return EINVAL;
    struct stream *stream = stream_make(number);
    if (!stream)
        return errno;
    stream->flags = flags;
    int failure = 0;
    if (is_container) {
        unlink(words[0]); /* what an earlier one left there would be taken for this one's */
        stream->pid_file = strdup(words[0]);
        failure = stream->pid_file ? 0 : ENOMEM;
    }
    if (!failure)
        failure = start(stream, words + is_container, &size);
    if (failure)
        stream_free(stream);
    return failure;
}

void process_resize(uint32_t number, unsigned columns, unsigned rows) {
    struct stream *stream = stream_find(number);
    struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    if (stream && stream->flags & RUN_TERMINAL && stream->output >= 0)
        terminal_resize(stream->output, stream->pid, &size);
}

static pid_t read_pid(const char *path) {
    int pid = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid > 1 ? pid : 0;
}

static int32_t code_of(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void note_exit(struct stream *stream, int32_t code) {
    stream->pid = 0;
    stream->has_exited = 1;
    stream->code = code;
    if (stream->flags & RUN_TERMINAL)
        stream->input = -1; /* the output's file too, which is read to its end */
    else
        shut(&stream->input);
}

/* The command that makes a container has ended: with 0, the stream is what it made, which may have ended as well. */
static void note_command(struct stream *stream, int32_t code) {
    int status = 0;
    pid_t pid = code == 0 ? read_pid(stream->pid_file) : 0;
    pid_t found = pid ? waitpid(pid, &status, WNOHANG) : 0;
    stream->command = 0;
    unlink(stream->pid_file);
    if (code == 0 && (pid == 0 || found < 0))
        note_exit(stream, NO_CHILD);
    else if (code != 0)
        note_exit(stream, code);
    else {
        stream->pid = stream->first_pid = pid;
        if (found == pid)
            note_exit(stream, code_of(status));
    }
}

static void reap_known(void) {
    int status;
    for (int slot = 0; slot < STREAMS_MAX; slot++) {
        struct stream *stream = &streams[slot];
        if (stream->command && waitpid(stream->command, &status, WNOHANG) == stream->command)
            note_command(stream, code_of(status));
        else if (stream->pid && waitpid(stream->pid, &status, WNOHANG) == stream->pid)
            note_exit(stream, code_of(status));
    }
}

/*
 * While a container is being made, an orphan that has ended may be its first process: its end is left with the kernel
 * (and its number with it) until the command's pid file says who it is.
 */
void processes_reap(void) {
    siginfo_t ended;
    reap_known();
    while (!streams_await_containers()) {
        ended.si_pid = 0;
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 || ended.si_pid == 0)
            return;
        reap_known();
        waitpid(ended.si_pid, NULL, WNOHANG); /* nobody's, unless it was one of those */
    }
}
