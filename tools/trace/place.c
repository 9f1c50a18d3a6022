/* Which snapshot a VM was made of: the user says it, or the file that its memory is mapped from. */
#include "tools/trace/place.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One line of /proc/PID/maps that is a file's. */
static bool parse_mapping(char *line, uint64_t *ret_start, uint64_t *ret_end, const char **ret_path)
{
        int at = 0;

        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %n", ret_start, ret_end, &at) < 2 || !at)
                return false;
        *ret_path = line + at;
        return line[at] == '/';
}

static bool is_guest_memory(const struct touches *t, uint64_t start, uint64_t end)
{
        for (size_t i = 0; i < t->nr_slots; i++)
                if (start < t->slots[i].hva + pages_to_bytes(t->slots[i].nr_pages) && t->slots[i].hva < end)
                        return true;
        return false;
}

/* A memfd or what was unlinked since names no snapshot. */
static bool is_a_file(const char *path)
{
        static const char gone[] = " (deleted)";
        size_t n = strlen(path);

        return n < sizeof(gone) || strcmp(path + n - (sizeof(gone) - 1), gone) != 0;
}

bool place_find_file(pid_t pid, const struct touches *t, char *ret, size_t size)
{
        char maps[64];
        _cleanup_fclose_ FILE *f = NULL;
        _cleanup_free_ char *line = NULL;
        size_t line_size = 0;
        bool found = false;

        snprintf(maps, sizeof(maps), "/proc/%d/maps", pid);
        f = fopen(maps, "re");
        while (f && getline(&line, &line_size, f) > 0) {
                uint64_t start, end;
                const char *path;

                if (!parse_mapping(line, &start, &end, &path) || !is_a_file(path) || !is_guest_memory(t, start, end))
                        continue;
                if (found && strcmp(ret, path) != 0)
                        return false;
                if (snprintf(ret, size, "%s", path) >= (int)size)
                        return false;
                found = true;
        }
        return found;
}

int place_open(const char *dir, const struct inspect_options *how, struct place *ret, struct err *e)
{
        struct place p = {.bound = true};
        int r = inspect_open(dir, how, &p.snapshot, e);

        if (r >= 0)
                *ret = p;
        return r;
}

static bool is_same_folder(const char *a, const char *b)
{
        struct stat x, y;

        return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool place_has_folder(const struct place *p, const char *folder)
{
        for (size_t i = 0; i < p->snapshot.nr_levels; i++)
                if (is_same_folder(p->snapshot.levels[i].path, folder))
                        return true;
        return is_same_folder(p->snapshot.path, folder);
}

/* What is one block of memory to the process has one distance between guest and host addresses; what lies between its slots (a
 * VGA hole) is of it, too, only never touched. */
struct block {
        uint64_t first_gfn, end_gfn, distance;
};

static size_t find_blocks(const struct touches *t, struct block *ret)
{
        size_t nr = 0, k;

        for (size_t i = 0; i < t->nr_slots; i++) {
                const struct traced_slot *s = &t->slots[i];
                struct block b = {s->first_gfn, s->first_gfn + s->nr_pages, bytes_to_pages(s->hva) - s->first_gfn};

                for (k = 0; k < nr && ret[k].distance != b.distance; k++)
                        ;
                if (k == nr) {
                        ret[nr++] = b;
                        continue;
                }
                ret[k].first_gfn = MIN(ret[k].first_gfn, b.first_gfn);
                ret[k].end_gfn = MAX(ret[k].end_gfn, b.end_gfn);
        }
        return nr;
}

static int largest_first(const void *a, const void *b)
{
        const struct block *x = a, *y = b;
        uint64_t nx = x->end_gfn - x->first_gfn, ny = y->end_gfn - y->first_gfn;

        return nx > ny ? -1 : nx < ny;
}

static int lowest_first(const void *a, const void *b)
{
        const struct block *x = a, *y = b;

        return x->first_gfn < y->first_gfn ? -1 : x->first_gfn > y->first_gfn;
}

static bool overlaps_any(const struct block *b, const struct block *kept, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                if (b->first_gfn < kept[i].end_gfn && kept[i].first_gfn < b->end_gfn)
                        return true;
        return false;
}

int place_of_slots(const struct touches *t, struct place *ret, struct err *e)
{
        _cleanup_free_ struct block *b = calloc(t->nr_slots + 1, sizeof(*b));
        struct place p = {0};
        size_t nr, kept = 0;
        int r = 0;

        if (!b)
                return err_set(e, -ENOMEM, "no memory for %zu slots", t->nr_slots);
        nr = find_blocks(t, b);
        qsort(b, nr, sizeof(*b), largest_first);
        for (size_t i = 0; i < nr && kept < MEM_WINDOWS_MAX; i++)
                if (!overlaps_any(&b[i], b, kept))
                        b[kept++] = b[i];
        qsort(b, kept, sizeof(*b), lowest_first);
        for (size_t i = 0; r >= 0 && i < kept; i++)
                r = mem_layout_add(&p.slots, pages_to_bytes(b[i].first_gfn), pages_to_bytes(b[i].end_gfn - b[i].first_gfn), e);
        if (r >= 0)
                *ret = p;
        return r;
}

static bool overlaps_window(const struct mem_layout *l, gpa_t gpa, uint64_t bytes)
{
        for (size_t i = 0; i < l->nr; i++)
                if (gpa < l->w[i].gpa + l->w[i].size_bytes && l->w[i].gpa < gpa + bytes)
                        return true;
        return false;
}

bool place_fits_slots(const struct place *p, const struct touches *t, gpa_t *ret_gpa, uint64_t *ret_bytes)
{
        const struct mem_layout *l = place_layout(p);
        uint64_t offset;

        for (size_t i = 0; i < t->nr_slots; i++) {
                gpa_t gpa = pages_to_bytes(t->slots[i].first_gfn);
                uint64_t bytes = pages_to_bytes(t->slots[i].nr_pages);

                if (!overlaps_window(l, gpa, bytes) || mem_layout_gpa_to_offset(l, gpa, bytes, &offset))
                        continue;
                *ret_gpa = gpa;
                *ret_bytes = bytes;
                return false;
        }
        return true;
}

const struct mem_layout *place_layout(const struct place *p)
{
        return p->bound ? p->snapshot.layout : &p->slots;
}

void place_free(struct place *p)
{
        if (p->bound)
                inspect_close(&p->snapshot);
        *p = (struct place){0};
}
