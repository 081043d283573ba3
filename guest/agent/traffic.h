/*
 * What goes to and from processes: input, output within the host's window, and the news of each stream.
 *
 * Nothing here waits for one stream: a process that takes nothing, or whose window is shut, keeps only itself waiting.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

/* INPUT; no bytes end it. 0, or an errno for more than there is room for. What nobody can take any more is taken. */
int traffic_give(uint32_t number, const char *bytes, size_t length);

/* WINDOW. 0, or an errno: more was acknowledged than there is. */
int traffic_window(uint32_t number, uint64_t acknowledged, uint64_t limit);

/* Fills `polled` (room for twice STREAMS_MAX) with what can be moved when it is ready; how many. */
nfds_t traffic_poll(struct pollfd *polled);

/* Moves what can be moved between processes and this memory. */
void traffic_move(void);

/* Tells the host what it does not know yet, a bounded part of it. 1: there is more. */
int traffic_tell(void);

#endif
