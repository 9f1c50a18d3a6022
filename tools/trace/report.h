/* tools/trace/report.h: what a trace has to say of itself, on standard error: what it made, and everything that it did not see.
 * Owns:    nothing.
 * Threads: main thread.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "tools/trace/process.h"
#include "tools/trace/to_hints.h"
#include "tools/trace/touches.h"
#include "tools/trace/tracer.h"

/* Which snapshot a VM's memory is of, where it was found out. */
void report_snapshot(const char *folder, const char *file);
void report_no_snapshot(const char *file, const struct err *why);
void report_other_snapshot(const char *said, const char *file);

/* Memory of the VM that lies across the windows of the snapshot's: these hints may be those of another one. */
void report_other_memory(const char *snapshot, gpa_t gpa, uint64_t bytes);

/* What was lost, and what was left aside. */
void report_counts(const struct tracer_counts *c, uint64_t buffer_bytes);

/* Errors: there is nothing to be written. */
int report_nothing(const struct process *p, struct err *e);
int report_all_outside(const struct to_hints_report *outside, const char *snapshot, struct err *e);

/* The last lines of a trace that ended well: what it could not see, and where the hints are. */
void report_done(const struct hints *h, const struct first_touches *first, const struct to_hints_report *outside, const struct process *p, const char *out,
                 bool bound);
