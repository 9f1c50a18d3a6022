/* Asks what is there before it is looked at: reading a page that is not may bring it into being. */
#include "core/ram_blocks.h"

#include "core/base/cleanup.h"
#include "core/ram_presence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_PAGES PRESENCE_PAGES_MAX

int ram_blocks_walk(const struct guest_ram *ram, ram_block_fn fn, void *arg, struct err *e)
{
        _cleanup_(ram_presence_close) struct ram_presence there;
        _cleanup_free_ uint8_t *block = malloc(pages_to_bytes(BLOCK_PAGES));
        uint64_t nr_pages = bytes_to_pages(ram->size_bytes);
        int r = 0;

        ram_presence_open(&there, ram);
        if (!block)
                return err_set(e, -ENOMEM, "no memory for a block of 2 MiB");
        for (uint64_t page = 0; page < nr_pages && r >= 0; page += BLOCK_PAGES) {
                uint64_t nr = MIN(BLOCK_PAGES, nr_pages - page);

                if (!ram_presence_count(&there, page, nr)) {
                        r = fn(arg, NULL, nr, e);
                        continue;
                }
                r = ram_presence_read(&there, page, nr, block);
                if (r < 0)
                        return err_set(e, r, "guest RAM: pages %llu to %llu cannot be read: %s", (unsigned long long)page,
                                       (unsigned long long)(page + nr - 1), strerror(-r));
                r = fn(arg, block, nr, e);
        }
        return r;
}

uint64_t ram_blocks_resident(const struct guest_ram *ram, uint64_t first_page, uint64_t nr_pages)
{
        _cleanup_(ram_presence_close) struct ram_presence there;
        uint64_t nr = 0;

        ram_presence_open(&there, ram);
        for (uint64_t done = 0; done < nr_pages; done += BLOCK_PAGES)
                nr += ram_presence_count(&there, first_page + done, MIN(BLOCK_PAGES, nr_pages - done));
        return nr;
}
