/* uffd/demand.h: the faults that wait for an answer, sorted by page, each with the time its message was read.
 * Owns:    its array, of fixed size.
 * Threads: pager thread only.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 16 vCPUs with up to 64 asynchronous page faults each (KVM's ASYNC_PF_PER_VCPU), or 254, StratoVirt's most, with 4: what finds
 * no room faults anew. */
#define DEMAND_MAX 1024

struct demand_entry {
        uint64_t page;
        uint64_t since_ns;
};

struct demand {
        size_t              nr;
        struct demand_entry v[DEMAND_MAX]; /* sorted; a page stands here once per message */
};

/* False when there is no room: the message is dropped, and its thread must be woken later to fault anew. */
bool demand_add(struct demand *d, uint64_t page, uint64_t now_ns);

/* Removes all entries of [first_page, first_page + nr_pages); returns how long they waited, in sum. */
uint64_t demand_take(struct demand *d, uint64_t first_page, uint64_t nr_pages, uint64_t now_ns);

/* Index of the first entry at or after page. */
size_t demand_find(const struct demand *d, uint64_t page);
