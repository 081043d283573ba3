#define _GNU_SOURCE
#include "spool.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

size_t spool_room(const struct spool *spool) {
    return SPOOL_MAX - (size_t)(spool->produced - spool->acknowledged);
}

static size_t place(const struct spool *spool, uint64_t offset) {
    return (size_t)((offset - spool->origin) % SPOOL_MAX);
}

static size_t smaller(size_t one, size_t other) {
    return one < other ? one : other;
}

long spool_fill(struct spool *spool, int file) {
    if (!spool->ring) {
        void *ring = mmap(NULL, SPOOL_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (ring == MAP_FAILED) {
            errno = EAGAIN; /* the writer waits until there is memory again */
            return -1;
        }
        spool->ring = ring;
    }
    if (spool->acknowledged == spool->produced)
        spool->origin = spool->produced; /* an empty one begins anew, so that little output touches little memory */
    size_t at = place(spool, spool->produced);
    ssize_t got = read(file, spool->ring + at, smaller(spool_room(spool), SPOOL_MAX - at));
    if (got > 0)
        spool->produced += (uint64_t)got;
    return got;
}

size_t spool_peek(const struct spool *spool, uint64_t offset, const char **bytes) {
    size_t at = place(spool, offset);
    *bytes = spool->ring + at;
    return smaller((size_t)(spool->produced - offset), SPOOL_MAX - at);
}

void spool_acknowledge(struct spool *spool, uint64_t offset) {
    if (offset > spool->acknowledged && offset <= spool->produced)
        spool->acknowledged = offset;
}

void spool_free(struct spool *spool) {
    if (spool->ring)
        munmap(spool->ring, SPOOL_MAX);
    *spool = (struct spool){0};
}
