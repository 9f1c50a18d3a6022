/* core/template_socket.h: three descriptors, given to whoever connects and is the same user.
 * Owns:    the thread of template_offer, and a copy of nothing: descriptors are borrowed.
 * Threads: session thread makes and ends it.
 * Blocks:  template_ask_for half a second at most; template_stop_offering until the thread has ended.  */
#pragma once

#include "core/base/err.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum template_fd { TEMPLATE_MEMORY, TEMPLATE_BITS, TEMPLATE_LISTEN, TEMPLATE_FDS };

/* Goes with them, so that a program of another version is understood, or refused. */
struct template_head {
        char     magic[8]; /* "rousetp" */
        uint64_t nr_pages;
        uint32_t unit_pages;
        uint32_t reserved;
};
static_assert(sizeof(struct template_head) == 24, "said from one rouse to another, which may be of another version");

/* 0; -ENOENT: nobody listens at path; -EAGAIN: who accepted is gone, ask again; -ETIMEDOUT: who listens does not answer; or
 * another -errno. */
int template_ask_for(const char *path, const struct template_head *expected, int ret_fds[TEMPLATE_FDS]);

/* False: nobody listens at path. */
bool template_is_offered(const char *path);

struct template_offer {
        pthread_t            thread;
        bool                 running;
        int                  stop_fd;
        struct template_head head;
        int                  fds[TEMPLATE_FDS];
};
/* Accepts at fds[TEMPLATE_LISTEN] until it is stopped. */
int  template_begin_offering(struct template_offer *o, const struct template_head *head, const int fds[TEMPLATE_FDS]);
void template_stop_offering(struct template_offer *o); /* accepts one that never began */
