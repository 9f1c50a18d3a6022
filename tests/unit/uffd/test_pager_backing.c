/* Whatever memory is behind guest RAM: the guest gets the snapshot's bytes, zeros where it gave pages back, and never anything
 * else. */
#include "tests/unit/uffd/rig_backing.h"

#include <setjmp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

TestSuite(pager_backing, .fini = huge_pool_give_back);

#define PAGES (4 * UNIT)

struct setup {
        const struct rig_kind *kind;
        struct rig            *g;
        struct rig_template    t;
};

static struct setup begin(const struct rig_kind *k)
{
        struct setup s = { .kind = k, .g = rig_new(PAGES, RIG_TMPFS) };

        if (k->huge)
                need_hugetlb(3 * PAGES / UNIT);
        if (k->shared)
                rig_template_new(&s.t, PAGES, k->huge);
        return s;
}

/* After what the test wants of the rig. */
static void start(struct setup *s)
{
        rig_back(s->g, s->kind, s->kind->shared ? &s->t : NULL);
        rig_start(s->g);
}

static void end(struct setup *s)
{
        rig_free(s->g);
        if (s->kind->shared)
                rig_template_free(&s->t);
        huge_pool_give_back();
}

static void assert_page(const struct setup *s, uint64_t page)
{
        cr_assert(rig_page_equal(s->g, page), "%s: page %llu", s->kind->name, (unsigned long long)page);
}

static void assert_all(const struct setup *s)
{
        for (uint64_t page = 0; page < PAGES; page++)
                assert_page(s, page);
}

static void assert_zero(const struct setup *s, uint64_t page)
{
        static const uint8_t zeros[PAGE_BYTES];

        cr_assert_eq(memcmp(s->g->ram + pages_to_bytes(page), zeros, PAGE_BYTES), 0, "%s: page %llu", s->kind->name,
                     (unsigned long long)page);
}

Test(pager_backing, every_touched_page_has_the_bytes_of_the_file)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                rig_add_sums(s.g);
                start(&s);
                assert_all(&s);
                cr_assert_eq(pager_wait(s.g->p, 10000), 0, "%s", k->name);
                assert_all(&s);
                cr_assert_eq(rig_stats(s.g).lost_pages, 0);
                end(&s);
        }
}

Test(pager_backing, fill_brings_everything_also_of_runs_that_are_zero_or_elsewhere)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                rig_cut_zero_run(s.g, UNIT - 100, 300);
                s.g->c.fill = s.g->c.paused = true;
                start(&s);
                cr_assert_eq(pager_wait(s.g->p, 10000), 0, "%s", k->name);
                cr_assert_eq(rig_stats(s.g).faults[FAULT_DEMAND], 0, "%s", k->name);
                assert_all(&s);
                end(&s);
        }
}

Test(pager_backing, hints_are_replayed)
{
        static const struct hint hints[] = { { .page = UNIT + 7 }, { .page = 5 }, { .page = 6 } };

        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                s.g->c.replay = hints;
                s.g->c.nr_replay = ARRAY_LEN(hints);
                start(&s);
                rig_await(s.g->replayed == 1);
                rig_await(rig_stats(s.g).resident_pages == (k->huge ? 2 * UNIT : 3));
                for (size_t i = 0; i < ARRAY_LEN(hints); i++)
                        assert_page(&s, hints[i].page);
                cr_assert_eq(rig_stats(s.g).messages, 0, "%s", k->name);
                end(&s);
        }
}

Test(pager_backing, cold_pages_come_through_the_ring)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                s.g->faults.nothing_cached = true;
                rig_cut_zero_run(s.g, UNIT + 9, 30);
                start(&s);
                assert_all(&s);
                cr_assert_gt(rig_stats(s.g).cold_reads, 0, "%s", k->name);
                end(&s);
        }
}

Test(pager_backing, cold_fill_and_faults_go_on_together)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                s.g->faults.nothing_cached = true;
                s.g->c.fill = s.g->c.paused = true;
                start(&s);
                for (uint64_t page = PAGES; page-- > 0;)
                        assert_page(&s, page);
                cr_assert_eq(pager_wait(s.g->p, 10000), 0, "%s", k->name);
                end(&s);
        }
}

Test(pager_backing, without_io_uring_cold_pages_are_read_plainly)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                s.g->faults.nothing_cached = true;
                s.g->caps.io_uring = false;
                start(&s);
                assert_all(&s);
                end(&s);
        }
}

Test(pager_backing, eagain_and_short_installs_are_survived)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                s.g->c.around_pages = 16;
                s.g->map.zeros_known = true;
                s.g->faults.eagain_copy = 3;
                s.g->faults.short_copy = k->huge ? 0 : 2; /* 2 MiB are installed whole or not at all */
                start(&s);
                assert_all(&s);
                cr_assert_eq(rig_stats(s.g).lost_pages, 0, "%s", k->name);
                end(&s);
        }
}

Test(pager_backing, what_was_discarded_is_zero_and_stays_it)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);
                uint64_t     unit = k->huge ? UNIT : 1, first = UNIT, nr = k->huge ? UNIT : 4;

                start(&s);
                assert_page(&s, first);
                rig_discard(s.g, first, nr);
                rig_discard(s.g, 3 * UNIT, unit); /* never there */
                for (uint64_t page = first; page < first + nr; page++)
                        assert_zero(&s, page);
                assert_zero(&s, 3 * UNIT);
                s.g->ram[pages_to_bytes(first)] = 1;
                rig_discard(s.g, first, nr);
                assert_zero(&s, first);
                assert_page(&s, first - 1);
                assert_page(&s, first + nr);
                pager_hurry(s.g->p);
                cr_assert_eq(pager_wait(s.g->p, 10000), 0, "%s", k->name);
                assert_zero(&s, first);
                end(&s);
        }
}

/* Each discard makes installs say EAGAIN. */
static void *discard_upper_half(void *arg)
{
        const struct setup *s = arg;
        uint64_t            step = s->kind->huge ? UNIT : 4;

        for (uint64_t page = PAGES / 2; page < PAGES; page += step)
                rig_discard(s->g, page, step);
        return NULL;
}

Test(pager_backing, fill_goes_on_beside_discards)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);
                pthread_t    t;

                s.g->c.fill = s.g->c.paused = true;
                s.g->faults.nothing_cached = k->huge;
                start(&s);
                pthread_create(&t, NULL, discard_upper_half, &s);
                for (uint64_t page = 0; page < PAGES / 2; page++)
                        assert_page(&s, page);
                pthread_join(t, NULL);
                cr_assert_eq(rig_stats(s.g).lost_pages, 0, "%s", k->name);
                for (uint64_t page = PAGES / 2; page < PAGES && !k->shared; page++)
                        assert_zero(&s, page); /* of a template they read as it does once nobody serves them: core/discard.c maps over them */
                end(&s);
        }
}

/* --- lost --- */

static sigjmp_buf back;

static void on_sigbus(int sig)
{
        siglongjmp(back, sig);
}

static bool touch_is_sigbus(const struct rig *g, uint64_t page)
{
        struct sigaction sa = { .sa_handler = on_sigbus };

        sigaction(SIGBUS, &sa, NULL);
        if (sigsetjmp(back, 1) != 0)
                return true;
        (void)rig_touch(g, page);
        return false;
}

Test(pager_backing, a_page_that_does_not_match_its_sum_is_sigbus_with_its_unit_and_no_other)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup      s = begin(k);
                uint64_t          bad = UNIT + 17;
                struct pager_lost l;

                if (!s.g->caps.uffd_poison)
                        cr_skip_test("this kernel has no UFFDIO_POISON (Linux 6.6)");
                rig_add_sums(s.g);
                cr_assert_eq(pwrite(s.g->fd, "?", 1, (off_t)pages_to_bytes(bad) + 9), 1);
                start(&s);
                cr_assert(touch_is_sigbus(s.g, bad), "%s", k->name);
                cr_assert(touch_is_sigbus(s.g, bad), "%s", k->name);
                cr_assert(pager_find_lost(s.g->p, bad, &l) && l.error == -EBADMSG &&
                          l.file_offset_bytes == pages_to_bytes(bad), "%s", k->name);
                cr_assert_eq(rig_stats(s.g).lost_pages, k->huge ? UNIT : 1, "%s", k->name);
                cr_assert_gt(s.g->lost_demanded, 0, "%s", k->name);
                for (uint64_t page = 0; page < PAGES; page++)
                        if (page / UNIT != 1 || (!k->huge && page != bad))
                                assert_page(&s, page);
                end(&s);
        }
}

Test(pager_backing, the_first_that_is_told_of_a_lost_unit_is_the_page_that_is_bad)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                struct setup s = begin(k);

                cr_assert_eq(ftruncate(s.g->fd, (off_t)pages_to_bytes(3 * UNIT + 40)), 0);
                s.g->c.fill = s.g->c.paused = true;
                start(&s);
                cr_assert_eq(pager_wait(s.g->p, 10000), -EIO, "%s", k->name);
                cr_assert_geq(s.g->last_lost_page, 3 * UNIT + 40, "%s", k->name);
                cr_assert_eq(s.g->last_lost_error, -ENODATA, "%s", k->name);
                cr_assert_eq(rig_stats(s.g).lost_pages, k->huge ? UNIT : UNIT - 40, "%s", k->name);
                for (uint64_t page = 0; page < 3 * UNIT; page++)
                        assert_page(&s, page);
                end(&s);
        }
}

/* --- many VMs on one template --- */

static uint64_t memory_pages(const struct rig_template *t)
{
        struct stat st;

        cr_assert_eq(fstat(t->fd, &st), 0);
        return (uint64_t)st.st_blocks * 512 / PAGE_BYTES;
}

/* A second VM of the same snapshot, as another process has it. */
static struct setup begin_another(const struct setup *first)
{
        struct setup s = { .kind = first->kind, .g = rig_new(PAGES, RIG_TMPFS), .t = rig_template_of_another(&first->t) };

        return s;
}

static void end_another(struct setup *s)
{
        rig_free(s->g);
        munmap(s->t.pages.view, pages_to_bytes(PAGES));
        close(s->t.fd);
}

Test(pager_backing, what_one_vm_has_brought_another_one_maps_without_a_read)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                if (!k->shared)
                        continue;

                struct setup a = begin(k), b;

                a.g->map.zeros_known = true;
                start(&a);
                assert_all(&a);
                b = begin_another(&a);
                b.g->map.zeros_known = true;
                start(&b);
                for (uint64_t page = 0; page < PAGES; page++) {
                        assert_page(&b, page);
                        a.g->ram[pages_to_bytes(page)] ^= 0xff; /* is its own from here on */
                }
                assert_all(&b);
                cr_assert_eq(rig_stats(b.g).read_bytes, 0, "%s", k->name);
                cr_assert_eq(memory_pages(&a.t), PAGES, "%s", k->name);
                end_another(&b);
                end(&a);
        }
}

Test(pager_backing, minor_faults_are_answered_by_the_neighbourhood)
{
        struct setup a = begin(&rig_kinds[2]), b;

        a.g->map.zeros_known = true;
        start(&a);
        assert_all(&a);
        b = begin_another(&a);
        b.g->map.zeros_known = true;
        b.g->c.around_pages = 16;
        start(&b);
        rig_touch(b.g, 21);
        rig_await(rig_stats(b.g).resident_pages == 16);
        cr_assert_eq(rig_stats(b.g).messages, 1);
        end_another(&b);
        end(&a);
}

Test(pager_backing, pages_that_are_written_are_not_put_into_the_template)
{
        static const struct hint hints[] = { { .page = 5, .flags = HINT_WRITTEN }, { .page = UNIT + 6, .flags = HINT_DIFFERS }, { .page = 2 * UNIT } };

        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                if (!k->shared)
                        continue;

                struct setup a = begin(k);

                a.g->map.zeros_known = true;
                a.g->c.replay = hints;
                a.g->c.nr_replay = ARRAY_LEN(hints);
                start(&a);
                rig_await(a.g->replayed == 1);
                rig_await(rig_stats(a.g).resident_pages == ARRAY_LEN(hints) * a.t.pages.unit_pages);
                for (size_t i = 0; i < ARRAY_LEN(hints); i++)
                        assert_page(&a, hints[i].page);
                cr_assert_eq(memory_pages(&a.t), a.t.pages.unit_pages, "%s", k->name);
                end(&a);
        }
}

/* KVM's worker touches a page after its VM was killed: nobody answers, and the kernel puts zeros there. */
Test(pager_backing, a_page_that_nobody_vouches_for_is_not_believed)
{
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                if (!k->shared)
                        continue;

                struct setup a = begin(k);

                for (uint64_t page = 0; page < PAGES; page += k->huge ? UNIT : 3) {
                        uint8_t *m = mmap(NULL, pages_to_bytes(PAGES), PROT_READ | PROT_WRITE, MAP_SHARED, a.t.fd, 0);

                        cr_assert(m != MAP_FAILED);
                        m[pages_to_bytes(page)] = 0;
                        munmap(m, pages_to_bytes(PAGES));
                }
                start(&a);
                assert_all(&a);
                end(&a);
        }
}

struct racer {
        struct setup s;
        pthread_t    t;
        bool         equal;
};

static void *touch_all(void *arg)
{
        struct racer *r = arg;

        r->equal = true;
        for (uint64_t page = 0; page < PAGES; page++)
                r->equal = r->equal && rig_page_equal(r->s.g, page);
        return NULL;
}

Test(pager_backing, vms_that_fill_one_template_at_the_same_time_all_have_its_bytes)
{
        enum { VMS = 4 };
        for (const struct rig_kind *k = rig_kinds; k < rig_kinds + ARRAY_LEN(rig_kinds); k++) {
                if (!k->shared)
                        continue;

                struct setup first = begin(k);
                struct racer r[VMS];

                if (k->huge)
                        need_hugetlb(VMS * PAGES / UNIT);
                for (int i = 0; i < VMS; i++) {
                        r[i].s = begin_another(&first);
                        rig_add_sums(r[i].s.g);
                        r[i].s.g->c.fill = r[i].s.g->c.paused = i % 2;
                        start(&r[i].s);
                }
                for (int i = 0; i < VMS; i++)
                        cr_assert_eq(pthread_create(&r[i].t, NULL, touch_all, &r[i]), 0);
                for (int i = 0; i < VMS; i++) {
                        pthread_join(r[i].t, NULL);
                        cr_assert(r[i].equal, "%s: VM %d", k->name, i);
                }
                for (int i = 0; i < VMS; i++)
                        end_another(&r[i].s);
                end(&first);
        }
}

static void *touch_7(void *arg)
{
        struct setup *s = arg;

        (void)rig_touch(s->g, 7);
        atomic_fetch_add(&s->g->replayed, 1);
        return NULL;
}

/* As reclaim does it: it takes a page of the template out of everybody's page tables, and brings it back when it is asked for.
 * Here a hole is punched, and filled again. */
Test(pager_backing, a_page_that_the_kernel_has_unmapped_is_mapped_again)
{
        struct setup s = begin(&rig_kinds[2]);
        pthread_t    t;

        start(&s);
        assert_page(&s, 7);
        cr_assert_eq(fallocate(s.t.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)pages_to_bytes(7), PAGE_BYTES), 0);
        cr_assert_eq(pwrite(s.t.fd, s.g->model + pages_to_bytes(7), PAGE_BYTES, (off_t)pages_to_bytes(7)), (ssize_t)PAGE_BYTES);
        cr_assert_eq(pthread_create(&t, NULL, touch_7, &s), 0);
        rig_await(s.g->replayed == 1); /* counted by touch_7: there are no hints */
        pthread_join(t, NULL);
        assert_page(&s, 7);
        end(&s);
}
