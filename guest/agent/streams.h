/*
 * The streams that are processes: one slot for each, from RUN until the host forgets it.
 *
 * Owns the table and what leaves it. Invariant: a slot that is taken has a number of the host's, which is in no other.
 */
#ifndef STREAMS_H
#define STREAMS_H

#include <stdint.h>
#include <sys/types.h>

#include "spool.h"

#define STREAMS_MAX 512
#define INPUT_MAX 65536u

#define RUN_TERMINAL 1u
#define RUN_CONTAINER 2u
#define RUN_KEPT 4u

struct stream {
    uint32_t number; /* 0: the slot is free */
    uint32_t flags;
    pid_t pid;           /* the process; 0 before a container has one, and when it has ended */
    pid_t command;       /* what makes the container, while it runs */
    int32_t first_pid;   /* what the host was told, or will be: it stays when the process has ended */
    char *pid_file;      /* of a container that is being made */
    int has_exited;
    int32_t code;
    int input, output;   /* a terminal's are the same file; -1: at an end */
    struct spool spool;
    uint64_t sent, limit;        /* offsets of the output, on this connection of the host */
    char *given;                 /* input that the process has not taken; NULL: none */
    size_t given_begin, given_end;
    int is_input_over;           /* the host ended it; what was given before goes first */
    uint64_t taken;              /* bytes of input on this connection */
    uint64_t taken_told;
    int started_told, exit_told, ended_told;
};

extern struct stream streams[STREAMS_MAX];

/* NULL: there is none. */
struct stream *stream_find(uint32_t number);

/* A slot with that number and no more. NULL and errno: that number is taken or 0 (EEXIST), the table full (EAGAIN). */
struct stream *stream_make(uint32_t number);

/* Frees the slot; its process lives on as one of nobody's. */
void stream_free(struct stream *stream);

/* To its process group, of a container to its first process. One that has ended gets nothing. */
void stream_signal(const struct stream *stream, int number);

/* A new connection of the host: what is not kept is killed and gone, nothing of the others may be sent yet. */
void streams_begin_connection(void);

/* Whether a command is making a container: who ended meanwhile may be that. */
int streams_await_containers(void);

void shut(int *file);

#endif
