/*
 * The frames between host and guest, over one virtio-serial port.
 *
 * A frame: u32 length of the payload, u8 type, u32 stream, payload; little endian. A stream is a process the host
 * started, numbered by the host; 0 is the guest itself. Must not know what the payloads mean.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stddef.h>
#include <stdint.h>

#define PROTOCOL 1
#define PAYLOAD_MAX 65536u

enum frame_type {
    FRAME_HELLO = 1,   /* both ways; the guest repeats the host's payload (a nonce) after its own words */
    FRAME_RUN = 2,     /* to the guest: argv, each word ended by a NUL */
    FRAME_INPUT = 3,   /* to the guest: standard input; an empty one ends it */
    FRAME_SIGNAL = 4,  /* to the guest: u8 signal */
    FRAME_CLOCK = 5,   /* to the guest: u64 seconds, u32 nanoseconds of CLOCK_REALTIME */
    FRAME_ENTROPY = 6, /* to the guest: bytes of the host's generator, up to 256 */
    FRAME_FILE = 7,    /* to the guest: u32 mode, path ended by a NUL, then what the file shall hold */
    FRAME_DISKS = 8,   /* to the guest: all disks are the task's own by now: take them */
    FRAME_OUTPUT = 16, /* to the host: standard output; an empty one: it has ended */
    FRAME_ERRORS = 17, /* to the host: standard error, likewise */
    FRAME_EXIT = 18,   /* to the host: i32: the exit code, or 128 + the signal */
    FRAME_FAILED = 19, /* to the host: an errno as i32: what this stream asked for was not done */
};

struct frame {
    uint32_t length;
    uint8_t type;
    uint32_t stream;
    char payload[PAYLOAD_MAX + 1]; /* one more: a string in it can always be ended */
};

/* Takes what the port holds. 1: `frame` is whole; 0: there is no more now; -1: the host sent what is no frame. */
int frame_read(int port, struct frame *frame);

/* Waits until the port took it. Nobody may read while it waits: what the host sends meanwhile stays in the port. */
void frame_write(int port, uint8_t type, uint32_t stream, const void *payload, size_t length);

#endif
