/* The guest need not wait for a file to be synced: the definition is written by the first turn of the session's loop. */
#include "tools/definition_keeper.h"

#include "core/base/cleanup.h"
#include "core/control/machine_store.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

/* `start` has another working directory. NULL stays NULL; false: no memory, or no such directory. */
static bool absolute(const char *path, char **ret)
{
        _cleanup_free_ char *cwd = NULL;

        *ret = NULL;
        if (!path)
                return true;
        if (path[0] == '/')
                return (*ret = strdup(path));
        cwd = getcwd(NULL, 0);
        return cwd && asprintf(ret, "%s/%s", cwd, path) >= 0;
}

static bool copy(const char *text, char **ret)
{
        *ret = text ? strdup(text) : NULL;
        return !text || *ret;
}

/* "file=log" -> "file=/home/me/log" */
static bool absolute_serial(const char *serial, char **ret)
{
        const char *equals = strchr(serial, '=');
        _cleanup_free_ char *path = NULL;

        if (!equals)
                return copy(serial, ret);
        return absolute(equals + 1, &path) && asprintf(ret, "%.*s=%s", (int)(equals - serial), serial, path) >= 0;
}

static bool copy_device(const struct device_config *from, struct device_config *to)
{
        char *path = NULL, *tap = NULL, *serial = NULL;
        bool ok = absolute(from->path, &path) && copy(from->tap, &tap) && copy(from->serial, &serial);

        *to = *from;
        to->path = path;
        to->tap = tap;
        to->serial = serial;
        return ok;
}

static bool fill(const struct definition_keeper *k, struct machine_definition *d)
{
        const struct session_options *o = k->common;
        bool ok = absolute(k->kernel, &d->kernel) && absolute(k->initrd, &d->initrd) && copy(k->append, &d->append) &&
                  absolute(k->restored_from, &d->restored_from) && absolute_serial(k->front->serial, &d->serial) &&
                  absolute(k->front->qmp_path, &d->qmp);

        d->memory_bytes = session_memory_bytes(k->session);
        d->memory_backing = o->memory_backing;
        d->nr_vcpus = session_nr_vcpus(k->session);
        while (ok && d->nr_devices < o->nr_devices) {
                ok = copy_device(&o->devices[d->nr_devices], &d->devices[d->nr_devices]);
                d->nr_devices++;
        }
        return ok;
}

static void write_definition(const struct definition_keeper *k)
{
        _cleanup_(machine_definition_free) struct machine_definition d = {0};
        struct err err = {0};
        char text[1200];
        int r = fill(k, &d) ? machine_store_write(k->front->store, &d, &err) : err_set(&err, -errno, "%s", strerror(errno));

        if (r >= 0)
                return;
        snprintf(text, sizeof(text), "'rouse start' will not know this machine: %s", err.text);
        cli_message(NULL, text);
}

static void close_event(struct definition_keeper *k)
{
        if (k->event_fd < 0)
                return;
        session_unwatch(k->session, k->event_fd);
        close(k->event_fd);
        k->event_fd = -1;
}

static void on_first_turn(void *arg, int fd, short revents)
{
        struct definition_keeper *k = arg;
        (void)fd, (void)revents;

        close_event(k);
        write_definition(k);
}

static int before(void *arg, struct session *s, struct err *e)
{
        struct definition_keeper *k = arg;
        int r;

        k->session = s;
        if (!k->front->store)
                return 0;
        k->event_fd = eventfd(1, EFD_CLOEXEC);
        r = k->event_fd < 0 ? -errno : session_watch(s, k->event_fd, POLLIN, on_first_turn, k);
        return r < 0 ? err_set(e, r, "keep the machine's definition: %s", strerror(-r)) : 0;
}

static void after(void *arg, struct session *s, const struct session_result *result)
{
        (void)s, (void)result;
        close_event(arg);
}

void definition_keep(struct definition_keeper *k, const struct session_options *common)
{
        k->common = common;
        k->event_fd = -1;
        k->front->before = before;
        k->front->after = after;
        k->front->hook_arg = k;
}
