/* Asks the pager first, then the kernel. */
#include "core/ram_origin.h"

void ram_origin_open(struct ram_origin *o, const struct guest_ram *ram, const struct discard *d, const struct pager *p)
{
        *o = (struct ram_origin){.discard = d, .pager = p};
        ram_presence_open(&o->presence, ram);
}

void ram_origin_close(struct ram_origin *o)
{
        ram_presence_close(&o->presence);
}

static enum page_origin origin_of(enum behind behind, enum page_presence there)
{
        switch (behind) {
        case BEHIND_FILE:
                return there == PRESENCE_HELD ? ORIGIN_HELD : ORIGIN_RESTORED;
        case BEHIND_TEMPLATE: /* a page that is not in the page table may be the template's or zero: who looks finds out */
                return ORIGIN_HELD;
        case BEHIND_MEMORY:
                break;
        }
        return there == PRESENCE_ABSENT ? ORIGIN_ZERO : ORIGIN_HELD;
}

void ram_origin_look(const struct ram_origin *o, uint64_t first_page, uint64_t nr_pages, uint8_t *ret)
{
        uint64_t unfetched[PRESENCE_PAGES_MAX / 64 + 1] = {0};
        uint8_t there[PRESENCE_PAGES_MAX];

        if (o->pager)
                pager_unfetched(o->pager, first_page, nr_pages, unfetched);
        ram_presence_look(&o->presence, first_page, nr_pages, there); /* after the pager was asked, not before */
        for (uint64_t i = 0, nr; i < nr_pages; i += nr) {
                enum behind behind = discard_what(o->discard, first_page + i, first_page + nr_pages, &nr);

                for (uint64_t k = i; k < i + nr; k++)
                        ret[k] = unfetched[k / 64] >> (k % 64) & 1 ? ORIGIN_RESTORED : (uint8_t)origin_of(behind, there[k]);
        }
}
