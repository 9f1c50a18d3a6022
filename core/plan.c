/* The plan as a value: what plan_mechanism.c and plan_prefill.c chose, joined into ranges, with its rows and its needs. */
#include "core/plan_internal.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct plan_piece *plan_piece_find(const struct plan_pieces *p, uint64_t page)
{
        size_t low = 0, high = p->nr;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (page < p->v[mid].first_page)
                        high = mid;
                else if (page - p->v[mid].first_page >= p->v[mid].nr_pages)
                        low = mid + 1;
                else
                        return &p->v[mid];
        }
        return NULL;
}

/* --- ranges --- */

/* The pieces of one mechanism, as they are. */
static int take_ranges(const struct plan_pieces *p, enum plan_mechanism m, struct pager_range **ret, size_t *ret_nr)
{
        struct pager_range *v;
        size_t nr = 0;

        for (size_t i = 0; i < p->nr; i++)
                nr += p->v[i].mechanism == m;
        v = calloc(nr + 1, sizeof(*v));
        if (!v)
                return -ENOMEM;
        nr = 0;
        for (size_t i = 0; i < p->nr; i++)
                if (p->v[i].mechanism == m)
                        v[nr++] = (struct pager_range){p->v[i].first_page, p->v[i].nr_pages};
        *ret = v;
        *ret_nr = nr;
        return 0;
}

/* Joins served pieces that are at most gap_pages of zeros apart. ret may be NULL: only count.
 *
 *   copy  anon  copy     anon          copy      map copy          gap_pages = 2:
 *   ####  ..    ####     .........     ####      MMM ####    ->    ##########           ####      MMM ####
 */
static size_t join_served(const struct plan_pieces *p, uint64_t gap_pages, struct pager_range *ret)
{
        uint64_t end = 0;
        bool open = false; /* nothing but zeros since `end` */
        size_t nr = 0;

        for (size_t i = 0; i < p->nr; i++) {
                const struct plan_piece *piece = &p->v[i];

                if (!plan_is_served(piece)) {
                        open = open && piece->mechanism == PLAN_ANON;
                        continue;
                }
                if (!open || piece->first_page - end > gap_pages) {
                        if (ret)
                                ret[nr] = (struct pager_range){.first_page = piece->first_page};
                        nr++;
                }
                end = piece->first_page + piece->nr_pages;
                open = true;
                if (ret)
                        ret[nr - 1].nr_pages = end - ret[nr - 1].first_page;
        }
        return nr;
}

/* To whole units: those that overlap then become one. How many are left. */
static size_t widen(struct pager_range *v, size_t nr, uint64_t unit_pages)
{
        size_t kept = 0;

        for (size_t i = 0; i < nr; i++) {
                uint64_t first = v[i].first_page / unit_pages * unit_pages, end = align_up(v[i].first_page + v[i].nr_pages, unit_pages);

                if (kept > 0 && first <= v[kept - 1].first_page + v[kept - 1].nr_pages) {
                        v[kept - 1].nr_pages = end - v[kept - 1].first_page;
                        continue;
                }
                v[kept++] = (struct pager_range){first, end - first};
        }
        return kept;
}

static int take_served(const struct plan_request *q, const struct plan_pieces *p, struct plan *plan)
{
        uint64_t gap_pages = q->record ? q->map->nr_pages : 0, most = MIN((uint64_t)PLAN_RANGES_MAX, plan_map_share(q->caps));

        /* A range costs two splits of a mapping and a registration, some 3 us: 256 of them stay below 1 ms. Mapped runs and huge
         * pages keep ranges apart that no gap joins. */
        while (gap_pages < q->map->nr_pages && join_served(p, gap_pages, NULL) > most)
                gap_pages = gap_pages ? gap_pages * 2 : 1;
        plan->served = calloc(join_served(p, gap_pages, NULL) + 1, sizeof(*plan->served));
        if (!plan->served)
                return -ENOMEM;
        plan->nr_served = join_served(p, gap_pages, plan->served);
        if (q->backing == RAM_HUGETLB)
                plan->nr_served = widen(plan->served, plan->nr_served, HUGE_PAGE_BYTES / PAGE_BYTES);
        return 0;
}

/* --- what is said of it --- */

static uint64_t pages_of(const struct pager_range *v, size_t nr)
{
        uint64_t pages = 0;

        for (size_t i = 0; i < nr; i++)
                pages += v[i].nr_pages;
        return pages;
}

/* A row for each mechanism and reason. The last one takes what found no row of its own. */
static void add_piece(struct plan *p, const struct plan_piece *piece)
{
        const char *name = plan_mechanism_name((enum plan_mechanism)piece->mechanism);
        size_t i = 0;

        while (i < p->nr_rows && (p->rows[i].why != piece->why || p->rows[i].mechanism != name))
                i++;
        if (i == p->nr_rows) {
                if (p->nr_rows == LEDGER_PLAN_MAX)
                        i--;
                else
                        p->rows[p->nr_rows++] = (struct ledger_plan_row){.mechanism = name, .why = piece->why};
        }
        p->rows[i].runs++;
        p->rows[i].bytes += pages_to_bytes(piece->nr_pages);
}

/* Zeros that were joined with what is served are served. */
static void move_joined_zeros(struct plan *p)
{
        struct ledger_plan_row *copy = NULL, *anon = NULL;
        uint64_t copied = 0, served = pages_to_bytes(pages_of(p->served, p->nr_served));

        for (size_t i = 0; i < p->nr_rows; i++) {
                if (strcmp(p->rows[i].mechanism, "copy") == 0 || strcmp(p->rows[i].mechanism, "continue") == 0) {
                        copy = &p->rows[i];
                        copied += copy->bytes;
                }
                if (strcmp(p->rows[i].mechanism, "anon") == 0)
                        anon = &p->rows[i];
        }
        if (!copy || !anon || served <= copied)
                return;
        copy->bytes += served - copied;
        anon->bytes -= served - copied;
}

static void add_needs(const struct plan_request *q, const struct plan_pieces *pieces, struct plan *p)
{
        struct plan_needs *n = &p->needs;
        struct page_counts c = page_map_count(q->map);
        uint64_t mapped = pages_of(p->mapped, p->nr_mapped);

        n->address_bytes = pages_to_bytes(q->map->nr_pages) * (q->mode == RESTORE_SHARED ? 2 : 1); /* the template is mapped beside it */
        if (q->backing == RAM_HUGETLB) {
                n->template_2m_pages = q->mode == RESTORE_SHARED ? pages_to_bytes(pages_of(p->served, p->nr_served)) / HUGE_PAGE_BYTES : 0;
                n->huge_2m_pages = pages_to_bytes(q->map->nr_pages) / HUGE_PAGE_BYTES + n->template_2m_pages;
        }
        /* the segments of RAM: what lies between two of them is one at most */
        n->mappings = p->nr_mapped + p->nr_served + p->nr_prefill;
        for (size_t i = 0; i < pieces->nr; i++)
                n->mappings += pieces->v[i].mechanism == PLAN_ANON && (i == 0 || pieces->v[i - 1].mechanism != PLAN_ANON);
        n->mappings = MIN(n->mappings, 2 * (p->nr_mapped + p->nr_served + p->nr_prefill) + 1);
        n->prefill_bytes = pages_to_bytes(pages_of(p->prefill, p->nr_prefill));
        if (q->mode == RESTORE_EAGER)
                n->resident_bytes = pages_to_bytes(c.raw_pages + c.packed_pages);
        else if (q->fill && p->nr_served)
                n->resident_bytes = pages_to_bytes(c.raw_pages + c.packed_pages - MIN(mapped, c.raw_pages)) ;
        n->resident_bytes = MAX(n->resident_bytes, n->prefill_bytes);
        for (size_t i = 0; i < p->nr_populate; i++)
                if (p->populate[i].write)
                        n->resident_bytes += pages_to_bytes(p->populate[i].nr_pages);
        if (q->backing == RAM_HUGETLB) /* the pool's, which no memory cgroup is charged for (but where memory_hugetlb_accounting is mounted) */
                n->resident_bytes = 0;
}

static bool has_served_hint(const struct plan *p, const struct plan_pieces *pieces, const struct hints *h)
{
        for (size_t i = 0; i < h->nr && p->nr_served; i++) {
                const struct plan_piece *piece = plan_piece_find(pieces, h->v[i].page);

                if (piece && plan_is_served(piece))
                        return true;
        }
        return false;
}

static const char *arm_of(const struct plan_request *q, const struct plan *p)
{
        if (q->record)
                return "record";
        switch (q->mode) {
        case RESTORE_AUTO:
                return "auto";
        case RESTORE_LAZY:
                return p->nr_replay ? "hints" : "lazy";
        case RESTORE_MMAP:
                return "mmap";
        case RESTORE_SHARED:
                return "shared";
        case RESTORE_EAGER:
                return "eager";
        }
        return "";
}

static int take(const struct plan_request *q, const struct plan_pieces *pieces, struct plan *p)
{
        int r = take_served(q, pieces, p);

        if (r >= 0)
                r = take_ranges(pieces, PLAN_MAP, &p->mapped, &p->nr_mapped);
        if (r >= 0 && q->mode == RESTORE_AUTO)
                r = take_ranges(pieces, PLAN_PREFILL, &p->prefill, &p->nr_prefill);
        if (r >= 0)
                r = plan_choose_populate(q, pieces, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < pieces->nr; i++)
                add_piece(p, &pieces->v[i]);
        move_joined_zeros(p);
        add_needs(q, pieces, p);
        p->nr_hints = q->hints->nr;
        p->cold = q->facts->cold;
        if (has_served_hint(p, pieces, q->hints)) {
                p->replay = TAKE_PTR(q->hints->v);
                p->nr_replay = q->hints->nr;
                q->hints->nr = 0;
        }
        snprintf(p->arm, sizeof(p->arm), "%s", arm_of(q, p));
        return 0;
}

int plan_make(const struct plan_request *q, struct plan *ret, struct err *e)
{
        struct plan_pieces pieces = {0};
        struct plan p = {0};
        int r = plan_choose(q, &pieces, e);

        if (r < 0)
                return r;
        r = plan_choose_prefill(q, &pieces);
        if (r >= 0)
                r = take(q, &pieces, &p);
        free(pieces.v);
        if (r < 0) {
                plan_free(&p);
                return err_set(e, r, "no memory for the plan of %llu pages", (unsigned long long)q->map->nr_pages);
        }
        *ret = p;
        return 0;
}

void plan_free(struct plan *p)
{
        free(p->served);
        free(p->mapped);
        free(p->prefill);
        free(p->replay);
        free(p->populate);
        *p = (struct plan){0};
}

bool plan_maps_source(const struct plan *p, const struct page_map *map, size_t source)
{
        for (size_t i = 0; i < p->nr_mapped; i++)
                if (page_map_find(map, p->mapped[i].first_page)->source == source)
                        return true;
        return false;
}
