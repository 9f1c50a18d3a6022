/* Packed native snapshots: what is packed is what is read; what is damaged or cut is refused, or its page is; never are there
 * other bytes. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/format.h"
#include "formats/native_layout.h"
#include "formats/native_write.h"
#include "formats/page_reader.h"
#include "formats/table_file.h"
#include "formats/verify.h"
#include "tests/support/fixture.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define _cleanup_snapshot_ _cleanup_(snapshot_close)
#define _cleanup_reader_   _cleanup_(page_reader_fini)
#define RAM_PAGES          300ULL
#define CHUNK_PAGES        4u

static const struct snapshot_open_options any = { 0 };

/* Stretches of data of every length up to 23, one page of zeros or more between them; some pages pack well, some badly, some not
 * at all. */
static uint8_t *make_ram(void)
{
        uint8_t *ram = calloc(RAM_PAGES, PAGE_BYTES);

        cr_assert_not_null(ram);
        for (uint64_t p = 0, left = 1, next = 2; p < RAM_PAGES; p++) {
                uint64_t *w = (uint64_t *)(ram + pages_to_bytes(p));

                if (left-- == 0) {
                        left = next++ % 24;
                        continue;
                }
                for (uint64_t i = 0; i < PAGE_BYTES / 8; i++)
                        w[i] = p % 3 == 0 ? XXH3_64bits(&(uint64_t){ p * 512 + i }, 8) : p % 3 == 1 ? p * 1000 + i : p + 1;
        }
        return ram;
}

struct made {
        struct tmpdir t;
        char          path[PATH_MAX + 16];
        int           dir_fd;
        uint8_t      *ram;
};

static void made_free(struct made *m)
{
        close(m->dir_fd);
        free(m->ram);
        tmpdir_free(&m->t);
}
#define _cleanup_made_ _cleanup_(made_free)

/* The state of a real machine, with as much RAM as this test has. */
static void read_state(struct vm_state *ret_vm, struct snapshot *s)
{
        struct err e = { 0 };

        cr_assert_eq(snapshot_open(fixture_dir("stratovirt/microvm-128m"), &any, s, &e), 0, "%s", e.text);
        *ret_vm = s->vm;
}

/* call_pages: how many pages the writer is given at a time. */
static struct made make_at(int level, uint32_t chunk_pages, uint64_t call_pages)
{
        struct made                        m = { .t = tmpdir_new(), .ram = make_ram() };
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct native_writer_options       o = { .path = m.path, .ram_pages = RAM_PAGES, .pack = true, .pack_level = level,
                                                 .chunk_pages = chunk_pages };
        struct native_writer              *w = NULL;
        struct mem_layout                  l = { 0 };
        struct vm_state                    vm;
        struct err                         e = { 0 };

        read_state(&vm, &s);
        snprintf(m.path, sizeof(m.path), "%s/snap", m.t.path);
        cr_assert_eq(mem_layout_add(&l, 0, pages_to_bytes(RAM_PAGES), NULL), 0);
        cr_assert_eq(native_writer_new(&o, &w, &e), 0, "%s", e.text);
        for (uint64_t p = 0; p < RAM_PAGES; p += call_pages) {
                uint64_t       nr = MIN(call_pages, RAM_PAGES - p);
                /* a buffer of its own, gone after the call: nothing may be kept of it */
                _cleanup_free_ uint8_t *copy = malloc(pages_to_bytes(nr));

                memcpy(copy, m.ram + pages_to_bytes(p), pages_to_bytes(nr));
                cr_assert_eq(native_writer_pages(w, copy, nr, &e), 0, "%s", e.text);
                memset(copy, 0xee, pages_to_bytes(nr));
        }
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, NULL, &e), 0, "%s", e.text);
        native_writer_free(w);
        m.dir_fd = open(m.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(m.dir_fd >= 0);
        return m;
}

static struct made make(void)
{
        return make_at(1, CHUNK_PAGES, 64);
}

static void assert_same_ram(const struct made *m, const struct snapshot *s, uint64_t step_pages)
{
        _cleanup_reader_ struct page_reader r = { 0 };
        _cleanup_free_ uint8_t             *buf = malloc(pages_to_bytes(step_pages));
        struct err                          e = { 0 };

        cr_assert_eq(page_reader_init(&r, &s->pages, true), 0);
        for (uint64_t p = 0; p < RAM_PAGES; p += step_pages) {
                uint64_t nr = MIN(step_pages, RAM_PAGES - p);

                cr_assert_eq(page_reader_read(&r, p, nr, buf, &e), 0, "%s", e.text);
                cr_assert_arr_eq(buf, m->ram + pages_to_bytes(p), pages_to_bytes(nr));
        }
}

static void check_round_trip(int level, uint32_t chunk_pages, uint64_t call_pages)
{
        _cleanup_made_ struct made         m = make_at(level, chunk_pages, call_pages);
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct verify_report               report;
        struct page_counts                 n;
        struct err                         e = { 0 };
        struct stat                        st;

        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert(s.verifiable && s.pages.zeros_known);
        n = page_map_count(&s.pages);
        cr_assert_eq(n.raw_pages, 0);
        for (uint64_t p = 0; p < RAM_PAGES; p++)
                cr_assert_eq(page_map_find(&s.pages, p)->kind == RUN_PACKED, m.ram[pages_to_bytes(p)] ||
                             m.ram[pages_to_bytes(p) + 1] || m.ram[pages_to_bytes(p) + 8]);
        assert_same_ram(&m, &s, 1);
        assert_same_ram(&m, &s, 7);
        assert_same_ram(&m, &s, RAM_PAGES);
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &report, &e), 0, "%s", e.text);
        cr_assert_eq(report.checked_pages, n.packed_pages);
        cr_assert_eq(report.zero_pages, n.zero_pages);
        cr_assert_eq(fstat(s.pages.sources[0].fd, &st), 0);
        cr_assert_eq((uint64_t)st.st_size, page_map_packing(&s.pages).packed_bytes);
        cr_assert_eq(s.pages.sources[0].pack_level, level);
}

Test(native_packed, pages_come_back_whatever_the_chunks_the_level_and_the_calls_of_the_writer)
{
        static const int      levels[] = { -64, -5, 1, 2, 3, 9, 12 };
        static const uint32_t chunks[] = { 0, 1, 2, 5, 16, 300, 512 };
        static const uint64_t calls[] = { 1, 2, 3, 7, 64, 255, RAM_PAGES };

        for (size_t i = 0; i < ARRAY_LEN(levels); i++)
                check_round_trip(levels[i], 16, 64);
        for (size_t i = 0; i < ARRAY_LEN(chunks); i++)
                for (size_t k = 0; k < ARRAY_LEN(calls); k++)
                        check_round_trip(1, chunks[i], calls[k]);
}

Test(native_packed, only_the_last_chunk_of_a_run_is_smaller_than_the_others_however_the_writer_is_called)
{
        static const uint64_t calls[] = { 1, 3, 64, RAM_PAGES };

        for (size_t k = 0; k < ARRAY_LEN(calls); k++) {
                _cleanup_made_ struct made         m = make_at(1, CHUNK_PAGES, calls[k]);
                _cleanup_snapshot_ struct snapshot s = { 0 };
                uint64_t                           chunks = 0;

                cr_assert_eq(snapshot_open(m.path, &any, &s, NULL), 0);
                for (size_t i = 0; i < s.pages.nr_runs; i++)
                        if (s.pages.runs[i].kind == RUN_PACKED)
                                chunks += (s.pages.runs[i].nr_pages + CHUNK_PAGES - 1) / CHUNK_PAGES;
                cr_assert_eq(chunks, s.pages.nr_chunks);
        }
}

/* --- damage --- */

static size_t load(const struct made *m, const char *name, uint8_t **ret)
{
        _cleanup_close_ int fd = openat(m->dir_fd, name, O_RDONLY | O_CLOEXEC);
        size_t              len;

        cr_assert_eq(fd_read_all(fd, 64 * MIB, (void **)ret, &len), 0);
        return len;
}

static void store(const struct made *m, const char *name, const void *p, size_t len)
{
        _cleanup_close_ int fd = openat(m->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_eq(fd_pwrite_full(fd, p, len, 0), 0);
        cr_assert_eq(ftruncate(fd, (off_t)len), 0);
}

static void assert_refused(const struct made *m, const char *message)
{
        struct snapshot s;
        struct err      e = { 0 };

        cr_assert_eq(snapshot_open(m->path, &any, &s, &e), -EBADMSG, "expected '%s'", message);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
}

Test(native_packed, a_flipped_bit_anywhere_in_pages_is_refused)
{
        _cleanup_made_ struct made m = make();
        _cleanup_free_ uint8_t    *bytes = NULL;
        size_t                     len = load(&m, "pages", &bytes);

        for (size_t i = 0; i < len; i++) {
                bytes[i] ^= (uint8_t)(1 << i % 8);
                store(&m, "pages", bytes, len);
                assert_refused(&m, "pages");
                bytes[i] ^= (uint8_t)(1 << i % 8);
        }
}

Test(native_packed, pages_that_are_cut_anywhere_or_grown_are_refused)
{
        _cleanup_made_ struct made m = make();
        _cleanup_free_ uint8_t    *bytes = NULL;
        size_t                     len = load(&m, "pages", &bytes);

        for (size_t cut = 0; cut < len; cut++) {
                store(&m, "pages", bytes, cut);
                assert_refused(&m, "pages");
        }
        store(&m, "pages", bytes, len + 1); /* fd_read_all puts a NUL behind them */
        assert_refused(&m, "pages");
}

Test(native_packed, a_memory_that_is_shorter_or_longer_than_its_chunks_is_refused_with_both_sizes)
{
        _cleanup_made_ struct made m = make();
        _cleanup_free_ uint8_t    *bytes = NULL;
        size_t                     len = load(&m, "memory", &bytes);
        static const size_t        cuts[] = { 1, 4095, 4096, 10000 };

        for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
                store(&m, "memory", bytes, len - cuts[i]);
                assert_refused(&m, "memory");
        }
        store(&m, "memory", bytes, 0);
        assert_refused(&m, "memory");
        store(&m, "memory", bytes, len + 1);
        assert_refused(&m, "as much as its chunks have");
}

/* Each page reads right or not at all; a flip that means the same to LZ4 may go unseen. */
static uint64_t count_refused(const struct made *m, const struct snapshot *s)
{
        _cleanup_reader_ struct page_reader r = { 0 };
        uint8_t                             page[PAGE_BYTES];
        uint64_t                            refused = 0;

        cr_assert_eq(page_reader_init(&r, &s->pages, true), 0);
        for (uint64_t p = 0; p < RAM_PAGES; p++) {
                struct err e = { 0 };

                if (page_reader_read(&r, p, 1, page, &e) == 0) {
                        cr_assert_arr_eq(page, m->ram + pages_to_bytes(p), PAGE_BYTES, "page %d", (int)p);
                        continue;
                }
                refused++;
                cr_assert_eq(e.kind, ERR_SNAPSHOT);
                cr_assert(strstr(e.text, "memory: offset") && strstr(e.text, "chunk") &&
                          strstr(e.text, "RAM pages"), "%s", e.text);
        }
        return refused;
}

Test(native_packed, a_flipped_byte_of_memory_costs_its_chunk_and_no_other)
{
        _cleanup_made_ struct made         m = make();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_free_ uint8_t            *bytes = NULL;
        size_t                             len = load(&m, "memory", &bytes);
        uint64_t                           flips = 0, seen = 0;

        cr_assert_eq(snapshot_open(m.path, &any, &s, NULL), 0);
        for (size_t i = 0; i < len; i += 211, flips++) {
                struct verify_report report;
                struct err           e = { 0 };
                uint64_t             refused;

                bytes[i] ^= 0x41;
                store(&m, "memory", bytes, len);
                refused = count_refused(&m, &s);
                cr_assert_leq(refused, CHUNK_PAGES);
                seen += refused > 0;
                cr_assert_eq(snapshot_verify(&s, NULL, NULL, &report, &e), refused ? -EBADMSG : 0);
                cr_assert_eq(report.bad_pages, refused);
                cr_assert(!refused || strstr(e.text, "chunk"), "%s", e.text);
                bytes[i] ^= 0x41;
        }
        cr_assert_gt(seen, flips * 9 / 10);
}

Test(native_packed, a_rouse_that_does_not_know_chunks_refuses_it_by_version)
{
        _cleanup_made_ struct made           m = make();
        _cleanup_(table_file_free) struct table_file t = { 0 };
        struct part                          p;
        struct err                           e = { 0 };

        cr_assert_eq(part_open(m.dir_fd, "pages", &p, &e), 0);
        cr_assert_eq(table_file_read_header(&p, "pages", &table_pages, &t, &e), -EBADMSG); /* what it asks for */
        cr_assert_not_null(strstr(e.text,
                                  "pages: offset 8: expected version 1 with entries of 40 bytes, found version 2 with 40; a newer rouse may read it"),
                           "%s", e.text);
        part_close(&p);
}

/* --- under right checksums --- */


/* A file whose tables the test changed, under right checksums. */
static void assert_table_refused(void (*change)(struct table_file *t, struct table_run *runs), const char *message)
{
        _cleanup_made_ struct made                   m = make();
        _cleanup_(table_file_free) struct table_file t = { 0 };
        _cleanup_free_ void                         *buf = NULL;
        struct part                                  p;
        struct err                                   e = { 0 };
        size_t                                       len;

        cr_assert_eq(part_open(m.dir_fd, "pages", &p, &e), 0);
        cr_assert_eq(table_file_read_header(&p, "pages", &table_pages_packed, &t, &e), 0, "%s", e.text);
        cr_assert_eq(table_file_read(&p, "pages", &t, &e), 0, "%s", e.text);
        part_close(&p);
        change(&t, t.entries);
        cr_assert_eq(table_file_pack(&table_pages_packed, &t, &buf, &len, &e), 0);
        store(&m, "pages", buf, len);
        assert_refused(&m, message);
}

static void no_chunk_pages(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->packing.chunk_pages = 0;
}

static void other_codec(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->packing.codec = 9;
}

static void chunk_in_a_hole(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->chunks[3].file_offset_bytes += 1;
}

static void chunk_out_of_the_file(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->chunks[t->packing.nr_chunks - 1].file_offset_bytes = UINT64_MAX - 5;
}

static void too_long(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->chunks[2].packed_bytes = 1u << 30;
}

static void empty_chunk(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->chunks[2].packed_bytes = 0;
}

static void small_chunk_in_the_middle(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        for (uint64_t i = 0; i < t->packing.nr_chunks; i++)
                if (t->chunks[i].nr_pages == CHUNK_PAGES && t->chunks[i + 1].nr_pages == CHUNK_PAGES) {
                        t->chunks[i].nr_pages--;
                        return;
                }
}

static void chunk_of_another_run(struct table_file *t, struct table_run *runs)
{
        for (uint64_t i = 0; i < t->nr_entries; i++)
                if (runs[i].kind == TABLE_RUN_PACKED && runs[i].file_offset_bytes > 0) {
                        runs[i].file_offset_bytes--;
                        return;
                }
}

static void chunk_past_32_bits(struct table_file *t, struct table_run *runs)
{
        for (uint64_t i = 0; i < t->nr_entries; i++)
                if (runs[i].kind == TABLE_RUN_PACKED)
                        runs[i].file_offset_bytes += 1ull << 32;
}

static void raw_among_packed(struct table_file *t, struct table_run *runs)
{
        (void)t;
        runs[0].kind = TABLE_RUN_RAW;
}

static void reserved_number(struct table_file *t, struct table_run *runs)
{
        (void)runs;
        t->chunks[1].reserved = 1;
}

Test(native_packed, tables_that_do_not_fit_are_refused_whatever_their_checksums_say)
{
        assert_table_refused(no_chunk_pages, "expected chunks of 1 to 512 pages, found 0");
        assert_table_refused(other_codec, "expected pages packed by LZ4 (1), found 9");
        assert_table_refused(chunk_in_a_hole, "chunk 3: expected file offset");
        assert_table_refused(chunk_out_of_the_file, "memory: offset");
        assert_table_refused(too_long, "packed bytes, found 1073741824");
        assert_table_refused(empty_chunk, "packed bytes, found 0");
        assert_table_refused(small_chunk_in_the_middle, "expected 4 to 4 pages, found 3");
        assert_table_refused(chunk_of_another_run, "run 2, chunk 0: expected 2 to 4 pages, found 1");
        assert_table_refused(chunk_past_32_bits, "expected the number of a chunk");
        assert_table_refused(raw_among_packed, "expected a packed run from chunk");
        assert_table_refused(reserved_number, "expected a reserved number of 0, found 1");
}
