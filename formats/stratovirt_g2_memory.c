/* formats/stratovirt_g2_memory.c: the memory file of generation 2: a table of RAM that is a struct, and nothing after RAM. */
#include "formats/microvm_windows.h"
#include "formats/stratovirt_g2.h"

#include <inttypes.h>
#include <string.h>

/* One block that is all of RAM: with several, StratoVirt's own order on restore is not the one it saved in. */
static int check_block(const struct sv2_table *t, struct err *e)
{
        const uint64_t at = SV_HEADER_BYTES, file_offset = t->blocks[0].file_offset;

        if (t->nr_blocks != 1)
                return err_bad(e, SV_MEMORY, at, "expected one block of RAM, found %" PRIu64
                               "; the file is damaged or of a machine that rouse cannot restore yet", t->nr_blocks);
        if (!is_page_aligned(file_offset) || file_offset < SV_HEADER_BYTES + PAGE_BYTES)
                return err_bad(e, SV_MEMORY, at + offsetof(struct sv2_table, blocks), "expected RAM at whole pages from offset "
                               "%" PRIu64 " on, found it at %" PRIu64 SV_DAMAGED, SV_HEADER_BYTES + PAGE_BYTES, file_offset);
        return 0;
}

static int check_windows(const struct sv2_table *t, const struct mem_layout *l, struct err *e)
{
        struct sv_window found[SV_WINDOWS_MAX];
        const uint64_t   at = SV_HEADER_BYTES + offsetof(struct sv2_table, nr_windows);

        if (t->nr_windows > SV_WINDOWS_MAX)
                return err_bad(e, SV_MEMORY, at, "expected at most %d memory windows, found %" PRIu64 SV_DAMAGED, SV_WINDOWS_MAX,
                               t->nr_windows);
        for (size_t i = 0; i < t->nr_windows; i++)
                found[i] = (struct sv_window){ .gpa = t->windows[i].gpa, .size_bytes = t->windows[i].size,
                                               .ram_offset_bytes = t->windows[i].ram_offset };
        return sv_windows_check(at, found, t->nr_windows, l, e);
}

int sv2_ram_read(const struct part *p, struct sv_ram *ret, struct err *e)
{
        struct sv2_table t;
        int              r = part_read(p, SV_MEMORY, "the table of RAM", SV_HEADER_BYTES, &t, sizeof(t), e);

        r = r < 0 ? r : check_block(&t, e);
        r = r < 0 ? r : microvm_windows(SV_MEMORY, SV_HEADER_BYTES, t.blocks[0].size, &ret->layout, e);
        r = r < 0 ? r : check_windows(&t, &ret->layout, e);
        if (r < 0)
                return r;
        ret->data_bytes = t.blocks[0].file_offset;
        return 0;
}

int sv2_end_check(const struct part *p, uint64_t offset_bytes, struct err *e)
{
        if (p->size_bytes == offset_bytes)
                return 0;
        return err_bad(e, SV_MEMORY, offset_bytes, "expected the file to end after %" PRIu64 " bytes, found %" PRIu64
                       "; it is not the memory of this state or damaged, use another copy", offset_bytes, p->size_bytes);
}
