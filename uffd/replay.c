/* uffd/replay.c: walks the hints window by window. */
#include "uffd/replay.h"

#include <string.h>

void hint_walk_init(struct hint_walk *w, const struct hint *list, size_t nr_list)
{
        w->list = list;
        w->nr_list = nr_list;
        w->next = 0;
        w->nr = 0;
        w->pos = 0;
        w->phase = 0;
}

/* Shell's sort with Ciura's gaps: in place, as qsort(3) may call malloc, and 512 numbers take some 20 us. */
static void sort_pages(uint32_t *v, size_t nr)
{
        static const size_t gaps[] = { 301, 132, 57, 23, 10, 4, 1 };

        for (size_t g = 0; g < ARRAY_LEN(gaps); g++) {
                size_t gap = gaps[g];

                for (size_t i = gap; i < nr; i++) {
                        uint32_t page = v[i];
                        size_t   j = i;

                        for (; j >= gap && v[j - gap] > page; j -= gap)
                                v[j] = v[j - gap];
                        v[j] = page;
                }
        }
}

/* The run of a hint that has bytes, is served and still open, or NULL. */
static const struct page_run *open_run(const struct replay_view *v, uint64_t page)
{
        const struct page_run *run = page_map_find(v->map, page);

        if (!run || run->kind == RUN_ZERO || !served_find(&v->served, page))
                return NULL;
        return page_state_is_open(page_state_get(v->states, page)) ? run : NULL;
}

static void next_window(struct hint_walk *w, const struct replay_view *v)
{
        size_t end = w->next + MIN((size_t)HINT_WINDOW, w->nr_list - w->next);

        w->nr = 0;
        w->pos = 0;
        w->phase = w->list[w->next].phase;
        for (; w->next < end && w->list[w->next].phase == w->phase; w->next++)
                if (open_run(v, w->list[w->next].page))
                        w->window[w->nr++] = w->list[w->next].page;
        sort_pages(w->window, w->nr);
}

/* Goes past what nobody has to read any more; true when the window still has a page to read. */
static bool find_free(struct hint_walk *w, const struct replay_view *v, bool mark)
{
        for (; w->pos < w->nr; w->pos++) {
                uint64_t        page = w->window[w->pos];
                enum page_state st = page_state_get(v->states, page);

                if (page_state_is_free(st))
                        return true;
                if (mark && st == PAGE_READING)
                        page_state_mark(v->states, page);
        }
        return false;
}

/* Does page b belong to the extent that ends before `end`? */
static bool joins(const struct replay_view *v, const struct extent *x, uint64_t end, uint64_t page, uint64_t gap_pages)
{
        const struct page_run *run = x->run;

        return page >= end && page - end <= gap_pages && page - run->first_page < run->nr_pages &&
               page_state_is_free(page_state_get(v->states, page)) &&
               served_find(&v->served, page) == served_find(&v->served, x->first_page);
}

struct extent hint_walk_peek(struct hint_walk *w, const struct replay_view *v, uint64_t max_pages, uint64_t gap_pages, bool mark)
{
        struct extent x = { 0 };

        while (!find_free(w, v, mark)) {
                if (w->next == w->nr_list)
                        return x;
                next_window(w, v);
        }
        x = (struct extent){ .run = page_map_find(v->map, w->window[w->pos]), .first_page = w->window[w->pos], .nr_pages = 1 };
        for (size_t i = w->pos + 1; i < w->nr; i++) {
                uint64_t page = w->window[i];

                if (page == x.first_page + x.nr_pages - 1)
                        continue; /* the list names it twice */
                if (!joins(v, &x, x.first_page + x.nr_pages, page, gap_pages) || page - x.first_page >= max_pages)
                        break;
                x.nr_pages = page - x.first_page + 1;
        }
        return x;
}

void hint_walk_pass(struct hint_walk *w, uint64_t end_page)
{
        while (w->pos < w->nr && w->window[w->pos] < end_page)
                w->pos++;
}

void hint_walk_end(struct hint_walk *w, const struct replay_view *v)
{
        for (; w->pos < w->nr; w->pos++)
                if (page_state_get(v->states, w->window[w->pos]) == PAGE_READING)
                        page_state_mark(v->states, w->window[w->pos]);
        w->next = w->nr_list;
}

bool hint_walk_is_over(const struct hint_walk *w)
{
        return w->pos == w->nr && w->next == w->nr_list;
}
