/* uffd/record.c: an array that only grows, so that it can be read while it is written. */
#include "uffd/record.h"

#include <errno.h>
#include <sys/mman.h>

int record_init(struct record *r, size_t cap_pages)
{
        size_t cap = cap_pages ? cap_pages : 1;
        void  *v;

        if (cap > SIZE_MAX / sizeof(*r->pages))
                return -ENOMEM;
        v = mmap(NULL, cap * sizeof(*r->pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (v == MAP_FAILED)
                return -ENOMEM;
        r->cap = cap;
        r->pages = v;
        atomic_init(&r->nr, 0);
        atomic_init(&r->on, true);
        return 0;
}

void record_free(struct record *r)
{
        if (r->pages)
                munmap(r->pages, r->cap * sizeof(*r->pages));
        r->pages = NULL;
}

void record_add(struct record *r, uint64_t page)
{
        size_t nr = atomic_load_explicit(&r->nr, memory_order_relaxed); /* only this thread writes it */

        if (!record_is_on(r) || nr == r->cap)
                return;
        r->pages[nr] = page;
        atomic_store_explicit(&r->nr, nr + 1, memory_order_release); /* pairs with record_get: the page is there first */
}

/* Relaxed: a touch that comes at the moment of the end may be in the record or not. */
bool record_is_on(const struct record *r)
{
        return atomic_load_explicit(&r->on, memory_order_relaxed);
}

void record_end(struct record *r)
{
        atomic_store_explicit(&r->on, false, memory_order_relaxed);
}

size_t record_get(const struct record *r, const uint64_t **ret_pages)
{
        *ret_pages = r->pages;
        return atomic_load_explicit(&r->nr, memory_order_acquire); /* pairs with record_add */
}
