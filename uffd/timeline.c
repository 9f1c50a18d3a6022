/* uffd/timeline.c: an array that only grows, until it is full. */
#include "uffd/timeline.h"

#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

static_assert(sizeof(struct pager_arrival) == 24, "there can be as many as pages");

/* Some 43000 entries: more than a guest's working set. First touches of fresh memory would be seen in what is logged. */
#define READY_BYTES MIB

static size_t bytes_of(const struct timeline *t)
{
        return t->cap * sizeof(*t->v);
}

int timeline_init(struct timeline *t, size_t cap)
{
        void *v;

        if (cap == 0 || cap > SIZE_MAX / sizeof(*t->v))
                return -ENOMEM;
        v = mmap(NULL, cap * sizeof(*t->v), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (v == MAP_FAILED)
                return -ENOMEM;
        *t = (struct timeline){ .v = v, .cap = cap };
        (void)madvise(v, MIN(bytes_of(t), (size_t)READY_BYTES), MADV_POPULATE_WRITE); /* it only saves time (Linux 5.14) */
        return 0;
}

void timeline_free(struct timeline *t)
{
        if (t->v)
                munmap(t->v, bytes_of(t));
        *t = (struct timeline){ 0 };
}

static bool goes_on(const struct pager_arrival *last, uint64_t ns, uint64_t first_page, enum fault_class why)
{
        return last->ns == ns && last->why == why && last->first_page + last->nr_pages == first_page;
}

void timeline_put(struct timeline *t, uint64_t ns, uint64_t first_page, uint64_t nr_pages, enum fault_class why)
{
        if (t->nr > 0 && goes_on(&t->v[t->nr - 1], ns, first_page, why))
                t->v[t->nr - 1].nr_pages += (uint32_t)nr_pages;
        else if (t->nr == t->cap)
                t->dropped_pages += nr_pages;
        else
                t->v[t->nr++] = (struct pager_arrival){ .ns = ns, .first_page = (uint32_t)first_page, .nr_pages = (uint32_t)nr_pages, .why = why };
}

size_t timeline_get(const struct timeline *t, const struct pager_arrival **ret, uint64_t *ret_dropped_pages)
{
        *ret = t->v;
        *ret_dropped_pages = t->dropped_pages;
        return t->nr;
}
