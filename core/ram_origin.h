/* core/ram_origin.h: for each page of guest RAM, without touching it: is it as it was restored, is it zero, or must somebody
 * look?
 * Owns:    a descriptor of /proc/self/pagemap; borrows the rest.
 * Threads: session thread, while no vCPU and no device runs, and pager_catch_up was called since. The pager may go on: what it
 *          does meanwhile changes no answer.
 * Blocks:  never.
 *
 * In this order, so that a page that the pager brings in between is seen as one or the other, and both are right:
 *
 *   1. the pager has never brought it                   as restored: the snapshot's
 *   2. still a page of the mapped memory file           as restored
 *   3. nothing there                                    zero: discarded, or of a zero run and never written
 *   4. else                                             held: somebody must look */
#pragma once

#include "core/discard.h"
#include "core/ram_presence.h"
#include "uffd/pager.h"

enum page_origin { ORIGIN_RESTORED, ORIGIN_ZERO, ORIGIN_HELD };

struct ram_origin {
        const struct discard *discard;
        const struct pager   *pager; /* or NULL */
        struct ram_presence   presence;
};

/* Cannot fail: what nobody tells without /proc/self/pagemap is ORIGIN_HELD. */
void ram_origin_open(struct ram_origin *o, const struct guest_ram *ram, const struct discard *d, const struct pager *p);
void ram_origin_close(struct ram_origin *o);

/* Of at most PRESENCE_PAGES_MAX pages: an enum page_origin each. */
void ram_origin_look(const struct ram_origin *o, uint64_t first_page, uint64_t nr_pages, uint8_t *ret);
