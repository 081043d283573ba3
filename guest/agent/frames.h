/*
 * The frames between host and guest, over one virtio-serial port: protocol 2 of docs/decisions/0053-microvm-engine.md.
 *
 * A frame: u32 length of the payload, u8 type, u32 stream, payload; little endian. Must not know what payloads mean.
 * Nothing here waits: a port that nobody reads keeps frames, and who has more to say asks `port_is_clear` first.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define PROTOCOL 2
#define PAYLOAD_MAX 65536u
#define HEADER 9u
#define NONCE 32u
/* The port takes so much by one write, whole or not at all: a connection of the host begins with a whole frame. */
#define SAID_MAX (32768u - HEADER)

enum asked {
    ASKED_HELLO = 1,
    ASKED_RUN,
    ASKED_INPUT,
    ASKED_SIGNAL,
    ASKED_CLOCK,
    ASKED_ENTROPY,
    ASKED_FILE,
    ASKED_DISKS,
    ASKED_MOUNT,
    ASKED_DIRECTORY,
    ASKED_NETLINK,
    ASKED_WINDOW,
    ASKED_RESIZE,
    ASKED_FORGET,
    ASKED_READ,
};

enum said {
    SAID_HELLO = 1,
    SAID_OUTPUT = 16,
    SAID_ENDED,
    SAID_EXIT,
    SAID_FAILED,
    SAID_DONE,
    SAID_CONTENT,
    SAID_STARTED,
    SAID_TAKEN,
    SAID_STREAM,
};

struct frame {
    uint32_t length;
    uint8_t type;
    uint32_t stream;
    char payload[PAYLOAD_MAX + 1]; /* one more: a string in it can always be ended */
};

/* The port's handle, and whether the host is at its other end, as far as was seen. */
extern int port;
extern int port_is_connected;

/* Whether a new host may have said hello in the middle of another's frame: to be read again in a while. */
extern int port_is_in_doubt;
#define DOUBT_MS 50

/* Takes what the port holds. 1: `frame` is whole; 0: no more now. Half a frame of a host that is gone is dropped. */
int frame_read(struct frame *frame);

/* Puts a frame behind those that wait, `tail` after `head`. Only where the port is clear, but for a hello's answer. */
void frame_put(uint8_t type, uint32_t stream, const void *head, size_t head_size, const void *tail, size_t tail_size);

/* Gives the port what waits, as much as it takes. 1: nothing waits any more. */
int port_is_clear(void);

/* Drops what waits: the host that it was meant for is gone. */
void port_drop(void);

/* Payloads' numbers. */
uint16_t get_u16(const void *at);
uint32_t get_u32(const void *at);
uint64_t get_u64(const void *at);
void put_u16(void *at, uint16_t value);
void put_u32(void *at, uint32_t value);
void put_u64(void *at, uint64_t value);

#endif
