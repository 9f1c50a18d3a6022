/* The first pass: a table of options collects what is said, in any order. */
#include "tools/stratovirt_internal.h"

#include "core/base/units.h"

#include <stddef.h>
#include <string.h>

static int take_machine(struct translation *t, const char *value)
{
        char kind[LIST_VALUE_MAX];
        int r = list_check("-machine", value, !strchr(value, '=') || strchr(value, '=') > strchr(value, ','),
                           KEYS("type", "dump-guest-core", "mem-share", "accel", "usb"), t->e);

        if (r < 0)
                return r;
        if (!list_find(value, "type", kind))
                list_kind(value, kind);
        if (strcmp(kind, "microvm"))
                return err_usage(t->e, "-machine %s: expected microvm, found %s, which rouse does not have", value, kind);
        if (list_is(value, "mem-share", "on"))
                sv_note(t, "-machine mem-share=on is dropped: rouse's guest memory is private");
        return 0;
}

static int take_accel(struct translation *t, const char *value)
{
        return strncmp(value, "kvm", 3) ? err_usage(t->e, "-accel %s: expected kvm", value) : 0;
}

static int take_cpu(struct translation *t, const char *value)
{
        if (!list_is_kind(value, "host"))
                return err_usage(t->e, "-cpu %s: expected host", value);
        if (strcmp(value, "host"))
                sv_note(t, "-cpu %s: only 'host' has an equal", value);
        return 0;
}

static int take_smp(struct translation *t, const char *value)
{
        char buf[LIST_VALUE_MAX];
        const char *n;
        int r = list_check("-smp", value, value[0] >= '0' && value[0] <= '9',
                           KEYS("cpus", "maxcpus", "sockets", "dies", "clusters", "cores", "threads"), t->e);

        if (r < 0)
                return r;
        n = list_find(value, "cpus", buf);
        t->cpus = value[0] >= '0' && value[0] <= '9' ? value : n ? strstr(value, "cpus=") + 5 : NULL;
        if (!t->cpus)
                return err_usage(t->e, "-smp %s: no number of vCPUs", value);
        if (strchr(value, ','))
                sv_note(t, "-smp %s: of these only the number of vCPUs has an equal", value);
        return 0;
}

static int take_memory(struct translation *t, const char *value)
{
        const char *n = strncmp(value, "size=", 5) == 0 ? value + 5 : value;
        size_t digits = strspn(n, "0123456789"), rest = strcspn(n, ",") - digits;

        if (!digits || rest > 1 || (rest == 1 && !strchr("mMgG", n[digits])))
                return err_usage(t->e, "-m %s: expected a number of MiB, or one with M or G", value);
        t->memory = n;
        return 0;
}

static int take_qmp(struct translation *t, const char *value)
{
        if (strncmp(value, "unix:", 5) || !value[5] || value[5] == ',')
                return err_usage(t->e, "-qmp %s: rouse listens on unix sockets only: -qmp unix:PATH,server,nowait", value);
        t->qmp = value + 5;
        return list_check("-qmp", value, true, KEYS("server", "nowait", "iothread"), t->e);
}

static int take_incoming(struct translation *t, const char *value)
{
        if (strncmp(value, "file:", 5) || !value[5] || value[5] == ',')
                return err_usage(t->e, "-incoming %s: rouse restores directories only: -incoming file:DIR", value);
        t->incoming = value + 5;
        return list_check("-incoming", value, true, KEYS("mapped"), t->e);
}

static int take_mem_path(struct translation *t, const char *value)
{
        sv_note(t, "-mem-path %s is dropped: rouse's guest memory is anonymous", value);
        return 0;
}

static int take_pidfile(struct translation *t, const char *value)
{
        sv_note(t, "-pidfile %s is dropped: rouse stays in the foreground, and whoever starts it knows its pid", value);
        return 0;
}

static int take_daemonize(struct translation *t, const char *value)
{
        (void)value;
        sv_note(t,
                "-daemonize is dropped: rouse stays in the foreground; start it by a service manager, or end the line with '&'");
        return 0;
}

static int take_prealloc(struct translation *t, const char *value)
{
        (void)value;
        sv_note(t, "-mem-prealloc is dropped: rouse's guest memory is allocated on first touch");
        return 0;
}

static int take_paused(struct translation *t, const char *value)
{
        (void)value;
        t->paused = true;
        return 0;
}

static int take_nothing(struct translation *t, const char *value)
{
        (void)t, (void)value;
        return 0;
}

struct option_row {
        const char *name;
        enum { NO_VALUE, VALUE, MAYBE_VALUE } value;
        int (*take)(struct translation *t, const char *value); /* or: */
        size_t string_at, parts_at;                              /* where it is kept in struct translation */
};
#define STRING(field) .string_at = offsetof(struct translation, field)
#define PARTS(field)  .parts_at = offsetof(struct translation, field)

static const struct option_row rows[] = {
        {"-machine", VALUE, .take = take_machine},
        {"-accel", VALUE, .take = take_accel},
        {"-cpu", VALUE, .take = take_cpu},
        {"-smp", VALUE, .take = take_smp},
        {"-m", VALUE, .take = take_memory},
        {"-qmp", VALUE, .take = take_qmp},
        {"-incoming", VALUE, .take = take_incoming},
        {"-mem-path", VALUE, .take = take_mem_path},
        {"-mem-prealloc", NO_VALUE, .take = take_prealloc},
        {"-pidfile", VALUE, .take = take_pidfile},
        {"-daemonize", NO_VALUE, .take = take_daemonize},
        {"-S", NO_VALUE, .take = take_paused},
        {"-freeze", NO_VALUE, .take = take_paused},
        {"-disable-seccomp", NO_VALUE, .take = take_nothing},
        {"-D", MAYBE_VALUE, .take = take_nothing},
        {"-kernel", VALUE, STRING(kernel)},
        {"-initrd", VALUE, STRING(initrd)},
        {"-append", VALUE, STRING(append)},
        {"-name", VALUE, STRING(name)},
        {"-serial", VALUE, STRING(serial)},
        {"-mon", VALUE, STRING(mon)},
        {"-drive", VALUE, PARTS(drives)},
        {"-device", VALUE, PARTS(devices)},
        {"-netdev", VALUE, PARTS(netdevs)},
        {"-chardev", VALUE, PARTS(chardevs)},
        {"-object", VALUE, PARTS(objects)},
};

static int keep(struct translation *t, const struct option_row *row, const char *value)
{
        struct parts *p = (void *)((char *)t + row->parts_at);

        if (row->take)
                return row->take(t, value);
        if (row->string_at) {
                *(const char **)(void *)((char *)t + row->string_at) = value;
                return 0;
        }
        if (p->nr == PARTS_MAX)
                return err_usage(t->e, "more than %d of %s", PARTS_MAX, row->name);
        p->v[p->nr++] = value;
        return 0;
}

static int take_words(struct translation *t, int argc, char *const *argv)
{
        int r = 0;

        for (int i = argc > 0 && argv[0][0] != '-'; i < argc && r >= 0; i++) {
                const struct option_row *row = NULL;
                const char *value = i + 1 < argc ? argv[i + 1] : NULL;

                for (size_t k = 0; k < ARRAY_LEN(rows); k++)
                        if (strcmp(rows[k].name, argv[i]) == 0)
                                row = &rows[k];
                if (!row)
                        return err_usage(t->e, "unknown word '%s'", argv[i]);
                if (row->value == VALUE && !value)
                        return err_usage(t->e, "%s needs a value", argv[i]);
                r = keep(t, row, row->value == NO_VALUE ? "" : value);
                i += row->value == VALUE || (row->value == MAYBE_VALUE && value && value[0] != '-');
        }
        return r;
}

int stratovirt_translate(int argc, char *const *argv, void (*tell)(void *arg, const char *text), void *arg, struct words *ret,
                         struct err *e)
{
        struct translation t = {.note = tell, .note_arg = arg, .out = ret, .e = e};
        int r;

        ret->nr = 0;
        r = take_words(&t, argc, argv);
        if (r >= 0)
                r = sv_say_all(&t);
        if (r < 0)
                words_free(ret);
        return r;
}
