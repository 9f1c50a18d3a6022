/* core/probe.h: what this host can do, as one value.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  opens /dev/kvm and /dev/userfaultfd; host_probe_all also reads some eighty files of /proc and /sys. */
#pragma once

#include "core/base/err.h"
#include "core/model/host_caps.h"
#include "core/model/host_files.h"

/* What a restore decides by: KVM, userfaultfd, CPUs, vm.max_map_count. A fraction of a millisecond. */
void host_probe(struct host_caps *ret);
/* And what people ask for beside that. */
void host_probe_all(struct host_caps *ret);
/* The same, and all that /proc and /sys say. */
void host_probe_files(struct host_caps *ret, struct host_files *ret_files);

/* KVM, and userfaultfd where the mode needs it: 0, or ERR_HOST with what is missing and how to get it. */
int host_require(const struct host_caps *c, bool uffd, struct err *e);
