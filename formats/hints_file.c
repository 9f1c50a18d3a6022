/* formats/hints_file.c: hints on disk, bound to one snapshot and one size of RAM. */
#include "formats/hints_file.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/data_path.h"
#include "formats/table_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

/* Version 1 knows neither times nor phases. It is read, and not written any more. */
struct hint_v1 {
        uint64_t page;
        uint32_t seen;
        uint32_t flags;
};
static_assert(sizeof(struct hint_v1) == 16, "on-disk hint");
static_assert(offsetof(struct hint_v1, page) == 0 && offsetof(struct hint_v1, seen) == 8 && offsetof(struct hint_v1, flags) == 12,
              "on-disk hint");

/* In version 2 a hint on disk is struct hint itself. */
static_assert(sizeof(struct hint) == 16, "on-disk hint");
static_assert(offsetof(struct hint, page) == 0 && offsetof(struct hint, seen) == 4 && offsetof(struct hint, touch_us) == 8 &&
              offsetof(struct hint, phase) == 12 && offsetof(struct hint, flags) == 13 && offsetof(struct hint, reserved) == 14,
              "on-disk hint");

static const struct table_kind hints_v1 = { .magic = "rouse-hi", .version = 1, .entry_bytes = sizeof(struct hint_v1) };
const struct table_kind table_hints = { .magic = "rouse-hi", .version = 2, .entry_bytes = sizeof(struct hint),
                                        .older = &hints_v1 };

/* Entries have one size in both versions, so they are turned in place. What is out of range stays so, for hints_check to name. */
static void upgrade_v1(void *entries, uint64_t nr)
{
        for (uint64_t i = 0; i < nr; i++) {
                struct hint_v1 from;
                struct hint    to = { 0 };

                memcpy(&from, (uint8_t *)entries + i * sizeof(from), sizeof(from));
                to.page = (uint32_t)MIN(from.page, (uint64_t)UINT32_MAX);
                to.seen = from.seen;
                memcpy((uint8_t *)entries + i * sizeof(to), &to, sizeof(to));
        }
}

static int check_owner(const struct table_file *t, const char *shown, const struct identity *expected, uint64_t ram_pages,
                       struct err *e)
{
        if (!identity_equal(&t->identity, expected))
                return err_bad(e, shown, offsetof(struct table_header, identity),
                               "expected hints for snapshot %s, found them for %s; record them again",
                               expected->s, t->identity.s);
        if (t->ram_pages != ram_pages)
                return err_bad(e, shown, offsetof(struct table_header, ram_pages),
                               "expected hints for %" PRIu64 " RAM pages, found them for %" PRIu64
                               "; record them again", ram_pages, t->ram_pages);
        if (t->nr_sums)
                return err_bad(e, shown, offsetof(struct table_header, nr_sums),
                               "expected no page checksums, found %" PRIu64 "; record the hints again",
                               t->nr_sums);
        return 0;
}

/* expected NULL: of whatever snapshot it says. */
static int read_part(const struct part *p, const char *shown, const struct identity *expected, uint64_t ram_pages,
                     struct hints *ret, struct err *e)
{
        _cleanup_(table_file_free) struct table_file t = { 0 };
        _cleanup_(hints_free) struct hints           h = { 0 };
        int                                          r = table_file_read_header(p, shown, &table_hints, &t, e);

        if (r == 0)
                r = check_owner(&t, shown, expected ? expected : &t.identity, expected ? ram_pages : t.ram_pages, e);
        r = r < 0 ? r : table_file_read(p, shown, &t, e);
        if (r < 0)
                return r;
        if (t.kind == &hints_v1)
                upgrade_v1(t.entries, t.nr_entries);
        h = (struct hints){ .snapshot = t.identity, .ram_pages = t.ram_pages, .recordings = t.recordings, .min_seen = t.min_seen,
                             .nr = t.nr_entries };
        h.v = TAKE_PTR(t.entries);
        r = hints_check(&h, shown, e);
        if (r < 0)
                return r;
        *ret = h;
        h = (struct hints){ 0 };
        return 0;
}

static int none(const char *shown, struct err *e)
{
        return err_set(e, -ENOENT, "%s: there are no hints", shown);
}

int hints_file_read(int dir_fd, const char *name, const struct identity *expected, uint64_t ram_pages, struct hints *ret,
                    struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open(dir_fd, name, &p, e);

        if (r < 0)
                return r == -ENOENT ? none(name, e) : r;
        return read_part(&p, name, expected, ram_pages, ret, e);
}

int hints_file_read_path(const char *path, const struct identity *expected, uint64_t ram_pages, struct hints *ret, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open_path(path, &p, e);

        if (r < 0)
                return r == -ENOENT ? none(path, e) : r;
        return read_part(&p, path, expected, ram_pages, ret, e);
}

int hints_file_read_any(const char *path, struct hints *ret, struct err *e)
{
        return hints_file_read_path(path, NULL, 0, ret, e);
}

int hints_file_read_data_dir(const char *data_dir, const struct identity *expected, uint64_t ram_pages, struct hints *ret,
                             struct err *e)
{
        _cleanup_free_ char *path = NULL;
        int                  r = data_path(data_dir, "hints", expected, &path, e);

        return r < 0 ? r : hints_file_read_path(path, expected, ram_pages, ret, e);
}

int hints_file_pack(const struct hints *h, void **ret, size_t *ret_len, struct err *e)
{
        struct table_file t = {
                .identity   = h->snapshot,
                .ram_pages  = h->ram_pages,
                .recordings = h->recordings,
                .min_seen   = h->min_seen,
                .nr_entries = h->nr,
                .entries    = h->v,
        };

        return table_file_pack(&table_hints, &t, ret, ret_len, e);
}

int hints_file_write(int dir_fd, const char *name, const struct hints *h, struct err *e)
{
        _cleanup_free_ void *buf = NULL;
        size_t               len;
        int                  r = hints_file_pack(h, &buf, &len, e);

        if (r < 0)
                return r;
        r = fd_replace_file(dir_fd, name, buf, len, 0600);
        return r < 0 ? err_set(e, r, "write hints %s: %s", name, strerror(-r)) : 0;
}

int hints_file_write_path(const char *path, const struct hints *h, struct err *e)
{
        return hints_file_write(AT_FDCWD, path, h, e);
}

int hints_file_write_data_dir(const char *data_dir, const struct hints *h, struct err *e)
{
        _cleanup_free_ char *path = NULL;
        int                  r = data_path_make(data_dir, "hints", &h->snapshot, &path, e);

        return r < 0 ? r : hints_file_write_path(path, h, e);
}
