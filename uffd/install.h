/* uffd/install.h: puts page bytes where the guest waits for them, and knows what each refusal of the kernel means.
 * Owns:    nothing; borrows the uffd, RAM and the source buffer.
 * Threads: one at a time; a page that another one installed meanwhile is a success.
 * Blocks:  no (a few ioctls).
 *
 *   -EEXIST            the page is there already: success, and an explicit wake, as a waiter may have come in between
 *   -EAGAIN, some done a short copy: goes on from where it stopped
 *   -EAGAIN, none done an event is unread (or its madvise has not gone on yet): the caller reads events, then asks for the rest
 *   -ESRCH             the VM's address space is gone
 *   anything else      this page cannot be installed */
#pragma once

#include "uffd/pager_faults.h"

#include <stdint.h>

struct backing_ops;
struct bitmap;
struct shared_pages;

struct installer {
        int                        uffd;
        uint8_t                   *ram; /* host address of RAM page 0 */
        const struct backing_ops  *ops;
        const struct shared_pages *shared;  /* the template, or NULL */
        const struct bitmap       *written; /* of its units: pages that the guest writes soon; NULL: not known */
        const uint8_t             *zeros;   /* 2 MiB of them, where pages are that large */
        const struct pager_faults *faults;
        uint32_t                   nr_copies, nr_long_copies, nr_chances; /* for the countdowns of faults */
};

/* 0: all nr_pages are there and their waiters awake. Else -errno of the page at first_page + *ret_done_pages, which is always
 * set. */
int install_copy(struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_pages);
int install_zero(struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_pages);

/* Those of the pages that the template has. As above; -EFAULT: it has not got this one after all. */
int install_shared(struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_pages);

/* The pages at src, which are the caller's to give, become those of first_page on, which nobody has touched. One attempt: what is
 * left is for install_copy. */
int install_move(struct installer *in, uint64_t first_page, void *src, uint64_t nr_pages, uint64_t *ret_done_pages);

/* Whole units are meant by every page of them. From now on a touch of the page is SIGBUS. 0, -EEXIST where the page is there, or
 * as above. */
int install_poison(struct installer *in, uint64_t page);

/* Whoever waits for one of these pages tries again. */
void install_wake(struct installer *in, uint64_t first_page, uint64_t nr_pages);
