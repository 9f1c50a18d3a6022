/* uffd/record.h: first touches, in order.
 * Owns:    its array, which the kernel backs only where it is written.
 * Threads: record_add on the pager thread; the rest from any.
 * Blocks:  never. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
        size_t          cap;
        uint64_t       *pages;
        _Atomic size_t  nr;
        _Atomic bool    on;
};

int  record_init(struct record *r, size_t cap_pages); /* recording is on; 0 or -ENOMEM */
void record_free(struct record *r);                   /* accepts a zeroed one */
/* The caller sees to it that a page comes once. */
void   record_add(struct record *r, uint64_t page);
bool   record_is_on(const struct record *r);
void   record_end(struct record *r);
size_t record_get(const struct record *r, const uint64_t **ret_pages);
