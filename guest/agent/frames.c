#include "frames.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Room for the longest frame, and for a hello's answer with all streams. */
#define WAITING_MAX (HEADER + SAID_MAX)

int port = -1;
int port_is_connected;

static unsigned char pending[HEADER + PAYLOAD_MAX];
static size_t filled;
static int is_deaf; /* the host sent what is no frame: nothing is heard until it connects anew */

static unsigned char waiting[WAITING_MAX];
static size_t waiting_begin, waiting_end;

uint16_t get_u16(const void *at) {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

uint32_t get_u32(const void *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value); /* this machine is little endian, as the frames are */
    return value;
}

uint64_t get_u64(const void *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

void put_u16(void *at, uint16_t value) {
    memcpy(at, &value, sizeof value);
}

void put_u32(void *at, uint32_t value) {
    memcpy(at, &value, sizeof value);
}

void put_u64(void *at, uint64_t value) {
    memcpy(at, &value, sizeof value);
}

/* Reads until `wanted` bytes are there. Zero bytes mean "the host is not connected" here, not an end. */
static int fill(size_t wanted) {
    while (filled < wanted) {
        ssize_t got = read(port, pending + filled, wanted - filled);
        if (got == 0) {
            filled = 0;
            is_deaf = 0;
            port_is_connected = 0;
            port_drop();
        }
        if (got <= 0)
            return 0;
        filled += (size_t)got;
        port_is_connected = 1;
    }
    return 1;
}

int frame_read(struct frame *frame) {
    for (; is_deaf; filled = 0)
        if (!fill(sizeof pending))
            return 0;
    if (!fill(HEADER))
        return 0;
    frame->length = get_u32(pending);
    frame->type = pending[4];
    frame->stream = get_u32(pending + 5);
    if (frame->length > PAYLOAD_MAX) {
        is_deaf = 1;
        filled = 0;
        return 0;
    }
    if (!fill(HEADER + frame->length))
        return 0;
    memcpy(frame->payload, pending + HEADER, frame->length);
    frame->payload[frame->length] = 0;
    filled = 0;
    return 1;
}

static void append(const void *bytes, size_t length) {
    if (length > 0)
        memcpy(waiting + waiting_end, bytes, length);
    waiting_end += length;
}

void frame_put(uint8_t type, uint32_t stream, const void *head, size_t head_size, const void *tail, size_t tail_size) {
    unsigned char header[HEADER];
    size_t length = head_size + tail_size;
    if (length > SAID_MAX || waiting_end + HEADER + length > sizeof waiting)
        return; /* a mistake of this program; whoever waits for it will say so */
    put_u32(header, (uint32_t)length);
    header[4] = type;
    put_u32(header + 5, stream);
    append(header, HEADER);
    append(head, head_size);
    append(tail, tail_size);
}

int port_is_clear(void) {
    while (waiting_begin < waiting_end) {
        size_t length = HEADER + get_u32(waiting + waiting_begin);
        ssize_t written = write(port, waiting + waiting_begin, length);
        if (written < 0 && errno == ENOMEM)
            usleep(1000); /* the kernel has no memory for a copy just now, and poll(2) does not know */
        if (written <= 0)
            return 0;
        waiting_begin += length;
    }
    waiting_begin = waiting_end = 0;
    return 1;
}

void port_drop(void) {
    waiting_begin = waiting_end = 0;
}
