/*
 * What a process wrote and the host has not acknowledged: a ring of 256 KiB, by offsets from the output's beginning.
 *
 * Must not know where bytes come from or go to. When it is full the writer waits; nothing is ever dropped unasked.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include <stddef.h>
#include <stdint.h>

#define SPOOL_MAX (256u * 1024u)

struct spool {
    char *ring;            /* NULL until something was written */
    uint64_t origin;       /* the offset that lies at the ring's first byte */
    uint64_t acknowledged; /* what is below is forgotten */
    uint64_t produced;
};

size_t spool_room(const struct spool *spool);

/* Reads once from a file into it. Bytes; 0: that was the end; -1 and EAGAIN: nothing now. */
long spool_fill(struct spool *spool, int file);

/* Where the bytes from `offset` on lie in one piece; how many. */
size_t spool_peek(const struct spool *spool, uint64_t offset, const char **bytes);

/* What is below is forgotten. Less than before changes nothing. */
void spool_acknowledge(struct spool *spool, uint64_t offset);

void spool_free(struct spool *spool);

#endif
