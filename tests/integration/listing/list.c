// Prints one line for each path below the given roots, without crossing into other file systems:
// what a container can tell about its own files. Bytes that are not plain are spelled \xHH.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MANY = 4096, PIECE = 1 << 16 };

static struct { dev_t dev; ino_t ino; char *path; } seen[MANY];
static int seen_count;

static void spell(const char *bytes, ssize_t size) {
    for (ssize_t i = 0; i < size; i++) {
        unsigned char c = bytes[i];
        if (c > ' ' && c < 0x7f && c != '\\') putchar(c); else printf("\\x%02x", c);
    }
}

// The first path of this file that was printed: equal for all of a group of hard links.
static const char *first_name(const char *path, const struct stat *status) {
    for (int i = 0; i < seen_count; i++)
        if (seen[i].dev == status->st_dev && seen[i].ino == status->st_ino) return seen[i].path;
    if (seen_count < MANY) {
        seen[seen_count].dev = status->st_dev;
        seen[seen_count].ino = status->st_ino;
        seen[seen_count++].path = strdup(path);
    }
    return path;
}

static uint64_t content_hash(const char *path) {  // FNV-1a, eight bytes at a time
    static uint64_t piece[PIECE / 8];
    uint64_t hash = 14695981039346656037ULL;
    int file = open(path, O_RDONLY);
    ssize_t size;
    memset(piece, 0, sizeof piece);
    while ((size = read(file, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < (size + 7) / 8; i++) hash = (hash ^ piece[i]) * 1099511628211ULL;
        memset(piece, 0, sizeof piece);
    }
    close(file);
    return hash;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }

static void print_attributes(const char *path) {
    static char names[PIECE], value[PIECE];
    char *sorted[MANY];
    int count = 0;
    ssize_t size = llistxattr(path, names, sizeof names);
    for (char *name = names; name < names + size && count < MANY; name += strlen(name) + 1)
        sorted[count++] = name;
    qsort(sorted, count, sizeof *sorted, by_name);
    for (int i = 0; i < count; i++) {
        printf("%s%s=", i ? "," : "", sorted[i]);
        spell(value, lgetxattr(path, sorted[i], value, sizeof value));
    }
}

static int print(const char *path, const struct stat *status, int flag, struct FTW *walk) {
    (void)flag, (void)walk;
    char target[PIECE];
    int folder = S_ISDIR(status->st_mode), file = S_ISREG(status->st_mode);
    spell(path, strlen(path));
    printf(" mode=%o owner=%u:%u size=%lld device=%llu", status->st_mode, status->st_uid,
           status->st_gid, folder ? 0 : (long long)status->st_size,
           (unsigned long long)status->st_rdev);
    printf(" mtime=%lld.%09ld", (long long)status->st_mtim.tv_sec, status->st_mtim.tv_nsec);
    printf(" blocks=%lld hash=%016llx", file ? (long long)status->st_blocks : 0,
           file ? (unsigned long long)content_hash(path) : 0);
    printf(" first=");
    spell(folder ? "" : first_name(path, status), folder ? 0 : strlen(first_name(path, status)));
    printf(" target=");
    if (S_ISLNK(status->st_mode)) spell(target, readlink(path, target, sizeof target));
    printf(" attributes=");
    print_attributes(path);
    putchar('\n');
    return 0;
}

static int set_attribute(char **words) {
    char value[PIECE];
    size_t size = 0;
    for (const char *hex = words[2]; sscanf(hex, "%2hhx", &value[size]) == 1; hex += 2) size++;
    if (lsetxattr(words[1], words[0], value, size, 0)) return perror(words[1]), 1;
    return 0;
}

// Takes a lock and keeps it for good; fails at once if somebody else has it.
static int lock(const char *path) {
    int file = open(path, O_RDWR | O_CREAT, 0600);
    if (flock(file, LOCK_EX | LOCK_NB)) return perror(path), 1;
    for (;;) pause();
}

// Listens on a socket file of an owner and a mode of its own.
static int listen_on(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (bind(file, (void *)&address, sizeof address) || listen(file, 1)) return perror(path), 1;
    if (chmod(path, 0620) || chown(path, 12, 34)) return perror(path), 1;
    for (;;) pause();
}

int main(int count, char **words) {
    if (count == 5 && !strcmp(words[1], "--set")) return set_attribute(words + 2);
    if (count == 3 && !strcmp(words[1], "--lock")) return lock(words[2]);
    if (count == 3 && !strcmp(words[1], "--listen")) return listen_on(words[2]);
    for (int i = 1; i < count; i++)
        if (nftw(words[i], print, 64, FTW_PHYS | FTW_MOUNT)) return perror(words[i]), 1;
    return 0;
}
