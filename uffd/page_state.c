/* uffd/page_state.c: the table of allowed moves, and one byte per page that says where it stands. */
#include "uffd/page_state.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

/* bits of a page's byte:  7 6 5   4        3        2 1 0
 *                         error   marked   demanded state   */
#define STATE_MASK  0x07
#define DEMANDED    0x08
#define MARKED      0x10
#define ERROR_SHIFT 5

static_assert(PAGE_STATES <= STATE_MASK + 1, "a state fits in three bits");

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

/* Three bits' worth of reasons; what is not here is told as the first. */
static const int reasons[] = { -EIO, -ENODATA, -EBADMSG, -ETIMEDOUT, -ENOMEM, -ENOENT, -ESTALE, -ENXIO };

static_assert(ARRAY_LEN(reasons) <= 8, "a reason fits in three bits");

int page_states_init(struct page_states *s, uint64_t nr_pages)
{
        void *v = mmap(NULL, nr_pages ? nr_pages : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (v == MAP_FAILED)
                return -ENOMEM;
        *s = (struct page_states){ .nr_pages = nr_pages, .v = v, .count[PAGE_ABSENT] = nr_pages };
        return 0;
}

void page_states_free(struct page_states *s)
{
        if (s->v)
                munmap((void *)s->v, s->nr_pages ? s->nr_pages : 1);
        *s = (struct page_states){ 0 };
}

/* Relaxed on both sides: all that is known of a page is in its one byte, and a reader on another thread takes nothing else from it. */
static uint8_t load(const struct page_states *s, uint64_t page)
{
        return atomic_load_explicit(&s->v[page], memory_order_relaxed);
}

static void store(struct page_states *s, uint64_t page, unsigned int bits)
{
        atomic_store_explicit(&s->v[page], (uint8_t)bits, memory_order_relaxed);
}

static bool move(struct page_states *s, uint64_t page, enum page_state to, unsigned int error_bits)
{
        unsigned int    bits = load(s, page);
        enum page_state from = bits & STATE_MASK;

        if (!(allowed[from] & 1 << to))
                return false;
        bits = (bits & ~STATE_MASK) | to | error_bits;
        if ((bits & MARKED) && !page_state_is_open(to)) {
                bits &= ~MARKED;
                s->nr_marked--;
        }
        s->count[from]--;
        s->count[to]++;
        store(s, page, bits);
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
        return move(s, page, PAGE_LOST, (i < ARRAY_LEN(reasons) ? i : 0) << ERROR_SHIFT);
}

void page_state_demand(struct page_states *s, uint64_t page)
{
        store(s, page, load(s, page) | DEMANDED);
}

void page_state_mark(struct page_states *s, uint64_t page)
{
        unsigned int bits = load(s, page);

        if ((bits & MARKED) || !page_state_is_open(bits & STATE_MASK))
                return;
        store(s, page, bits | MARKED);
        s->nr_marked++;
}

enum page_state page_state_get(const struct page_states *s, uint64_t page)
{
        return load(s, page) & STATE_MASK;
}

bool page_state_demanded(const struct page_states *s, uint64_t page)
{
        return load(s, page) & DEMANDED;
}

int page_state_error(const struct page_states *s, uint64_t page)
{
        return reasons[load(s, page) >> ERROR_SHIFT];
}
