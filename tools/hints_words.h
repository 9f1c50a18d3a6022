/* tools/hints_words.h: the words behind `rouse hints`, one file each; what merging, judging and showing have in common.
 * Owns:    nothing.
 * Threads: main thread.
 * Blocks:  on the file system. */
#pragma once

#include "core/model/hints_merge.h"
#include "core/model/hints_summary.h"
#include "tools/cli.h"

#include <stdio.h>

extern const struct verb hints_word_merge, hints_word_score, hints_word_show;

struct json_object;

/* part / whole in percent, or "-" where there is no whole. */
const char *hints_percent(char buf[16], uint64_t part, uint64_t whole);

/* A picture of touches over time and address, as SVG. 0 or -ENOMEM; whether it could be written is the stream's to say. */
int hints_plot(FILE *to, const struct hints *h, const struct hints_summary *s, const char *file);
