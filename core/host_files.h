/* core/host_files.h: reads struct host_files.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  no more than the kernel takes to make some eighty small texts. */
#pragma once

#include "core/model/host_files.h"

/* root: "" for this host; tests have a tree of their own. */
void host_files_read(const char *root, struct host_files *ret);

/* The part that walks cgroups: core/host_cgroup.c. */
void host_cgroup_read(const char *root, struct host_files *f);
