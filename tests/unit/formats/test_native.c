/* test_native: what is written is what is read, and what is damaged, cut or mixed is refused. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/hints_file.h"
#include "formats/native_layout.h"
#include "formats/native_write.h"
#include "formats/page_reader.h"
#include "formats/section_file.h"
#include "formats/table_file.h"
#include "formats/verify.h"
#include "tests/support/fixture.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define _cleanup_snapshot_ _cleanup_(snapshot_close)
#define _cleanup_vm_       _cleanup_(vm_state_free)
#define RAM_PAGES          512ULL /* 2 MiB */

static const struct snapshot_open_options any = { 0 };

static void fill(void *p, size_t len, uint64_t seed)
{
        uint8_t *b = p;

        for (size_t i = 0; i < len; i++)
                b[i] = (uint8_t)(XXH3_64bits(&(uint64_t){ seed + i / 8 }, 8) >> (i % 8 * 8));
}

static void *array_of(size_t len, uint64_t seed)
{
        void *p = malloc(len);

        cr_assert_not_null(p);
        fill(p, len, seed);
        return p;
}

/* Every piece, filled with bytes that mean nothing: a file has no opinion on registers. */
static void fill_vcpu(struct vcpu_state *v, uint32_t i)
{
        v->have = (1u << VCPU_PIECES) - 1;
        v->apic_id = i;
        v->nr_cpuid = 30 + i % 100;
        v->cpuid = array_of(v->nr_cpuid * sizeof(*v->cpuid), i);
        v->tsc_khz = 2000000 + i;
        fill(&v->mp_state, sizeof(v->mp_state), i + 1);
        fill(&v->sregs, sizeof(v->sregs), i + 2);
        fill(&v->regs, sizeof(v->regs), i + 3);
        fill(&v->fpu, sizeof(v->fpu), i + 4);
        v->xsave_bytes = 4096 + 64 * i;
        v->xsave = array_of(v->xsave_bytes, i + 5);
        fill(&v->xcrs, sizeof(v->xcrs), i + 6);
        fill(&v->debugregs, sizeof(v->debugregs), i + 7);
        fill(&v->lapic, sizeof(v->lapic), i + 8);
        v->nr_msrs = 40 + i;
        v->msrs = array_of(v->nr_msrs * sizeof(*v->msrs), i + 9);
        v->nested_bytes = 4224;
        v->nested = array_of(v->nested_bytes, i + 10);
        fill(&v->events, sizeof(v->events), i + 11);
}

static struct vm_state make_vm(uint32_t nr_vcpus)
{
        struct vm_state       vm;
        struct device_record *d;

        cr_assert_eq(vm_state_init(&vm, MACHINE_MICROVM, nr_vcpus), 0);
        for (uint32_t i = 0; i < nr_vcpus; i++)
                fill_vcpu(&vm.vcpus[i], i);
        vm.platform.have = (1u << PLATFORM_PIECES) - 1;
        fill(&vm.platform.pic_master, sizeof(vm.platform.pic_master), 20);
        fill(&vm.platform.pic_slave, sizeof(vm.platform.pic_slave), 21);
        fill(&vm.platform.ioapic, sizeof(vm.platform.ioapic), 22);
        fill(&vm.platform.pit, sizeof(vm.platform.pit), 23);
        fill(&vm.platform.clock, sizeof(vm.platform.clock), 24);
        d = vm_state_add_device(&vm, DEVICE_SERIAL, "serial");
        cr_assert_not_null(d);
        d->u.serial = (struct serial_state){ 1, 2, 3, 4, 5, 6, 7, 8, .divisor = 0x1234, .thr_pending = true, .rx_len = 3,
        .rx = "abc" };
        return vm;
}

static struct mem_layout make_layout(uint64_t bytes)
{
        struct mem_layout l = { 0 };

        cr_assert_eq(mem_layout_add(&l, 0, MIN(bytes, 3 * GIB), NULL), 0);
        if (bytes > 3 * GIB)
                cr_assert_eq(mem_layout_add(&l, 4 * GIB, bytes - 3 * GIB, NULL), 0);
        return l;
}

/* Pages whose number is a multiple of 3 or above 400 are zero. */
static bool is_data(uint64_t page)
{
        return page % 3 && page < 400;
}

static uint8_t *make_ram(void)
{
        uint8_t *ram = calloc(RAM_PAGES, PAGE_BYTES);

        cr_assert_not_null(ram);
        for (uint64_t p = 0; p < RAM_PAGES; p++)
                if (is_data(p))
                        memset(ram + p * PAGE_BYTES + p % 4000, (int)p | 1, 50);
        return ram;
}

struct made {
        struct tmpdir   t;
        char            path[PATH_MAX + 16];
        int             dir_fd;
        struct identity id;
};

static struct native_writer *begin(const char *path, bool replace, uint64_t ram_pages)
{
        struct native_writer_options o = { .path = path, .replace = replace, .ram_pages = ram_pages, .parent = { "0123-abc" } };
        struct native_writer        *w = NULL;
        struct err                   e = { 0 };

        cr_assert_eq(native_writer_new(&o, &w, &e), 0, "%s", e.text);
        return w;
}

static void write_to(const char *path, bool replace, const struct vm_state *vm, struct identity *ret_id)
{
        _cleanup_free_ uint8_t *ram = make_ram();
        struct mem_layout       l = make_layout(RAM_PAGES * PAGE_BYTES);
        struct native_writer   *w = begin(path, replace, RAM_PAGES);
        struct err              e = { 0 };

        for (uint64_t p = 0; p < 400; p += 100)
                cr_assert_eq(native_writer_pages(w, ram + p * PAGE_BYTES, 100, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_pages(w, NULL, RAM_PAGES - 400, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_state(w, vm, &l, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, ret_id, &e), 0, "%s", e.text);
        native_writer_free(w);
}

static struct made make(const struct vm_state *vm)
{
        struct made m = { .t = tmpdir_new() };

        snprintf(m.path, sizeof(m.path), "%s/snap", m.t.path);
        write_to(m.path, false, vm, &m.id);
        m.dir_fd = open(m.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(m.dir_fd >= 0);
        return m;
}

static void made_free(struct made *m)
{
        close(m->dir_fd);
        tmpdir_free(&m->t);
}
#define _cleanup_made_ _cleanup_(made_free)

static struct made make_plain(void)
{
        _cleanup_vm_ struct vm_state vm = make_vm(1);

        return make(&vm);
}

static int count_entries(const char *path)
{
        DIR *d = opendir(path);
        int  n = 0;

        cr_assert_not_null(d);
        for (struct dirent *x; (x = readdir(d));)
                n += strcmp(x->d_name, ".") && strcmp(x->d_name, "..");
        closedir(d);
        return n;
}

static void assert_refused(const struct made *m, const char *message)
{
        struct snapshot s;
        struct err      e = { 0 };

        cr_assert_eq(snapshot_open(m->path, &any, &s, &e), -EBADMSG, "expected '%s'", message);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
}

static size_t load(const struct made *m, const char *name, uint8_t **ret)
{
        _cleanup_close_ int fd = openat(m->dir_fd, name, O_RDONLY | O_CLOEXEC);
        size_t              len;

        cr_assert_eq(fd_read_all(fd, 64 * MIB, (void **)ret, &len), 0);
        return len;
}

static void store(const struct made *m, const char *name, const void *p, size_t len)
{
        /* not O_TRUNC: ext4 writes such a file out when it is closed, and this happens thousands of times */
        _cleanup_close_ int fd = openat(m->dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_eq(fd_pwrite_full(fd, p, len, 0), 0);
        cr_assert_eq(ftruncate(fd, (off_t)len), 0);
}

Test(native, every_piece_of_a_machine_comes_back_as_it_was)
{
        static const uint32_t counts[] = { 1, 6, 16, VCPUS_MAX };

        for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
                _cleanup_vm_ struct vm_state       vm = make_vm(counts[i]);
                _cleanup_made_ struct made         m = make(&vm);
                _cleanup_snapshot_ struct snapshot s = { 0 };
                struct err                         e = { 0 };
                char                               what[80] = "";

                cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
                cr_assert_eq(s.format, &format_native);
                cr_assert_str_eq(s.version, "version 1");
                cr_assert(vm_state_equal(&vm, &s.vm, what), "%s", what);
                cr_assert(identity_equal(&s.identity, &m.id));
                cr_assert_eq(strlen(s.identity.s), 36);
                cr_assert_str_eq(s.parent.s, "0123-abc");
                cr_assert_eq(s.nr_notes, 0);
        }
}

/* What KVM gives on some hosts only. */
Test(native, a_machine_without_the_pieces_that_some_hosts_have_not_comes_back_as_it_was)
{
        static const uint32_t without[] = {
                1u << VCPU_TSC_KHZ | 1u << VCPU_NESTED | 1u << VCPU_FPU,
                1u << VCPU_XSAVE | 1u << VCPU_XCRS,
        };

        for (size_t i = 0; i < ARRAY_LEN(without); i++) {
                _cleanup_vm_ struct vm_state       vm = make_vm(2);
                _cleanup_snapshot_ struct snapshot s = { 0 };
                struct err                         e = { 0 };
                char                               what[80] = "";
                struct made                        m;

                vm.vcpus[1].have &= ~without[i];
                m = make(&vm);
                cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
                cr_assert(vm_state_equal(&vm, &s.vm, what), "%s", what);
                made_free(&m);
        }
}

Test(native, pages_come_back_each_at_its_offset_with_its_checksum_and_zeros_as_holes)
{
        _cleanup_made_ struct made         m = make_plain();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_free_ uint8_t            *ram = make_ram(), *found = malloc(PAGE_BYTES);
        struct verify_report               report;
        struct stat                        st;
        struct err                         e = { 0 };

        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert(s.verifiable && s.pages.zeros_known);
        cr_assert_eq(s.layout.total_bytes, RAM_PAGES * PAGE_BYTES);
        for (uint64_t p = 0; p < RAM_PAGES; p++) {
                const struct page_run *run = page_map_find(&s.pages, p);

                cr_assert_eq(run->kind == RUN_RAW, is_data(p), "page %d", (int)p);
                if (run->kind == RUN_ZERO)
                        continue;
                cr_assert_eq(run->file_offset_bytes, run->first_page * PAGE_BYTES);
                cr_assert_eq(fd_pread_full(s.pages.sources[run->source].fd, found, PAGE_BYTES, p * PAGE_BYTES),
                             (ssize_t)PAGE_BYTES);
                cr_assert_arr_eq(found, ram + p * PAGE_BYTES, PAGE_BYTES);
                cr_assert_eq(s.pages.sums[run->first_sum + p - run->first_page], XXH3_64bits(found, PAGE_BYTES));
        }
        cr_assert_eq(fstat(s.pages.sources[0].fd, &st), 0);
        cr_assert_eq((uint64_t)st.st_size, RAM_PAGES * PAGE_BYTES);
        cr_assert_leq((uint64_t)st.st_blocks * 512, page_map_count(&s.pages).raw_pages * PAGE_BYTES + 64 * KIB);
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &report, &e), 0, "%s", e.text);
        cr_assert_eq(report.checked_pages, report.data_pages);
        cr_assert_eq(report.data_pages + report.zero_pages, RAM_PAGES);
}

Test(native, the_directory_and_its_files_are_for_their_owner_alone_and_nothing_else_is_left)
{
        static const char *const   names[] = { "state", "memory", "pages" };
        _cleanup_made_ struct made m = make_plain();
        struct stat                st;

        cr_assert_eq(fstat(m.dir_fd, &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0700);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                cr_assert_eq(fstatat(m.dir_fd, names[i], &st, 0), 0);
                cr_assert_eq(st.st_mode & 07777, 0600);
        }
        cr_assert_eq(count_entries(m.path), 3);
        cr_assert_eq(count_entries(m.t.path), 1);
}

Test(native, a_stratovirt_snapshot_written_natively_is_the_same_machine)
{
        _cleanup_snapshot_ struct snapshot a = { 0 }, b = { 0 };
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_free_ uint8_t            *buf = malloc(MIB);
        char                               path[PATH_MAX + 16], what[80] = "";
        struct native_writer_counts        n;
        struct native_writer              *w;
        struct err                         e = { 0 };

        snprintf(path, sizeof(path), "%s/snap/", t.path); /* a slash at the end is no other name */
        cr_assert_eq(snapshot_open(fixture_dir("stratovirt/microvm-128m"), &any, &a, &e), 0, "%s", e.text);
        w = begin(path, false, a.pages.nr_pages);
        for (uint64_t at = 0; at < a.layout.total_bytes; at += MIB) {
                cr_assert_eq(fd_pread_full(a.pages.sources[0].fd, buf, MIB, 8192 + at), (ssize_t)MIB);
                cr_assert_eq(native_writer_pages(w, buf, MIB / PAGE_BYTES, &e), 0, "%s", e.text);
        }
        n = native_writer_counts(w);
        cr_assert(n.data_pages == 8232 && n.zero_pages == 24536); /* as expect.json says */
        cr_assert_eq(native_writer_state(w, &a.vm, &a.layout, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, NULL, &e), 0, "%s", e.text);
        native_writer_free(w);
        cr_assert_eq(snapshot_open(path, &any, &b, &e), 0, "%s", e.text);
        cr_assert(vm_state_equal(&a.vm, &b.vm, what), "%s", what);
        cr_assert_eq(b.layout.nr, a.layout.nr);
        cr_assert_eq(page_map_count(&b.pages).raw_pages, 8232);
}

Test(native, ram_above_3_gib_keeps_its_two_windows)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_tmpdir_ struct tmpdir     t = tmpdir_new();
        _cleanup_vm_ struct vm_state       vm = make_vm(1);
        struct mem_layout                  l = make_layout(5 * GIB);
        uint64_t                           pages = bytes_to_pages(5 * GIB);
        uint8_t                            page[PAGE_BYTES] = { 1 };
        char                               path[PATH_MAX + 16];
        struct native_writer              *w;
        struct err                         e = { 0 };

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, false, pages);
        cr_assert_eq(native_writer_pages(w, NULL, pages - 1, &e), 0);
        cr_assert_eq(native_writer_pages(w, page, 1, &e), 0);
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, NULL, &e), 0, "%s", e.text);
        native_writer_free(w);
        cr_assert_eq(snapshot_open(path, &any, &s, &e), 0, "%s", e.text);
        cr_assert(s.layout.nr == 2 && s.layout.w[1].gpa == 4 * GIB && s.layout.w[1].size_bytes == 2 * GIB);
        cr_assert(s.pages.nr_runs == 2 && s.pages.runs[1].first_page == pages - 1 && s.pages.nr_sums == 1);
}

/* --- damage --- */

Test(native, a_state_that_is_cut_anywhere_is_refused, .timeout = 60)
{
        _cleanup_made_ struct made m = make_plain();
        _cleanup_free_ uint8_t    *state = NULL;
        size_t                     len = load(&m, "state", &state);

        for (size_t at = 8; at < len; at += at < 600 ? 1 : 37) { /* below 8 bytes it is no native snapshot */
                store(&m, "state", state, at);
                assert_refused(&m, "state: offset ");
        }
        store(&m, "state", state, 7);
        assert_refused(&m, "expected a snapshot of a known format");
        for (size_t at = sizeof(struct native_header); at < len;) { /* exactly between two sections */
                struct native_section h;

                memcpy(&h, state + at, sizeof(h));
                store(&m, "state", state, at);
                assert_refused(&m, "expected a file of ");
                at += sizeof(h) + h.len;
        }
}

static void assert_flips_are_refused(const char *name, size_t begin_at, size_t step)
{
        _cleanup_made_ struct made m = make_plain();
        _cleanup_free_ uint8_t    *bytes = NULL;
        size_t                     len = load(&m, name, &bytes);
        char                       message[32];

        snprintf(message, sizeof(message), "%s: offset ", name);
        for (size_t at = begin_at; at < len; at += at < 600 ? 1 : step) {
                uint8_t bit = (uint8_t)(1u << at % 8);

                bytes[at] ^= bit;
                store(&m, name, bytes, len);
                assert_refused(&m, message);
                bytes[at] ^= bit;
        }
}

Test(native, a_flipped_bit_anywhere_in_state_is_refused, .timeout = 60)
{
        assert_flips_are_refused("state", 8, 11);
}

Test(native, a_flipped_bit_anywhere_in_pages_is_refused, .timeout = 60)
{
        assert_flips_are_refused("pages", 0, 3);
}

Test(native, pages_that_are_cut_or_grown_are_refused, .timeout = 60)
{
        _cleanup_made_ struct made m = make_plain();
        _cleanup_free_ uint8_t    *pages = NULL;
        size_t                     len = load(&m, "pages", &pages);

        for (size_t at = 0; at < len; at += 7) {
                store(&m, "pages", pages, at);
                assert_refused(&m, "pages: offset ");
        }
        store(&m, "pages", pages, len + 1); /* with the NUL that fd_read_all puts after the end */
        assert_refused(&m, "pages: offset ");
}

Test(native, memory_of_another_size_than_ram_is_refused_with_both_sizes)
{
        _cleanup_made_ struct made m = make_plain();
        _cleanup_close_ int        fd = openat(m.dir_fd, "memory", O_RDWR | O_CLOEXEC);

        cr_assert_eq(ftruncate(fd, (off_t)(RAM_PAGES * PAGE_BYTES - 1)), 0);
        assert_refused(&m, "memory: offset 2097151: expected 2097152 bytes, as much as RAM, found 2097151");
        cr_assert_eq(ftruncate(fd, (off_t)(RAM_PAGES * PAGE_BYTES + 4096)), 0);
        assert_refused(&m, "memory: offset 2097152: expected 2097152 bytes, as much as RAM, found 2101248");
}

Test(native, a_file_that_lacks_is_refused_by_name)
{
        static const char *const names[] = { "memory", "pages" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                _cleanup_made_ struct made m = make_plain();
                char                       message[64];

                snprintf(message, sizeof(message), "%s: expected a file of this name", names[i]);
                cr_assert_eq(unlinkat(m.dir_fd, names[i], 0), 0);
                assert_refused(&m, message);
        }
}

Test(native, files_of_two_snapshots_are_refused)
{
        _cleanup_made_ struct made a = make_plain(), b = make_plain();
        _cleanup_free_ uint8_t    *pages = NULL;
        size_t                     len = load(&b, "pages", &pages);

        store(&a, "pages", pages, len);
        assert_refused(&a, "the files are not of one snapshot");
}

Test(native, a_flipped_bit_of_memory_opens_and_does_not_verify)
{
        _cleanup_made_ struct made         m = make_plain();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        _cleanup_close_ int                fd = openat(m.dir_fd, "memory", O_RDWR | O_CLOEXEC);
        struct verify_report               report;
        struct err                         e = { 0 };

        cr_assert_eq(fd_pwrite_full(fd, "\x80", 1, 100 * PAGE_BYTES + 4095), 0);
        cr_assert_eq(fd_pwrite_full(fd, "\x80", 1, 200 * PAGE_BYTES + 4095), 0);
        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &report, &e), -EBADMSG);
        cr_assert(report.bad_pages == 2 && report.first_bad_page == 100);
        cr_assert_eq(strncmp(e.text, "memory: offset 409600: RAM page 100: expected checksum ", 55), 0, "%s", e.text);
}

static int verify(const struct made *m, struct verify_report *ret, struct err *e)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };

        cr_assert_eq(snapshot_open(m->path, &any, &s, e), 0, "%s", e->text);
        return snapshot_verify(&s, NULL, NULL, ret, e);
}

Test(native, a_zero_page_that_has_other_bytes_on_disk_does_not_verify)
{
        _cleanup_made_ struct made m = make_plain();
        _cleanup_close_ int        fd = openat(m.dir_fd, "memory", O_RDWR | O_CLOEXEC);
        struct verify_report       report;
        struct err                 e = { 0 };

        cr_assert_eq(fd_pwrite_full(fd, "\0", 1, 3 * PAGE_BYTES + 17), 0); /* no hole any more, and zeros all the same */
        cr_assert_eq(verify(&m, &report, &e), 0, "%s", e.text);
        cr_assert_eq(fd_pwrite_full(fd, "\1", 1, 450 * PAGE_BYTES + 4095), 0);
        cr_assert_eq(fd_pwrite_full(fd, "\1", 1, 511 * PAGE_BYTES + 4095), 0);
        cr_assert_eq(verify(&m, &report, &e), -EBADMSG);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert(report.bad_pages == 2 && report.first_bad_page == 450);
        cr_assert_str_eq(e.text,
                         "memory: offset 1843200: RAM page 450: expected zeros, as `pages` says, found other bytes; use another "
                         "copy of the snapshot");
}

Test(native, hints_that_are_not_this_snapshots_do_not_verify)
{
        _cleanup_made_ struct made m = make_plain();
        struct hint                v[] = { { .page = 7, .seen = 1 } };
        struct hints               h = { .snapshot = m.id, .ram_pages = RAM_PAGES, .recordings = 1, .nr = 1, .v = v };
        struct verify_report       report;
        struct err                 e = { 0 };

        cr_assert_eq(hints_file_write(m.dir_fd, HINTS_NAME, &h, &e), 0, "%s", e.text);
        cr_assert_eq(verify(&m, &report, &e), 0, "%s", e.text);
        h.snapshot.s[0] = h.snapshot.s[0] == 'a' ? 'b' : 'a';
        cr_assert_eq(hints_file_write(m.dir_fd, HINTS_NAME, &h, &e), 0, "%s", e.text);
        cr_assert_eq(verify(&m, &report, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "hints: offset 16: expected hints for snapshot"), "%s", e.text);
        cr_assert(report.bad_pages == 0 && report.checked_pages == report.data_pages);
        store(&m, "hints", "x", 1);
        cr_assert_eq(verify(&m, &report, &e), -EBADMSG);
}

/* Sections as a newer or a malicious writer would make them, with all checksums right. */
static void rewrite(const struct made *m, const char *skip, const char *add, uint32_t add_version, const void *bytes, size_t len)
{
        _cleanup_(section_out_free) struct section_out out = { 0 };
        _cleanup_(sections_free) struct sections       in = { 0 };
        _cleanup_free_ uint8_t                        *state = NULL;
        size_t                                         n = load(m, "state", &state);
        struct err                                     e = { 0 };

        cr_assert_eq(sections_read("state", state, n, &in, &e), 0, "%s", e.text);
        for (size_t i = 0; i < in.nr; i++)
                if (!skip || strcmp(in.v[i].name, skip))
                        section_out_add(&out, in.v[i].name, in.v[i].bytes, in.v[i].len, NULL, 0);
        if (add) {
                struct native_section h;
                size_t                at = out.len;

                section_out_add(&out, add, bytes, len, NULL, 0);
                memcpy(&h, out.bytes + at, sizeof(h));
                h.version = add_version;
                h.sum = XXH3_64bits_withSeed(bytes, len, XXH3_64bits(&h, offsetof(struct native_section, sum)));
                memcpy(out.bytes + at, &h, sizeof(h));
        }
        cr_assert_eq(section_out_finish(&out), 0);
        store(m, "state", out.bytes, out.len);
}

Test(native, an_unknown_section_is_ignored_and_noted)
{
        _cleanup_made_ struct made         m = make_plain();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        rewrite(&m, NULL, "device.9.\033frobnicator", 7, "abc", 3);
        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.nr_notes, 1);
        cr_assert_not_null(strstr(s.notes[0], "unknown section device.9.?frobnicator is ignored"), "%s", s.notes[0]);
}

Test(native, a_section_that_lacks_is_there_twice_or_has_another_version_is_refused_by_name)
{
        static const struct {
                const char *skip, *add;
                uint32_t    version;
                size_t      len;
                const char *message;
        } bad[] = {
                { "identity", NULL, 0, 0, "expected a section identity, found none" },
                { "machine", NULL, 0, 0, "expected a section machine, found none" },
                { "memory", NULL, 0, 0, "expected a section memory, found none" },
                { "vcpu.0.info", NULL, 0, 0, "expected a section vcpu.0.info, found none" },
                { "device.0.serial", NULL, 0, 0, "expected a section device.0.serial, found none" },
                { NULL, "vcpu.0.regs", 1, 144, "expected one section vcpu.0.regs, found a second" },
                { "vcpu.0.regs", "vcpu.0.regs", 2, 144, "section vcpu.0.regs: expected version 1, found 2" },
                { "vcpu.0.regs", "vcpu.0.regs", 1, 143, "section vcpu.0.regs: expected 144 to 144 bytes" },
                { "vcpu.0.cpuid", "vcpu.0.cpuid", 1, 41, "section vcpu.0.cpuid: expected 40 to 10240 bytes, a multiple of 40, "
                "found 41" },
                { "vcpu.0.msrs", "vcpu.0.msrs", 1, 16400, "section vcpu.0.msrs: expected 16 to 16384 bytes" },
                { "vcpu.0.xsave", "vcpu.0.xsave", 1, 4095, "section vcpu.0.xsave: expected 4096 to 65536 bytes" },
                { "vcpu.0.cpuid", "vcpu.0.cpuid", 1, 0, "section vcpu.0.cpuid: expected 40 to 10240 bytes" },
                { "machine", "machine", 1, 15, "section machine: expected 16 bytes, found 15" },
                { "machine", "machine", 1, 16,
                  "section machine: expected kind 1 (microVM) with 1 to 254 vCPUs, found kind 0 with "
                "0" },
                { "memory", "memory", 1, 32, "expected 1048576 to 549755813888 bytes of RAM" },
                { "identity", "identity", 1, 192, "section identity: expected a UUID" },
                { "device.0.serial", "device.0.serial", 1, 47, "section device.0.serial: expected 48 bytes, found 47" },
                { "device.0.serial", "device.0.serial", 1, 49, "section device.0.serial: expected at most 1024 received bytes" },
        };
        static const uint8_t zeros[20000];

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                _cleanup_made_ struct made m = make_plain();

                rewrite(&m, bad[i].skip, bad[i].add, bad[i].version, zeros, bad[i].len);
                assert_refused(&m, bad[i].message);
        }
}

Test(native, a_piece_that_every_guest_needs_and_that_lacks_is_refused_by_name)
{
        static const char *const needed[] = {
                "vcpu.1.cpuid", "vcpu.1.mp_state", "vcpu.1.sregs", "vcpu.1.regs", "vcpu.1.xcrs", "vcpu.1.debugregs",
                "vcpu.1.lapic",
                /* one PIC */
                "vcpu.1.msrs", "vcpu.1.events", "platform.pic_master", "platform.pic_slave", "platform.ioapic", "platform.pit",
                "platform.clock",
        };
        _cleanup_vm_ struct vm_state vm = make_vm(2);

        for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
                _cleanup_made_ struct made m = make(&vm);
                char                       message[80];

                rewrite(&m, needed[i], NULL, 0, NULL, 0);
                snprintf(message, sizeof(message), "state: expected a section %s, found none", needed[i]);
                assert_refused(&m, message);
        }
}

Test(native, a_vcpu_with_neither_fpu_nor_xsave_is_refused)
{
        _cleanup_made_ struct made m = make_plain();

        rewrite(&m, "vcpu.0.fpu", NULL, 0, NULL, 0);
        rewrite(&m, "vcpu.0.xsave", NULL, 0, NULL, 0);
        assert_refused(&m, "state: expected a section vcpu.0.xsave, found none");
}

Test(native, bytes_that_only_a_newer_rouse_gives_a_meaning_are_refused)
{
        static const struct native_vcpu info[] = { { .reserved = { 1 } }, { .reserved = { 0, 0, 0, 0, 1 } },
                                                   { .cpuid_origin = 2 },
                                                   { .u8_offsets = 2 } };

        for (size_t i = 0; i < ARRAY_LEN(info); i++) {
                _cleanup_made_ struct made m = make_plain();

                rewrite(&m, "vcpu.0.info", "vcpu.0.info", 1, &info[i], sizeof(info[i]));
                assert_refused(&m, "section vcpu.0.info: expected an APIC id, a topology and zeros");
        }
}

Test(native, a_topology_that_does_not_fit_is_refused)
{
        static const struct {
                struct native_vcpu info;
                const char        *message;
        } bad[] = {
                { { .threads = 1 }, "expected a topology, or none" },
                { { .u8_offsets = 1 }, "expected a topology, or none" },
                { { .max_vcpus = 1, .threads = 1, .cores = 1, .dies = 1, .sockets = 1 },
                  "expected a topology that holds all vCPUs" },
                { { .max_vcpus = 2, .threads = 1, .cores = 0, .dies = 1, .sockets = 1 },
                  "expected a topology that holds all vCPUs" },
                { { .cpuid_origin = 1 }, "expected a topology to make the CPUID from" },
                { { .cpuid_origin = 1, .max_vcpus = 2, .threads = 1, .cores = 2, .dies = 1, .sockets = 1 },
                  "expected no section cpuid beside one that is made anew" },
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                _cleanup_vm_ struct vm_state vm = make_vm(2);
                _cleanup_made_ struct made   m = make(&vm);

                rewrite(&m, "vcpu.0.info", "vcpu.0.info", 1, &bad[i].info, sizeof(bad[i].info));
                assert_refused(&m, bad[i].message);
        }
}

/* What a rouse that knew no topology wrote: an APIC id and zeros. */
Test(native, a_vcpu_without_a_topology_has_none)
{
        static const uint32_t              info[4] = { 7 };
        _cleanup_made_ struct made         m = make_plain();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        rewrite(&m, "vcpu.0.info", "vcpu.0.info", 1, info, sizeof(info));
        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert_eq(s.vm.vcpus[0].apic_id, 7);
        cr_assert_eq(s.vm.vcpus[0].cpuid_origin, CPUID_SAVED);
        cr_assert_eq(s.vm.vcpus[0].topology.max_vcpus, 0);
}

Test(native, windows_that_are_not_a_microvms_are_refused)
{
        _cleanup_made_ struct made m = make_plain();
        const uint64_t             memory[] = { RAM_PAGES * PAGE_BYTES, 1, 0xf0000000, RAM_PAGES * PAGE_BYTES };

        rewrite(&m, "memory", "memory", 1, memory, sizeof(memory));
        assert_refused(&m, "section memory, window 0: expected gpa 0, 2097152 bytes, found gpa 0xf0000000");
}

/* A page map of this one run and its sums, under right checksums. */
static void assert_run_refused(const struct table_run *run, uint64_t nr_sums, const char *message)
{
        _cleanup_made_ struct made m = make_plain();
        uint64_t                   sums[RAM_PAGES] = { 0 };
        struct table_run           copy = *run;
        struct table_file          t = { .identity = m.id, .ram_pages = RAM_PAGES, .nr_entries = 1, .entries = &copy };
        _cleanup_free_ void       *buf = NULL;
        struct err                 e = { 0 };
        size_t                     len;

        t.nr_sums = nr_sums;
        t.sums = sums;
        cr_assert_eq(table_file_pack(&table_pages, &t, &buf, &len, &e), 0);
        store(&m, "pages", buf, len);
        assert_refused(&m, message);
}

Test(native, runs_that_do_not_fit_are_refused_whatever_their_checksums_say)
{
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES, TABLE_RUN_RAW, 1, 0, 0 }, RAM_PAGES,
                           "expected one of 1 sources, found source 1");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES, TABLE_RUN_RAW, 0, 4096, 0 }, RAM_PAGES,
                           "found a file of 2097152 bytes");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES, TABLE_RUN_RAW, 0, 8, 0 }, RAM_PAGES,
                           "expected an offset in whole 4096-byte pages");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES - 1, TABLE_RUN_ZERO, 0, 0, 0 }, 0,
                           "expected runs for 512 pages, found them for 511");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES + 1, TABLE_RUN_ZERO, 0, 0, 0 }, 0,
                           "ends by page 512, found 513 pages");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES, TABLE_RUN_ZERO, 0, 0, 0 }, 1,
                           "expected a checksum for each of 0 data pages, found 1");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES, TABLE_RUN_RAW, 0, 0, 0 }, RAM_PAGES - 1, "512 checksums");
        assert_run_refused(&(struct table_run){ 0, RAM_PAGES, 3, 0, 0, 0 }, 0,
                           "or 4 (the parent's), found 3");
        assert_run_refused(&(struct table_run){ 1, UINT64_MAX, TABLE_RUN_ZERO, 0, 0, 0 }, 0,
                           "expected a run that begins where the last one ended");
}

/* The file is mapped, so that checksums cost no memory: cut, it must be no SIGBUS. */
Test(native, checksums_that_are_cut_off_while_a_snapshot_is_in_use_cost_the_pages_and_not_the_process)
{
        _cleanup_made_ struct made         m = make_plain();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct page_reader                 r;
        uint8_t                            page[PAGE_BYTES];
        struct err                         e = { 0 };

        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert_not_null(s.pages.sums_file.mapping);
        cr_assert_eq(page_reader_init(&r, &s.pages, true), 0);
        store(&m, "pages", page, 0);
        cr_assert_eq(page_reader_read(&r, 1, 1, page, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "RAM page 1: expected its checksum, found that it cannot be read any more"), "%s",
                           e.text);
        page_reader_fini(&r);
}

/* --- writing --- */

static int new_writer(const char *path, bool replace, uint64_t need_bytes, struct err *e)
{
        struct native_writer_options o = { .path = path, .replace = replace, .ram_pages = RAM_PAGES, .need_bytes = need_bytes };
        struct native_writer        *w = NULL;
        int                          r = native_writer_new(&o, &w, e);

        native_writer_free(w);
        return r;
}

Test(native_write, a_directory_that_exists_is_not_overwritten)
{
        _cleanup_made_ struct made m = make_plain();
        struct err                 e = { 0 };

        cr_assert_eq(new_writer(m.path, false, 0, &e), -EEXIST);
        cr_assert_not_null(strstr(e.text, "--replace"));
        cr_assert_eq(count_entries(m.t.path), 1);
}

Test(native_write, a_directory_that_appears_meanwhile_is_not_overwritten)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_vm_ struct vm_state   vm = make_vm(1);
        struct mem_layout              l = make_layout(RAM_PAGES * PAGE_BYTES);
        char                           path[PATH_MAX + 16];
        struct native_writer          *w;
        struct err                     e = { 0 };

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, false, RAM_PAGES);
        cr_assert_eq(native_writer_pages(w, NULL, RAM_PAGES, &e), 0);
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), 0);
        cr_assert_eq(mkdirat(t.fd, "snap", 0700), 0);
        tmpdir_write(&t, "snap/letter", "x", 1);
        cr_assert_eq(native_writer_commit(w, NULL, &e), -EEXIST);
        native_writer_free(w);
        cr_assert_eq(count_entries(t.path), 1);
        cr_assert_eq(count_entries(path), 1);
}

Test(native_write, replace_exchanges_a_snapshot_and_removes_the_old_one)
{
        _cleanup_vm_ struct vm_state       vm = make_vm(2);
        _cleanup_made_ struct made         m = make_plain();
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct identity                    id;
        struct err                         e = { 0 };

        store(&m, "hints", "x", 1);
        write_to(m.path, true, &vm, &id);
        cr_assert(!identity_equal(&id, &m.id));
        cr_assert_eq(snapshot_open(m.path, &any, &s, &e), 0, "%s", e.text);
        cr_assert(identity_equal(&s.identity, &id));
        cr_assert_eq(s.vm.nr_vcpus, 2);
        cr_assert_eq(count_entries(m.t.path), 1);
}

Test(native_write, replace_makes_a_new_snapshot_where_there_is_none)
{
        _cleanup_vm_ struct vm_state   vm = make_vm(1);
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];

        snprintf(path, sizeof(path), "%s/snap", t.path);
        write_to(path, true, &vm, NULL);
        cr_assert_eq(count_entries(path), 3);
}

Test(native_write, replace_touches_nothing_but_rouse_snapshots)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_made_ struct made     m = make_plain();
        char                           path[PATH_MAX + 16];
        struct err                     e = { 0 };

        cr_assert_eq(mkdirat(t.fd, "home", 0700), 0);
        tmpdir_write(&t, "home/letter", "x", 1);
        snprintf(path, sizeof(path), "%s/home", t.path);
        cr_assert_eq(new_writer(path, true, 0, &e), -EEXIST);
        tmpdir_write(&t, "file", "x", 1);
        snprintf(path, sizeof(path), "%s/file", t.path);
        cr_assert_eq(new_writer(path, true, 0, &e), -EEXIST);
        cr_assert_eq(symlinkat(m.path, t.fd, "link"), 0);
        snprintf(path, sizeof(path), "%s/link", t.path);
        cr_assert_eq(new_writer(path, true, 0, &e), -EEXIST);
        cr_assert_eq(count_entries(t.path), 3);
}

Test(native_write, a_path_without_a_name_of_its_own_is_refused)
{
        static const char *const bad[] = { "", "/", ".", "..", "/tmp/..", "/tmp/." };
        struct err               e = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                cr_assert_eq(new_writer(bad[i], false, 0, &e), -EINVAL, "%s", bad[i]);
                cr_assert_eq(e.kind, ERR_USAGE);
        }
}

Test(native_write, too_little_space_is_said_before_anything_is_written)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];
        struct err                     e = { 0 };

        snprintf(path, sizeof(path), "%s/snap", t.path);
        cr_assert_eq(new_writer(path, false, 1ULL << 60, &e), -ENOSPC);
        cr_assert_not_null(strstr(e.text, "expected 1152921504606846976 bytes of free space, found "), "%s", e.text);
        cr_assert_eq(count_entries(t.path), 0);
}

static void assert_write_fails(const char *dir, int expected)
{
        _cleanup_free_ uint8_t *ram = make_ram();
        char                    path[PATH_MAX + 16];
        struct native_writer   *w;
        struct err              e = { 0 };

        snprintf(path, sizeof(path), "%s/snap", dir);
        w = begin(path, false, RAM_PAGES);
        cr_assert_eq(native_writer_pages(w, ram, RAM_PAGES, &e), expected, "%s", e.text);
        cr_assert_eq(e.kind, ERR_FAILED);
        cr_assert_eq(native_writer_pages(w, NULL, 1, NULL), 0, "a caller may be late to notice");
        cr_assert_eq(native_writer_commit(w, NULL, &e), -EINVAL);
        native_writer_free(w);
        cr_assert_eq(count_entries(dir), 0);
}

Test(native_write, a_full_file_system_leaves_nothing_behind)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        /* In a chroot "/" is no mount point and cannot be made private; the mount below is undone either way. */
        if (unshare(CLONE_NEWNS) < 0 || (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 && errno != EINVAL) ||
            mount("tmpfs", t.path, "tmpfs", 0, "size=256k") < 0)
                cr_skip_test("no right to mount a small file system");
        assert_write_fails(t.path, -ENOSPC);
        cr_assert_eq(umount(t.path), 0);
}

Test(native_write, a_file_that_may_not_grow_leaves_nothing_behind)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct rlimit                  small = { RAM_PAGES * PAGE_BYTES / 2, RLIM_INFINITY };
        char                           path[PATH_MAX + 16];

        snprintf(path, sizeof(path), "%s/snap", t.path);
        signal(SIGXFSZ, SIG_IGN);
        /* ftruncate obeys the limit too, so the writer cannot even be made */
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        cr_assert_eq(new_writer(path, false, 0, NULL), -EFBIG);
        cr_assert_eq(count_entries(t.path), 0);
}

Test(native_write, a_writer_that_is_dropped_leaves_nothing_behind)
{
        _cleanup_free_ uint8_t        *ram = make_ram();
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];
        struct native_writer          *w;

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, false, RAM_PAGES);
        cr_assert_eq(count_entries(t.path), 1);
        cr_assert_eq(native_writer_pages(w, ram, RAM_PAGES, NULL), 0);
        native_writer_free(w);
        cr_assert_eq(count_entries(t.path), 0);
        native_writer_free(NULL);
}

Test(native_write, a_machine_that_lacks_what_a_reader_needs_is_not_written)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_vm_ struct vm_state   vm = make_vm(2);
        struct mem_layout              l = make_layout(RAM_PAGES * PAGE_BYTES);
        char                           path[PATH_MAX + 16];
        struct native_writer          *w;
        struct err                     e = { 0 };

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, false, RAM_PAGES);
        cr_assert_eq(native_writer_pages(w, NULL, RAM_PAGES, NULL), 0);
        vm.vcpus[1].have &= ~(1u << VCPU_LAPIC);
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), -EINVAL);
        cr_assert_str_eq(e.text, "native state: vCPU 1: expected its lapic as KVM gives it, found none");
        vm.vcpus[1].have |= 1u << VCPU_LAPIC;
        vm.vcpus[0].cpuid_origin = CPUID_STRATOVIRT;
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), -EINVAL);
        cr_assert_str_eq(e.text, "native state: vCPU 0: expected a topology to make the CPUID from, found another");
        vm.vcpus[0].cpuid_origin = CPUID_SAVED;
        vm.vcpus[0].have &= ~(1u << VCPU_CPUID);
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), -EINVAL);
        cr_assert_str_eq(e.text, "native state: vCPU 0: expected its cpuid as KVM gives it, found none");
        vm.vcpus[0].have |= 1u << VCPU_CPUID;
        vm.vcpus[1].nr_msrs = 0;
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), -EINVAL);
        cr_assert_str_eq(e.text, "native state: vCPU 1: expected a number of msrs that KVM takes, found another");
        vm.vcpus[1].nr_msrs = 41;
        vm.platform.have &= ~(1u << PLATFORM_PIT);
        cr_assert_eq(native_writer_state(w, &vm, &l, &e), -EINVAL);
        cr_assert_str_eq(e.text, "native state: expected a pit, found none");
        native_writer_free(w);
        cr_assert_eq(count_entries(t.path), 0);
}

Test(native_write, a_state_before_all_pages_or_a_commit_before_the_state_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_vm_ struct vm_state   vm = make_vm(1);
        struct mem_layout              l = make_layout(RAM_PAGES * PAGE_BYTES);
        char                           path[PATH_MAX + 16];
        struct native_writer          *w;

        snprintf(path, sizeof(path), "%s/snap", t.path);
        w = begin(path, false, RAM_PAGES);
        cr_assert_eq(native_writer_pages(w, NULL, RAM_PAGES - 1, NULL), 0);
        cr_assert_eq(native_writer_state(w, &vm, &l, NULL), -EINVAL);
        cr_assert_eq(native_writer_commit(w, NULL, NULL), -EINVAL);
        cr_assert_eq(native_writer_pages(w, NULL, 2, NULL), -EINVAL);
        native_writer_free(w);
        cr_assert_eq(count_entries(t.path), 0);
}
