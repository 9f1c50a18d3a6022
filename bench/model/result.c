/* A result grows as it is measured, and is freed whole. */
#include "bench/model/result.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
        if (!p) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
        return p;
}

static char *copy_of(const char *s)
{
        return s ? need(strdup(s)) : NULL;
}

/* One more element of size bytes, zeroed, at the end of the array; *nr counts it. Grows by doubling: at powers of two there is no
 * room left. */
static void *append(void **array, size_t *nr, size_t size)
{
        if ((*nr & (*nr - 1)) == 0)
                *array = need(realloc(*array, (*nr ? *nr * 2 : 1) * size));
        return memset((char *)*array + (*nr)++ * size, 0, size);
}

struct bench_group *bench_group_get(struct bench_result *r, const char *name)
{
        struct bench_group *g;

        for (size_t i = 0; i < r->nr_groups; i++)
                if (strcmp(r->groups[i].name, name) == 0)
                        return &r->groups[i];
        g = append((void **)&r->groups, &r->nr_groups, sizeof(*g));
        g->name = copy_of(name);
        return g;
}

const struct bench_arm *bench_arm_find(const struct bench_group *g, const char *name)
{
        for (size_t i = 0; i < g->nr_arms; i++)
                if (strcmp(g->arms[i].name, name) == 0)
                        return &g->arms[i];
        return NULL;
}

struct bench_arm *bench_arm_get(struct bench_group *g, const char *name)
{
        const struct bench_arm *found = bench_arm_find(g, name);
        struct bench_arm       *a;

        if (found)
                return &g->arms[found - g->arms];
        a = append((void **)&g->arms, &g->nr_arms, sizeof(*a));
        a->name = copy_of(name);
        return a;
}

const struct bench_metric *bench_metric_find(const struct bench_arm *a, const char *id)
{
        for (size_t i = 0; i < a->nr_metrics; i++)
                if (strcmp(a->metrics[i].id, id) == 0)
                        return &a->metrics[i];
        return NULL;
}

struct bench_metric *bench_metric_get(struct bench_arm *a, const char *id, const char *unit, enum bench_better better)
{
        const struct bench_metric *found = bench_metric_find(a, id);
        struct bench_metric       *m;

        if (found)
                return &a->metrics[found - a->metrics];
        m = append((void **)&a->metrics, &a->nr_metrics, sizeof(*m));
        m->id = copy_of(id);
        m->unit = copy_of(unit);
        m->better = better;
        return m;
}

static void free_metric(struct bench_metric *m)
{
        free(m->id);
        free(m->unit);
        free(m->values);
}

void bench_metric_remove(struct bench_arm *a, const char *id)
{
        const struct bench_metric *found = bench_metric_find(a, id);
        size_t i = found ? (size_t)(found - a->metrics) : 0;

        if (!found)
                return;
        free_metric(&a->metrics[i]);
        memmove(&a->metrics[i], &a->metrics[i + 1], (a->nr_metrics - i - 1) * sizeof(*a->metrics));
        a->nr_metrics--;
}

void bench_value_add(struct bench_metric *m, uint32_t round, double value)
{
        struct bench_value *v;

        if (!isfinite(value)) {
                fprintf(stderr, "rouse bench: round %u of %s: expected a finite value, found %g\n", round,
                        m->id ? m->id : "a metric", value);
                exit(1);
        }
        v = append((void **)&m->values, &m->nr, sizeof(*v));

        *v = (struct bench_value){.round = round, .value = value};
}

void bench_fact_add(struct bench_result *r, const char *name, const char *value)
{
        struct bench_fact *f = append((void **)&r->machine, &r->nr_machine, sizeof(*f));

        *f = (struct bench_fact){.name = copy_of(name), .value = copy_of(value)};
}

void bench_word_add(struct bench_group *g, const char *format, ...)
{
        char  **word = append((void **)&g->words, &g->nr_words, sizeof(*word));
        va_list args;

        va_start(args, format);
        if (vasprintf(word, format, args) < 0)
                need(NULL);
        va_end(args);
}

static bool is_lacking(const struct bench_arm *a)
{
        return a->failure && a->runs_failed == 0;
}

/* Has an arm before this one the same reason? */
static bool is_told(const struct bench_group *g, size_t arm)
{
        for (size_t i = 0; i < arm; i++)
                if (is_lacking(&g->arms[i]) && strcmp(g->arms[i].failure, g->arms[arm].failure) == 0)
                        return true;
        return false;
}

void bench_words_of_lacks(struct bench_group *g)
{
        for (size_t i = 0; i < g->nr_arms; i++) {
                char names[600];
                size_t len = 0;

                if (!is_lacking(&g->arms[i]) || is_told(g, i))
                        continue;
                for (size_t k = i; k < g->nr_arms && len < sizeof(names); k++)
                        if (is_lacking(&g->arms[k]) && strcmp(g->arms[k].failure, g->arms[i].failure) == 0)
                                len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len ? "; " : "",
                                                        g->arms[k].name);
                bench_word_add(g, "not measured here: %s. %s", names, g->arms[i].failure);
        }
}

void bench_fault_add(struct bench_arm *a, const struct bench_fault *f)
{
        *(struct bench_fault *)append((void **)&a->faults, &a->nr_faults, sizeof(*f)) = *f;
}

void bench_level_add(struct bench_arm *a, const struct bench_level *l)
{
        *(struct bench_level *)append((void **)&a->levels, &a->nr_levels, sizeof(*l)) = *l;
}

void bench_string_set(char **s, const char *value)
{
        char *copy = copy_of(value);

        free(*s);
        *s = copy;
}

static void free_arm(struct bench_arm *a)
{
        for (size_t i = 0; i < a->nr_metrics; i++)
                free_metric(&a->metrics[i]);
        free(a->metrics);
        free(a->name);
        free(a->what);
        free(a->failure);
        free(a->faults);
        free(a->levels);
        free(a->no_timeline);
}

static void free_group(struct bench_group *g)
{
        for (size_t i = 0; i < g->nr_arms; i++)
                free_arm(&g->arms[i]);
        for (size_t i = 0; i < g->nr_words; i++)
                free(g->words[i]);
        free(g->arms);
        free(g->words);
        free(g->name);
        free(g->subject);
        free(g->cache);
        free(g->first_metric);
        free(g->references[0]);
        free(g->references[1]);
}

void bench_result_free(struct bench_result *r)
{
        for (size_t i = 0; i < r->nr_groups; i++)
                free_group(&r->groups[i]);
        for (size_t i = 0; i < r->nr_machine; i++) {
                free(r->machine[i].name);
                free(r->machine[i].value);
        }
        free_group(&r->floors);
        free(r->groups);
        free(r->machine);
        free(r->command);
        free(r->rouse_version);
        free(r->commit);
        *r = (struct bench_result){0};
}
