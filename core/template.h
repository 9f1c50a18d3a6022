/* core/template.h: the memory of a snapshot that many VMs map privately, and how separate processes find the same one.
 * Owns:    the memory (as long as anybody has it), its mappings in this process, and a thread that gives it to others.
 * Threads: session thread; pages by the pager's, through struct shared_pages.
 * Blocks:  template_find for half a second at most, when the process that has the template does not answer.
 *
 *   first restore                              a later one
 *   memfd + a memfd of bits + a listening      connect ──► the same three descriptors, by SCM_RIGHTS
 *   socket in the runtime directory
 *
 * The listening socket is itself handed on, and everybody accepts at it. So the template can be had as long as one process has
 * it, whoever is killed, and nobody has to take anything over. Who has it last removes the socket file; where
 * he was killed it is replaced, under a lock.
 * Only processes of one user share: the directory and the socket are his, and either side asks the kernel who the other one is.
 *
 * This is what asks for a template: another holder (a page server) has to answer template_find, and nobody else changes. */
#pragma once

#include "core/base/err.h"
#include "core/model/identity.h"
#include "core/model/shared_pages.h"
#include "uffd/pager.h"

struct template;

struct template_ask {
        const char            *runtime_dir; /* NULL: nobody is asked and nobody is told */
        const struct identity *identity;
        uint64_t               nr_pages; /* of RAM */
        bool                   huge;
        uint64_t               private_bytes; /* huge: what the VM maps of it besides, for itself; the pool must have both */
        bool                   verified; /* what was put there unchecked is not for those who check */
        /* what of it will ever have bytes; sorted, apart, whole units */
        const struct pager_range *ranges;
        size_t                    nr_ranges;
};

/* The one that another process has, mapped, or a new one that is offered to those who come. That nobody could be asked is no error
 * (template_alone); -errno: not enough memory or room in the pool for a template of our own. */
int template_find(const struct template_ask *ask, struct template **ret, struct err *e);
/* Why nobody else shares it, as a message for the user; NULL: others do, or can. */
const char                *template_alone(const struct template *t);
bool                       template_was_there(const struct template *t); /* another process had it already */
int                        template_fd(const struct template *t);        /* RAM page n is at offset n * 4096 */
const struct shared_pages *template_pages(const struct template *t);
void                       template_free(struct template *t); /* accepts NULL */

/* Another one's template, looked at without having it afterwards: what a restore would find now. */
#define TEMPLATE_HOLDERS_SHOWN 8
struct template_sight {
        bool     lives;
        uint64_t present_pages; /* whose bytes are there */
        uint64_t memory_bytes;  /* that it takes now */
        size_t   nr_holders;    /* processes that have it, as far as this user may know; the first of them: */
        int      holders[TEMPLATE_HOLDERS_SHOWN];
};
/* Makes nothing, and waits as template_find does. 0, also where none lives; or why nobody can say: -ETIMEDOUT, -EPERM and the
 * like. */
int template_look(const struct template_ask *ask, struct template_sight *ret);
