/* From events to first touches: host addresses become guest pages by the slots, and of several touches of a page the first one
 * counts. */
#include "tools/trace/touches.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 4096

static_assert(sizeof(struct trace_event) == 32 && sizeof(struct trace_slot) == 40, "as the BPF program was compiled");
static_assert(sizeof(struct trace_slot) != sizeof(struct trace_event), "records are told apart by their sizes");

static int add_slot(struct touches *t, const struct trace_slot *s)
{
        if (t->nr_slots == ARRAY_LEN(t->slots))
                return -ENOSPC;
        t->slots[t->nr_slots++] = (struct traced_slot){.first_gfn = s->slot.first_gfn, .nr_pages = s->slot.nr_pages, .hva = s->slot.hva};
        t->vm_tgid = s->tgid;
        return 0;
}

static int grow(struct touches *t)
{
        size_t cap = t->cap ? t->cap * 2 : FIRST_CAP;
        struct trace_event *v = reallocarray(t->v, cap, sizeof(*v));

        if (!v)
                return -ENOMEM;
        t->v = v;
        t->cap = cap;
        return 0;
}

int touches_add(void *arg, const void *data, size_t size)
{
        struct touches *t = arg;

        if (size == sizeof(struct trace_slot))
                return add_slot(t, data);
        if (t->nr == t->cap && grow(t) < 0)
                return -ENOMEM;
        memcpy(&t->v[t->nr++], data, sizeof(*t->v));
        return 0;
}

void touches_free(struct touches *t)
{
        free(t->v);
        t->v = NULL;
        t->nr = t->cap = 0;
}

void first_touches_free(struct first_touches *t)
{
        free(t->v);
        t->v = NULL;
}

/* The newest slot that has it: where one was moved, the older one is gone. */
static bool find_slot(const struct touches *t, uint64_t host_page, uint64_t *ret_gfn)
{
        for (size_t i = t->nr_slots; i-- > 0;) {
                const struct traced_slot *s = &t->slots[i];
                uint64_t first = bytes_to_pages(s->hva);

                if (host_page >= first && host_page - first < s->nr_pages) {
                        *ret_gfn = s->first_gfn + (host_page - first);
                        return true;
                }
        }
        return false;
}

bool touches_find_hva(const struct touches *t, uint64_t gfn, uint64_t *ret_hva)
{
        for (size_t i = t->nr_slots; i-- > 0;) {
                const struct traced_slot *s = &t->slots[i];

                if (gfn >= s->first_gfn && gfn - s->first_gfn < s->nr_pages) {
                        *ret_hva = s->hva + pages_to_bytes(gfn - s->first_gfn);
                        return true;
                }
        }
        return false;
}

static uint32_t kind_of(const struct trace_event *e)
{
        return e->kind & 0xff;
}

static int by_page_then_time(const void *a, const void *b)
{
        const struct first_touch *x = a, *y = b;

        if (x->gfn != y->gfn)
                return x->gfn < y->gfn ? -1 : 1;
        return x->ns < y->ns ? -1 : x->ns > y->ns;
}

static int by_time_then_page(const void *a, const void *b)
{
        const struct first_touch *x = a, *y = b;

        if (x->ns != y->ns)
                return x->ns < y->ns ? -1 : 1;
        return x->gfn < y->gfn ? -1 : x->gfn > y->gfn;
}

/* Of each page the first touch stays, and knows of those that followed. */
static void merge_same_pages(struct first_touches *t)
{
        size_t kept = 0;

        qsort(t->v, t->nr, sizeof(*t->v), by_page_then_time);
        for (size_t i = 0; i < t->nr; i++) {
                if (kept > 0 && t->v[kept - 1].gfn == t->v[i].gfn)
                        t->v[kept - 1].written |= t->v[i].written;
                else
                        t->v[kept++] = t->v[i];
        }
        t->nr = kept;
}

/* Is it a touch of guest memory, and of which page? */
static bool to_guest_page(const struct touches *t, const struct trace_event *e, uint64_t vm_mm, uint64_t first_ns,
                          uint64_t *ret_gfn, uint64_t *filled)
{
        if (kind_of(e) == TRACE_GUEST) {
                *ret_gfn = e->page;
                return true;
        }
        if (kind_of(e) != TRACE_HOST || e->mm != vm_mm || !find_slot(t, e->page, ret_gfn))
                return false;
        /* A process that writes to guest memory before the guest runs brings in what was saved, or a kernel. What the guest needs
         * of it, it asks for itself. */
        if (e->ns < first_ns && e->kind & TRACE_WRITE) {
                ++*filled;
                return false;
        }
        return true;
}

int touches_resolve(const struct touches *t, uint64_t vm_mm, uint64_t first_ns, struct first_touches *ret, struct err *e)
{
        _cleanup_(first_touches_free) struct first_touches r = {.v = calloc(t->nr + 1, sizeof(*r.v))};

        if (!r.v)
                return err_set(e, -ENOMEM, "no memory for %zu touches", t->nr);
        for (size_t i = 0; i < t->nr; i++) {
                const struct trace_event *x = &t->v[i];
                bool write = x->kind & TRACE_WRITE;
                uint64_t gfn;

                if (to_guest_page(t, x, vm_mm, first_ns, &gfn, &r.filled))
                        r.v[r.nr++] = (struct first_touch){.gfn = gfn, .ns = x->ns, .write = write, .written = write, .large = x->kind & TRACE_LARGE};
        }
        merge_same_pages(&r);
        qsort(r.v, r.nr, sizeof(*r.v), by_time_then_page);
        for (size_t i = 0; i < r.nr; i++)
                r.large += r.v[i].large;
        *ret = r;
        r.v = NULL;
        return 0;
}
