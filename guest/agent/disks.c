#include "disks.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES_MAX 64
#define DISK "virtio:d00000002"
#define DEVICE "/sys/bus/virtio/devices/virtio%d/%s"
#define DRIVER "/sys/bus/virtio/drivers/virtio_blk/bind"

static int put(const char *path, const char *words) {
    FILE *file = fopen(path, "w");
    if (!file)
        return errno;
    int failure = fputs(words, file) < 0 ? errno : 0;
    if (fclose(file) != 0)
        failure = errno;
    return failure;
}

/* Up to the end of the first line; empty for a file that cannot be read. */
static void get_line(const char *path, char *line, size_t room) {
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(line, 1, room - 1, file) : 0;
    line[length] = 0;
    line[strcspn(line, "\n")] = 0;
    if (file)
        fclose(file);
}

void hold_disks(void) {
    put("/sys/bus/virtio/drivers_autoprobe", "0");
}

static int is_free_disk(int number) {
    char path[96], kind[64];
    snprintf(path, sizeof path, DEVICE, number, "modalias");
    get_line(path, kind, sizeof kind);
    if (strncmp(kind, DISK, strlen(DISK)) != 0)
        return 0;
    snprintf(path, sizeof path, DEVICE, number, "driver");
    return access(path, F_OK) != 0;
}

int take_disks(int count) {
    char name[32];
    int failure = 0;
    for (int number = 0; number < DEVICES_MAX && count > 0 && !failure; number++)
        if (is_free_disk(number)) {
            snprintf(name, sizeof name, "virtio%d", number);
            failure = put(DRIVER, name);
            count--;
        }
    return failure;
}

int find_disk(const char *serial, char *device, size_t room) {
    char path[320], found[64];
    int failure = ENODEV;
    DIR *disks = opendir("/sys/block");
    if (!disks)
        return errno;
    for (struct dirent *entry; failure && (entry = readdir(disks));) {
        snprintf(path, sizeof path, "/sys/block/%s/serial", entry->d_name);
        get_line(path, found, sizeof found);
        if (*serial && strcmp(found, serial) == 0)
            failure = snprintf(device, room, "/dev/%s", entry->d_name) < (int)room ? 0 : ENAMETOOLONG;
    }
    closedir(disks);
    return failure;
}

void mount_tools(void) {
    char device[64];
    take_disks(1);
    if (find_disk("tools", device, sizeof device) != 0)
        return;
    mkdir("/tools", 0755);
    if (mount(device, "/tools", "erofs", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0)
        fprintf(stderr, "guest: tools: %m\n");
}
