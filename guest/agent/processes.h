/*
 * How processes begin and end: pipes or a terminal, the words to run, and whose end it is that the kernel tells.
 */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <stddef.h>
#include <stdint.h>

/* RUN: `payload` as in the table. 0, or an errno; the answer of one that began is told with the stream's other news. */
int process_run(uint32_t number, char *payload, size_t length);

/* RESIZE. A stream that is none, or has no terminal, is none of its business. */
void process_resize(uint32_t number, unsigned columns, unsigned rows);

/* Collects who has ended, orphans too. */
void processes_reap(void);

#endif
