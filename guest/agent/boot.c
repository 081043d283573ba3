#define _GNU_SOURCE
#include "boot.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disks.h"

#define FILES_MAX 1048576 /* fs.nr_open */

static void say(const char *what, const char *which) {
    fprintf(stderr, "guest: %s: %s: %m\n", what, which);
}

static void limit(int what, rlim_t soft, rlim_t hard) {
    if (setrlimit(what, &(struct rlimit){.rlim_cur = soft, .rlim_max = hard}) != 0)
        say("limit", "");
}

void settle_process(void) {
    while (open("/dev/null", O_RDWR) >= 0 && fcntl(3, F_GETFD) < 0)
        continue;
    close(3);
    /* All children have them: a container gets others by its specification, and could be given none above these. */
    limit(RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY);
    limit(RLIMIT_SIGPENDING, RLIM_INFINITY, RLIM_INFINITY);
    limit(RLIMIT_NOFILE, FILES_MAX, FILES_MAX);
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
}

static void mount_at(const char *kind, const char *target, unsigned long flags, const char *data) {
    mkdir(target, 0755);
    if (mount(kind, target, kind, flags, data) != 0)
        say("mount", target);
}

/*
 * pivot_root(2) refuses to leave the kernel's first root, because that has no parent. The same files mounted once more
 * above it have one; nothing is copied.
 */
static void give_root_a_parent(void) {
    if (mount("/", "/.root", NULL, MS_BIND, NULL) != 0 || chdir("/.root") != 0 ||
        mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0 || chdir("/") != 0)
        say("root", "/");
}

static void delegate_controllers(void) {
    FILE *all = fopen("/sys/fs/cgroup/cgroup.controllers", "r");
    FILE *given = fopen("/sys/fs/cgroup/cgroup.subtree_control", "w");
    char name[64];
    while (all && given && fscanf(all, "%63s", name) == 1) {
        fprintf(given, "+%s\n", name);
        fflush(given); /* one by one: one that cannot be had must not keep back the others */
    }
    if (all)
        fclose(all);
    if (given)
        fclose(given);
}

void mount_system(void) {
    const unsigned long plain = MS_NOSUID | MS_NOEXEC | MS_NODEV;
    umask(0);
    give_root_a_parent();
    mount_at("proc", "/proc", plain, NULL);
    mount_at("sysfs", "/sys", plain, NULL);
    mount_at("devtmpfs", "/dev", MS_NOSUID, NULL);
    mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755");
    mount_at("cgroup2", "/sys/fs/cgroup", plain, NULL);
    mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5");
    mount_at("mqueue", "/dev/mqueue", plain, NULL);
    delegate_controllers();
}

static void load(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "/modules/%s.ko", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0)
        say("module", path);
    if (file >= 0)
        close(file);
    unlink(path); /* the root is memory */
}

void load_modules(void) {
    char name[64];
    FILE *order = fopen("/modules/order", "r");
    if (!order)
        return;
    while (fscanf(order, "%63s", name) == 1) {
        if (strcmp(name, "virtio_blk") == 0)
            hold_disks();
        load(name);
    }
    fclose(order);
}

static int is_named(const char *port, const char *wanted) {
    char path[320], name[64] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", port);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    int found = fscanf(file, "%63s", name) == 1 && strcmp(name, wanted) == 0;
    fclose(file);
    return found;
}

static int find_port(const char *wanted) {
    char path[320] = "";
    DIR *ports = opendir("/sys/class/virtio-ports");
    if (!ports)
        return -1;
    for (struct dirent *entry; (entry = readdir(ports));)
        if (entry->d_name[0] != '.' && is_named(entry->d_name, wanted))
            snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    closedir(ports);
    return path[0] ? open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
}

int open_port(const char *name) {
    for (int tries = 0; tries < 1000; tries++) {
        int port = find_port(name);
        if (port >= 0)
            return port;
        usleep(1000); /* its name comes by a message of the device, after the module */
    }
    return -1;
}
