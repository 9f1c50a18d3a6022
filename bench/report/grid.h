/* bench/report/grid.h: rows of cells whose columns line up, within a width.
 * Owns:    its cells; grid_free.
 * Threads: one.
 * Blocks:  on the stream. Exits (status 1) where there is no memory. */
#pragma once

#include "bench/report/report.h"

enum { GRID_COLUMNS_MAX = 16 };

struct grid {
        size_t nr_columns, nr_cells;
        bool   left[GRID_COLUMNS_MAX]; /* text; else figures, to the right */
        char **cells; /* row by row */
};

void grid_init(struct grid *g, size_t nr_columns);
/* The next cell takes the string (malloc), already clean; NULL is "-": there is no such value. */
void grid_add(struct grid *g, char *cell);
void grid_free(struct grid *g);

/* Columns that each cell needs, with the gaps between: the width of the widest row. */
size_t grid_width(const struct grid *g);
/* Where it is too wide, the first column is cut. No line ends in blanks. */
void grid_print(FILE *to, const struct grid *g, const struct bench_look *look);
