/* core/model/mem_layout.c: windows are added in order, and addresses are translated through them. */
#include "core/model/mem_layout.h"

#include <errno.h>
#include <inttypes.h>

static int check_window(const struct mem_layout *l, gpa_t gpa, uint64_t size_bytes, struct err *e)
{
        const struct mem_window *last = l->nr ? &l->w[l->nr - 1] : NULL;

        if (l->nr == MEM_WINDOWS_MAX)
                return err_set(e, -EINVAL, "memory window at gpa %#" PRIx64 ": expected at most %d windows, found one more",
                               gpa, MEM_WINDOWS_MAX);
        if (!is_page_aligned(gpa) || !is_page_aligned(size_bytes) || !size_bytes)
                return err_set(e, -EINVAL, "memory window at gpa %#" PRIx64 ", %" PRIu64
                               " bytes: expected both in whole 4096-byte pages and a size above 0", gpa, size_bytes);
        if (size_bytes > UINT64_MAX - gpa)
                return err_set(e, -EINVAL,
                               "memory window at gpa %#" PRIx64 ": expected to end below 2^64, found %" PRIu64 " bytes",
                               gpa, size_bytes);
        if (!range_fits(l->total_bytes, size_bytes, pages_to_bytes(RAM_PAGES_MAX)))
                return err_set(e, -EINVAL,
                               "memory window at gpa %#" PRIx64 ": expected at most %" PRIu64 " pages of RAM in all, found %"
                               PRIu64 " more after %" PRIu64, gpa, RAM_PAGES_MAX, bytes_to_pages(size_bytes),
                               bytes_to_pages(l->total_bytes));
        if (last && gpa < last->gpa + last->size_bytes)
                return err_set(e, -EINVAL, "memory window %zu: expected a gpa of at least %#" PRIx64
                               ", where the last one ends, found %#" PRIx64, l->nr, last->gpa + last->size_bytes, gpa);
        return 0;
}

int mem_layout_add(struct mem_layout *l, gpa_t gpa, uint64_t size_bytes, struct err *e)
{
        int r = check_window(l, gpa, size_bytes, e);

        if (r < 0) {
                /* the only windows that are not right by construction are those read from a snapshot */
                if (e)
                        e->kind = ERR_SNAPSHOT;
                return r;
        }
        l->w[l->nr++] = (struct mem_window){
                .gpa              = gpa,
                .size_bytes       = size_bytes,
                .ram_offset_bytes = l->total_bytes,
        };
        l->total_bytes += size_bytes;
        return 0;
}

bool mem_layout_gpa_to_offset(const struct mem_layout *l, gpa_t gpa, uint64_t len_bytes, uint64_t *ret_offset_bytes)
{
        if (!len_bytes)
                return false;
        for (size_t i = 0; i < l->nr; i++) {
                const struct mem_window *w = &l->w[i];

                if (gpa >= w->gpa && range_fits(gpa - w->gpa, len_bytes, w->size_bytes)) {
                        *ret_offset_bytes = w->ram_offset_bytes + (gpa - w->gpa);
                        return true;
                }
        }
        return false;
}

uint8_t *mem_layout_gpa_to_hva(const struct mem_layout *l, gpa_t gpa, uint64_t len_bytes)
{
        uint64_t offset_bytes;

        if (!l->ram || !mem_layout_gpa_to_offset(l, gpa, len_bytes, &offset_bytes))
                return NULL;
        return l->ram + offset_bytes;
}

gpa_t mem_layout_offset_to_gpa(const struct mem_layout *l, uint64_t offset_bytes)
{
        size_t i = 0;

        while (i + 1 < l->nr && offset_bytes >= l->w[i + 1].ram_offset_bytes)
                i++;
        return l->w[i].gpa + (offset_bytes - l->w[i].ram_offset_bytes);
}
