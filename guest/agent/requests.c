#define _GNU_SOURCE
#include "requests.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "disks.h"
#include "frames.h"

/* Of linux/netlink.h; none of linux/ comes with musl. */
#define NETLINK_ROUTE 0
#define NLMSG_ERROR 2
#define NLMSG_DONE 3
#define NLM_F_REQUEST 1
#define NLM_F_ACK 4
#define NETLINK_HEADER 16u
/* Of linux/random.h. */
#define RNDADDENTROPY _IOW('R', 0x03, int[2])
#define RNDRESEEDCRNG _IO('R', 0x07)
#define ENTROPY_MAX 256
#define ANSWERS_MAX 64
#define SERIAL "serial:"

/* The word at `*at`, which is moved behind its NUL; NULL: there is none. */
static const char *next_word(const char *payload, size_t length, size_t *at) {
    if (*at >= length || !memchr(payload + *at, 0, length - *at))
        return NULL;
    const char *word = payload + *at;
    *at += strlen(word) + 1;
    return word;
}

int set_clock(const char *payload, size_t length) {
    if (length != 12)
        return EINVAL;
    struct timespec now = {.tv_sec = (time_t)get_u64(payload), .tv_nsec = get_u32(payload + 8)};
    return clock_settime(CLOCK_REALTIME, &now) == 0 ? 0 : errno;
}

int add_entropy(const char *payload, size_t length) {
    struct {
        int entropy_bits;
        int length;
        char bytes[ENTROPY_MAX];
    } pool = {.entropy_bits = (int)length * 8, .length = (int)length};
    if (length > ENTROPY_MAX)
        return EINVAL;
    memcpy(pool.bytes, payload, length);
    int device = open("/dev/urandom", O_RDWR | O_CLOEXEC);
    int is_done = device >= 0 && ioctl(device, RNDADDENTROPY, &pool) == 0 && ioctl(device, RNDRESEEDCRNG) == 0;
    int failure = is_done ? 0 : errno;
    if (device >= 0)
        close(device);
    return failure;
}

static int write_all(int file, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(file, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

int write_file(const char *payload, size_t length) {
    size_t at = 13;
    const char *path = next_word(payload, length, &at);
    if (!path || (unsigned char)payload[12] > 1)
        return EINVAL;
    int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (payload[12] ? O_APPEND : O_TRUNC);
    int is_made = 0, file = open(path, flags);
    if (file < 0 && errno == ENOENT) {
        file = open(path, flags | O_CREAT | O_EXCL, 0600);
        is_made = 1;
    }
    if (file < 0)
        return errno;
    int failure = 0;
    /* The owner first: a change of it takes the bits away that say whose rights a program has. */
    if (is_made && fchown(file, get_u32(payload + 4), get_u32(payload + 8)) != 0)
        failure = errno;
    if (is_made && !failure && fchmod(file, get_u32(payload) & 07777) != 0)
        failure = errno;
    if (!failure)
        failure = write_all(file, payload + at, length - at);
    if (close(file) != 0 && !failure)
        failure = errno;
    return failure;
}

/* Makes the directories above the path's last word. */
static int make_parents(const char *path) {
    char part[PATH_MAX];
    if (*path == 0)
        return ENOENT;
    if (strlen(path) >= sizeof part)
        return ENAMETOOLONG;
    strcpy(part, path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return errno;
        *slash = '/';
    }
    return 0;
}

/* 0: it was made; EEXIST: a directory was there. */
static int make_last(const char *path) {
    struct stat found;
    int failure = make_parents(path);
    if (failure)
        return failure;
    if (mkdir(path, 0755) == 0)
        return 0;
    failure = errno;
    return failure == EEXIST && stat(path, &found) == 0 && !S_ISDIR(found.st_mode) ? ENOTDIR : failure;
}

int make_directory(const char *payload, size_t length) {
    size_t at = 12;
    const char *path = next_word(payload, length, &at);
    if (!path)
        return EINVAL;
    int failure = make_last(path);
    if (failure)
        return failure == EEXIST ? 0 : failure;
    if (chown(path, get_u32(payload + 4), get_u32(payload + 8)) != 0 || chmod(path, get_u32(payload) & 07777) != 0)
        return errno;
    return 0;
}

int read_file(const char *payload, size_t length, char *content, size_t room, size_t *filled) {
    size_t at = 0;
    const char *path = next_word(payload, length, &at);
    int file = path ? open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    if (file < 0)
        return path ? errno : EINVAL;
    ssize_t got = 1;
    for (*filled = 0; *filled < room && got > 0; *filled += got > 0 ? (size_t)got : 0)
        got = read(file, content + *filled, room - *filled);
    int failure = got < 0 ? errno : 0;
    close(file);
    return failure;
}

/* What is mounted on a file, or over one, needs a file below it. */
static int make_target(const char *source, const char *target, unsigned long flags) {
    struct stat found;
    if (stat(target, &found) == 0)
        return 0;
    if (!(flags & MS_BIND) || stat(source, &found) != 0 || S_ISDIR(found.st_mode)) {
        int failure = make_last(target);
        return failure == EEXIST ? 0 : failure;
    }
    int failure = make_parents(target);
    int file = failure ? -1 : open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        return failure ? failure : errno;
    close(file);
    return 0;
}

int mount_one(const char *payload, size_t length) {
    char disk[64];
    size_t at = sizeof(uint32_t);
    const char *source = next_word(payload, length, &at), *target = next_word(payload, length, &at);
    const char *type = next_word(payload, length, &at), *data = next_word(payload, length, &at);
    if (!source || !target || !type || !data)
        return EINVAL;
    unsigned long flags = get_u32(payload);
    int failure = 0;
    if (strncmp(source, SERIAL, strlen(SERIAL)) == 0) {
        failure = find_disk(source + strlen(SERIAL), disk, sizeof disk);
        source = disk;
    }
    if (!failure)
        failure = make_target(source, target, flags);
    if (!failure && mount(source, target, *type ? type : NULL, flags, *data ? data : NULL) != 0)
        failure = errno;
    return failure;
}

/* The kernel has answered when the message was taken: what it says is there, and its errno is the last of it. */
static int netlink_answer(int handle) {
    static char answer[32768];
    for (int count = 0; count < ANSWERS_MAX; count++) {
        ssize_t got = recv(handle, answer, sizeof answer, MSG_DONTWAIT);
        if (got < (ssize_t)(NETLINK_HEADER + sizeof(uint32_t)))
            return got < 0 ? errno : EIO;
        if (get_u16(answer + 4) == NLMSG_ERROR)
            return -(int32_t)get_u32(answer + NETLINK_HEADER);
        if (get_u16(answer + 4) == NLMSG_DONE)
            return 0;
    }
    return EMSGSIZE;
}

int send_netlink(const char *payload, size_t length) {
    static char message[PAYLOAD_MAX];
    if (length < NETLINK_HEADER || get_u32(payload) != length)
        return EINVAL;
    memcpy(message, payload, length);
    put_u16(message + 6, get_u16(payload + 6) | NLM_F_REQUEST | NLM_F_ACK);
    put_u32(message + 12, 0); /* whom it comes from: the kernel fills that in */
    int handle = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (handle < 0)
        return errno;
    int failure = send(handle, message, length, 0) == (ssize_t)length ? netlink_answer(handle) : errno;
    close(handle);
    return failure;
}
