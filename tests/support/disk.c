/* A disk whose every word is known, and what beacon must read of it. */
#include "tests/support/disk.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
        x ^= x >> 30;
        x *= 0xbf58476d1ce4e5b9ULL;
        x ^= x >> 27;
        x *= 0x94d049bb133111ebULL;
        return x ^ x >> 31;
}

const char *make_disk(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        static uint64_t words[DISK_BYTES / 8];

        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                words[i] = mix(i);
        cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
        cr_assert_eq(fd_write_full(fd, words, sizeof(words)), 0);
        return path;
}

const char *make_empty_disk(const char *path, uint64_t nr)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        cr_assert(fd >= 0 && ftruncate(fd, (off_t)nr) == 0, "%s: %s", path, strerror(errno));
        return path;
}

void assert_disk_words(const char *text)
{
        size_t seen = 0;

        for (const char *l = text; l; l = strchr(l, '\n') ? strchr(l, '\n') + 1 : NULL) {
                struct beacon_tick t;
                char expected[64];

                if (strncmp(l, "TICK ", 5) != 0 || !strchr(l, '\n') || !beacon_first(l, &t))
                        continue;
                snprintf(expected, sizeof(expected), " disk=%08x ", (unsigned)mix(t.n % (DISK_BYTES / 512) * 64));
                cr_assert(strstr(t.words, expected), "TICK %llu: expected%s, found:%s", (unsigned long long)t.n, expected,
                          t.words);
                seen++;
        }
        cr_assert_gt(seen, 0, "no TICK in:\n%s", text);
}
