/* uffd/deliver.c: from bytes that have come to pages that are installed, or lost. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"
#include "core/base/is_zero.h"
#include "uffd/backing.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

enum verdict pager_judge(struct pager *p, const struct page_run *run, uint64_t page, const uint8_t *bytes)
{
        const struct page_map *map = p->c.map;
        bool                   checked = p->c.verify && run_sums(map, run); /* a run of a parent may have no sums */
        uint64_t               sum;

        if (checked && (!page_sums_get(&p->sums, run, page - run->first_page, &sum) || XXH3_64bits(bytes, PAGE_BYTES) != sum))
                return VERDICT_BAD;
        return !map->zeros_known && is_zero(bytes, PAGE_BYTES) ? VERDICT_ZERO : VERDICT_DATA;
}

static bool is_open(const struct pager *p, uint64_t page)
{
        return page_state_is_open(page_state_get(&p->states, page));
}

/* Pages are there and their waiters awake. */
static void settle(struct pager *p, uint64_t first_page, uint64_t nr_pages, enum verdict v, enum fault_class why)
{
        uint64_t ns;

        if (nr_pages == 0)
                return;
        ns = timeline_now(&p->timeline);
        for (uint64_t page = first_page; page < first_page + nr_pages; page++) {
                enum fault_class c = v == VERDICT_ZERO ? FAULT_ZERO : page_state_demanded(&p->states, page) ? FAULT_DEMAND : why;

                page_state_move(&p->states, page, PAGE_INSTALLED);
                count(&p->n.faults[c], 1);
                timeline_add(&p->timeline, ns, page, 1, c);
        }
        pager_publish_resident(p);
        if (v == VERDICT_DATA)
                count(&p->n.installed_bytes, pages_to_bytes(nr_pages));
        if (p->demand.nr > 0)
                count(&p->n.stall_ns, demand_take(&p->demand, first_page, nr_pages, now_ns()));
}

void pager_settle(struct pager *p, uint64_t first_page, uint64_t nr_pages, enum fault_class why)
{
        settle(p, first_page, nr_pages, VERDICT_DATA, why);
}

static uint64_t count_bits(const uint64_t *bits, uint64_t nr)
{
        uint64_t n = 0;

        for (uint64_t i = 0; i < nr; i += 64)
                n += (uint64_t)__builtin_popcountll(nr - i < 64 ? bits[i / 64] & ((1ULL << (nr - i)) - 1) : bits[i / 64]);
        return n;
}

void pager_settle_moved(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint64_t *zeros, enum fault_class why)
{
        uint64_t ns = timeline_now(&p->timeline), nr_zeros = count_bits(zeros, nr_pages);

        page_states_install_absent(&p->states, first_page, nr_pages);
        for (uint64_t i = 0; i < nr_pages && timeline_is_on(&p->timeline); i++)
                timeline_add(&p->timeline, ns, first_page + i, 1, zeros[i / 64] >> (i % 64) & 1 ? FAULT_ZERO : why);
        count(&p->n.faults[why], nr_pages - nr_zeros);
        count(&p->n.faults[FAULT_ZERO], nr_zeros);
        count(&p->n.installed_bytes, pages_to_bytes(nr_pages - nr_zeros));
        count(&p->n.moved_bytes, pages_to_bytes(nr_pages));
        pager_publish_resident(p);
}

/* Installs neighbours with one verdict. How many were dealt with: fewer than nr_pages when the states must be looked at again. */
static uint64_t put(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes, enum verdict v,
                    enum fault_class why)
{
        uint64_t done;
        int      r;

        if (v == VERDICT_BAD) {
                pager_lose(p, first_page, -EBADMSG);
                return 1;
        }
        if (p->granules.memory)
                return pager_put_in_granule(p, first_page, nr_pages, v == VERDICT_DATA ? bytes : NULL);
        if (v == VERDICT_DATA)
                r = install_copy(&p->in, first_page, bytes, nr_pages, &done);
        else
                r = install_zero(&p->in, first_page, nr_pages, &done);
        settle(p, first_page, done, v, why);
        if (r == -EAGAIN) {
                pager_hold_up(p);
        } else if (r == -ESRCH) {
                p->failed = r;
        } else if (r < 0) {
                pager_lose(p, first_page + done, r);
                done++;
        }
        return done;
}

/* How many neighbours from `page` on are open and have the verdict of the first. */
static uint64_t same_verdict(const struct pager *p, uint64_t page, uint64_t max_pages, const uint8_t *verdicts)
{
        uint64_t n = 1;

        while (n < max_pages && verdicts[n] == verdicts[0] && is_open(p, page + n))
                n++;
        return n;
}

static void put_all(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes, enum fault_class why)
{
        for (uint64_t i = 0; i < nr_pages && !pager_must_end(p);) {
                uint64_t n;

                if (!is_open(p, first_page + i)) {
                        i++;
                        continue;
                }
                n = same_verdict(p, first_page + i, nr_pages - i, &p->verdicts[i]);
                i += put(p, first_page + i, n, bytes ? bytes + pages_to_bytes(i) : NULL, p->verdicts[i], why);
        }
}

void pager_deliver(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes, enum fault_class why)
{
        const struct page_run *run = page_map_find(p->c.map, first_page);

        for (uint64_t i = 0; i < nr_pages; i++)
                p->verdicts[i] = pager_judge(p, run, first_page + i, bytes + pages_to_bytes(i));
        put_all(p, first_page, nr_pages, bytes, why);
}

void pager_deliver_checked(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes, enum fault_class why)
{
        for (uint64_t done = 0, nr; done < nr_pages; done += nr) {
                nr = MIN(nr_pages - done, (uint64_t)ARRAY_LEN(p->verdicts));
                memset(p->verdicts, VERDICT_DATA, nr);
                put_all(p, first_page + done, nr, bytes + pages_to_bytes(done), why);
        }
}

void pager_deliver_zeros(struct pager *p, uint64_t first_page, uint64_t nr_pages)
{
        for (uint64_t i = 0; i < nr_pages; i++)
                p->verdicts[i] = VERDICT_ZERO;
        put_all(p, first_page, nr_pages, NULL, FAULT_ZERO);
}

bool pager_describe_lost(const struct pager *p, uint64_t page, struct pager_lost *ret)
{
        const struct page_run *run = page_map_find(p->c.map, page);
        struct page_loss       loss;

        if (!run || !page_state_find_loss(&p->states, page, &loss))
                return false;
        *ret = (struct pager_lost){
                .page              = page,
                .source            = run->kind != RUN_ZERO ? p->c.map->sources[run->source].name : "zeros",
                .file_offset_bytes = run->kind == RUN_RAW ? run_offset_bytes(run, page) : 0,
                .chunk             = PAGER_NO_CHUNK,
                .error             = loss.error,
                .demanded          = loss.demanded,
                .poisoned          = loss.poisoned,
        };
        if (run->kind == RUN_PACKED) {
                const struct page_chunk *c = page_map_find_chunk(p->c.map, run, page).chunk;

                ret->chunk = (uint64_t)(c - p->c.map->chunks);
                ret->chunk_bytes = c->packed_bytes;
                ret->file_offset_bytes = c->file_offset_bytes;
        }
        return true;
}

static bool tell_lost(const struct pager *p, uint64_t page)
{
        struct pager_lost lost;

        return p->c.events.lost && pager_describe_lost(p, page, &lost) && p->c.events.lost(p->c.events.arg, &lost);
}

int pager_let_go(struct pager *p, uint64_t page, bool with_poison)
{
        uint64_t done;
        int      r = -EAGAIN;

        while (r == -EAGAIN && page_state_get(&p->states, page) == PAGE_LOST && !pager_must_end(p)) {
                r = with_poison ? install_poison(&p->in, page) : install_zero(&p->in, page, 1, &done);
                if (r == -EAGAIN)
                        pager_hold_up(p);
        }
        return r;
}

void pager_note_poisoned(struct pager *p, uint64_t page)
{
        uint64_t unit = p->in.ops->unit_pages;

        for (uint64_t i = page / unit * unit; i < page / unit * unit + unit; i++)
                page_state_move(&p->states, i, PAGE_POISONED);
}

/* Lost comes before poisoned, and told before both: whoever gets the SIGBUS finds the reason with pager_find_lost. Only what is
 * demanded is poisoned: KVM walks the guest's page tables by __get_user, where poison shows as a fault of the guest's and not as
 * a SIGBUS, so the session must have ended the VM before. */
void pager_answer_lost(struct pager *p, uint64_t page)
{
        bool unseen = tell_lost(p, page);

        if (p->c.caps->uffd_poison && pager_let_go(p, page, true) == 0)
                pager_note_poisoned(p, page);
        else if (unseen)
                (void)pager_let_go(p, page, false); /* it stays lost by name */
        if (page_state_get(&p->states, page) != PAGE_REMOVED) /* given back meanwhile: its waiters get zeros as such */
                count(&p->n.stall_ns, demand_take(&p->demand, page, 1, now_ns()));
}

void pager_lose(struct pager *p, uint64_t page, int error)
{
        uint64_t asked = page;

        if (!page_state_lose(&p->states, page, error))
                return;
        count(&p->n.lost_pages, 1);
        if (p->granules.memory) { /* who waits, waits for the first of its pages; what is told first is the one that is bad */
                asked = granule_of(page);
                pager_lose_granule(p, page, error);
        }
        if (asked != page || !page_state_demanded(&p->states, page))
                (void)tell_lost(p, page);
        if (page_state_demanded(&p->states, asked))
                pager_answer_lost(p, asked);
}
