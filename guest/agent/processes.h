/*
 * The processes that the host started, one a stream: their standard streams, signals and ends.
 */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESSES_MAX 64

/* 0, or an errno. `words`: argv, each ended by a NUL. The name is looked for in PATH. */
int process_run(uint32_t stream, char *words, size_t length);
int process_input(uint32_t stream, const char *bytes, size_t length);
int process_signal(uint32_t stream, int number);

/* Fills `polled` (room for twice PROCESSES_MAX) with the outputs that may have something; how many. */
int processes_poll(struct pollfd *polled);

/* Hands on what the outputs hold: at most one frame of each, so that none keeps the others waiting. */
void processes_forward(int port);

/* Collects children, orphans too. What a process left behind may write on after its exit; an empty frame ends an output. */
void processes_reap(int port);

#endif
