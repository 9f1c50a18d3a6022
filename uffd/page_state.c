/* uffd/page_state.c: the table of allowed moves, and where each state is kept: most pages need two bits. */
#include "uffd/page_state.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

/* The two bits of a page. */
enum { CORE_ABSENT, CORE_INSTALLED, CORE_REMOVED, CORE_OTHER };

#define WORD_PAGES 32
#define LOW_BITS   UINT64_C(0x5555555555555555)

/* A busy page; its state is absent only while it is demanded or marked. */
#define BUSY_STATE_MASK 0x03
#define BUSY_KEPT       0x04
#define BUSY_DEMANDED   0x08
#define BUSY_MARKED     0x10

/* bits of a loss:  7    6        5        4 3 2 1 0
 *                  lost poisoned demanded reason */
#define LOSS_LOST     0x80
#define LOSS_POISONED 0x40
#define LOSS_DEMANDED 0x20
#define LOSS_REASON   0x1f

static_assert(PAGE_READING <= BUSY_STATE_MASK, "the states of busy pages fit in two bits");

#define TO(state) (1 << PAGE_##state)

static const uint8_t allowed[PAGE_STATES] = {
        [PAGE_ABSENT]    = TO(WANTED) | TO(READING) | TO(INSTALLED) | TO(REMOVED) | TO(LOST),
        [PAGE_WANTED]    = TO(READING) | TO(INSTALLED) | TO(REMOVED) | TO(LOST),
        [PAGE_READING]   = TO(INSTALLED) | TO(REMOVED) | TO(LOST),
        [PAGE_INSTALLED] = TO(REMOVED),
        [PAGE_REMOVED]   = 0,
        [PAGE_LOST]      = TO(POISONED) | TO(REMOVED),
        [PAGE_POISONED]  = TO(REMOVED),
};

/* What is not here is told as the first. */
static const int reasons[] = { -EIO, -ENODATA, -EBADMSG, -ETIMEDOUT, -ENOMEM, -ENOENT, -ESTALE, -ENXIO, -ENOSPC };

static_assert(ARRAY_LEN(reasons) <= LOSS_REASON + 1, "a reason fits in its bits");

static uint64_t words_bytes(uint64_t nr_pages)
{
        return (nr_pages / WORD_PAGES + 1) * sizeof(uint64_t);
}

static void *map_lazily(uint64_t bytes)
{
        void *v = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        return v == MAP_FAILED ? NULL : v;
}

int page_states_init(struct page_states *s, uint64_t nr_pages)
{
        struct page_states made = { .nr_pages = nr_pages, .count[PAGE_ABSENT] = nr_pages };
        int                r = busy_pages_init(&made.busy, nr_pages);

        made.words = map_lazily(words_bytes(nr_pages));
        made.losses = map_lazily(nr_pages + 1);
        if (r < 0 || !made.words || !made.losses) {
                page_states_free(&made);
                return -ENOMEM;
        }
        *s = made;
        return 0;
}

void page_states_free(struct page_states *s)
{
        if (s->words)
                munmap((void *)s->words, words_bytes(s->nr_pages));
        if (s->losses)
                munmap((void *)s->losses, s->nr_pages + 1);
        busy_pages_free(&s->busy);
        *s = (struct page_states){ 0 };
}

/* Relaxed everywhere: one thread writes; another one reads only whether a page is lost, of which its byte of losses tells all. */
static uint64_t load_word(const struct page_states *s, uint64_t page)
{
        return atomic_load_explicit(&s->words[page / WORD_PAGES], memory_order_relaxed);
}

static unsigned int shift_of(uint64_t page)
{
        return 2 * (unsigned int)(page % WORD_PAGES);
}

static unsigned int get_core(const struct page_states *s, uint64_t page)
{
        return load_word(s, page) >> shift_of(page) & 3;
}

static void set_core(struct page_states *s, uint64_t page, uint64_t core)
{
        uint64_t w = load_word(s, page) & ~(UINT64_C(3) << shift_of(page));

        atomic_store_explicit(&s->words[page / WORD_PAGES], w | core << shift_of(page), memory_order_relaxed);
}

static uint8_t get_loss(const struct page_states *s, uint64_t page)
{
        return atomic_load_explicit(&s->losses[page], memory_order_relaxed);
}

static void set_loss(struct page_states *s, uint64_t page, unsigned int loss)
{
        atomic_store_explicit(&s->losses[page], (uint8_t)loss, memory_order_relaxed);
}

/* 0 where the page is not busy. The table is asked only where the two bits send there. */
static unsigned int get_busy(const struct page_states *s, uint64_t page)
{
        return get_core(s, page) == CORE_OTHER ? busy_pages_get(&s->busy, page) : 0;
}

/* False: no room. */
static bool set_busy(struct page_states *s, uint64_t page, unsigned int bits)
{
        if (!busy_pages_set(&s->busy, page, (uint8_t)(bits | BUSY_KEPT)))
                return false;
        set_core(s, page, CORE_OTHER);
        return true;
}

static void end_busy(struct page_states *s, uint64_t page, unsigned int bits)
{
        if (!bits)
                return;
        busy_pages_set(&s->busy, page, 0);
        if (bits & BUSY_MARKED)
                s->nr_marked--;
}

enum page_state page_state_get(const struct page_states *s, uint64_t page)
{
        unsigned int bits;

        switch (get_core(s, page)) {
        case CORE_ABSENT:
                return PAGE_ABSENT;
        case CORE_INSTALLED:
                return PAGE_INSTALLED;
        case CORE_REMOVED:
                return PAGE_REMOVED;
        }
        bits = busy_pages_get(&s->busy, page);
        if (bits)
                return bits & BUSY_STATE_MASK;
        return get_loss(s, page) & LOSS_POISONED ? PAGE_POISONED : PAGE_LOST;
}

/* reason: of a page that is lost */
static bool move(struct page_states *s, uint64_t page, enum page_state to, unsigned int reason)
{
        enum page_state from = page_state_get(s, page);
        unsigned int    busy = get_busy(s, page);

        if (!(allowed[from] & 1 << to))
                return false;
        switch (to) {
        case PAGE_WANTED:
        case PAGE_READING:
                if (!set_busy(s, page, (busy & ~BUSY_STATE_MASK) | to))
                        return false;
                break;
        case PAGE_LOST: /* the byte first: another thread may read the bits at any time */
                set_loss(s, page, LOSS_LOST | (busy & BUSY_DEMANDED ? LOSS_DEMANDED : 0) | reason);
                end_busy(s, page, busy);
                set_core(s, page, CORE_OTHER);
                break;
        case PAGE_POISONED:
                set_loss(s, page, get_loss(s, page) | LOSS_POISONED);
                break;
        default:
                end_busy(s, page, busy);
                set_core(s, page, to == PAGE_INSTALLED ? CORE_INSTALLED : CORE_REMOVED);
                break;
        }
        s->count[from]--;
        s->count[to]++;
        return true;
}

bool page_state_move(struct page_states *s, uint64_t page, enum page_state to)
{
        return move(s, page, to, 0);
}

bool page_state_lose(struct page_states *s, uint64_t page, int error)
{
        unsigned int i = 0;

        while (i < ARRAY_LEN(reasons) && reasons[i] != error)
                i++;
        return move(s, page, PAGE_LOST, i < ARRAY_LEN(reasons) ? i : 0);
}

bool page_states_have_room(const struct page_states *s, uint64_t nr)
{
        return nr <= s->busy.nr_max - s->busy.nr;
}

/* The bits of `bits` for nr pages from page on, all within one word. */
static uint64_t spread(uint64_t bits, uint64_t page, uint64_t nr)
{
        uint64_t all = nr < WORD_PAGES ? (UINT64_C(1) << 2 * nr) - 1 : UINT64_MAX;

        return (bits & all) << shift_of(page);
}

void page_states_install_absent(struct page_states *s, uint64_t first_page, uint64_t nr_pages)
{
        uint64_t end = first_page + nr_pages;

        for (uint64_t page = first_page, nr; page < end; page += nr) {
                nr = MIN(WORD_PAGES - page % WORD_PAGES, end - page);
                atomic_store_explicit(&s->words[page / WORD_PAGES],
                                      load_word(s, page) | spread(LOW_BITS * CORE_INSTALLED, page, nr), memory_order_relaxed);
        }
        s->count[PAGE_ABSENT] -= nr_pages;
        s->count[PAGE_INSTALLED] += nr_pages;
}

/* The first page from `page` on whose lower bit is set in what `flags` makes of the words. */
static uint64_t next_flagged(const struct page_states *s, uint64_t page, uint64_t end, uint64_t (*flags)(uint64_t word))
{
        while (page < end) {
                uint64_t w = flags(load_word(s, page)) >> shift_of(page);

                if (w)
                        return MIN(page + (uint64_t)__builtin_ctzll(w) / 2, end);
                page = (page / WORD_PAGES + 1) * WORD_PAGES;
        }
        return end;
}

static uint64_t flag_absent(uint64_t w)
{
        return ~(w | w >> 1) & LOW_BITS;
}

static uint64_t flag_not_absent(uint64_t w)
{
        return (w | w >> 1) & LOW_BITS;
}

uint64_t page_states_next_absent(const struct page_states *s, uint64_t page, uint64_t end)
{
        return next_flagged(s, page, end, flag_absent);
}

uint64_t page_states_end_of_absent(const struct page_states *s, uint64_t page, uint64_t end)
{
        return next_flagged(s, page, end, flag_not_absent);
}

uint32_t page_states_near(const struct page_states *s, uint64_t page, uint32_t nr)
{
        uint64_t first = page & ~(uint64_t)(nr - 1), w = load_word(s, page);

        return (uint32_t)__builtin_popcountll(w & ~(w >> 1) & spread(LOW_BITS, first, nr));
}

void page_state_demand(struct page_states *s, uint64_t page)
{
        enum page_state st = page_state_get(s, page);

        if (page_state_is_open(st))
                (void)set_busy(s, page, get_busy(s, page) | BUSY_DEMANDED | st);
        else if (st == PAGE_LOST || st == PAGE_POISONED)
                set_loss(s, page, get_loss(s, page) | LOSS_DEMANDED);
}

void page_state_mark(struct page_states *s, uint64_t page)
{
        unsigned int    bits = get_busy(s, page);
        enum page_state st = page_state_get(s, page);

        if ((bits & BUSY_MARKED) || !page_state_is_open(st))
                return;
        if (set_busy(s, page, bits | BUSY_MARKED | st))
                s->nr_marked++;
}

bool page_state_demanded(const struct page_states *s, uint64_t page)
{
        unsigned int bits = get_busy(s, page);
        struct page_loss loss;

        return bits & BUSY_DEMANDED || (!bits && page_state_find_loss(s, page, &loss) && loss.demanded);
}

bool page_state_find_loss(const struct page_states *s, uint64_t page, struct page_loss *ret)
{
        uint8_t loss = get_core(s, page) == CORE_OTHER ? get_loss(s, page) : 0;

        if (!loss)
                return false;
        if (ret)
                *ret = (struct page_loss){ .error = reasons[loss & LOSS_REASON], .demanded = loss & LOSS_DEMANDED, .poisoned = loss & LOSS_POISONED };
        return true;
}

bool page_state_is_unfetched(const struct page_states *s, uint64_t page)
{
        unsigned int core = get_core(s, page);

        return core == CORE_ABSENT || (core == CORE_OTHER && !get_loss(s, page));
}
