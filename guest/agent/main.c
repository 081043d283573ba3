/*
 * The guest's first process: boots, says hello, and does what the host's frames say until the machine is thrown away.
 *
 * It must never end: the kernel would panic. It trusts the host, and nothing that runs beside it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "boot.h"
#include "disks.h"
#include "frames.h"
#include "processes.h"

/* Of linux/random.h, which musl does not bring. */
#define RNDADDENTROPY _IOW('R', 0x03, int[2])
#define RNDRESEEDCRNG _IO('R', 0x07)
#define ENTROPY_MAX 256
#define UNCONNECTED_MS 5

static void hello(int port, const char *nonce) {
    char words[PAYLOAD_MAX];
    struct utsname kernel;
    uname(&kernel);
    int length = snprintf(words, sizeof words, "{\"protocol\":%d,\"kernel\":\"%s\"}%s", PROTOCOL, kernel.release, nonce);
    frame_write(port, FRAME_HELLO, 0, words, (size_t)length);
}

static int set_clock(const struct frame *frame) {
    uint64_t seconds;
    uint32_t nanoseconds;
    if (frame->length != sizeof seconds + sizeof nanoseconds)
        return EINVAL;
    memcpy(&seconds, frame->payload, sizeof seconds);
    memcpy(&nanoseconds, frame->payload + sizeof seconds, sizeof nanoseconds);
    struct timespec now = {.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};
    return clock_settime(CLOCK_REALTIME, &now) == 0 ? 0 : errno;
}

/* Guests restored from one snapshot share its generator's state: what the host gives is credited and used at once. */
static int add_entropy(const struct frame *frame) {
    struct {
        int entropy_bits;
        int length;
        char bytes[ENTROPY_MAX];
    } pool = {.entropy_bits = (int)frame->length * 8, .length = (int)frame->length};
    if (frame->length > ENTROPY_MAX)
        return EINVAL;
    memcpy(pool.bytes, frame->payload, frame->length);
    int device = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int failure = device < 0 || ioctl(device, RNDADDENTROPY, &pool) != 0 || ioctl(device, RNDRESEEDCRNG) != 0 ? errno : 0;
    if (device >= 0)
        close(device);
    return failure;
}

static int write_file(const struct frame *frame) {
    uint32_t mode;
    const char *path = frame->payload + sizeof mode;
    if (frame->length <= sizeof mode)
        return EINVAL;
    memcpy(&mode, frame->payload, sizeof mode);
    size_t head = sizeof mode + strlen(path) + 1;
    if (head > frame->length)
        return EINVAL;
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 07777);
    if (file < 0)
        return errno;
    ssize_t length = (ssize_t)(frame->length - head);
    int failure = write(file, frame->payload + head, (size_t)length) == length ? 0 : ENOSPC;
    close(file);
    return failure;
}

static void obey(int port, struct frame *frame) {
    int failure = EPROTO;
    switch (frame->type) {
    case FRAME_HELLO:
        hello(port, frame->payload);
        return;
    case FRAME_RUN:
        failure = process_run(frame->stream, frame->payload, frame->length);
        break;
    case FRAME_INPUT:
        failure = process_input(frame->stream, frame->payload, frame->length);
        break;
    case FRAME_SIGNAL:
        failure = frame->length == 1 ? process_signal(frame->stream, frame->payload[0]) : EINVAL;
        break;
    case FRAME_CLOCK:
        failure = set_clock(frame);
        break;
    case FRAME_ENTROPY:
        failure = add_entropy(frame);
        break;
    case FRAME_FILE:
        failure = write_file(frame);
        break;
    case FRAME_DISKS:
        failure = take_disks(INT_MAX);
        break;
    }
    if (failure)
        frame_write(port, FRAME_FAILED, frame->stream, &(int32_t){failure}, sizeof(int32_t));
}

static int open_signals(void) {
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void serve(int port, int children) {
    static struct frame frame;
    static struct pollfd polled[2 + 2 * PROCESSES_MAX];
    struct signalfd_siginfo told;
    int unconnected = 0;
    for (;;) {
        /* While nobody is connected the port is always ready with nothing: it is looked at now and then instead. */
        polled[0] = (struct pollfd){.fd = unconnected ? -1 : port, .events = POLLIN};
        polled[1] = (struct pollfd){.fd = children, .events = POLLIN};
        poll(polled, (nfds_t)(2 + processes_poll(polled + 2)), unconnected ? UNCONNECTED_MS : -1);
        unconnected = unconnected ? 0 : polled[0].revents & POLLHUP;
        while (frame_read(port, &frame) > 0)
            obey(port, &frame);
        while (read(children, &told, sizeof told) > 0)
            continue;
        processes_forward(port);
        processes_reap(port);
    }
}

int main(void) {
    mount_system();
    load_modules();
    mount_tools();
    int port = open_port("agent");
    if (port < 0)
        fprintf(stderr, "guest: no port\n");
    else {
        int children = open_signals();
        hello(port, "");
        serve(port, children);
    }
    for (;;)
        pause();
}
