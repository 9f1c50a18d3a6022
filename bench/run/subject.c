/* Opened once, to see that it is whole as far as that costs nothing, and which files stand behind it. */
#include "bench/run/bench.h"
#include "bench/run/page_cache.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two snapshots of one name are told apart by what stands before it. */
static char *name_of(const struct bench *b, const char *dir)
{
        const char *at = strrchr(dir, '/');

        at = at && at[1] ? at + 1 : dir;
        for (size_t i = 0; i < b->nr_subjects; i++)
                if (strcmp(b->subjects[i].name, at) == 0)
                        return strdup(dir);
        return strdup(at);
}

/* As rouse has it (tools/cli.c): indexes and hints by identity. */
static const char *data_dir(char *buf, size_t size)
{
        const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

        if (xdg && xdg[0])
                snprintf(buf, size, "%s/rouse", xdg);
        else if (getuid() == 0)
                snprintf(buf, size, "/var/lib/rouse");
        else
                snprintf(buf, size, "%s/.local/share/rouse", home ? home : "");
        return buf;
}

static int take_paths(struct subject *s, const struct inspection *i, struct err *e)
{
        if (i->nr_levels > SUBJECT_PATHS_MAX)
                return err_set(e, -E2BIG, "%s: a chain of %zu snapshots; the bench takes up to %d", s->dir, i->nr_levels,
                               SUBJECT_PATHS_MAX);
        for (size_t k = 0; k < i->nr_levels; k++)
                s->paths[s->nr_paths++] = strdup(i->levels[k].path);
        if (!s->nr_paths)
                s->paths[s->nr_paths++] = strdup(s->dir);
        return 0;
}

/* A foreign memory file whose zeros nobody has looked for: the first restore would do it behind its guest, and those after it
 * would be others than those before. So it is done now, and kept where that restore would keep it. */
static void know_zeros(struct subject *s, struct inspection *i, const char *data)
{
        struct err why = {0};

        if (!i->pages->zeros_known && !i->nr_levels && inspect_keep_index(i, data, &why) < 0)
                fprintf(stderr, "rouse bench restore: %s: its zero pages are not known, and no restore knows them: %s\n", s->dir,
                        why.text);
}

/* What peers alone wake may be of a format that only they know. */
static int look_from_outside(struct subject *s, struct err *e)
{
        s->paths[0] = strdup(s->dir);
        if (!s->paths[0])
                return err_set(e, -ENOMEM, "no memory");
        s->nr_paths = 1;
        return 0;
}

/* Who brought a snapshot of another VMM's for that VMM alone learns how that is said. */
static void tell_of_peers(const struct bench *b, struct err *e)
{
        size_t len = strlen(e->text);

        if (b->o.nr_peers && e->kind == ERR_SNAPSHOT)
                snprintf(e->text + len, sizeof(e->text) - len,
                         " (--arms none measures the peers alone; to measure them beside rouse's arms, give DIR in a format of rouse's, "
                         "of the same guest, and the peer its own by --peer FILE,state=ITS-DIR)");
}

static int look(struct subject *s, struct err *e)
{
        char data[4096];
        struct inspect_options io = {.data_dir = data_dir(data, sizeof(data))};
        struct inspection i = {0};
        struct page_counts c;
        int r = inspect_open(s->dir, &io, &i, e);

        if (r < 0)
                return r;
        know_zeros(s, &i, io.data_dir);
        s->layout = *i.layout;
        c = page_map_count(i.pages);
        s->data_bytes = pages_to_bytes(c.raw_pages + c.packed_pages);
        s->zero_bytes = pages_to_bytes(c.zero_pages);
        r = take_paths(s, &i, e);
        inspect_close(&i);
        return r;
}

static int add_arms(const struct bench *b, struct subject *s, struct err *e)
{
        int r = 0;

        for (size_t i = 0; i < b->o.nr_arms; i++)
                if (!rouse_arm_add(&s->arms, b->o.arms[i]))
                        return err_set(e, -E2BIG, "too many arms: expected at most %d", ARMS_MAX);
        for (size_t i = 0; i < b->o.nr_peers && r >= 0; i++)
                r = peer_arm_add(&s->arms, b->o.peers[i], e);
        return r;
}

int subject_open(struct bench *b, const char *dir, struct subject *ret, struct err *e)
{
        struct subject *s = ret;
        char leaf[32];
        int r = 0;

        *s = (struct subject){.dir = realpath(dir, NULL)};
        if (!s->dir) {
                r = err_set(e, -errno, "%s: %s", dir, strerror(errno));
                if (e)
                        e->kind = ERR_SNAPSHOT;
                return r;
        }
        s->name = name_of(b, s->dir);
        snprintf(leaf, sizeof(leaf), "%zu", b->nr_subjects);
        r = b->o.nr_arms ? look(s, e) : look_from_outside(s, e);
        if (r < 0)
                tell_of_peers(b, e);
        else
                r = scratch_subdir(&b->scratch, leaf, s->scratch, sizeof(s->scratch), e);
        if (r >= 0)
                r = add_arms(b, s, e);
        if (r < 0) {
                subject_close(s);
                return r;
        }
        s->setting = (struct arm_setting){.rouse = b->rouse, .dir = s->dir, .scratch = s->scratch, .mark = b->o.mark, .settle_ns = b->o.settle_ns,
                                          .timeout_ns = b->o.timeout_ns, .stop = &b->stop};
        return 0;
}

void subject_close(struct subject *s)
{
        arm_list_free(&s->arms);
        for (size_t i = 0; i < s->nr_paths; i++)
                free(s->paths[i]);
        free(s->dir);
        free(s->name);
        *s = (struct subject){0};
}

int subject_fill_cache(const struct subject *s, const struct arm *a, struct err *e)
{
        int r = 0;

        for (size_t i = 0; i < s->nr_paths && r >= 0; i++)
                r = page_cache_fill(s->paths[i], e);
        for (size_t i = 0; i < a->nr_paths && r >= 0; i++)
                r = page_cache_fill(a->paths[i], e);
        return r;
}

static int empty(const char *path, uint64_t *left, char **file, struct err *e)
{
        _cleanup_free_ char *one = NULL;
        uint64_t n = 0;
        int r = page_cache_evict(path, &n, &one, e);

        if (r < 0)
                return r;
        *left += n;
        if (one && !*file && asprintf(file, "%s: %s", path, one) < 0)
                *file = NULL;
        return 0;
}

int subject_empty_cache(const struct subject *s, const struct arm *a, uint64_t *ret_left, char **ret_file, struct err *e)
{
        int r = 0;

        *ret_left = 0;
        *ret_file = NULL;
        for (size_t i = 0; i < s->nr_paths && r >= 0; i++)
                r = empty(s->paths[i], ret_left, ret_file, e);
        for (size_t i = 0; i < a->nr_paths && r >= 0; i++)
                r = empty(a->paths[i], ret_left, ret_file, e);
        return r;
}

struct bench_group *bench_subject_group(struct bench *b, const struct subject *s, enum bench_cache cache)
{
        const char *word = cache == CACHE_COLD ? "cold" : "warm";
        struct bench_group *g;
        char name[4300];

        snprintf(name, sizeof(name), "%s, %s", s->name, word);
        if (s->control)
                snprintf(name, sizeof(name), "%s", CONTROL_GROUP);
        g = bench_group_get(&b->result, name);
        if (!g->cache) {
                bench_string_set(&g->cache, word);
                bench_string_set(&g->subject, s->dir);
                bench_string_set(&g->first_metric, "t3");
        }
        return g;
}

struct bench_arm *bench_subject_arm(struct bench *b, const struct subject *s, enum bench_cache cache, const struct arm *a)
{
        struct bench_arm *ba = bench_arm_get(bench_subject_group(b, s, cache), a->name);

        if (!ba->what) {
                bench_string_set(&ba->what, a->what);
                ba->peer = a->peer;
        }
        return ba;
}
