/* Everything at once, from a seed. */
#include "tests/unit/uffd/rig.h"

#include <pthread.h>

enum { THREADS = 4, STRIPE = 1024, STEPS = 6000 };

struct guest {
        struct rig *g;
        uint64_t    seed;
        uint64_t    first; /* of the pages that this thread alone changes */
        bool        bad;
};

static uint64_t next_random(uint64_t *s)
{
        *s = *s * 6364136223846793005ULL + 1442695040888963407ULL;
        return *s >> 33;
}

static void write_byte(struct guest *t, uint64_t page, uint64_t value)
{
        uint64_t at = pages_to_bytes(page) + value % PAGE_BYTES;

        t->g->ram[at] = t->g->model[at] = (uint8_t)value;
}

static void discard(struct guest *t, uint64_t page, uint64_t nr)
{
        nr = MIN(nr, t->first + STRIPE - page);
        if (madvise(t->g->ram + pages_to_bytes(page), pages_to_bytes(nr), MADV_DONTNEED) != 0)
                t->bad = true;
        memset(t->g->model + pages_to_bytes(page), 0, pages_to_bytes(nr));
}

static void *run_guest(void *arg)
{
        struct guest *t = arg;

        for (int i = 0; i < STEPS && !t->bad; i++) {
                uint64_t what = next_random(&t->seed) % 16, page = t->first + next_random(&t->seed) % STRIPE;

                if (what == 0)
                        discard(t, page, 1 + next_random(&t->seed) % 8);
                else if (what < 5)
                        write_byte(t, page, next_random(&t->seed));
                else if (!rig_page_equal(t->g, page))
                        t->bad = true;
        }
        return NULL;
}

static void torture(struct rig *g, uint64_t seed)
{
        struct guest t[THREADS];
        pthread_t    id[THREADS];
        uint64_t     hints[2000];

        for (size_t i = 0; i < ARRAY_LEN(hints); i++)
                hints[i] = next_random(&seed) % g->nr_pages;
        rig_replay(g, hints, ARRAY_LEN(hints));
        g->c.fill = true;
        g->c.around_pages = 8;
        rig_add_sums(g);
        rig_start(g);
        for (int i = 0; i < THREADS; i++) {
                t[i] = (struct guest){ .g = g, .seed = seed + (uint64_t)i, .first = (uint64_t)i * STRIPE };
                pthread_create(&id[i], NULL, run_guest, &t[i]);
        }
        pager_guest_entered(g->p, now_ns());
        rig_sleep_ms(5);
        pager_hurry(g->p);
        for (int i = 0; i < THREADS; i++) {
                pthread_join(id[i], NULL);
                cr_assert(!t[i].bad, "thread %d, seed %llu", i, (unsigned long long)seed);
        }
        cr_assert_eq(pager_wait(g->p, 20000), 0);
        rig_assert_all_equal(g);
        cr_assert_eq(rig_stats(g).lost_pages, 0);
        cr_assert_eq(g->replayed, 1);
        cr_assert_eq(g->done, 1);
        rig_free(g);
}

Test(pager_torture, touches_writes_and_discards_beside_replay_and_fill_leave_every_page_as_the_model_says)
{
        for (uint64_t seed = 1; seed <= 8; seed++)
                torture(rig_new(THREADS * STRIPE, RIG_TMPFS), seed);
}

Test(pager_torture, the_same_from_a_cold_disk)
{
        for (uint64_t seed = 1; seed <= 4; seed++) {
                struct rig *g = rig_new(THREADS * STRIPE, RIG_DISK);

                rig_evict(g);
                torture(g, seed);
        }
}

Test(pager_torture, the_same_when_every_read_is_slow_and_some_go_wrong)
{
        for (uint64_t seed = 1; seed <= 4; seed++) {
                struct rig *g = rig_new(THREADS * STRIPE, RIG_TMPFS);

                g->faults = (struct pager_faults){ .nothing_cached = true, .short_read = 5, .eagain_copy = 7, .short_copy = 3 };
                torture(g, seed);
        }
}
