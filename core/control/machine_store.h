/* core/control/machine_store.h: machines by name, kept from one start to the next: their definitions and their saved states.
 * Owns:    a descriptor of the machine's directory, and the lock on it while it is held.
 * Threads: one at a time.
 * Blocks:  on the file system: what is written or removed is so after a power loss, too.
 *
 *     STATE_DIR/machines/NAME/definition.json    machine_definition.h
 *     STATE_DIR/machines/NAME/state/             a native snapshot: the machine is saved
 *     STATE_DIR/machines/NAME/begun.IDENTITY     the guest has run from the state of that identity
 *     STATE_DIR/machines/NAME/lock               locked while it runs
 *     STATE_DIR/machines/NAME/console.log, log   of a machine that runs detached
 *
 * A power loss leaves of each the old one or the new one. A state is removed under another name, ".dropped", so that nobody ever
 * finds half of one. The mark `begun` is what keeps a state from being restored twice: once its guest has written to a disk, the
 * memory in the state no longer fits. It names the state that it speaks of, so that a newer one is not meant. */
#pragma once

#include "core/base/err.h"
#include "core/control/machine_definition.h"
#include "core/model/identity.h"

struct machine_store;

/* The machine of that name. Without create: -ENOENT where there is none, *e says so. With it: an empty one is made. */
int  machine_store_open(const char *state_dir, const char *name, bool create, struct machine_store **ret, struct err *e);
/* Also gives the lock back. Accepts NULL. */
void machine_store_close(struct machine_store *m);
/* Whoever runs the machine holds it. -EADDRINUSE: somebody does. */
int  machine_store_lock(struct machine_store *m, struct err *e);
bool machine_store_is_locked(const struct machine_store *m); /* by another one */

/* Its directory; borrowed until machine_store_close. */
const char *machine_store_path(const struct machine_store *m);
/* PATH/leaf; the caller frees it. NULL: no memory. */
char *machine_store_file(const struct machine_store *m, const char *leaf);

/* -ENOENT: it has none. */
int machine_store_read(struct machine_store *m, struct machine_definition *ret, struct err *e);
/* On failure it has none: the one of before speaks of another machine. */
int machine_store_write(struct machine_store *m, const struct machine_definition *d, struct err *e);

/* Is there a saved state? */
bool  machine_store_has_state(const struct machine_store *m);
char *machine_store_state_path(const struct machine_store *m); /* the caller frees it */
/* Before the guest runs from the state of that identity. */
int  machine_store_mark_begun(struct machine_store *m, const struct identity *id, struct err *e);
bool machine_store_is_begun(const struct machine_store *m, const struct identity *id);

/* A hold on the state that is there now, to drop that one and no newer one. */
int machine_store_hold_state(const struct machine_store *m, struct err *e); /* a descriptor for the caller to close */
/* Removes the state that held_fd holds (-1: any), and what killed VMs left of unfinished ones. Nothing to do is success. */
int machine_store_drop_state(struct machine_store *m, int held_fd, struct err *e);
/* Removes all of the machine, which must not run; -ENOTEMPTY: files that rouse did not make stay, and their directory. */
int machine_store_delete(struct machine_store *m, struct err *e);

/* The names of all machines, sorted; the caller frees each and the array. */
int machine_store_list(const char *state_dir, char ***ret_names, size_t *ret_nr, struct err *e);
