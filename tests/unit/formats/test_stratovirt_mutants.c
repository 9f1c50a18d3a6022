/* test_stratovirt_mutants: whatever happens to the bytes of a snapshot, it is read or refused in one line; never anything
 * else. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "tests/support/fixture.h"
#include "tests/support/sv_generation2.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE "stratovirt/microvm-128m-blk" /* with a disk in use */

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

static struct bench bench_of(struct sv_bytes state, uint64_t seed)
{
        struct bench b = { .t = tmpdir_new(), .state = state, .x = seed };

        b.mutant.p = malloc(2 * b.state.len);
        sv_write_memory(&b.t, 128 * MIB, NULL, NULL);
        tmpdir_write(&b.t, "state", b.state.p, b.state.len);
        b.state_fd = openat(b.t.fd, "state", O_RDWR | O_CLOEXEC);
        b.memory_fd = openat(b.t.fd, "memory", O_RDWR | O_CLOEXEC);
        cr_assert(b.state_fd >= 0 && b.memory_fd >= 0);
        return b;
}

static struct bench bench_new(uint64_t seed)
{
        return bench_of(sv_load(FIXTURE, "state"), seed);
}

/* The same machine as generation 2, both files. */
static struct bench bench_new_generation_2(uint64_t seed)
{
        const struct snapshot_open_options o = { 0 };
        const struct sv2_options           g2 = { 0 };
        struct snapshot                    s = { 0 };
        struct sv_bytes                    head;
        struct bench                       b;
        struct err                         e = { 0 };

        cr_assert_eq(snapshot_open(fixture_dir(FIXTURE), &o, &s, &e), 0, "%s", e.text);
        b = bench_of(sv2_state(&s.vm, &g2), seed);
        head = sv2_memory_head(&s.layout);
        cr_assert_eq(fd_pwrite_full(b.memory_fd, head.p, head.len, 0), 0);
        cr_assert_eq(ftruncate(b.memory_fd, (off_t)(128 * MIB + 8192)), 0);
        sv_bytes_free(&head);
        snapshot_close(&s);
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

/* --- virtio records alone: the first queue of a transport, and all of a device's --- */

/* A place in the record of that name, in its first 900 bytes: registers, and the queues that count. */
static size_t in_virtio(struct bench *b)
{
        int    record = (int)(next(b) % 12);
        size_t at = sv_record_at(&b->state, record), end = sv_record_at(&b->state, record + 1);

        return at + 24 + next(b) % MIN(end - at - 24, (size_t)900);
}

/* No number, word or bracket of a virtio record may be anything else and still be read as another machine that no device could
 * have. */
static void check_devices(const struct vm_state *vm)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++) {
                const struct virtio_state *v = &vm->devices[i].u.virtio;

                if (vm->devices[i].kind != DEVICE_VIRTIO)
                        continue;
                cr_assert_leq(v->nr_queues, VIRTIO_QUEUES_MAX);
                for (unsigned int q = 0; q < v->nr_queues; q++) {
                        const struct virtqueue_state *x = &v->queues[q];

                        cr_assert(x->max_size && !(x->max_size & (x->max_size - 1)) && x->max_size <= VIRTIO_QUEUE_SIZE_MAX);
                        if (v->activated && x->ready)
                                cr_assert(x->size && !(x->size & (x->size - 1)) && x->size <= x->max_size && x->desc_gpa &&
                                          (uint16_t)(x->next_avail - x->next_used) <= x->size);
                }
        }
}

static void try_devices(struct bench *b, const char *what, uint64_t at)
{
        struct snapshot s;

        try(b, what, at);
        if (snapshot_open(b->t.path, &any, &s, NULL) == 0) {
                check_devices(&s.vm);
                snapshot_close(&s);
        }
}

Test(stratovirt_mutants, a_digit_or_a_sign_of_a_virtio_record_may_be_any_other, .timeout = 120)
{
        static const char favourites[] = "0123456789\"{}[]:,tfn- ";
        struct bench      b = bench_new(7);

        for (int i = 0; i < 5000; i++) {
                size_t at = in_virtio(&b);

                original(&b);
                b.mutant.p[at] = (uint8_t)favourites[next(&b) % (sizeof(favourites) - 1)];
                try_devices(&b, "virtio byte", at);
        }
        cr_assert(b.opened > 500 && b.refused > 1500, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, any_byte_of_generation_2_may_be_any_other, .timeout = 120)
{
        struct bench b = bench_new_generation_2(8);
        size_t       records = sv_records_at(&b.state);

        for (int i = 0; i < 6000; i++) {
                /* headers and the ends of transports, where their registers are, more often than the rest */
                size_t transport = records + next(&b) % 6 * 2096;
                size_t at = (size_t[]){ next(&b) % records, transport + next(&b) % 100, transport + 2072 + next(&b) % 24,
                                        records + next(&b) % (b.state.len - records) }[next(&b) % 4];

                original(&b);
                b.mutant.p[at] = (uint8_t)next(&b);
                try_devices(&b, "generation 2 byte", at);
        }
        cr_assert(b.opened > 1000 && b.refused > 1000, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, any_byte_of_the_table_of_generation_2_may_be_any_other, .timeout = 120)
{
        struct bench b = bench_new_generation_2(9);

        for (int i = 0; i < 3000; i++) {
                uint64_t at = (uint64_t[]){ 0, 4096, 4096 + 392 }[next(&b) % 3] + next(&b) % 64;
                uint8_t  old, new = (uint8_t)next(&b);

                cr_assert_eq(fd_pread_full(b.memory_fd, &old, 1, at), 1);
                cr_assert_eq(fd_pwrite_full(b.memory_fd, &new, 1, at), 0);
                check(&b, "table", at);
                cr_assert_eq(fd_pwrite_full(b.memory_fd, &old, 1, at), 0);
        }
        cr_assert(b.refused > 1000, "%d opened, %d refused", b.opened, b.refused);
        bench_free(&b);
}

Test(stratovirt_mutants, a_generation_2_state_cut_anywhere_is_refused, .timeout = 120)
{
        struct bench b = bench_new_generation_2(10);
        int          tries = 0;

        for (size_t len = 0; len < b.state.len; len += 61, tries++) {
                original(&b);
                b.mutant.len = len;
                try(&b, "truncation", len);
        }
        cr_assert_eq(b.refused, tries);
        bench_free(&b);
}
