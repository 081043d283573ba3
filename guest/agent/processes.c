#define _GNU_SOURCE
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "frames.h"

#define WORDS_MAX 256

struct process {
    uint32_t stream;
    pid_t pid; /* 0: the slot is free */
    int ended;
    int input;
    int outputs[2];
};

static struct process processes[PROCESSES_MAX];

static struct process *find(uint32_t stream) {
    for (int slot = 0; slot < PROCESSES_MAX; slot++)
        if (processes[slot].pid && processes[slot].stream == stream)
            return &processes[slot];
    return NULL;
}

static struct process *find_free(void) {
    for (int slot = 0; slot < PROCESSES_MAX; slot++)
        if (!processes[slot].pid)
            return &processes[slot];
    return NULL;
}

static void shut(int *file) {
    if (*file >= 0)
        close(*file);
    *file = -1;
}

static int split(char *words, size_t length, char **argv) {
    int count = 0;
    for (size_t at = 0; at < length && count < WORDS_MAX; at += strlen(words + at) + 1)
        argv[count++] = words + at;
    argv[count] = NULL;
    return count;
}

static void become(char **argv, int input, int output, int errors) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    dup2(input, 0);
    dup2(output, 1);
    dup2(errors, 2);
    execvp(argv[0], argv);
    _exit(errno == ENOENT ? 127 : 126);
}

int process_run(uint32_t stream, char *words, size_t length) {
    static char *argv[WORDS_MAX + 1];
    int pipes[3][2];
    struct process *process = find_free();
    if (!process || find(stream))
        return process ? EEXIST : EAGAIN;
    if (split(words, length, argv) == 0)
        return EINVAL;
    for (int which = 0; which < 3; which++)
        if (pipe2(pipes[which], O_CLOEXEC) != 0)
            return errno;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, pipes[0][0], pipes[1][1], pipes[2][1]);
    close(pipes[0][0]);
    close(pipes[1][1]);
    close(pipes[2][1]);
    if (pid < 0) {
        int failure = errno;
        close(pipes[0][1]);
        close(pipes[1][0]);
        close(pipes[2][0]);
        return failure;
    }
    *process = (struct process){.stream = stream, .pid = pid, .input = pipes[0][1], .outputs = {pipes[1][0], pipes[2][0]}};
    fcntl(process->input, F_SETFL, O_NONBLOCK); /* a process that reads nothing must not stop the others */
    return 0;
}

int process_input(uint32_t stream, const char *bytes, size_t length) {
    struct process *process = find(stream);
    if (!process || process->input < 0)
        return EPIPE;
    if (length == 0)
        shut(&process->input);
    else if (write(process->input, bytes, length) != (ssize_t)length)
        return EAGAIN; /* without credits for a stream, more than its pipe holds is told as lost */
    return 0;
}

int process_signal(uint32_t stream, int number) {
    struct process *process = find(stream);
    if (!process || process->ended)
        return ESRCH;
    return kill(process->pid, number) == 0 ? 0 : errno;
}

int processes_poll(struct pollfd *polled) {
    int count = 0;
    for (int slot = 0; slot < PROCESSES_MAX; slot++)
        for (int which = 0; which < 2; which++)
            if (processes[slot].pid && processes[slot].outputs[which] >= 0)
                polled[count++] = (struct pollfd){.fd = processes[slot].outputs[which], .events = POLLIN};
    return count;
}

static void forward(int port, struct process *process, int which) {
    static char bytes[PAYLOAD_MAX];
    struct pollfd ready = {.fd = process->outputs[which], .events = POLLIN};
    if (ready.fd < 0 || poll(&ready, 1, 0) <= 0)
        return;
    ssize_t got = read(ready.fd, bytes, sizeof bytes);
    if (got > 0)
        frame_write(port, which == 0 ? FRAME_OUTPUT : FRAME_ERRORS, process->stream, bytes, (size_t)got);
    else {
        shut(&process->outputs[which]);
        frame_write(port, which == 0 ? FRAME_OUTPUT : FRAME_ERRORS, process->stream, NULL, 0);
    }
}

void processes_forward(int port) {
    for (int slot = 0; slot < PROCESSES_MAX; slot++)
        for (int which = 0; which < 2; which++)
            if (processes[slot].pid)
                forward(port, &processes[slot], which);
}

static void note_end(int port, pid_t pid, int status) {
    int32_t code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    for (int slot = 0; slot < PROCESSES_MAX; slot++)
        if (processes[slot].pid == pid && !processes[slot].ended) {
            processes[slot].ended = 1;
            shut(&processes[slot].input);
            frame_write(port, FRAME_EXIT, processes[slot].stream, &code, sizeof code);
        }
}

void processes_reap(int port) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        note_end(port, pid, status);
    for (int slot = 0; slot < PROCESSES_MAX; slot++)
        if (processes[slot].ended && processes[slot].outputs[0] < 0 && processes[slot].outputs[1] < 0)
            processes[slot] = (struct process){0};
}
