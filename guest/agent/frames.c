#include "frames.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define HEADER 9u

static unsigned char pending[HEADER + PAYLOAD_MAX];
static size_t filled;

static uint32_t get_u32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_u32(unsigned char *at, uint32_t value) {
    for (int byte = 0; byte < 4; byte++)
        at[byte] = (unsigned char)(value >> (8 * byte));
}

/* Reads until `wanted` bytes are there. Zero bytes mean "the host is not connected" here, not an end. */
static int fill(int port, size_t wanted) {
    while (filled < wanted) {
        ssize_t got = read(port, pending + filled, wanted - filled);
        if (got <= 0)
            return 0;
        filled += (size_t)got;
    }
    return 1;
}

int frame_read(int port, struct frame *frame) {
    if (!fill(port, HEADER))
        return 0;
    frame->length = get_u32(pending);
    frame->type = pending[4];
    frame->stream = get_u32(pending + 5);
    if (frame->length > PAYLOAD_MAX) {
        filled = 0;
        return -1;
    }
    if (!fill(port, HEADER + frame->length))
        return 0;
    memcpy(frame->payload, pending + HEADER, frame->length);
    frame->payload[frame->length] = 0;
    filled = 0;
    return 1;
}

static void write_all(int port, const unsigned char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(port, bytes, length);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
            return; /* the port is gone, and with it whoever could be told */
        } else {
            struct pollfd ready = {.fd = port, .events = POLLOUT};
            poll(&ready, 1, 100);
        }
    }
}

void frame_write(int port, uint8_t type, uint32_t stream, const void *payload, size_t length) {
    static unsigned char bytes[HEADER + PAYLOAD_MAX];
    if (length > PAYLOAD_MAX)
        length = PAYLOAD_MAX;
    put_u32(bytes, (uint32_t)length);
    bytes[4] = type;
    put_u32(bytes + 5, stream);
    if (length > 0)
        memcpy(bytes + HEADER, payload, length);
    write_all(port, bytes, HEADER + length);
}
