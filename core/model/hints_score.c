/* core/model/hints_score.c: sets of pages as bits, counted by phase. */
#include "core/model/hints_score.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <inttypes.h>

static int no_memory(const struct hints *h, struct err *e)
{
        return err_set(e, -ENOMEM, "no memory to judge hints over %" PRIu64 " RAM pages", h->ram_pages);
}

static void add_pages(struct bitmap *to, const struct hints *h, uint32_t min_seen)
{
        for (size_t i = 0; i < h->nr; i++)
                if (h->v[i].seen >= min_seen)
                        bitmap_set(to, h->v[i].page);
}

int hints_foreseen_init(struct hints_foreseen *f, const struct hints_named *h, const struct hints_named *from, size_t nr,
                        struct err *e)
{
        *f = (struct hints_foreseen){ .known = nr > 0 || h->hints.min_seen <= 1 };
        if (bitmap_init(&f->pages, h->hints.ram_pages) < 0)
                return no_memory(&h->hints, e);
        if (nr == 0)
                add_pages(&f->pages, &h->hints, 1);
        for (size_t i = 0; i < nr; i++) {
                int r = hints_same_snapshot(h, &from[i], e);

                if (r < 0)
                        return r;
                add_pages(&f->pages, &from[i].hints, 1);
        }
        return 0;
}

void hints_foreseen_free(struct hints_foreseen *f)
{
        bitmap_free(&f->pages);
}

static void count_touches(const struct hints *recording, const struct bitmap *hinted, const struct hints_foreseen *f,
                          struct hints_score *s)
{
        for (size_t i = 0; i < recording->nr; i++) {
                const struct hint         *t = &recording->v[i];
                struct hints_score_counts *c = &s->phase[t->phase];

                if (t->flags & HINT_ZERO) {
                        c->touched_zero++;
                        continue;
                }
                c->touched++;
                c->recalled += bitmap_test(hinted, t->page);
                c->foreseeable += f->known && bitmap_test(&f->pages, t->page);
        }
}

static void count_hints(const struct hints *h, uint32_t min_seen, const struct bitmap *touched, struct hints_score *s)
{
        for (size_t i = 0; i < h->nr; i++) {
                const struct hint         *hint = &h->v[i];
                struct hints_score_counts *c = &s->phase[hint->phase];

                if (hint->seen < min_seen)
                        continue;
                if (hint->flags & HINT_ZERO) {
                        c->hinted_zero++;
                        continue;
                }
                c->hinted++;
                c->used += bitmap_test(touched, hint->page);
        }
}

static void add_up(struct hints_score_counts *to, const struct hints_score_counts *c)
{
        to->touched += c->touched;
        to->touched_zero += c->touched_zero;
        to->foreseeable += c->foreseeable;
        to->recalled += c->recalled;
        to->hinted += c->hinted;
        to->hinted_zero += c->hinted_zero;
        to->used += c->used;
}

int hints_score_add(const struct hints_named *h, uint32_t min_seen, const struct hints_foreseen *f,
                    const struct hints_named *recording, struct hints_score *sum, struct err *e)
{
        _cleanup_(bitmap_free) struct bitmap hinted = { 0 }, touched = { 0 };
        struct hints_score                   s = { 0 };
        int                                  r = hints_same_snapshot(h, recording, e);

        if (r < 0)
                return r;
        if (bitmap_init(&hinted, h->hints.ram_pages) < 0 || bitmap_init(&touched, h->hints.ram_pages) < 0)
                return no_memory(&h->hints, e);
        add_pages(&hinted, &h->hints, min_seen);
        add_pages(&touched, &recording->hints, 1);
        count_touches(&recording->hints, &hinted, f, &s);
        count_hints(&h->hints, min_seen, &touched, &s);
        for (int p = 0; p < HINT_PHASES; p++) {
                add_up(&sum->phase[p], &s.phase[p]);
                add_up(&sum->all, &s.phase[p]);
        }
        return 0;
}
