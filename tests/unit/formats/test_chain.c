/* test_chain: a child's pages come from whichever snapshot of its chain has them; a parent that is not there, or is another, is
 * refused. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/chain.h"
#include "formats/native_write.h"
#include "formats/page_reader.h"
#include "formats/section_file.h"
#include "formats/verify.h"
#include "tests/support/fixture.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM_PAGES 512u /* 2 MiB */

static const struct snapshot_open_options any = { 0 };

/* --- making --- */

/* What a level does with a page. */
enum fate { LEFT, ZEROED, WRITTEN };

static enum fate fate(uint32_t level, uint32_t page)
{
        if (level == 0)
                return page % 3 ? WRITTEN : ZEROED;
        if (page == 2) /* nobody ever writes it: it makes the whole chain needed */
                return LEFT;
        return (page + level) % 7 == 0 ? WRITTEN : (page + level) % 11 == 0 ? ZEROED : LEFT;
}

static void fill_page(uint8_t *bytes, uint32_t level, uint32_t page)
{
        memset(bytes, 0, PAGE_BYTES);
        memcpy(bytes, &(uint32_t[]){ level + 1, page }, 8);
}

static void write_pages(struct native_writer *w, uint32_t level)
{
        uint8_t bytes[PAGE_BYTES];

        for (uint32_t page = 0; page < RAM_PAGES; page++) {
                enum fate f = fate(level, page);

                fill_page(bytes, level, page);
                if (f == LEFT)
                        cr_assert_eq(native_writer_parent_pages(w, 1, NULL), 0);
                else
                        cr_assert_eq(native_writer_pages(w, f == WRITTEN ? bytes : NULL, 1, NULL), 0);
        }
}

/* The machine of a real snapshot, whatever it is: it is the pages that matter here. */
static void write_level(const char *path, uint32_t level, const char *parent, const struct identity *parent_id,
                        struct identity *ret)
{
        _cleanup_(parent_place_free) struct parent_place place = { 0 };
        struct native_writer_options                     o = { .path = path, .ram_pages = RAM_PAGES, .pack = level % 4 > 1,
                                                               .chunk_pages = 8 };
        struct mem_layout                                l = { 0 };
        struct native_writer                            *w = NULL;
        struct snapshot                                  machine;
        struct err                                       e = { 0 };

        cr_assert_eq(snapshot_open(fixture_dir("stratovirt/microvm-128m"), &any, &machine, &e), 0, "%s", e.text);
        cr_assert_eq(mem_layout_add(&l, 0, RAM_PAGES * PAGE_BYTES, NULL), 0);
        if (parent) {
                cr_assert_eq(parent_place_make(parent, path, &place, &e), 0, "%s", e.text);
                o.parent = *parent_id;
                o.parent_place = &place;
        }
        cr_assert_eq(native_writer_new(&o, &w, &e), 0, "%s", e.text);
        write_pages(w, level);
        cr_assert_eq(native_writer_state(w, &machine.vm, &l, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, ret, &e), 0, "%s", e.text);
        native_writer_free(w);
        snapshot_close(&machine);
}

struct chain_of {
        struct tmpdir   t;
        uint32_t        nr;
        char            path[40][PATH_MAX + 32];
        struct identity id[40];
};

/* level0 ... levelN, each the child of the one before, side by side in `tree`. */
static struct chain_of *make_chain(uint32_t nr)
{
        struct chain_of *c = calloc(1, sizeof(*c));

        cr_assert_not_null(c);
        c->t = tmpdir_new();
        c->nr = nr;
        cr_assert_eq(mkdirat(c->t.fd, "tree", 0700), 0);
        for (uint32_t i = 0; i < nr; i++) {
                snprintf(c->path[i], sizeof(c->path[i]), "%s/tree/level%u", c->t.path, i);
                write_level(c->path[i], i, i ? c->path[i - 1] : NULL, i ? &c->id[i - 1] : NULL, &c->id[i]);
        }
        return c;
}

static void free_chain(struct chain_of **c)
{
        tmpdir_free(&(*c)->t);
        free(*c);
}
#define _cleanup_chain_ _cleanup_(free_chain)

static const char *youngest(const struct chain_of *c)
{
        return c->path[c->nr - 1];
}

static void move(const struct chain_of *c, const char *from, const char *to)
{
        cr_assert_eq(renameat(c->t.fd, from, c->t.fd, to), 0);
}

/* --- looking --- */

static void assert_pages(const struct snapshot *s, uint32_t level)
{
        struct page_reader r;
        uint8_t            found[PAGE_BYTES], expected[PAGE_BYTES];
        struct err         e = { 0 };

        cr_assert_eq(page_reader_init(&r, &s->pages, true), 0);
        for (uint32_t page = 0; page < RAM_PAGES; page++) {
                uint32_t from = level;

                while (fate(from, page) == LEFT)
                        from--;
                fill_page(expected, from, page);
                if (fate(from, page) == ZEROED)
                        memset(expected, 0, sizeof(expected));
                cr_assert_eq(page_reader_read(&r, page, 1, found, &e), 0, "%s", e.text);
                cr_assert_arr_eq(found, expected, sizeof(found), "page %u", page);
        }
        page_reader_fini(&r);
}

static void assert_opens(const char *path, uint32_t level, const struct snapshot_open_options *o)
{
        struct snapshot s = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(snapshot_open(path, o, &s, &e), 0, "%s", e.text);
        assert_pages(&s, level);
        snapshot_close(&s);
}

static void assert_refused(const char *path, const struct snapshot_open_options *o, const char *why)
{
        struct snapshot s = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(snapshot_open(path, o, &s, &e), -EBADMSG);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, why), "expected \"%s\", found: %s", why, e.text);
}

Test(chain, each_page_is_read_from_the_youngest_that_has_it)
{
        _cleanup_chain_ struct chain_of *c = make_chain(5);

        for (uint32_t i = 0; i < c->nr; i++)
                assert_opens(c->path[i], i, &any);
}

Test(chain, forty_levels_are_no_matter)
{
        _cleanup_chain_ struct chain_of *c = make_chain(40);

        assert_opens(youngest(c), 39, &any);
}

Test(chain, its_levels_say_where_they_are_and_what_they_are_needed_for)
{
        _cleanup_chain_ struct chain_of *c = make_chain(3);
        uint64_t                         used = 0;
        struct snapshot                  s = { 0 };

        cr_assert_eq(snapshot_open(youngest(c), &any, &s, NULL), 0);
        cr_assert_eq(s.nr_levels, 3);
        for (uint32_t i = 0; i < 3; i++) {
                cr_assert_str_eq(s.levels[i].path, c->path[2 - i]);
                cr_assert(identity_equal(&s.levels[i].identity, &c->id[2 - i]));
                cr_assert_leq(s.levels[i].used_pages, s.levels[i].data_pages);
                used += s.levels[i].used_pages;
        }
        cr_assert_eq(s.levels[0].used_pages, s.levels[0].data_pages);
        cr_assert_eq(used, page_map_count(&s.pages).raw_pages + page_map_count(&s.pages).packed_pages);
        cr_assert(s.verifiable && !s.partly);
        snapshot_close(&s);
}

Test(chain, its_files_take_only_what_changed)
{
        _cleanup_chain_ struct chain_of *c = make_chain(2);
        char                             path[PATH_MAX + 64];
        struct stat                      st;

        snprintf(path, sizeof(path), "%s/memory", c->path[1]);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq((uint64_t)st.st_size, pages_to_bytes(RAM_PAGES));
        cr_assert_lt((uint64_t)st.st_blocks * 512, pages_to_bytes(RAM_PAGES / 2), "a seventh of it changed");
}

Test(chain, a_tree_that_is_moved_as_a_whole_still_opens)
{
        _cleanup_chain_ struct chain_of *c = make_chain(3);
        char                             path[PATH_MAX + 32];

        move(c, "tree", "elsewhere");
        snprintf(path, sizeof(path), "%s/elsewhere/level2", c->t.path);
        assert_opens(path, 2, &any);
}

Test(chain, a_child_that_is_moved_alone_finds_its_parent_where_it_was)
{
        _cleanup_chain_ struct chain_of *c = make_chain(2);
        char                             path[PATH_MAX + 32];

        cr_assert_eq(mkdirat(c->t.fd, "far", 0700), 0);
        cr_assert_eq(mkdirat(c->t.fd, "far/away", 0700), 0);
        move(c, "tree/level1", "far/away/child");
        snprintf(path, sizeof(path), "%s/far/away/child", c->t.path);
        assert_opens(path, 1, &any);
}

Test(chain, a_parent_that_is_missing_is_refused_by_its_identity_and_found_with_a_base)
{
        _cleanup_chain_ struct chain_of *c = make_chain(3);
        char                             moved[PATH_MAX + 32];
        const char                      *bases[] = { c->path[2], moved }; /* the first one is not it, and does no harm */
        struct snapshot_open_options     o = { .bases = bases, .nr_bases = 2 };

        move(c, "tree/level1", "gone");
        snprintf(moved, sizeof(moved), "%s/gone", c->t.path);
        assert_refused(youngest(c), &any, c->id[1].s);
        assert_refused(youngest(c), &any, "--base DIR");
        assert_refused(youngest(c), &any, "there is none");
        assert_opens(youngest(c), 2, &o);
}

Test(chain, another_snapshot_in_a_parents_place_is_refused_by_both_identities)
{
        _cleanup_chain_ struct chain_of *c = make_chain(3);
        struct identity                  stranger;

        move(c, "tree/level1", "gone");
        write_level(c->path[1], 0, NULL, NULL, &stranger);
        assert_refused(youngest(c), &any, c->id[1].s);
        assert_refused(youngest(c), &any, stranger.s);
}

Test(chain, a_parent_that_is_damaged_is_refused)
{
        _cleanup_chain_ struct chain_of *c = make_chain(3);
        char                             path[PATH_MAX + 64];

        snprintf(path, sizeof(path), "%s/memory", c->path[0]);
        cr_assert_eq(truncate(path, 4096), 0);
        assert_refused(youngest(c), &any, "level0");
        snprintf(path, sizeof(path), "%s/pages", c->path[1]);
        cr_assert_eq(truncate(path, 4096), 0);
        assert_refused(youngest(c), &any, "level1");
}

Test(chain, a_byte_that_changed_in_a_parents_memory_is_found_and_the_parent_named)
{
        _cleanup_chain_ struct chain_of *c = make_chain(2);
        char                             path[PATH_MAX + 64];
        _cleanup_close_ int              fd = -1;
        struct snapshot                  s = { 0 };
        struct verify_report             v;
        struct err                       e = { 0 };

        snprintf(path, sizeof(path), "%s/memory", c->path[0]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        cr_assert_eq(fate(1, 1), LEFT);
        cr_assert_eq(pwrite(fd, "x", 1, PAGE_BYTES + 9), 1);
        cr_assert_eq(snapshot_open(youngest(c), &any, &s, NULL), 0);
        cr_assert_eq(snapshot_verify(&s, NULL, NULL, &v, &e), -EBADMSG);
        cr_assert_eq(v.bad_pages, 1);
        cr_assert_not_null(strstr(e.text, "level0/memory: offset 4096"), "%s", e.text);
        snapshot_close(&s);
}

Test(chain, parents_whose_every_page_was_written_over_are_not_needed)
{
        _cleanup_chain_ struct chain_of *c = make_chain(1);
        char                             path[PATH_MAX + 32];
        struct identity                  id;

        snprintf(path, sizeof(path), "%s/tree/child", c->t.path);
        write_level(path, 0, c->path[0], &c->id[0], &id);
        move(c, "tree/level0", "gone");
        assert_opens(path, 0, &any);
}

Test(chain, a_chain_that_is_too_deep_is_refused)
{
        _cleanup_chain_ struct chain_of *c = make_chain(2);
        struct snapshot                  s = { 0 };
        struct err                       e = { 0 };

        /* as if as many were there already */
        cr_assert_eq(snapshot_open_level(youngest(c), &any, &s, &e), 0);
        s.levels = calloc(CHAIN_LEVELS_MAX, sizeof(*s.levels));
        s.nr_levels = CHAIN_LEVELS_MAX - 1;
        cr_assert_eq(chain_put_together(&s, &any, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "rouse convert"), "%s", e.text);
        snapshot_close(&s);
}

/* It cannot be written, as nobody knows the identity of what is not there yet; a file may say so all the same. */
Test(chain, a_snapshot_that_is_its_own_ancestor_is_refused)
{
        struct snapshot              s = { 0 };
        struct snapshot_open_options o = { 0 };
        struct err                   e = { 0 };
        _cleanup_chain_ struct chain_of *c = make_chain(2);

        cr_assert_eq(snapshot_open_level(youngest(c), &o, &s, &e), 0);
        s.parent = s.identity;
        cr_assert_eq(chain_put_together(&s, &o, &e), -EBADMSG);
        cr_assert_not_null(strstr(e.text, "its own ancestor"), "%s", e.text);
        snapshot_close(&s);
}

Test(chain, a_parent_that_a_stranger_snapshot_names_must_be_the_strangers_too)
{
        struct chain_of *c;
        const char      *bases[1];
        struct snapshot_open_options o = { .bases = bases, .nr_bases = 1 };

        if (geteuid() != 0)
                cr_skip_test("only root can give files away");
        c = make_chain(2);
        bases[0] = c->path[0];
        cr_assert_eq(chown(c->path[1], 12345, 12345), 0);
        assert_refused(youngest(c), &any, "another owner");
        assert_opens(youngest(c), 1, &o);
        cr_assert_eq(chown(c->path[0], 12345, 12345), 0);
        assert_opens(youngest(c), 1, &any);
        free_chain(&c);
}

/* --- what a child says of its parent, by somebody who means harm --- */

/* The state file of path again, with these bytes as its section parent, and every checksum right. */
static void say_of_parent(const char *path, const void *bytes, size_t len)
{
        _cleanup_(sections_free) struct sections       in = { 0 };
        _cleanup_(section_out_free) struct section_out out = { 0 };
        _cleanup_free_ void                           *state = NULL;
        char                                           name[PATH_MAX + 64];
        size_t                                         state_len;
        int                                            fd;

        snprintf(name, sizeof(name), "%s/state", path);
        fd = open(name, O_RDWR | O_CLOEXEC);
        cr_assert_eq(fd_read_all(fd, NATIVE_STATE_MAX, &state, &state_len), 0);
        cr_assert_eq(sections_read("state", state, state_len, &in, NULL), 0);
        for (size_t i = 0; i < in.nr; i++) {
                bool parent = !strcmp(in.v[i].name, "parent");

                section_out_add(&out, in.v[i].name, parent ? bytes : in.v[i].bytes, parent ? len : in.v[i].len, NULL, 0);
        }
        cr_assert_eq(section_out_finish(&out), 0);
        cr_assert_eq(ftruncate(fd, 0), 0);
        cr_assert_eq(pwrite(fd, out.bytes, out.len, 0), (ssize_t)out.len);
        close(fd);
}

Test(chain, words_about_a_parent_that_are_no_paths_are_refused)
{
        static const struct {
                uint32_t    absolute_bytes, relative_bytes;
                const char *bytes;
                size_t      len;
        } rows[] = {
                { 0, 0, "", 0xfff },                  /* cut within its head */
                { 4, 0, "/abc", 3 },                  /* a length past the end */
                { 4, 0, "/abcd", 5 },                 /* bytes that nobody counts */
                { UINT32_MAX, UINT32_MAX, "/abc", 4 }, /* a sum that goes round */
                { 4, 0, "abcd", 4 },                  /* an absolute path that is none */
                { 0, 4, "/abc", 4 },                  /* a relative one that is absolute */
                { 4, 0, "/a\0b", 4 },                 /* which ends early */
                { 4, 0, "/a\033b", 4 },               /* which a terminal obeys */
        };
        _cleanup_chain_ struct chain_of *c = make_chain(2);

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                uint8_t  bytes[64];
                uint32_t head[2] = { rows[i].absolute_bytes, rows[i].relative_bytes };
                size_t   len = rows[i].len == 0xfff ? 5 : sizeof(head) + rows[i].len;

                memcpy(bytes, head, sizeof(head));
                if (rows[i].len != 0xfff)
                        memcpy(bytes + sizeof(head), rows[i].bytes, rows[i].len);
                say_of_parent(youngest(c), bytes, len);
                assert_refused(youngest(c), &any, "section parent");
        }
}

/* No way to it is known: then only the user can say. */
Test(chain, a_child_that_names_no_path_is_opened_with_a_base_alone)
{
        _cleanup_chain_ struct chain_of *c = make_chain(2);
        const char                      *bases[] = { c->path[0] };
        struct snapshot_open_options     o = { .bases = bases, .nr_bases = 1 };

        say_of_parent(youngest(c), (uint32_t[2]){ 0 }, 8);
        assert_refused(youngest(c), &any, "no path to it is known");
        assert_opens(youngest(c), 1, &o);
}

/* Whatever is cut off any file of child or parent, it is refused, and read nowhere past its end. */
Test(chain, a_chain_whose_files_are_cut_short_is_refused)
{
        static const char *const files[] = { "state", "pages", "memory" };
        _cleanup_chain_ struct chain_of *c = make_chain(3); /* the youngest is packed */

        for (uint32_t level = 0; level < 3; level++)
                for (size_t f = 0; f < ARRAY_LEN(files); f++) {
                        char                    path[PATH_MAX + 64];
                        _cleanup_free_ void    *whole = NULL;
                        _cleanup_close_ int     fd = -1;
                        size_t                  len;

                        snprintf(path, sizeof(path), "%s/%s", c->path[level], files[f]);
                        fd = open(path, O_RDWR | O_CLOEXEC);
                        cr_assert_eq(fd_read_all(fd, 64 << 20, &whole, &len), 0);
                        for (size_t cut = 0; cut < 24; cut++) {
                                struct snapshot s = { 0 };
                                struct err      e = { 0 };

                                cr_assert_eq(ftruncate(fd, (off_t)(len * cut / 24)), 0);
                                cr_assert_lt(snapshot_open(youngest(c), &any, &s, &e), 0, "level %u, %s, %zu of %zu bytes", level,
                                             files[f], len * cut / 24, len);
                                cr_assert(e.text[0]);
                        }
                        cr_assert_eq(pwrite(fd, whole, len, 0), (ssize_t)len);
                }
        assert_opens(youngest(c), 2, &any);
}

/* --- a parent without checksums --- */

/* With one page of its own over a copy of the fixture at base. */
static void write_over_foreign(const char *base, const char *path)
{
        _cleanup_(parent_place_free) struct parent_place place = { 0 };
        struct native_writer_options     o = { 0 };
        struct snapshot                  parent = { 0 };
        struct native_writer            *w = NULL;
        uint8_t                          bytes[PAGE_BYTES] = { 1 };
        struct err                       e = { 0 };

        cr_assert_eq(snapshot_open(base, &any, &parent, &e), 0, "%s", e.text);
        cr_assert_eq(parent_place_make(base, path, &place, &e), 0);
        o = (struct native_writer_options){ .path = path, .ram_pages = parent.pages.nr_pages, .parent = parent.identity,
                                            .parent_place = &place };
        cr_assert_eq(native_writer_new(&o, &w, &e), 0);
        cr_assert_eq(native_writer_parent_pages(w, 100, &e), 0);
        cr_assert_eq(native_writer_pages(w, bytes, 1, &e), 0);
        cr_assert_eq(native_writer_parent_pages(w, parent.pages.nr_pages - 101, &e), 0);
        cr_assert_eq(native_writer_state(w, &parent.vm, &parent.layout, &e), 0, "%s", e.text);
        cr_assert_eq(native_writer_commit(w, NULL, &e), 0, "%s", e.text);
        native_writer_free(w);
        snapshot_close(&parent);
}

/* A copy of the fixture, and that over it. */
static void make_foreign(const struct tmpdir *t, char base[PATH_MAX + 32], char path[PATH_MAX + 32])
{
        char cmd[3 * PATH_MAX];

        snprintf(base, PATH_MAX + 32, "%s/base", t->path);
        snprintf(path, PATH_MAX + 32, "%s/child", t->path);
        snprintf(cmd, sizeof(cmd), "mkdir %s && cp --sparse=always %s/state %s/memory %s", base,
                 fixture_dir("stratovirt/microvm-128m"), fixture_dir("stratovirt/microvm-128m"), base);
        cr_assert_eq(system(cmd), 0);
        write_over_foreign(base, path);
}

Test(chain, a_foreign_parent_is_told_by_its_state_and_when_its_memory_was_written)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                child = { 0 };
        char                           base[PATH_MAX + 32], path[PATH_MAX + 32], cmd[PATH_MAX + 64];
        struct err                     e = { 0 };

        make_foreign(&t, base, path);
        cr_assert_eq(snapshot_open(path, &any, &child, &e), 0, "%s", e.text);
        cr_assert(child.verifiable && child.partly);
        cr_assert_not(child.pages.zeros_known);
        cr_assert_eq(child.nr_levels, 2);
        cr_assert_null(run_sums(&child.pages, page_map_find(&child.pages, 99)));
        cr_assert_not_null(run_sums(&child.pages, page_map_find(&child.pages, 100)));
        snapshot_close(&child);
        snprintf(cmd, sizeof(cmd), "touch %s/memory", base);
        cr_assert_eq(system(cmd), 0);
        assert_refused(path, &any, "its memory was written since");
}

Test(chain, a_damaged_page_index_of_a_foreign_parent_is_told_of_the_child)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                child = { 0 };
        char                           base[PATH_MAX + 32], path[PATH_MAX + 32], cmd[PATH_MAX + 64];
        struct verify_report           report;
        struct err                     e = { 0 };

        make_foreign(&t, base, path);
        snprintf(cmd, sizeof(cmd), "echo nonsense > %s/rouse-pages", base);
        cr_assert_eq(system(cmd), 0);
        cr_assert_eq(snapshot_open(path, &any, &child, &e), 0, "%s", e.text);
        cr_assert(child.nr_notes && strstr(child.notes[child.nr_notes - 1], "/base: rouse-pages: offset 0: expected"), "%s", child.notes[0]);
        cr_assert_eq(snapshot_verify(&child, NULL, NULL, &report, &e), -EBADMSG);
        cr_assert(strstr(e.text, "parent ") && strstr(e.text, "rouse-pages"), "%s", e.text);
        cr_assert_eq(report.bad_pages, 0);
        snapshot_close(&child);
}

/* --- paths --- */

Test(chain, the_way_from_child_to_parent_needs_something_in_common)
{
        static const struct {
                const char *from, *to, *expected;
        } rows[] = {
                { "/srv/a/c1", "/srv/a/p", "../p" },
                { "/srv/a/c1", "/srv/b/x/p", "../../b/x/p" },
                { "/srv/a/p/c1", "/srv/a/p", ".." },
                { "/srv/a", "/srv/a/p", "p" },
                { "/srv/ab", "/srv/a", "../a" },
                { "/srv/a", "/srv/a", "." },
                { "/srv/a", "/var/p", NULL },
                { "/a", "/p", NULL },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                _cleanup_free_ char *found = parent_place_relative(rows[i].from, rows[i].to);

                if (rows[i].expected)
                        cr_assert_str_eq(found, rows[i].expected);
                else
                        cr_assert_null(found);
        }
}
