#include "disks.h"

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

static int begins(const char *path, const char *expected) {
    char words[64] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    size_t length = fread(words, 1, sizeof words - 1, file);
    fclose(file);
    return length >= strlen(expected) && strncmp(words, expected, strlen(expected)) == 0;
}

void hold_disks(void) {
    put("/sys/bus/virtio/drivers_autoprobe", "0");
}

static int is_free_disk(int number) {
    char path[96];
    snprintf(path, sizeof path, DEVICE, number, "modalias");
    if (!begins(path, DISK))
        return 0;
    snprintf(path, sizeof path, DEVICE, number, "driver");
    return access(path, F_OK) != 0;
}

int take_disks(int count) {
    char name[16];
    int failure = 0;
    for (int number = 0; number < DEVICES_MAX && count > 0 && !failure; number++)
        if (is_free_disk(number)) {
            snprintf(name, sizeof name, "virtio%d", number);
            failure = put(DRIVER, name);
            count--;
        }
    return failure;
}

void mount_tools(void) {
    take_disks(1);
    if (!begins("/sys/block/vda/serial", "tools"))
        return;
    mkdir("/tools", 0755);
    if (mount("/dev/vda", "/tools", "erofs", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0)
        fprintf(stderr, "guest: tools: %m\n");
}
