/*
 * From the kernel's first process to an open port: file systems, modules, a root that containers can be pivoted from.
 */
#ifndef BOOT_H
#define BOOT_H

/* Standard streams where there are none, and limits of its own: the kernel takes some from the machine's memory. */
void settle_process(void);

/* Mounts /proc, /sys, /dev, /run, cgroup v2 with all its controllers, and makes the root one that has a parent. */
void mount_system(void);

/* Loads what /modules/order names, one a line, and frees the files. The one for disks comes last. */
void load_modules(void);

/* Opens the virtio-serial port of that name, non-blocking; waits for it up to a second. -1: there is none. */
int open_port(const char *name);

#endif
