/* tools/trace/compare.h: at the end of a trace: which of the touched pages are zero in the snapshot, and which differ from it by
 * now.
 * Owns:    nothing.
 * Threads: main thread; the VM may run meanwhile.
 * Blocks:  on the file system: the touched pages of the snapshot are read. */
#pragma once

#include "core/model/hints.h"
#include "tools/trace/place.h"
#include "tools/trace/touches.h"

#include <sys/types.h>

/* pid: the VM's process, whose memory is read; 0: it has ended, and pages count as changed that were seen written. */
int compare_with_snapshot(struct hints *h, const struct place *p, const struct touches *t, pid_t pid, struct err *e);
