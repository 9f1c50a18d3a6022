/* core/probe.h: what this host can do, as one value.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  opens /dev/kvm and /dev/userfaultfd; host_probe_all also reads a dozen files of /proc and /sys. */
#pragma once

#include "core/base/err.h"
#include "core/model/host_caps.h"

/* What a restore decides by: KVM, userfaultfd, CPUs, vm.max_map_count. A fraction of a millisecond. */
void host_probe(struct host_caps *ret);
/* And the rest that people ask for (`rouse probe`). */
void host_probe_all(struct host_caps *ret);

/* KVM, and userfaultfd where the mode needs it: 0, or ERR_HOST with what is missing and how to get it. */
int host_require(const struct host_caps *c, bool uffd, struct err *e);
