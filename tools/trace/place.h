/* tools/trace/place.h: where a traced VM's pages are in its snapshot, and which snapshot that is.
 * Owns:    the snapshot that it opened; place_free gives it back.
 * Threads: main thread.
 * Blocks:  on the file system. */
#pragma once

#include "core/inspect.h"
#include "tools/trace/touches.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct place {
        bool              bound; /* to a snapshot; else the layout is that of the slots */
        struct inspection snapshot;
        struct mem_layout slots;
};

/* The one file that guest memory of process pid is mapped from: true and its path. False: anonymous, several, or not to be
 * seen. */
bool place_find_file(pid_t pid, const struct touches *t, char *ret, size_t size);

/* Bound to the snapshot in dir. Errors as of inspect_open. */
int  place_open(const char *dir, const struct inspect_options *how, struct place *ret, struct err *e);
/* Of no snapshot: pages are numbered window by window, as the VM's slots show them. */
int  place_of_slots(const struct touches *t, struct place *ret, struct err *e);
void place_free(struct place *p);

/* Is folder the bound snapshot's, or a parent's of it? */
bool place_has_folder(const struct place *p, const char *folder);

/* Does each slot lie within one window of the memory, or beside all of them? One that does not belongs to a VM with other
 * memory. */
bool place_fits_slots(const struct place *p, const struct touches *t, gpa_t *ret_gpa, uint64_t *ret_bytes);

/* How its pages are numbered. */
const struct mem_layout *place_layout(const struct place *p);
