/* bench/report/text.h: text that others named (snapshots, peers, files), made fit for a terminal: no control characters, a width
 * that is known.
 * Owns:    what text_clean and text_fit return (malloc).
 * Threads: any.
 * Blocks:  on the stream that is written to. Exits (status 1) where there is no memory. */
#pragma once

#include "bench/report/report.h"

#include <stddef.h>
#include <stdint.h>

/* C0, DEL, C1, and the marks that are not seen or turn the direction of text around. */
bool text_is_control(uint32_t c);
/* s without control characters (a '?' each); without what is not ASCII where the look has no UTF-8. NULL: "". */
char *text_clean(const char *s, const struct bench_look *look);
/* Columns on a terminal, of clean text. */
size_t text_width(const char *s);
/* The same cut to width columns, with an ellipsis where something was cut. */
char *text_fit(const char *s, size_t width, const struct bench_look *look);
/* Cleaned, broken at spaces; every line indented, the first one by what has been printed. Ends with a newline. */
void text_wrap(FILE *to, const char *s, size_t indent, size_t printed, const struct bench_look *look);

char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
