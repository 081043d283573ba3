/*
 * What the host asks of the guest itself: files, mounts, the network, the clock. Each is done before the next is heard.
 *
 * Each takes the payload of its frame as in the table (one byte more in memory is 0), and gives 0 or an errno.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include <stddef.h>

int set_clock(const char *payload, size_t length);

/* Guests restored from one snapshot share their generator's state: what the host gives is credited and used at once. */
int add_entropy(const char *payload, size_t length);

/* A file or directory that is made gets mode and owner; one that is there keeps its own (/proc/sys, cgroups). */
int write_file(const char *payload, size_t length);
int make_directory(const char *payload, size_t length);

/* The file's first bytes, as many as there is room for. Its size is not asked: files of /proc and cgroups have none. */
int read_file(const char *payload, size_t length, char *content, size_t room, size_t *filled);

int mount_one(const char *payload, size_t length);

int send_netlink(const char *payload, size_t length);

#endif
