/* uffd/backing.c: the table, and the kinds that have no template. */
#include "uffd/backing.h"

#include "core/base/uapi.h"
#include "core/base/units.h"
#include "uffd/shared.h"
#include "uffd/uffd.h"

static uint8_t *hva_of(const struct installer *in, uint64_t page)
{
        return in->ram + pages_to_bytes(page);
}

static int copy(const struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_bytes)
{
        return uffd_copy(in->uffd, hva_of(in, first_page), src, pages_to_bytes(nr_pages), true, ret_done_bytes);
}

static int zero(const struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_bytes)
{
        return uffd_zeropage(in->uffd, hva_of(in, first_page), pages_to_bytes(nr_pages), true, ret_done_bytes);
}

/* in->zeros was never written: the kernel reads its own page of zeros 512 times. */
static int zero_huge(const struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_bytes)
{
        (void)nr_pages;
        return uffd_copy(in->uffd, hva_of(in, first_page), in->zeros, HUGE_PAGE_BYTES, true, ret_done_bytes);
}

#define MISSING UFFDIO_REGISTER_MODE_MISSING
#define MINOR   UFFDIO_REGISTER_MODE_MINOR
#define HUGE    (HUGE_PAGE_BYTES / PAGE_BYTES)

static const struct backing_ops ops_anonymous = { 0, MISSING, 1, true, copy, zero };
static const struct backing_ops ops_memfd = { UFFD_FEATURE_MISSING_SHMEM, MISSING, 1, false, copy, zero };
static const struct backing_ops ops_shared = { UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM, MISSING | MINOR, 1, false, shared_copy, zero };
static const struct backing_ops ops_huge = { UFFD_FEATURE_MISSING_HUGETLBFS, MISSING, HUGE, false, copy, zero_huge };
static const struct backing_ops ops_huge_shared = { UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MINOR_HUGETLBFS, MISSING | MINOR, HUGE, false,
                                                    shared_copy, zero_huge };

const struct backing_ops *backing_find(bool anonymous, bool shared, bool huge)
{
        if (huge)
                return shared ? &ops_huge_shared : &ops_huge;
        return shared ? &ops_shared : anonymous ? &ops_anonymous : &ops_memfd;
}
