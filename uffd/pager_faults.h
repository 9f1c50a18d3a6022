/* uffd/pager_faults.h: what goes wrong in a test, and when: the nth time, or by chance from a seed. Zero: never.
 * Owns:    nothing; silent_fd belongs to the test.
 * Threads: set before pager_new, then read-only; the countdown is the pager's own.
 * Blocks:  never. */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* What may go wrong by chance. Of an event it is drawn anew each time; of a page it is the same whenever and however that is
 * asked for, so that a model can foretell which pages are lost. */
enum pager_chance {
        CHANCE_SHORT_READ,  /* event: a read, cached or slow, comes back with half of its bytes */
        CHANCE_NOT_CACHED,  /* event: a read that must not wait says that it would have to */
        CHANCE_EAGAIN_COPY, /* event: an installing ioctl gives -EAGAIN with nothing done */
        CHANCE_SHORT_COPY,  /* event: one of more than one page stops half way */
        CHANCE_EIO,         /* page: a bad sector: reads end before it, those that begin with it give -EIO */
        CHANCE_NO_MEMORY,   /* page: it cannot be installed: copies end before it, those that begin with it give pager_fault_no_room() */
        PAGER_CHANCES,
};

struct pager_faults {
        bool     nothing_cached; /* every read is a slow one: through io_uring, or plain without it */
        bool     no_nowait;      /* RWF_NOWAIT is not known, as on overlayfs */
        bool     no_direct;      /* O_DIRECT is refused when a source is opened */
        uint32_t odd_read;       /* the nth slow read that goes past the page cache gives -EINVAL */
        uint32_t short_read;     /* the nth read, cached or slow, comes back with half of its bytes */
        uint32_t eio_read;       /* the nth slow read and the following ones, eio_reads in all, give EIO */
        uint32_t eio_reads;
        uint32_t silent_read;    /* the nth slow read and the following ones, silent_reads in all, ask silent_fd (an empty pipe) */
        uint32_t silent_reads;   /* and hear nothing; needs io_uring */
        int      silent_fd;
        uint32_t eagain_copy;    /* the nth UFFDIO_COPY gives -EAGAIN with nothing done */
        uint32_t short_copy;     /* the nth UFFDIO_COPY of more than one page stops half way */
        uint64_t seed;
        uint32_t one_in[PAGER_CHANCES];
};

/* Does it go wrong with the nth event, or with this RAM page? Neighbours and seeds are told apart by a mix of all bits
 * (splitmix64's). */
static inline bool pager_fault_hits(const struct pager_faults *f, enum pager_chance what, uint64_t nth_or_page)
{
        uint64_t h;

        if (!f || !f->one_in[what])
                return false;
        h = f->seed * PAGER_CHANCES + what + nth_or_page * 0x9e3779b97f4a7c15ULL;
        h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
        h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
        return (h ^ h >> 31) % f->one_in[what] == 0;
}

/* Memory, or the file system of a memfd, is full. */
static inline int pager_fault_no_room(uint64_t page)
{
        return page % 2 ? -ENOSPC : -ENOMEM;
}

/* How many of nr_pages come before the first that goes wrong. */
static inline uint64_t pager_fault_clip(const struct pager_faults *f, enum pager_chance what, uint64_t first_page,
                                        uint64_t nr_pages)
{
        uint64_t n = 0;

        while (n < nr_pages && !pager_fault_hits(f, what, first_page + n))
                n++;
        return n;
}
