/* Columns as wide as their widest cell, two blanks between them. */
#include "bench/report/grid.h"

#include "bench/report/text.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <stdlib.h>
#include <string.h>

enum { GAP = 2 };

void grid_init(struct grid *g, size_t nr_columns)
{
        *g = (struct grid){.nr_columns = nr_columns, .left = {true}};
}

void grid_add(struct grid *g, char *cell)
{
        size_t n = g->nr_cells; /* cells so far; a row is full when nr_columns divides it */

        if ((n & (n - 1)) == 0) {
                g->cells = realloc(g->cells, (n ? n * 2 : 1) * sizeof(*g->cells));
                if (!g->cells) {
                        fprintf(stderr, "rouse bench: no memory\n");
                        exit(1);
                }
        }
        g->cells[g->nr_cells++] = cell ? cell : text_format("-");
}

void grid_free(struct grid *g)
{
        for (size_t i = 0; i < g->nr_cells; i++)
                free(g->cells[i]);
        free(g->cells);
        *g = (struct grid){0};
}

static size_t column_width(const struct grid *g, size_t column)
{
        size_t width = 0;

        for (size_t i = column; i < g->nr_cells; i += g->nr_columns) {
                size_t w = text_width(g->cells[i]);

                width = w > width ? w : width;
        }
        return width;
}

size_t grid_width(const struct grid *g)
{
        size_t width = GAP * (g->nr_columns - 1);

        for (size_t c = 0; c < g->nr_columns; c++)
                width += column_width(g, c);
        return width;
}

static void print_row(FILE *to, const struct grid *g, size_t row, const size_t *widths, const struct bench_look *look)
{
        size_t blanks = 0;

        for (size_t c = 0; c < g->nr_columns; c++) {
                _cleanup_free_ char *cell = text_fit(g->cells[row * g->nr_columns + c], widths[c], look);
                size_t               width = text_width(cell), rest = widths[c] - width;

                if (width > 0)
                        fprintf(to, "%*s%s", (int)(blanks + (g->left[c] ? 0 : rest)), "", cell);
                blanks = (width > 0 ? 0 : blanks) + (width > 0 && !g->left[c] ? 0 : rest) + GAP;
        }
        fputc('\n', to);
}

void grid_print(FILE *to, const struct grid *g, const struct bench_look *look)
{
        size_t widths[GRID_COLUMNS_MAX] = {0}, all = grid_width(g);

        for (size_t c = 0; c < g->nr_columns; c++)
                widths[c] = column_width(g, c);
        if (all > look->columns)
                widths[0] -= MIN(all - look->columns, widths[0]);
        for (size_t row = 0; (row + 1) * g->nr_columns <= g->nr_cells; row++)
                print_row(to, g, row, widths, look);
}
