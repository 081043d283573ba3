/*
 * The size of a terminal. A runtime between ours and its container's has a terminal of its own to the container, and
 * copies no change from one to the other (crun before 1.8.7): so the container's is told as well.
 */
#ifndef TERMINALS_H
#define TERMINALS_H

#include <sys/ioctl.h>
#include <sys/types.h>

/* `master`: ours. `process`: who has its other end; 0: nobody any more. */
void terminal_resize(int master, pid_t process, const struct winsize *size);

#endif
