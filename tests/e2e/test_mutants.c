/* Thousands of damaged StratoVirt snapshots: each is refused with a message, or restored; nothing else happens. */
#include "core/base/cleanup.h"
#include "core/session.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lab {
        unsigned      descriptors, threads; /* of this process, before the first restore */
        struct tmpdir dir;
        uint8_t      *state;
        size_t        state_len;
        unsigned      refused, restored;
};

static uint64_t next_random(uint64_t *x) /* splitmix64: the same everywhere for the same seed */
{
        uint64_t z = (*x += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

static void read_file(const char *path, uint8_t **ret, size_t *ret_len)
{
        struct stat st;
        _cleanup_close_ int fd = open(path, O_RDONLY);

        cr_assert(fd >= 0 && fstat(fd, &st) == 0, "%s", path);
        *ret = malloc((size_t)st.st_size);
        *ret_len = (size_t)st.st_size;
        cr_assert(*ret && read(fd, *ret, *ret_len) == st.st_size);
}

static unsigned count_entries(const char *path)
{
        DIR *d = opendir(path);
        unsigned n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

/* Restores what is in the lab, paused, and takes it down again. */
static void try_restore(struct lab *lab, const char *what)
{
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .paused = true}, .path = lab->dir.path, .hints = HINTS_NONE,
                .source_timeout_ms = 1000,
        };
        struct session *s = NULL;
        struct err err = {0};
        int r = session_restore(&o, &s, &err);

        if (r == 0) {
                lab->restored++;
                session_free(s);
                return;
        }
        lab->refused++;
        cr_assert_eq(err.kind, ERR_SNAPSHOT, "%s: refused with kind %d: %s", what, (int)err.kind, err.text);
        cr_assert(strlen(err.text) > strlen(lab->dir.path) &&
                  !strchr(err.text, '\n'), "%s: no message of one line: '%s'", what, err.text);
}

static void lab_open(struct lab *lab)
{
        char path[4300], command[9000];
        const char *fixture = fixture_dir("stratovirt/microvm-128m");

        *lab = (struct lab){.descriptors = count_entries("/proc/self/fd"), .threads = count_entries("/proc/self/task")};
        lab->dir = tmpdir_new();
        snprintf(path, sizeof(path), "%s/state", fixture);
        read_file(path, &lab->state, &lab->state_len);
        snprintf(command, sizeof(command), "cp --sparse=always %s/memory %s/memory && chmod u+w %s/memory", fixture,
                 lab->dir.path, lab->dir.path);
        cr_assert_eq(system(command), 0);
}

static void lab_close(struct lab *lab)
{
        free(lab->state);
        tmpdir_free(&lab->dir);
        cr_expect_eq(count_entries("/proc/self/fd"), lab->descriptors, "descriptors were leaked");
        cr_expect_eq(count_entries("/proc/self/task"), lab->threads, "threads were leaked");
}

/* A byte here and there, a field of all ones or zeros, a piece cut out or doubled. */
static size_t mutate(uint8_t *to, const struct lab *lab, uint64_t *seed, char what[80])
{
        uint64_t r = next_random(seed), at = next_random(seed) % lab->state_len, len = 1 + next_random(seed) % 16;

        /* Half of the mutants hit the vCPU, KVM and serial records and the descriptors: JSON filler is most of the file. */
        if (r & 0x100)
                at = r & 0x200 ? next_random(seed) % 8000 : lab->state_len - 1 - next_random(seed) % 14000;
        len = at + len > lab->state_len ? lab->state_len - at : len;
        memcpy(to, lab->state, lab->state_len);
        snprintf(what, 80, "mutation %llu at %llu+%llu", (unsigned long long)(r % 6), (unsigned long long)at,
                 (unsigned long long)len);
        switch (r % 6) {
        case 0:
                to[at] ^= (uint8_t)(1u << (r >> 16 & 7));
                break;
        case 1:
                to[at] = (uint8_t)(r >> 16);
                break;
        case 2:
                memset(to + at, 0xff, len);
                break;
        case 3:
                memset(to + at, 0, len);
                break;
        case 4:
                memmove(to + at, lab->state + at + len, lab->state_len - at - len);
                return lab->state_len - len;
        case 5:
                return at;
        }
        return lab->state_len;
}

static void check_state_mutants(unsigned count, uint64_t seed)
{
        struct lab lab;
        uint8_t *mutant;
        char what[80];

        need_kvm();
        need_uffd();
        lab_open(&lab);
        mutant = malloc(lab.state_len);
        for (unsigned i = 0; i < count; i++) {
                size_t len = mutate(mutant, &lab, &seed, what);

                tmpdir_write(&lab.dir, "state", mutant, len);
                try_restore(&lab, what);
        }
        free(mutant);
        cr_log_info("%u mutants: %u refused, %u restored", count, lab.refused, lab.restored);
        cr_expect(lab.refused > count / 4 &&
                  lab.restored > count / 50, "of %u mutants %u were refused and %u restored", count, lab.refused, lab.restored);
        lab_close(&lab);
}

/* Two halves, so that two processors share them; make check-full has 20,000 in all. */
static unsigned half(void)
{
        return getenv("ROUSE_FULL") ? 10000 : 1000;
}

Test(mutants, thousands_of_mutants_of_state_are_refused_or_restored_and_leak_nothing, .timeout = 900)
{
        check_state_mutants(half(), 1);
}

Test(mutants, as_many_from_another_seed_are_refused_or_restored_and_leak_nothing, .timeout = 900)
{
        check_state_mutants(half(), 2);
}

Test(mutants, every_boundary_of_memory_cut_or_grown_is_refused, .timeout = 60)
{
        static const long long boundaries[] = {0, 8, 4096, 4104, 8192, 8192 + (128ll << 20), 8192 + (128ll << 20) + 8,
                                               12288 + (128ll << 20)};
        struct lab lab;
        char path[4300], what[80];

        need_kvm();
        need_uffd();
        lab_open(&lab);
        tmpdir_write(&lab.dir, "state", lab.state, lab.state_len);
        snprintf(path, sizeof(path), "%s/memory", lab.dir.path);
        for (size_t i = 0; i < sizeof(boundaries) / sizeof(boundaries[0]); i++)
                for (int by = -1; by <= 1; by++) {
                        char command[9000];
                        long long size = boundaries[i] + by;

                        if (size < 0 || size == 12288 + (128ll << 20))
                                continue;
                        snprintf(command, sizeof(command), "cp --sparse=always %s/memory %s",
                                 fixture_dir("stratovirt/microvm-128m"), path);
                        unlink(path);
                        cr_assert_eq(system(command), 0);
                        chmod(path, 0600);
                        cr_assert_eq(truncate(path, size), 0);
                        snprintf(what, sizeof(what), "memory of %lld bytes", size);
                        try_restore(&lab, what);
                }
        cr_expect_eq(lab.restored, 0, "%u of them were restored", lab.restored);
        lab_close(&lab);
}
