/* The second pass: rouse's words, in rouse's order. */
#include "tools/stratovirt_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sv_note(const struct translation *t, const char *fmt, ...)
{
        char text[1024];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        t->note(t->note_arg, text);
}

int sv_say(const struct translation *t, const char *fmt, ...)
{
        char *word;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&word, fmt, ap);
        va_end(ap);
        if (n < 0)
                return err_set(t->e, -ENOMEM, "no memory for a word");
        if (t->out->nr == WORDS_MAX) {
                free(word);
                return err_usage(t->e, "more than %d words", WORDS_MAX);
        }
        t->out->v[t->out->nr++] = word;
        return 0;
}

int sv_say_option(const struct translation *t, const char *option, const char *value)
{
        int r = sv_say(t, "%s", option);

        return r < 0 ? r : sv_say(t, "%s", value);
}

void words_free(struct words *w)
{
        for (size_t i = 0; i < w->nr; i++)
                free(w->v[i]);
        w->nr = 0;
}

static int check_objects(const struct translation *t)
{
        for (size_t i = 0; i < t->objects.nr; i++)
                if (!list_is_kind(t->objects.v[i], "rng-random") && !list_is_kind(t->objects.v[i], "iothread"))
                        return err_usage(t->e, "-object %s: expected rng-random or iothread", t->objects.v[i]);
        return 0;
}

static int say_name(const struct translation *t)
{
        size_t len = t->name ? strlen(t->name) : 0;

        if (!len)
                return 0;
        if (len <= 64 && t->name[0] != '.' &&
            strspn(t->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len)
                return sv_say_option(t, "--name", t->name);
        sv_note(t, "-name %s is dropped: a name has 1 to 64 of A-Z, a-z, 0-9, '.', '_', '-'", t->name);
        return 0;
}

static int say_boot(const struct translation *t)
{
        int r;

        if (!t->kernel)
                return err_usage(t->e, "-kernel FILE is missing");
        r = sv_say(t, "run");
        if (r >= 0)
                r = sv_say_option(t, "--kernel", t->kernel);
        if (r >= 0 && t->initrd)
                r = sv_say_option(t, "--initrd", t->initrd);
        if (r >= 0 && t->append)
                r = sv_say_option(t, "--append", t->append);
        if (r >= 0 && t->memory) {
                size_t digits = strspn(t->memory, "0123456789");

                r = sv_say(t, "--memory");
                if (r >= 0)
                        r = sv_say(t, "%.*s%c", (int)digits, t->memory, t->memory[digits] == 'g' ||
                                   t->memory[digits] == 'G' ? 'G' : 'M');
        }
        if (r >= 0 && t->cpus) {
                r = sv_say(t, "--cpus");
                if (r >= 0)
                        r = sv_say(t, "%.*s", (int)strcspn(t->cpus, ","), t->cpus);
        }
        return r;
}

/* Kernel, memory and vCPUs are the snapshot's. A mapped template is what auto maps, too, where nothing speaks against it. */
static int say_restore(const struct translation *t)
{
        int r = sv_say(t, "restore");

        if (r >= 0)
                r = sv_say(t, "%.*s", (int)strcspn(t->incoming, ","), t->incoming);
        if (r >= 0)
                r = sv_say_option(t, "--mode", list_is(t->incoming, "mapped", "false") ? "eager" : "auto");
        return r;
}

int sv_say_all(const struct translation *t)
{
        int r = sv_say(t, "rouse");

        if (r >= 0)
                r = t->incoming ? say_restore(t) : say_boot(t);
        if (r >= 0)
                r = check_objects(t);
        if (r >= 0)
                r = sv_say_devices(t);
        if (r >= 0)
                r = sv_say_serial(t);
        if (r >= 0)
                r = sv_say_qmp(t);
        if (r >= 0)
                r = say_name(t);
        if (r >= 0 && t->paused && t->incoming)
                sv_note(t, "-S is dropped: StratoVirt ignores it with -incoming; --paused is what it says");
        else if (r >= 0 && t->paused)
                r = sv_say(t, "--paused");
        return r;
}
