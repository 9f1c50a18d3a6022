/* What bash completes, what --help tells and what the man pages tell are the same verbs, options and values. */
#include "tests/support/child.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64

struct words {
        size_t nr;
        char   w[WORDS_MAX][64];
};

static void words_add(struct words *l, const char *text, size_t len)
{
        cr_assert(l->nr < WORDS_MAX && len < sizeof(l->w[0]), "%.*s", (int)len, text);
        memcpy(l->w[l->nr], text, len);
        l->w[l->nr++][len] = 0;
}

static bool words_have(const struct words *l, const char *word)
{
        for (size_t i = 0; i < l->nr; i++)
                if (strcmp(l->w[i], word) == 0)
                        return true;
        return false;
}

/* What bash offers for the last of up to four words. bash-completion's own two functions are played: files are FILE. */
static struct words offered(const char *a, const char *b, const char *c, const char *d)
{
        static const char play[] = "_init_completion() {\n"
                                   "words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD cur=${words[cword]} prev=${words[cword - 1]}\n"
                                   "}\n"
                                   "_filedir() { COMPREPLY+=(FILE); }\n"
                                   "compopt() { :; }\n"
                                   ". packaging/bash-completion/rouse\n"
                                   "COMP_WORDS=(rouse \"$@\") COMP_CWORD=$#\n"
                                   "_rouse\n"
                                   "printf '%s\\n' \"${COMPREPLY[@]}\"\n";
        struct child bash = RUN(30000, "bash", "-c", play, "bash", a, b, c, d);
        struct words l = { 0 };

        cr_assert(bash.status == 0 && bash.err_len == 0, "exit %d: %s", bash.status, bash.err);
        for (char *save, *w = strtok_r(bash.out, "\n", &save); w; w = strtok_r(NULL, "\n", &save))
                words_add(&l, w, strlen(w));
        child_free(&bash);
        return l;
}

/* The options of a verb, or of a word of one. */
static struct words offered_options(const char *verb, const char *word)
{
        return word ? offered(verb, word, "--", NULL) : offered(verb, "--", NULL, NULL);
}

static struct child help_of(const char *verb, const char *word)
{
        struct child c = word ? RUN(30000, rouse_program(), verb, word, "--help") : RUN(30000, rouse_program(), verb, "--help");

        cr_assert_eq(c.status, 0, "%s %s --help: exit %d, %s", verb, word ? word : "", c.status, c.err);
        return c;
}

/* The words that open lines of a list ("  restore    wake ..."). */
static struct words listed(const char *help)
{
        struct words l = { 0 };

        for (const char *line = help; line; line = strchr(line, '\n')) {
                size_t len;

                line += *line == '\n';
                if (strncmp(line, "  ", 2) != 0 || !islower((unsigned char)line[2]))
                        continue;
                len = strcspn(line + 2, " \n");
                if (strncmp(line + 2, "rouse", len) != 0 && strncmp(line + 2, "for", len) != 0) /* an example's */
                        words_add(&l, line + 2, len);
        }
        return l;
}

/* Calls told with each "--option VALUES" of a help: what stands left of the gap of two spaces. */
static void each_option(const char *help, void (*told)(void *arg, const char *option, const char *values), void *arg)
{
        char left[200];

        for (const char *line = help; line; line = strchr(line, '\n')) {
                const char *gap;
                char       *save;

                line += *line == '\n';
                if (strncmp(line, "  -", 3) != 0)
                        continue;
                gap = strstr(line + 2, "  ");
                snprintf(left, sizeof(left), "%.*s", (int)(gap ? gap - line : (long)strcspn(line, "\n")), line);
                left[strcspn(left, "\n")] = 0;
                for (char *w = strtok_r(left, " ", &save), *option = NULL; w; w = strtok_r(NULL, " ", &save)) {
                        w[strcspn(w, w[0] == '-' ? "," : "")] = 0;
                        if (strncmp(w, "--", 2) == 0)
                                option = w;
                        if (option)
                                told(arg, option, w == option ? "" : w);
                }
        }
}

static void add_option(void *arg, const char *option, const char *values)
{
        if (!*values)
                words_add(arg, option, strlen(option));
}

static bool has_words(const char *verb)
{
        return strcmp(verb, "bench") == 0 || strcmp(verb, "hints") == 0;
}

/* Every verb, and of those that have words each word. */
static void each_page(void (*look)(const char *verb, const char *word, const char *help))
{
        struct words verbs = offered("", NULL, NULL, NULL);

        for (size_t i = 0; i < verbs.nr; i++) {
                const char  *verb = verbs.w[i];
                struct words l = has_words(verb) ? offered(verb, "", NULL, NULL) : (struct words){ .nr = 1 };

                if (verb[0] == '-')
                        continue;
                for (size_t j = 0; j < l.nr; j++) {
                        const char  *word = l.w[j][0] ? l.w[j] : NULL;
                        struct child help;

                        if (word && word[0] == '-')
                                continue;
                        help = help_of(verb, word);
                        look(verb, word, help.out);
                        child_free(&help);
                }
        }
}

Test(completion, each_verb_that_help_tells_is_offered_and_no_other)
{
        struct child help = RUN(30000, rouse_program(), "--help");
        struct words told = listed(help.out), verbs = offered("", NULL, NULL, NULL);

        cr_assert(told.nr > 1, "%s", help.out);
        for (size_t i = 0; i < told.nr; i++)
                cr_expect(words_have(&verbs, told.w[i]), "'%s' is not offered", told.w[i]);
        cr_expect_eq(verbs.nr, told.nr + 2, "--help, --version and %zu verbs are told, %zu words are offered", told.nr, verbs.nr);
        child_free(&help);
}

Test(completion, each_word_of_bench_is_offered_and_no_other)
{
        struct child help = help_of("bench", NULL);
        struct words told = listed(help.out), l = offered("bench", "", NULL, NULL);

        cr_assert(told.nr > 1, "%s", help.out);
        for (size_t i = 0; i < told.nr; i++)
                cr_expect(words_have(&l, told.w[i]), "'bench %s' is not offered", told.w[i]);
        cr_expect_eq(l.nr, told.nr + 1, "--help and %zu words are told, %zu are offered", told.nr, l.nr);
        child_free(&help);
}

static void options_are_offered(const char *verb, const char *word, const char *help)
{
        struct words told = { 0 }, l = offered_options(verb, word);

        each_option(help, add_option, &told);
        words_add(&told, "--help", 6);
        for (size_t i = 0; i < told.nr; i++)
                cr_expect(words_have(&l, told.w[i]), "%s %s: %s is not offered", verb, word ? word : "", told.w[i]);
        for (size_t i = 0; i < l.nr; i++)
                cr_expect(words_have(&told, l.w[i]), "%s %s: %s is offered, and not told", verb, word ? word : "", l.w[i]);
}

Test(completion, each_option_that_help_tells_is_offered_and_no_other)
{
        each_page(options_are_offered);
}

struct place {
        const char *verb, *word;
};

/* "auto|none|FILE": auto and none must be offered; "tap=NAME|none[,mac=M]": tap= and none. */
static void values_are_offered_of(void *arg, const char *option, const char *values)
{
        const struct place *p = arg;
        struct words        l;

        if (!strpbrk(values, "|="))
                return;
        l = p->word ? offered(p->verb, p->word, option, "") : offered(p->verb, option, "", NULL);
        while (*values && *values != '[') {
                size_t len = strcspn(values, "|[=");
                char   value[64];

                snprintf(value, sizeof(value), "%.*s", (int)(len + (values[len] == '=')), values);
                if (islower((unsigned char)value[0]))
                        cr_expect(words_have(&l, value), "%s %s %s: '%s' is not offered", p->verb, p->word ? p->word : "", option,
                                  value);
                values += len + strcspn(values + len, "|[");
                values += *values == '|';
        }
}

static void values_are_offered(const char *verb, const char *word, const char *help)
{
        struct place p = { .verb = verb, .word = word };

        each_option(help, values_are_offered_of, &p);
}

Test(completion, each_value_that_help_lists_is_offered)
{
        each_page(values_are_offered);
}

static char *file_text(const char *path)
{
        FILE *f = fopen(path, "re");
        char *text = calloc(1, 1 << 20);

        cr_assert(f && text, "%s", path);
        cr_assert(fread(text, 1, (1 << 20) - 1, f) > 0, "%s", path);
        fclose(f);
        return text;
}

static void options_are_in_the_manual(const char *verb, const char *word, const char *help)
{
        char        *page = file_text(strcmp(verb, "bench") == 0 ? "man/rouse-bench.1" : "man/rouse.1");
        struct words told = { 0 };

        each_option(help, add_option, &told);
        for (size_t i = 0; i < told.nr; i++) {
                char        as[80];
                const char *at;
                size_t      len = (size_t)snprintf(as, sizeof(as), "Fl Fl %s", told.w[i] + 2);

                for (at = strstr(page, as); at && !isspace((unsigned char)at[len]); at = strstr(at + 1, as))
                        ;
                cr_expect(at, "%s %s: the manual has no %s", verb, word ? word : "", told.w[i]);
        }
        free(page);
}

Test(completion, each_option_that_help_tells_is_in_the_manual)
{
        each_page(options_are_in_the_manual);
}
