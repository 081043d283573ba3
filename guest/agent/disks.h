/*
 * Disks: which of them the kernel's driver looks at, and when.
 *
 * A driver reads a disk's size when it takes the disk. A guest whose memory was saved and is restored over other disks
 * would go on with the sizes of those it was saved with; so but for the first one, the tools, none is taken before.
 */
#ifndef DISKS_H
#define DISKS_H

#include <stddef.h>

/* From now on no driver takes a virtio device by itself. */
void hold_disks(void);

/* Gives up to `count` disks to the driver, in the order in which they were given to the machine. 0, or an errno. */
int take_disks(int count);

/* The device of the disk with that serial, as a path. 0, or an errno. */
int find_disk(const char *serial, char *device, size_t room);

/* Mounts the first disk at /tools if it is called `tools`. */
void mount_tools(void);

#endif
