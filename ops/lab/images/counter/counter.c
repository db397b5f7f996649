/*
 * A workload whose memory is worth keeping, and which can tell whether it was kept.
 *
 * Settings, as environment variables or as KEY=VALUE arguments:
 *   MEMORY_MIB  how much memory to fill (16)
 *   PATTERN     "random" does not compress, "text" does (random)
 *   CHURN       how many of a thousand pages are rewritten at random in each ten seconds (0)
 *   STATE       the file that is rewritten every 20 ms (/state/now), one line of fixed width:
 *               counter, unix time, largest gap between two times, checksums hold (1 or 0), boot id
 *
 * The same boot id with a higher counter means that the process lived on. The largest gap is the process's own
 * view of its downtime. Where there is a directory /data, one line a second is appended to /data/log.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 20, TICKS_PER_SECOND = 1000 / TICK_MS, SLICES = 500, PAGE = 4096 };

static const char *setting(int argc, char **argv, const char *name, const char *standard)
{
    size_t length = strlen(name);
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], name, length) && argv[i][length] == '=')
            return argv[i] + length + 1;
    const char *value = getenv(name);
    return value && *value ? value : standard;
}

static void stop(int number)
{
    (void)number;
    _exit(0); /* as PID 1 the default action of SIGTERM would be to ignore it */
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next(uint64_t seed) /* xorshift */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void fill(uint64_t *words, size_t count, int text, uint64_t seed)
{
    static const char line[] = "the quick brown fox jumps over the lazy dog, time and again... \n";
    for (size_t i = 0; i < count; i++) {
        if (text) {
            memcpy(&words[i], &line[i * 8 % 64], 8);
        } else {
            words[i] = seed = next(seed);
        }
    }
}

static uint64_t checksum(const uint64_t *words, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum = sum * 31 + words[i];
    return sum;
}

int main(int argc, char **argv)
{
    size_t churn = strtoull(setting(argc, argv, "CHURN", "0"), NULL, 10);
    size_t bytes = strtoull(setting(argc, argv, "MEMORY_MIB", "16"), NULL, 10) << 20;
    int text = !strcmp(setting(argc, argv, "PATTERN", "random"), "text");
    const char *state = setting(argc, argv, "STATE", "/state/now");

    signal(SIGTERM, stop);
    signal(SIGINT, stop);

    uint64_t boot = 0;
    while (getrandom(&boot, sizeof boot, 0) != sizeof boot || !boot)
        ;
    size_t slice = bytes / sizeof(uint64_t) / SLICES;
    uint64_t *words = malloc(bytes + 1);
    if (!words) {
        perror("memory");
        return 1;
    }
    fill(words, bytes / sizeof(uint64_t), text, boot);
    uint64_t seed = boot, sums[SLICES];
    for (int i = 0; i < SLICES; i++)
        sums[i] = checksum(words + i * slice, slice);

    int out = open(state, O_WRONLY | O_CREAT, 0644);
    if (out < 0) {
        perror(state);
        return 1;
    }
    struct stat data;
    int log = stat("/data", &data) || !S_ISDIR(data.st_mode)
                  ? -1
                  : open("/data/log", O_WRONLY | O_CREAT | O_APPEND, 0644);

    int intact = 1;
    double before = now(), largest_gap = 0;
    for (uint64_t counter = 1;; counter++) {
        struct timespec tick = {0, TICK_MS * 1000000L};
        nanosleep(&tick, NULL);
        double time = now();
        if (time - before > largest_gap)
            largest_gap = time - before;
        before = time;
        int i = counter % SLICES; /* all of the memory in ten seconds, too little at a time to make a gap */
        if (checksum(words + i * slice, slice) != sums[i])
            intact = 0;
        for (size_t n = slice * sizeof *words * churn / 1000 / PAGE; n; n--) {
            seed = next(seed);
            words[i * slice + seed % slice] = seed;
        }
        if (churn)
            sums[i] = checksum(words + i * slice, slice);
        char line[128];
        int length = snprintf(line, sizeof line, "%012llu %017.6f %012.6f %d %016llx\n", (unsigned long long)counter,
                              time, largest_gap, intact, (unsigned long long)boot);
        if (pwrite(out, line, length, 0) != length)
            return 1;
        if (log >= 0 && counter % TICKS_PER_SECOND == 0 && write(log, line, length) != length)
            return 1;
    }
}
