/* bench/populate/subject.c: what is given is used as it is; else a small VM is booted, runs for a moment, and is saved. Either is
 * packed too. */
#include "bench/floors/memory.h"
#include "bench/populate/populate.h"
#include "bench/run/scratch.h"
#include "core/base/cleanup.h"
#include "core/convert.h"
#include "core/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

/* --- one made here --- */

struct maker {
        struct session *s;
        const char     *path;
        int             r; /* of the save */
        struct err      err;
};

/* The guest has filled its memory: it is saved, and ends. */
static void look(void *arg, int fd, short revents)
{
        struct maker       *m = arg;
        struct save_options o = { .path = m->path, .pause_after = true };
        struct save_report  report;
        uint64_t            n;

        (void)revents;
        if (read(fd, &n, sizeof(n)) < 0 || !session_ledger(m->s)->t_ns[LEDGER_T4])
                return;
        m->r = session_save(m->s, &o, &report, &m->err);
        session_quit(m->s);
}

/* Beside this program in a build, in ../../share/rouse once installed. */
static int find_guest(char *ret, size_t size, struct err *e)
{
        char    exe[4096];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        char   *slash;

        exe[MAX(n, 0)] = '\0';
        slash = strrchr(exe, '/');
        if (slash)
                *slash = '\0';
        snprintf(ret, size, "%s/guest/beacon.bin", exe);
        if (access(ret, R_OK) == 0)
                return 0;
        snprintf(ret, size, "%s/../../share/rouse/beacon.bin", exe);
        if (access(ret, R_OK) == 0)
                return 0;
        return err_set(e, -ENOENT,
                       "a guest to save is neither at %s/guest/beacon.bin nor at %s: 'make' builds it; or name a snapshot", exe,
                       ret);
}

static int run_and_save(struct maker *m, struct err *e)
{
        struct itimerspec     often = { .it_value.tv_nsec = 20 * NS_PER_MS, .it_interval.tv_nsec = 20 * NS_PER_MS };
        _cleanup_close_ int   timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        struct session_result result = { 0 };

        m->r = -ETIMEDOUT;
        if (timer < 0 || timerfd_settime(timer, 0, &often, NULL) < 0 || session_watch(m->s, timer, POLLIN, look, m) < 0)
                floor_die("a timer", errno);
        session_run(m->s, &result);
        if (m->err.code)
                return err_set(e, m->r, "%s", m->err.text);
        return m->r < 0 ? err_set(e, m->r, "the guest that is to be saved did not fill its memory within a minute") : 0;
}

static int make_snapshot(const char *path, struct err *e)
{
        char                kernel[4200];
        struct boot_options o = { .common = { .serial_out_fd = -1, .mark = "^TICK 2 ", .timeout_ns = 60 * NS_PER_S },
                                  .kernel = kernel, .memory_bytes = 128 * MIB,
                                  .nr_vcpus = 1 };
        struct maker        m = { .path = path };
        int                 r = find_guest(kernel, sizeof(kernel), e);

        r = r < 0 ? r : session_boot(&o, &m.s, e);
        if (r < 0)
                return r;
        r = run_and_save(&m, e);
        session_free(m.s);
        return r;
}

/* --- as it is, and packed --- */

static int open_source(struct populate_source *s, const char *path, struct err *e)
{
        int r = inspect_open(path, &(struct inspect_options){ 0 }, &s->i, e);

        if (r < 0)
                return r;
        rig_open_map(&s->rig, s->i.pages);
        s->rig.config.verify = s->i.verifiable;
        return 0;
}

static void close_source(struct populate_source *s)
{
        if (!s->rig.nr_pages)
                return;
        rig_close(&s->rig);
        inspect_close(&s->i);
}

static int open_whole(struct populate_subject *s, const struct populate_options *o, const char *made, struct err *e)
{
        int r = o->dir ? 0 : make_snapshot(made, e);

        r = r < 0 ? r : open_source(&s->whole, o->dir ? o->dir : made, e);
        return r < 0 ? err_wrap(e, r, "no snapshot to fill from") : 0;
}

static int open_packed(struct populate_subject *s, const struct populate_options *o, const char *made, const char *packed,
                       struct err *e)
{
        struct convert_options c = { .src = o->dir ? o->dir : made, .dst = packed, .pack = true, .pack_level = 1,
                                     .hints_path = "none" };
        struct convert_report  report;
        int                    r;

        if (s->whole.i.pages->nr_chunks)
                return err_set(e, -EALREADY, "it is packed as it is");
        r = snapshot_convert(&c, &report, e);
        return r < 0 ? r : open_source(&s->packed, packed, e);
}

void populate_subject_open(struct populate_subject *s, const struct populate_options *o)
{
        char           made[PATH_MAX + 16], packed[PATH_MAX + 16];
        struct scratch tmp;
        struct err     e = { 0 };

        *s = (struct populate_subject){ 0 };
        if (scratch_make(&tmp, &e) < 0)
                floor_die(e.text, -e.code);
        snprintf(made, sizeof(made), "%s/made", tmp.path);
        snprintf(packed, sizeof(packed), "%s/packed", tmp.path);
        if (open_whole(s, o, made, &s->no_whole) < 0)
                s->no_packed = s->no_whole;
        else
                (void)open_packed(s, o, made, packed, &s->no_packed);
        scratch_remove(&tmp); /* the files are open: whoever ends this program leaves nothing behind */
}

void populate_subject_close(struct populate_subject *s)
{
        close_source(&s->whole);
        close_source(&s->packed);
}
