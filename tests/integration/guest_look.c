/*
 * What root of a guest has: its devices, and what lies in its memory and on its disks. Run in the guest by itself.
 *
 *   guest_look devices           one a line
 *   guest_look find WORD...      where each word lies; a word is given as the hex of its bytes XOR 0x5a, so that the
 *                                search finds whatever it finds, and not its own arguments. All begin with one byte
 *   guest_look say WORD          on the console; given in the same way
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { VEIL = 0x5a, WORDS_MAX = 8, WORD_MAX = 64, PIECE = 1 << 20, FAMILIES = 64 };

struct word {
    unsigned char veiled[WORD_MAX];
    size_t length;
    unsigned long found;
};

struct segment { /* of kcore, an ELF file: Elf64_Phdr */
    uint32_t type, flags;
    uint64_t offset, address, physical, size, in_memory, align;
};

static struct word words[WORDS_MAX];
static int words_count;
static unsigned char piece[WORD_MAX + PIECE];

/* One pass for all of them, since the emulated processor is slow. */
static void look_for(size_t length) {
    const unsigned char *at = piece, *end = piece + length;
    while (words_count && at < end && (at = memchr(at, words[0].veiled[0] ^ VEIL, (size_t)(end - at)))) {
        for (int number = 0; number < words_count; number++) {
            struct word *word = &words[number];
            size_t same = 1;
            while (same < word->length && at + same < end && at[same] == (word->veiled[same] ^ VEIL))
                same++;
            word->found += same == word->length;
        }
        at++;
    }
}

static void tell(const char *place, unsigned long long bytes) {
    printf("%s %llu", place, bytes);
    for (int number = 0; number < words_count; number++) {
        printf(" %lu", words[number].found);
        words[number].found = 0;
    }
    printf("\n");
    fflush(stdout);
}

/* From `start`, so many bytes; what cannot be read is passed over. Returns how many were read. */
static unsigned long long search(int file, uint64_t start, uint64_t size) {
    unsigned long long bytes = 0;
    size_t kept = 0;
    for (uint64_t at = start; at < start + size;) {
        size_t wanted = size - (at - start) < PIECE ? (size_t)(size - (at - start)) : PIECE;
        ssize_t more = pread(file, piece + kept, wanted, (off_t)at);
        if (more == 0)
            break;
        if (more < 0) {
            kept = 0;
            at += 4096;
            continue;
        }
        look_for(kept + (size_t)more);
        bytes += (unsigned long long)more;
        at += (uint64_t)more;
        size_t keep = kept + (size_t)more < WORD_MAX - 1 ? kept + (size_t)more : WORD_MAX - 1;
        /* A word that ends in the next piece; one that lies in the kept part whole is counted twice, which is all one. */
        memmove(piece, piece + kept + (size_t)more - keep, keep);
        kept = keep;
    }
    return bytes;
}

static void search_kcore(void) {
    int file = open("/proc/kcore", O_RDONLY);
    unsigned char head[64];
    unsigned long long bytes = 0;
    if (file < 0 || pread(file, head, sizeof head, 0) != sizeof head) {
        printf("kcore absent\n");
        return;
    }
    uint64_t table;
    uint16_t size, count;
    memcpy(&table, head + 32, 8);
    memcpy(&size, head + 54, 2);
    memcpy(&count, head + 56, 2);
    for (int number = 0; number < count; number++) {
        struct segment segment;
        if (pread(file, &segment, sizeof segment, (off_t)(table + (uint64_t)number * size)) != sizeof segment)
            continue;
        /* The memory that there is; not the kernel's addresses, which are many more. */
        if (segment.type == 1 && segment.physical != UINT64_MAX && segment.size < (1ull << 34))
            bytes += search(file, segment.offset, segment.size);
    }
    tell("kcore", bytes);
    close(file);
}

static void search_memory_device(void) {
    mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1));
    int file = open("/tmp/mem", O_RDONLY);
    if (file < 0) {
        printf("mem absent\n");
        return;
    }
    tell("mem", search(file, 0, 1ull << 30)); /* more than a machine of these tests has */
    close(file);
}

static void search_each(const char *pattern, uint64_t size) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t number = 0; number < found.gl_pathc; number++) {
        int file = open(found.gl_pathv[number], O_RDONLY | O_NONBLOCK);
        if (file < 0) {
            printf("%s %s\n", found.gl_pathv[number], errno == EBUSY ? "busy" : strerror(errno));
            continue;
        }
        tell(found.gl_pathv[number], search(file, 0, size));
        close(file);
    }
    globfree(&found);
}

static void list(const char *directory) {
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, alphasort);
    for (int number = 0; number < count; number++)
        if (entries[number]->d_name[0] != '.')
            printf("%s/%s\n", directory, entries[number]->d_name);
}

static void say_file(const char *pattern) {
    glob_t found;
    char line[512];
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t number = 0; number < found.gl_pathc; number++) {
        FILE *file = fopen(found.gl_pathv[number], "r");
        while (file && fgets(line, sizeof line, file))
            printf("%s: %s%s", found.gl_pathv[number], line, strchr(line, '\n') ? "" : "\n");
        if (file)
            fclose(file);
    }
}

static void devices(void) {
    DIR *buses = opendir("/sys/bus");
    char path[300];
    for (struct dirent *bus; buses && (bus = readdir(buses));)
        if (bus->d_name[0] != '.') {
            snprintf(path, sizeof path, "/sys/bus/%s/devices", bus->d_name);
            list(path);
        }
    list("/sys/block");
    list("/sys/class/net");
    list("/sys/class/tty");
    list("/sys/class/virtio-ports");
    list("/sys/class/misc");
    list("/sys/class/mem");
    list("/sys/class/hwmon");
    list("/sys/class/rtc");
    say_file("/sys/bus/virtio/devices/*/device");
    say_file("/sys/class/virtio-ports/*/name");
    say_file("/proc/ioports");
    say_file("/proc/interrupts");
    say_file("/proc/iomem");
    for (int family = 0; family < FAMILIES; family++) {
        int made = socket(family, SOCK_STREAM, 0);
        if (made < 0)
            made = socket(family, SOCK_DGRAM, 0);
        if (made < 0)
            made = socket(family, SOCK_RAW, 0);
        if (made < 0)
            made = socket(family, SOCK_SEQPACKET, 0);
        if (made >= 0)
            printf("family %d\n", family);
        if (made >= 0)
            close(made);
    }
}

/* Where the host keeps the end of what was said. */
static int say(void) {
    unsigned char said[WORD_MAX];
    int console = open("/dev/ttyS0", O_WRONLY | O_NOCTTY);
    for (size_t at = 0; at < words[0].length; at++)
        said[at] = words[0].veiled[at] ^ VEIL;
    return console < 0 || write(console, said, words[0].length) != (ssize_t)words[0].length;
}

static int read_word(const char *hex) {
    struct word *word = &words[words_count++];
    for (word->length = 0; word->length < WORD_MAX && hex[2 * word->length]; word->length++) {
        char digits[3] = {hex[2 * word->length], hex[2 * word->length + 1], 0};
        word->veiled[word->length] = (unsigned char)strtoul(digits, NULL, 16);
    }
    return word->length > 0 && word->veiled[0] == words[0].veiled[0];
}

int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "devices")) {
        devices();
        return 0;
    }
    for (int number = 2; number < count; number++)
        if (words_count == WORDS_MAX || !read_word(arguments[number]))
            return 2;
    if (words_count && !strcmp(arguments[1], "say"))
        return say();
    search_kcore();
    search_memory_device();
    search_each("/dev/vd*", UINT64_MAX >> 2);
    search_each("/dev/vport*", PIECE);
    search_each("/dev/hvc*", PIECE);
    search_each("/proc/[0-9]*/environ", PIECE);
    printf("end\n");
    return 0;
}
