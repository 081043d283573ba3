#include "frames.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 200
/* Room for the longest frame, and for a hello's answer with all streams. */
#define WAITING_MAX (HEADER + SAID_MAX)

int port = -1;
int port_is_connected;

static unsigned char heard[HEADER + PAYLOAD_MAX];
static size_t heard_begin, heard_end;
static int64_t heard_ms; /* when the last byte came */
static int is_deaf;      /* the host sent what is no frame: nothing but a hello is heard */
int port_is_in_doubt;

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

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Where a hello lies that is the last of what was heard; -1: nowhere. */
static long last_hello(void) {
    const unsigned char begin[HEADER] = {NONCE, 0, 0, 0, ASKED_HELLO};
    if (heard_end - heard_begin < HEADER + NONCE)
        return -1;
    size_t at = heard_end - HEADER - NONCE;
    for (size_t byte = at + HEADER; byte < heard_end; byte++)
        if (heard[byte] <= ' ' || heard[byte] > '~')
            return -1;
    return memcmp(heard + at, begin, HEADER) == 0 ? (long)at : -1;
}

/* Reads all there is room for. Zero bytes mean "the host is not connected" here, not an end. 1: the port is empty. */
static int fill(void) {
    memmove(heard, heard + heard_begin, heard_end - heard_begin);
    heard_end -= heard_begin;
    heard_begin = 0;
    while (heard_end < sizeof heard) {
        ssize_t got = read(port, heard + heard_end, sizeof heard - heard_end);
        if (got < 0)
            return 1;
        if (got == 0) {
            /* What a new host said may be here before the news that it is: of all that was heard its hello stays. */
            long hello = last_hello();
            heard_begin = hello < 0 ? heard_end : (size_t)hello;
            is_deaf = port_is_connected = 0;
            port_drop();
            return 1;
        }
        heard_end += (size_t)got;
        heard_ms = now_ms();
    }
    return 0;
}

/* Whether a frame begins there, or all that was heard is whole frames. */
static int is_in_order(size_t place) {
    size_t at = heard_begin;
    while (at != place && at + HEADER <= heard_end)
        at += HEADER + get_u32(heard + at);
    return at == place || at == heard_end;
}

/*
 * A host that was killed in the middle of a frame may be back before this machine saw it gone. The new hello looks
 * like a part of that frame then; but who says hello waits for the answer, and who is in a frame goes on.
 */
static int find_new_host(void) {
    long hello = last_hello();
    port_is_in_doubt = hello >= 0 && (is_deaf || !is_in_order((size_t)hello));
    if (port_is_in_doubt && now_ms() - heard_ms >= PAUSE_MS) {
        heard_begin = (size_t)hello;
        port_is_in_doubt = is_deaf = 0;
    }
    return !port_is_in_doubt;
}

static int is_whole(void) {
    size_t length = heard_end - heard_begin;
    return !is_deaf && length >= HEADER && length - HEADER >= get_u32(heard + heard_begin);
}

int frame_read(struct frame *frame) {
    /* Nothing is answered that nobody could hear: what is kept waits for the news that its host is here. */
    int is_to_fill = !is_whole() || port_is_in_doubt || !port_is_connected;
    if (is_to_fill && fill() && (!find_new_host() || !port_is_connected))
        return 0;
    if (is_deaf && heard_end - heard_begin > HEADER + NONCE)
        heard_begin = heard_end - HEADER - NONCE;
    if (is_deaf || heard_end - heard_begin < HEADER)
        return 0;
    frame->length = get_u32(heard + heard_begin);
    frame->type = heard[heard_begin + 4];
    frame->stream = get_u32(heard + heard_begin + 5);
    if (frame->length > PAYLOAD_MAX)
        is_deaf = port_is_in_doubt = 1;
    if (!is_whole())
        return 0;
    memcpy(frame->payload, heard + heard_begin + HEADER, frame->length);
    frame->payload[frame->length] = 0;
    heard_begin += HEADER + frame->length;
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
