/* uffd/backing.h: how pages get to where the guest waits for them, by what stands behind guest RAM.
 * Owns:    nothing: tables of operations.
 * Threads: pager thread only.
 * Blocks:  no (a few ioctls).
 *
 *   memory                              faults          bytes come by                           zeros by
 *   anonymous, the VM's own memfd       MISSING         UFFDIO_COPY                             UFFDIO_ZEROPAGE
 *   a private mapping of a template     MISSING, MINOR  UFFDIO_COPY into the template, where    UFFDIO_ZEROPAGE, private
 *                                                       they are not yet, and UFFDIO_CONTINUE
 *   2 MiB pages, own or of a template   as above        as above, 2 MiB at a time               UFFDIO_COPY of zeros: the kernel
 *                                                                                               has no ZEROPAGE for them
 */
#pragma once

#include "uffd/install.h"

#include <stdbool.h>

struct backing_ops {
        uint64_t features;      /* UFFD_FEATURE_* that must be there */
        uint64_t register_mode; /* UFFDIO_REGISTER_MODE_* of guest RAM */
        uint32_t unit_pages;    /* one fault, install, removal: 1, or the 512 of a 2 MiB page */
        bool     anonymous;     /* private memory with nothing behind it: UFFDIO_MOVE works */
        /* One attempt for [first_page, +nr_pages), whole units: 0 or -errno of the first page that was not done; how far it came
         * is always set, and greater than 0 where 0 is returned. */
        int (*copy)(const struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_bytes);
        int (*zero)(const struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_bytes);
};

/* For a VM with or without a template, of 4 KiB or of 2 MiB pages. */
const struct backing_ops *backing_find(bool anonymous, bool shared, bool huge);
