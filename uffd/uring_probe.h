/* uffd/uring_probe.h: may this process use io_uring? Containers and kernel.io_uring_disabled often say no.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  no. */
#pragma once

#include "core/model/host_caps.h"

/* Fills the io_uring fields of caps, by setting up a ring of one entry. */
void uring_probe(struct host_caps *caps);
