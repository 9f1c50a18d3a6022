/* uffd/record.c: an array that only grows, so that it can be read while it is written. */
#include "uffd/record.h"

#include "core/base/uapi.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static_assert(sizeof(struct pager_touch) == 16, "there can be as many as pages");

int record_init(struct record *r, size_t cap_pages)
{
        size_t cap = cap_pages ? cap_pages : 1;
        void  *v;

        if (cap > SIZE_MAX / sizeof(*r->touches))
                return -ENOMEM;
        v = mmap(NULL, cap * sizeof(*r->touches), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (v == MAP_FAILED)
                return -ENOMEM;
        r->cap = cap;
        r->touches = v;
        atomic_init(&r->nr, 0);
        atomic_init(&r->on, true);
        return 0;
}

void record_free(struct record *r)
{
        if (r->touches)
                munmap(r->touches, r->cap * sizeof(*r->touches));
        r->touches = NULL;
}

void record_add(struct record *r, const struct pager_touch *t)
{
        size_t nr = atomic_load_explicit(&r->nr, memory_order_relaxed); /* only this thread writes it */

        if (!record_is_on(r) || nr == r->cap)
                return;
        r->touches[nr] = *t;
        atomic_store_explicit(&r->nr, nr + 1, memory_order_release); /* pairs with record_get: the touch is there first */
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

size_t record_get(const struct record *r, const struct pager_touch **ret)
{
        *ret = r->touches;
        return atomic_load_explicit(&r->nr, memory_order_acquire); /* pairs with record_add */
}

/* A fault that KVM handed to one of its kernel workers (kvm_can_do_async_pf, virt/kvm/async_pf.c) always asks to write, whatever
 * the guest did. Such a worker is no thread of ours: tgkill with signal 0 only asks. */
enum pager_touch_kind record_kind(uint64_t flags, uint32_t thread)
{
        if (!(flags & UFFD_PAGEFAULT_FLAG_WRITE))
                return PAGER_TOUCH_READ;
        return syscall(SYS_tgkill, getpid(), thread, 0) == 0 ? PAGER_TOUCH_WRITE : PAGER_TOUCH_UNSURE;
}
