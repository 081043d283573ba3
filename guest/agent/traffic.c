#include "traffic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"
#include "streams.h"

#define FRAMES_A_TURN 64
#define OUTPUT_HEAD sizeof(uint64_t)

static void forget_given(struct stream *stream) {
    stream->taken += stream->given_end - stream->given_begin;
    stream->given_begin = stream->given_end;
}

static void move_input(struct stream *stream) {
    while (stream->given_begin < stream->given_end && stream->input >= 0) {
        size_t length = stream->given_end - stream->given_begin;
        ssize_t written = write(stream->input, stream->given + stream->given_begin, length);
        if (written < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (written < 0)
            forget_given(stream); /* nobody reads there any more */
        else {
            stream->given_begin += (size_t)written;
            stream->taken += (uint64_t)written;
        }
    }
    forget_given(stream);
    free(stream->given);
    stream->given = NULL;
    stream->given_begin = stream->given_end = 0;
    if (stream->is_input_over && stream->input != stream->output)
        shut(&stream->input);
}

static void move_output(struct stream *stream) {
    if (stream->output < 0 || spool_room(&stream->spool) == 0)
        return;
    long got = spool_fill(&stream->spool, stream->output);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    if (stream->input == stream->output)
        stream->input = -1;
    shut(&stream->output); /* of a terminal it is an error (EIO) that nobody has it open any more */
}

int traffic_give(uint32_t number, const char *bytes, size_t length) {
    struct stream *stream = stream_find(number);
    if (!stream)
        return 0;
    size_t kept = stream->given_end - stream->given_begin;
    if (kept + length > INPUT_MAX)
        return EOVERFLOW;
    if (length == 0)
        stream->is_input_over = 1;
    else if (stream->input < 0)
        stream->taken += length;
    else {
        if (!stream->given && !(stream->given = malloc(INPUT_MAX)))
            return ENOMEM;
        memmove(stream->given, stream->given + stream->given_begin, kept);
        memcpy(stream->given + kept, bytes, length);
        stream->given_begin = 0;
        stream->given_end = kept + length;
    }
    move_input(stream);
    return 0;
}

int traffic_window(uint32_t number, uint64_t acknowledged, uint64_t limit) {
    struct stream *stream = stream_find(number);
    if (!stream)
        return 0;
    if (acknowledged > stream->spool.produced)
        return EINVAL;
    spool_acknowledge(&stream->spool, acknowledged);
    if (stream->sent < stream->spool.acknowledged)
        stream->sent = stream->spool.acknowledged;
    stream->limit = limit;
    return 0;
}

nfds_t traffic_poll(struct pollfd *polled) {
    nfds_t count = 0;
    for (int slot = 0; slot < STREAMS_MAX; slot++) {
        struct stream *stream = &streams[slot];
        if (stream->number && stream->output >= 0 && spool_room(&stream->spool) > 0)
            polled[count++] = (struct pollfd){.fd = stream->output, .events = POLLIN};
        if (stream->number && stream->given_begin < stream->given_end)
            polled[count++] = (struct pollfd){.fd = stream->input, .events = POLLOUT};
    }
    return count;
}

void traffic_move(void) {
    for (int slot = 0; slot < STREAMS_MAX; slot++)
        if (streams[slot].number) {
            move_input(&streams[slot]);
            move_output(&streams[slot]);
        }
}

static int tell_output(struct stream *stream) {
    char offset[OUTPUT_HEAD];
    const char *bytes;
    uint64_t end = stream->spool.produced < stream->limit ? stream->spool.produced : stream->limit;
    if (stream->sent >= end)
        return 0;
    size_t length = spool_peek(&stream->spool, stream->sent, &bytes);
    if (length > end - stream->sent)
        length = (size_t)(end - stream->sent);
    if (length > SAID_MAX - OUTPUT_HEAD)
        length = SAID_MAX - OUTPUT_HEAD;
    put_u64(offset, stream->sent);
    frame_put(SAID_OUTPUT, stream->number, offset, sizeof offset, bytes, length);
    stream->sent += length;
    return 1;
}

static int tell_once(int *told, int is_so, uint8_t type, uint32_t number, const void *payload, size_t length) {
    if (*told || !is_so)
        return 0;
    frame_put(type, number, payload, length, NULL, 0);
    *told = 1;
    return 1;
}

/* One frame of what is due. 1: it was put. */
static int tell(struct stream *stream) {
    const uint64_t length = stream->spool.produced;
    if (tell_once(&stream->started_told, stream->first_pid != 0, SAID_STARTED, stream->number, &stream->first_pid, 4))
        return 1;
    if (stream->taken_told < stream->taken) {
        stream->taken_told = stream->taken;
        frame_put(SAID_TAKEN, stream->number, &stream->taken, sizeof stream->taken, NULL, 0);
        return 1;
    }
    if (tell_output(stream))
        return 1;
    if (tell_once(&stream->exit_told, stream->has_exited, SAID_EXIT, stream->number, &stream->code, 4))
        return 1;
    int is_over = stream->output < 0 && stream->sent == length;
    return tell_once(&stream->ended_told, is_over, SAID_ENDED, stream->number, &length, sizeof length);
}

int traffic_tell(void) {
    static int next;
    int told = 0;
    for (int quiet = 0; quiet < STREAMS_MAX; next = (next + 1) % STREAMS_MAX) {
        if (!port_is_clear() || told == FRAMES_A_TURN)
            return 1;
        int had_news = streams[next].number && tell(&streams[next]);
        quiet = had_news ? 0 : quiet + 1;
        told += had_news;
    }
    return !port_is_clear();
}
