/* formats/stratovirt_memory.c: the memory file: its header, RAM in the one map that a microVM has, and where its pages are. */
#include "core/base/cleanup.h"
#include "formats/stratovirt.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

int sv_windows_check(uint64_t offset_bytes, struct sv_window *found, size_t nr, const struct mem_layout *l, struct err *e)
{
        if (nr != l->nr)
                return err_bad(e, SV_MEMORY, offset_bytes, "expected %zu memory windows for %" PRIu64 " bytes of RAM, "
                               "found %zu" SV_DAMAGED, l->nr, l->total_bytes, nr);
        /* newest first in the file */
        if (nr == 2 && found[0].gpa > found[1].gpa) {
                struct sv_window first = found[1];

                found[1] = found[0];
                found[0] = first;
        }
        for (size_t i = 0; i < nr; i++) {
                const struct mem_window *w = &l->w[i];

                if (found[i].gpa != w->gpa || found[i].size_bytes != w->size_bytes ||
                    found[i].ram_offset_bytes != w->ram_offset_bytes)
                        return err_bad(e, SV_MEMORY, offset_bytes, "memory window %zu: expected gpa %#" PRIx64 ", %" PRIu64
                                       " bytes, RAM offset %#" PRIx64 ", found gpa %#" PRIx64 ", %" PRIu64 " bytes, RAM offset "
                                       "%#" PRIx64 SV_DAMAGED, i, w->gpa, w->size_bytes, w->ram_offset_bytes, found[i].gpa,
                                       found[i].size_bytes, found[i].ram_offset_bytes);
        }
        return 0;
}

static int read_header(const struct part *p, const struct sv_header *state, struct err *e)
{
        uint8_t          page[SV_HEADER_BYTES];
        struct sv_header h;
        int              r = part_read(p, SV_MEMORY, "the header", 0, page, sizeof(page), e);

        r = r < 0 ? r : sv_header_read(SV_MEMORY, page, "MemoryFull", &h, e);
        if (r < 0)
                return r;
        if (strcmp(h.vendor, state->vendor))
                return err_bad(e, SV_MEMORY, 8, "cpu_model: expected \"%s\" as in state, found \"%s\"; the two files are not of "
                               "one snapshot",
                               state->vendor, h.vendor);
        return 0;
}

/* Raw over all of RAM: its zero pages are stored as bytes, and nobody has looked at them yet. */
static int map_pages(struct part *p, uint64_t data_bytes, uint64_t total_bytes, struct page_map *ret, struct err *e)
{
        _cleanup_(page_map_free) struct page_map m;
        int                                      r;

        page_map_init(&m, bytes_to_pages(total_bytes));
        r = page_map_add_source(&m, TAKE_FD(p->fd), p->size_bytes, SV_MEMORY);
        if (r >= 0) {
                struct page_run run = { .nr_pages = m.nr_pages, .kind = RUN_RAW, .source = (uint32_t)r,
                .file_offset_bytes = data_bytes };

                r = page_map_append(&m, &run);
        }
        if (r < 0)
                return err_set(e, r, "no memory for the page map");
        r = page_map_check(&m, e);
        if (r < 0)
                return r;
        *ret = m;
        m = (struct page_map){ 0 };
        return 0;
}

int sv_memory_read(struct part *p, const struct sv_generation *g, const struct sv_header *state, struct mem_layout *ret_layout,
                   struct page_map *ret_pages, struct err *e)
{
        struct sv_ram ram;
        int           r = read_header(p, state, e);

        r = r < 0 ? r : g->read_ram(p, &ram, e);
        if (r < 0)
                return r;
        if (!range_fits(ram.data_bytes, ram.layout.total_bytes, p->size_bytes))
                return err_bad(e, SV_MEMORY, p->size_bytes, "expected %" PRIu64 " bytes of RAM from offset %" PRIu64 " on"
                               ", found a file of %" PRIu64 " bytes; it is cut short, use another copy", ram.layout.total_bytes,
                               ram.data_bytes, p->size_bytes);
        r = g->check_after_ram(p, ram.data_bytes + ram.layout.total_bytes, e);
        r = r < 0 ? r : map_pages(p, ram.data_bytes, ram.layout.total_bytes, ret_pages, e);
        if (r < 0)
                return r;
        *ret_layout = ram.layout;
        return 0;
}
