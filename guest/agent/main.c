/*
 * The guest's first process: boots, says hello, and does what the host's frames say until the machine is thrown away.
 *
 * It must never end: the kernel would panic. It trusts the host, and nothing that runs beside it; it waits in poll(2)
 * alone. The kernel's OOM killer never chooses a first process, and its children begin without that privilege.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "boot.h"
#include "disks.h"
#include "frames.h"
#include "processes.h"
#include "requests.h"
#include "streams.h"
#include "traffic.h"

#define HEARD_A_TURN 64
#define UNCONNECTED_MS 5

static struct frame frame;

static void say_hello(const char *nonce, size_t length) {
    char words[512];
    struct utsname kernel;
    uname(&kernel);
    int count = snprintf(words, sizeof words, "{\"protocol\":%d,\"kernel\":\"%s\"}", PROTOCOL, kernel.release);
    frame_put(SAID_HELLO, 0, words, (size_t)count, nonce, length);
}

static void tell_stream(const struct stream *stream) {
    char told[30];
    put_u32(told, stream->flags);
    put_u32(told + 4, (uint32_t)stream->first_pid);
    told[8] = (char)stream->has_exited;
    put_u32(told + 9, (uint32_t)stream->code);
    told[13] = stream->output < 0;
    put_u64(told + 14, stream->spool.acknowledged);
    put_u64(told + 22, stream->spool.produced);
    frame_put(SAID_STREAM, stream->number, told, sizeof told, NULL, 0);
}

/* A new connection: what waits was meant for an older one. */
static void greet(void) {
    port_drop();
    streams_begin_connection();
    say_hello(frame.payload, frame.length);
    for (int slot = 0; slot < STREAMS_MAX; slot++)
        if (streams[slot].number)
            tell_stream(&streams[slot]);
}

static int forget(uint32_t number) {
    struct stream *stream = stream_find(number);
    if (stream && !stream->has_exited)
        return EBUSY;
    if (stream)
        stream_free(stream);
    return 0; /* one that is not there is forgotten */
}

/* What is not answered when it is done. A stream that has ended or is none is no failure: the host cannot know yet. */
static int pass_on(void) {
    struct stream *stream = stream_find(frame.stream);
    switch (frame.type) {
    case ASKED_RUN:
        return process_run(frame.stream, frame.payload, frame.length);
    case ASKED_INPUT:
        return traffic_give(frame.stream, frame.payload, frame.length);
    case ASKED_SIGNAL:
        if (frame.length == 1 && stream)
            stream_signal(stream, (unsigned char)frame.payload[0]);
        return frame.length == 1 ? 0 : EINVAL;
    case ASKED_WINDOW:
        if (frame.length != 16)
            return EINVAL;
        return traffic_window(frame.stream, get_u64(frame.payload), get_u64(frame.payload + 8));
    case ASKED_RESIZE:
        if (frame.length == 4)
            process_resize(frame.stream, get_u16(frame.payload), get_u16(frame.payload + 2));
        return frame.length == 4 ? 0 : EINVAL;
    }
    return EPROTO;
}

static int fulfil(void) {
    switch (frame.type) {
    case ASKED_CLOCK:
        return set_clock(frame.payload, frame.length);
    case ASKED_ENTROPY:
        return add_entropy(frame.payload, frame.length);
    case ASKED_FILE:
        return write_file(frame.payload, frame.length);
    case ASKED_DISKS:
        /* Those behind them are places without a disk. */
        return take_disks(frame.length == 4 ? (int)get_u32(frame.payload) : INT_MAX);
    case ASKED_MOUNT:
        return mount_one(frame.payload, frame.length);
    case ASKED_DIRECTORY:
        return make_directory(frame.payload, frame.length);
    case ASKED_NETLINK:
        return send_netlink(frame.payload, frame.length);
    case ASKED_FORGET:
        return forget(frame.stream);
    }
    return EPROTO;
}

static int is_fulfilled(uint8_t type) {
    return (type >= ASKED_CLOCK && type <= ASKED_NETLINK) || type == ASKED_FORGET;
}

static void obey(void) {
    static char content[SAID_MAX];
    size_t filled = 0;
    int failure = 0;
    if (frame.type == ASKED_HELLO && frame.length == NONCE && frame.stream == 0) {
        greet();
        return;
    }
    if (frame.type == ASKED_READ)
        failure = read_file(frame.payload, frame.length, content, sizeof content, &filled);
    else
        failure = is_fulfilled(frame.type) ? fulfil() : pass_on();
    if (failure)
        frame_put(SAID_FAILED, frame.stream, &(int32_t){failure}, sizeof(int32_t), NULL, 0);
    else if (frame.type == ASKED_READ)
        frame_put(SAID_CONTENT, frame.stream, content, filled, NULL, 0);
    else if (is_fulfilled(frame.type))
        frame_put(SAID_DONE, frame.stream, NULL, 0, NULL, 0);
}

static int open_signals(void) {
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Frames are heard while their answers find room: who asks without listening waits, and nobody else does. */
static int hear(void) {
    int count = 0;
    for (; count < HEARD_A_TURN && port_is_clear() && frame_read(&frame); count++)
        obey();
    return count == HEARD_A_TURN;
}

static void serve(int children) {
    static struct pollfd polled[2 + 2 * STREAMS_MAX];
    struct signalfd_siginfo told;
    int has_greeted = 0, has_more_to_tell = 0, has_more_to_hear = 0;
    for (;;) {
        /* While nobody is connected the port is always ready with nothing: it is looked at now and then instead. */
        short wanted = has_more_to_tell ? POLLOUT : POLLIN;
        if (has_more_to_tell && port_is_clear())
            wanted |= POLLIN;
        polled[0] = (struct pollfd){.fd = port_is_connected ? port : -1, .events = wanted};
        polled[1] = (struct pollfd){.fd = children, .events = POLLIN};
        int wait_ms = has_more_to_hear ? 0 : !port_is_connected ? UNCONNECTED_MS : port_is_in_doubt ? DOUBT_MS : -1;
        poll(polled, 2 + traffic_poll(polled + 2), wait_ms);
        int has_lost_children = 0;
        while (read(children, &told, sizeof told) > 0)
            has_lost_children = 1;
        if (has_lost_children)
            processes_reap();
        polled[0] = (struct pollfd){.fd = port, .events = POLLIN};
        port_is_connected = poll(polled, 1, 0) >= 0 && !(polled[0].revents & POLLHUP);
        if (!port_is_connected)
            port_drop();
        else if (!has_greeted) {
            say_hello("", 0);
            has_greeted = 1;
        }
        has_more_to_hear = hear();
        traffic_move();
        has_more_to_tell = port_is_connected && traffic_tell();
    }
}

int main(void) {
    mount_system();
    settle_process();
    load_modules();
    mount_tools();
    port = open_port("agent");
    if (port < 0)
        fprintf(stderr, "guest: no port\n");
    else
        serve(open_signals());
    for (;;)
        pause();
}
