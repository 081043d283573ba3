#include "streams.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct stream streams[STREAMS_MAX];

void shut(int *file) {
    if (*file >= 0)
        close(*file);
    *file = -1;
}

struct stream *stream_find(uint32_t number) {
    for (int slot = 0; slot < STREAMS_MAX && number; slot++)
        if (streams[slot].number == number)
            return &streams[slot];
    return NULL;
}

struct stream *stream_make(uint32_t number) {
    errno = EEXIST;
    if (number == 0 || stream_find(number))
        return NULL;
    for (int slot = 0; slot < STREAMS_MAX; slot++)
        if (streams[slot].number == 0) {
            streams[slot] = (struct stream){.number = number, .input = -1, .output = -1};
            return &streams[slot];
        }
    errno = EAGAIN;
    return NULL;
}

void stream_free(struct stream *stream) {
    if (stream->input != stream->output)
        shut(&stream->input);
    shut(&stream->output);
    spool_free(&stream->spool);
    free(stream->given);
    free(stream->pid_file);
    *stream = (struct stream){0};
}

void stream_signal(const struct stream *stream, int number) {
    pid_t leader = stream->command ? stream->command : stream->pid;
    if (leader == 0)
        return;
    int is_container = stream->flags & RUN_CONTAINER && !stream->command;
    /* A child that was made this moment has no group of its own yet. */
    if (is_container || kill(-leader, number) != 0)
        kill(leader, number);
}

void streams_begin_connection(void) {
    for (int slot = 0; slot < STREAMS_MAX; slot++) {
        struct stream *stream = &streams[slot];
        if (stream->number && !(stream->flags & RUN_KEPT)) {
            stream_signal(stream, SIGKILL);
            stream_free(stream);
        } else if (stream->number) {
            stream->sent = stream->spool.acknowledged;
            stream->limit = 0;
            stream->given_begin = stream->given_end = 0;
            stream->taken = stream->taken_told = 0;
            stream->started_told = stream->first_pid != 0;
            stream->exit_told = stream->has_exited;
            stream->ended_told = 0;
        }
    }
}

int streams_await_containers(void) {
    for (int slot = 0; slot < STREAMS_MAX; slot++)
        if (streams[slot].command)
            return 1;
    return 0;
}
