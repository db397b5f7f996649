/*
 * Memory of which a part is rewritten when asked: `dirtying MIB PER_THOUSAND`.
 *
 * SIGUSR1 rewrites PER_THOUSAND of its pages, chosen at random, with what does not compress. /state always says how often that was
 * and the sum of all of the memory, as it is now: ROUNDS SUM
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_WORDS = 4096 / sizeof(uint64_t) };

static volatile sig_atomic_t asked;
static uint64_t seed;

static void ask(int number)
{
    (void)number;
    asked++;
}

static void stop(int number)
{
    (void)number;
    _exit(0);
}

static uint64_t next(void) /* xorshift */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void rewrite(uint64_t *page)
{
    for (int i = 0; i < PAGE_WORDS; i++)
        page[i] = next();
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    size_t pages = strtoull(argv[1], NULL, 10) << 8;
    size_t share = strtoull(argv[2], NULL, 10);
    signal(SIGUSR1, ask);
    signal(SIGTERM, stop);
    while (getrandom(&seed, sizeof seed, 0) != sizeof seed || !seed)
        ;
    uint64_t *words = aligned_alloc(4096, pages * 4096);
    if (!words)
        return 1;
    for (size_t i = 0; i < pages; i++)
        rewrite(words + i * PAGE_WORDS);
    int out = open("/state", O_WRONLY | O_CREAT, 0644);
    if (out < 0)
        return 1;
    for (int done = 0;;) {
        for (; done < asked; done++)
            for (size_t i = 0; i < pages * share / 1000; i++)
                rewrite(words + next() % pages * PAGE_WORDS);
        uint64_t sum = 0;
        for (size_t i = 0; i < pages * PAGE_WORDS; i++)
            sum = sum * 31 + words[i];
        char line[64];
        int length = snprintf(line, sizeof line, "%08d %016llx\n", done, (unsigned long long)sum);
        if (pwrite(out, line, length, 0) != length)
            return 1;
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    }
}
