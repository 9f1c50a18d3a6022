/* Why two results may not be alike although nothing in rouse changed; and what cannot be compared. */
#include "bench/report/compare_notes.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void compare_note(struct comparison *c, const char *format, ...)
{
        va_list args;
        int     r;

        if ((c->nr_notes & (c->nr_notes - 1)) == 0)
                c->notes = realloc(c->notes, (c->nr_notes ? c->nr_notes * 2 : 1) * sizeof(*c->notes));
        va_start(args, format);
        r = c->notes ? vasprintf(&c->notes[c->nr_notes++], format, args) : -1;
        va_end(args);
        if (r < 0) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
}

const struct bench_group *compare_group_find(const struct bench_result *r, const char *name)
{
        for (size_t i = 0; i < r->nr_groups; i++)
                if (strcmp(r->groups[i].name, name) == 0)
                        return &r->groups[i];
        return NULL;
}

static void note_if_differs(struct comparison *c, const char *what, const char *a, const char *b)
{
        if (strcmp(a ? a : "", b ? b : ""))
                compare_note(c, "%s differs: %s in A, %s in B", what, a && *a ? a : "nothing", b && *b ? b : "nothing");
}

static const char *fact(const struct bench_result *r, const char *name)
{
        for (size_t i = 0; i < r->nr_machine; i++)
                if (strcmp(r->machine[i].name, name) == 0)
                        return r->machine[i].value;
        return NULL;
}

/* The load at the start is told by the name of the fact: it is of the hour, not of the machine. */
static bool is_of_the_hour(const char *name)
{
        return strncmp(name, "load", 4) == 0;
}

/* How many bytes at s are an option of where the result goes, or a seed, with its word: what two runs of the same command may
 * differ in. */
static size_t passing_option(const char *s)
{
        static const char *const options[] = {" --json", " --html", " --seed"};

        for (size_t i = 0; i < 3; i++) {
                size_t n = strlen(options[i]);

                if (strncmp(s, options[i], n) == 0 && (s[n] == ' ' || s[n] == '='))
                        return n + 1 + strcspn(s + n + 1, " ");
        }
        return 0;
}

static bool same_command(const char *a, const char *b)
{
        a = a ? a : "";
        b = b ? b : "";
        for (;;) {
                while (passing_option(a))
                        a += passing_option(a);
                while (passing_option(b))
                        b += passing_option(b);
                if (*a != *b || !*a)
                        return *a == *b;
                a++;
                b++;
        }
}

static void note_machine(struct comparison *c, const struct bench_result *a, const struct bench_result *b)
{
        for (size_t i = 0; i < a->nr_machine; i++)
                if (!is_of_the_hour(a->machine[i].name))
                        note_if_differs(c, a->machine[i].name, a->machine[i].value, fact(b, a->machine[i].name));
        for (size_t i = 0; i < b->nr_machine; i++)
                if (!is_of_the_hour(b->machine[i].name) && !fact(a, b->machine[i].name))
                        note_if_differs(c, b->machine[i].name, NULL, b->machine[i].value);
}

static void note_arms(struct comparison *c, const struct bench_group *a, const struct bench_group *b, char side)
{
        for (size_t i = 0; i < a->nr_arms; i++)
                if (!bench_arm_find(b, a->arms[i].name))
                        compare_note(c, "only %c has the arm %s of %s", side, a->arms[i].name, a->name);
}

static void note_groups(struct comparison *c, const struct bench_result *a, const struct bench_result *b, char side)
{
        for (size_t i = 0; i < a->nr_groups; i++) {
                const struct bench_group *other = compare_group_find(b, a->groups[i].name);

                if (other)
                        note_arms(c, &a->groups[i], other, side);
                else
                        compare_note(c, "only %c has %s", side, a->groups[i].name);
                if (other && side == 'A')
                        note_if_differs(c, a->groups[i].name, a->groups[i].subject, other->subject);
        }
}

void compare_note_differences(struct comparison *c, const struct bench_result *a, const struct bench_result *b)
{
        note_machine(c, a, b);
        if (!same_command(a->command, b->command))
                note_if_differs(c, "the command", a->command, b->command);
        note_groups(c, a, b, 'A');
        note_groups(c, b, a, 'B');
        if (c->nr_floors == 0)
                compare_note(c, "the two have no floors in common: a shift of the whole machine between them can be told from a change by other arms of the same group only, and where there "
                                "are none, not at all");
}

void compare_note_metric(struct comparison *c, const struct bench_group *g, const struct bench_arm *arm,
                         const struct bench_metric *a, const struct bench_metric *b)
{
        if (a->nr == 0 && (!b || b->nr == 0))
                return;
        compare_note(c, "only %c has values of %s of the arm %s of %s", a->nr ? 'A' : 'B', a->id, arm->name, g->name);
}

/* How many arms of the group, controls apart, have a verdict on its first metric, and how many of them this one. */
static size_t count(const struct comparison *c, const struct bench_group *g, enum compare_verdict verdict, size_t *ret_all)
{
        size_t n = 0;

        *ret_all = 0;
        for (size_t i = 0; i < c->nr_rows; i++) {
                const struct compare_row *row = &c->rows[i];

                if (row->group != g || !row->first || !row->timed || row->arm->control)
                        continue;
                ++*ret_all;
                n += row->verdict == verdict;
        }
        return n;
}

void compare_note_common_shift(struct comparison *c)
{
        const struct bench_group *last = NULL;

        for (size_t i = 0; i < c->nr_rows; i++) {
                const struct bench_group *g = c->rows[i].group;
                size_t                    all, worse = count(c, g, COMPARE_WORSE, &all);

                if (!g || g == last)
                        continue;
                last = g;
                if (all >= 3 && worse == all)
                        compare_note(c, "%s: all %zu arms became worse, so it is what they share: rouse's start, KVM, the snapshot's files, or a shift of the machine that its floors do not "
                                        "feel; measure A again before believing it", g->name, all);
        }
}
