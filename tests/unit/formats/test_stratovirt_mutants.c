/* test_stratovirt_mutants: whatever happens to the bytes of a snapshot, it is read or refused in one line; never anything else. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE "stratovirt/microvm-128m"

static const struct snapshot_open_options any = { 0 };

struct bench {
        struct tmpdir   t;
        struct sv_bytes state, mutant;
        int             state_fd, memory_fd;
        uint64_t        x; /* xorshift64 */
        int             opened, refused;
};

static uint64_t next(struct bench *b)
{
        b->x ^= b->x << 13;
        b->x ^= b->x >> 7;
        b->x ^= b->x << 17;
        return b->x;
}

static struct bench bench_new(uint64_t seed)
{
        struct bench b = { .t = tmpdir_new(), .state = sv_load(FIXTURE, "state"), .x = seed };

        b.mutant.p = malloc(2 * b.state.len);
        sv_write_memory(&b.t, 128 * MIB, NULL, NULL);
        tmpdir_write(&b.t, "state", b.state.p, b.state.len);
        b.state_fd = openat(b.t.fd, "state", O_RDWR | O_CLOEXEC);
        b.memory_fd = openat(b.t.fd, "memory", O_RDWR | O_CLOEXEC);
        cr_assert(b.state_fd >= 0 && b.memory_fd >= 0);
        return b;
}

static void bench_free(struct bench *b)
{
        close(b->state_fd);
        close(b->memory_fd);
        sv_bytes_free(&b->state);
        sv_bytes_free(&b->mutant);
        tmpdir_free(&b->t);
}

static void original(struct bench *b)
{
        memcpy(b->mutant.p, b->state.p, b->state.len);
        b->mutant.len = b->state.len;
}

static void check(struct bench *b, const char *what, uint64_t at)
{
        struct snapshot s;
        struct err      e = { 0 };
        int             r = snapshot_open(b->t.path, &any, &s, &e);

        if (r == 0) {
                cr_assert(s.vm.nr_vcpus >= 1 && s.layout.total_bytes == 128 * MIB && s.pages.nr_runs == 1);
                snapshot_close(&s);
                b->opened++;
                return;
        }
        cr_assert_eq(r, -EBADMSG, "%s at %llu: %d: %s", what, (unsigned long long)at, r, e.text);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert(strstr(e.text, "expected ") && (strstr(e.text, "found ") || strstr(e.text, "lacks")) && strchr(e.text, ';'),
                  "%s", e.text);
        cr_assert_null(strchr(e.text, '\n'), "%s", e.text);
        for (const char *p = e.text; *p; p++)
                cr_assert(*p >= ' ' && *p <= '~', "%s at %llu: a message with raw bytes", what, (unsigned long long)at);
        b->refused++;
}

static void try(struct bench *b, const char *what, uint64_t at)
{
        cr_assert_eq(ftruncate(b->state_fd, (off_t)b->mutant.len), 0);
        cr_assert_eq(fd_pwrite_full(b->state_fd, b->mutant.p, b->mutant.len, 0), 0);
        check(b, what, at);
}

/* A place that matters more often than the 95 KB of filler do. */
static size_t somewhere(struct bench *b)
{
        size_t records = sv_records_at(&b->state);

        switch (next(b) % 4) {
        case 0:
                return next(b) % records;
        case 1:
                return sv_record_at(&b->state, (int)(next(b) % 15)) + next(b) % 24;
        case 2:
                return sv_record_at(&b->state, (int)(next(b) % 15)) + 24 + next(b) % 460;
        default:
                return next(b) % b->state.len;
        }
}

Test(stratovirt_mutants, a_flipped_bit_anywhere_is_read_or_refused, .timeout = 120)
{
        struct bench b = bench_new(1);

        for (int i = 0; i < 5000; i++) {
                size_t at = somewhere(&b);

                original(&b);
                b.mutant.p[at] ^= (uint8_t)(1u << next(&b) % 8);
                try(&b, "bit flip", at);
        }
        cr_assert(b.opened > 500 && b.refused > 1000, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, a_byte_of_any_value_anywhere_is_read_or_refused, .timeout = 120)
{
        static const uint8_t favourites[] = { 0, 0xff, 0x80, 0x7f, '"', '{', '}', '[', ']', '\\', ',', ':', '0', '9', '-', ' ',
        '\n' };
        struct bench         b = bench_new(2);

        for (int i = 0; i < 5000; i++) {
                size_t at = somewhere(&b);

                original(&b);
                for (uint64_t k = 0; k <= next(&b) % 3; k++)
                        b.mutant.p[(at + k * 7) % b.state.len] = favourites[next(&b) % sizeof(favourites)];
                try(&b, "byte", at);
        }
        cr_assert(b.refused > 1000, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, a_cut_or_a_copy_of_a_stretch_is_read_or_refused, .timeout = 120)
{
        struct bench b = bench_new(3);

        for (int i = 0; i < 2000; i++) {
                size_t at = somewhere(&b), len = 1 + next(&b) % 3000;

                original(&b);
                if (len > b.mutant.len - at)
                        len = b.mutant.len - at;
                if (i & 1) {
                        sv_cut(&b.mutant, at, len);
                } else {
                        memmove(b.mutant.p + at + len, b.mutant.p + at, b.mutant.len - at);
                        b.mutant.len += len;
                }
                try(&b, i & 1 ? "cut" : "copy", at);
        }
        cr_assert(b.refused > 1500, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, a_number_anywhere_in_the_text_may_be_any_number, .timeout = 120)
{
        static const char *const numbers[] = { "0", "1", "17", "255", "256", "65535", "4096", "4294967295", "4294967296",
        "9223372036854775807",
                                               "18446744073709551615", "18446744073709551616", "-1", "1e9", "0x10", "" };
        struct bench             b = bench_new(4);
        size_t                   records = sv_records_at(&b.state);

        for (int i = 0; i < 3000; i++) {
                size_t      at = 4096 + next(&b) % (records - 4096), end;
                const char *number = numbers[next(&b) % ARRAY_LEN(numbers)];

                while (at < records && (b.state.p[at] < '0' || b.state.p[at] > '9'))
                        at++;
                for (end = at; end < records && b.state.p[end] >= '0' && b.state.p[end] <= '9'; end++)
                        ;
                original(&b);
                memcpy(b.mutant.p + at, number, strlen(number));
                memcpy(b.mutant.p + at + strlen(number), b.state.p + end, b.state.len - end);
                b.mutant.len = b.state.len - (end - at) + strlen(number);
                /* the descriptors' length is mended by blanks or by what the records lose: half of them stay aligned */
                if (strlen(number) < end - at) {
                        memset(b.mutant.p + at, ' ', end - at);
                        memcpy(b.mutant.p + at, number, strlen(number));
                        memcpy(b.mutant.p + end, b.state.p + end, b.state.len - end);
                        b.mutant.len = b.state.len;
                }
                try(&b, "number", at);
        }
        cr_assert(b.refused > 1000, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, a_state_cut_at_every_boundary_and_at_random_places_is_refused, .timeout = 120)
{
        struct bench b = bench_new(5);
        int          tries = 0;

        for (int i = 0; i < sv_nr_records(&b.state); i++) {
                size_t at = sv_record_at(&b.state, i);

                for (size_t d = 0; d <= 24; d += 8) {
                        original(&b);
                        b.mutant.len = at + d;
                        try(&b, "truncation", at + d);
                        tries++;
                }
        }
        for (int i = 0; i < 500; i++) {
                original(&b);
                b.mutant.len = next(&b) % b.state.len;
                try(&b, "truncation", b.mutant.len);
                tries++;
        }
        cr_assert_eq(b.refused, tries, "a state that is cut must never be read");
        bench_free(&b);
}

Test(stratovirt_mutants, a_changed_byte_in_the_headers_and_tables_of_memory_is_read_or_refused, .timeout = 120)
{
        struct bench b = bench_new(6);

        for (int i = 0; i < 4000; i++) {
                uint64_t page = (uint64_t[]){ 0, 4096, 128 * MIB + 8192 }[next(&b) % 3],
                at = page + next(&b) % (next(&b) % 2 ? 330 : 4096);
                uint8_t  old, new = (uint8_t)next(&b);

                cr_assert_eq(fd_pread_full(b.memory_fd, &old, 1, at), 1);
                cr_assert_eq(fd_pwrite_full(b.memory_fd, &new, 1, at), 0);
                check(&b, "memory", at);
                cr_assert_eq(fd_pwrite_full(b.memory_fd, &old, 1, at), 0);
        }
        cr_assert(b.refused > 1000, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}
