/* --peer: another VMM as an arm. What a run needs is expanded before T0; then guest_run watches it as it watches rouse. */
#include "bench/run/peer_file.h"
#include "bench/run/peer_process.h"
#include "bench/run/peer_serial.h"
#include "bench/run/peer_talk.h"
#include "bench/run/scratch.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* arm->own */
struct peer_own {
        struct peer peer;
        unsigned    number; /* among the arms: peers of one bench share a directory */
};

/* One run. */
struct peer_run {
        const struct peer       *peer;
        struct arm_setting       setting;  /* the bench's, with this peer's own timeout */
        struct arm_request       request;
        char                    *work, *scratch;
        struct peer_vars         vars;
        struct peer_command      vmm;
        struct peer_serial_port  serial;
        struct peer_talk         talk;
        pid_t                    helpers[PEER_HELPERS_MAX];
        size_t                   nr_helpers;
};

/* An arm is told by its name, whichever step failed. */
static int name_it(const struct peer *p, int r, struct err *e)
{
        return r < 0 && r != -ECANCELED && strncmp(e->text, p->name, strlen(p->name)) != 0 ? err_wrap(e, r, "%s", p->name) : r;
}

/* --- directories --- */

/* {work} and, below it and new, {scratch}. Short: paths of sockets have 107 bytes. */
static int make_places(const struct arm_setting *s, unsigned number, char **ret_work, char **ret_scratch, struct err *e)
{
        if (asprintf(ret_work, "%s/p%u", s->scratch, number) < 0 || asprintf(ret_scratch, "%s/r", *ret_work) < 0)
                return err_set(e, -ENOMEM, "no memory");
        scratch_clear(*ret_scratch);
        if ((mkdir(*ret_work, 0700) < 0 && errno != EEXIST) || mkdir(*ret_scratch, 0700) < 0)
                return err_set(e, -errno, "%s: %s", *ret_scratch, strerror(errno));
        return 0;
}

/* --- what is run before and after --- */

static int run_commands(const struct peer *p, const struct peer_vars *vars, struct json_object *commands,
                        const struct arm_setting *s, struct err *e)
{
        int r = 0;

        for (size_t i = 0; !r && commands && i < json_object_array_length(commands); i++) {
                struct peer_command c;

                r = peer_command_expand(p, vars, json_object_array_get_idx(commands, i), &c, e);
                if (r)
                        return r;
                r = peer_command_run(&c, s->stop, s->timeout_ns, e);
                peer_command_free(&c);
        }
        return r;
}

static int start_helper(struct peer_run *run, const struct peer_helper *h, struct err *e)
{
        _cleanup_close_ int said_fd = -1;
        _cleanup_free_ char *ready = h->ready ? peer_expand_path(&run->vars, run->peer->dir, h->ready, e) : NULL;
        struct peer_command c;
        int r = h->ready && !ready ? -EINVAL : peer_command_expand(run->peer, &run->vars, h->argv, &c, e);

        if (r)
                return r;
        r = peer_helper_start(&c, &run->helpers[run->nr_helpers], &said_fd, e);
        if (!r)
                run->nr_helpers++;
        if (!r && ready)
                r = peer_helper_ready(&c, run->helpers[run->nr_helpers - 1], said_fd, ready, run->setting.stop,
                                      run->setting.timeout_ns, e);
        peer_command_free(&c);
        return r;
}

/* --- prepare, once --- */

static int find_program(const struct peer *p, const struct peer_vars *vars, struct json_object *argv, struct err *e)
{
        struct peer_command c;
        int r = peer_command_expand(p, vars, argv, &c, e);

        if (r)
                return r;
        r = peer_command_find(&c, e);
        peer_command_free(&c);
        return r;
}

static int find_programs(const struct peer *p, const struct peer_vars *vars, struct err *e)
{
        int r = find_program(p, vars, p->argv, e);

        for (size_t i = 0; !r && i < p->nr_helpers; i++)
                r = find_program(p, vars, p->helpers[i].argv, e);
        return r;
}

static int find_files(struct arm *a, const struct peer *p, const struct peer_vars *vars, struct err *e)
{
        for (size_t i = 0; p->files && i < json_object_array_length(p->files); i++) {
                _cleanup_free_ char *path = peer_expand_path(vars, p->dir,
                                                             json_object_get_string(json_object_array_get_idx(p->files, i)), e);

                if (!path)
                        return -EINVAL;
                if (access(path, R_OK) < 0)
                        return err_set(e, -errno, "%s: %s", path, strerror(errno));
                arm_add_path(a, path);
        }
        return 0;
}

static int peer_prepare(struct arm *a, const struct arm_setting *s, struct err *e)
{
        const struct peer_own *o = a->own;
        const struct peer *p = &o->peer;
        struct arm_setting own = *s;
        _cleanup_(peer_vars_free) struct peer_vars vars = {0};
        _cleanup_free_ char *work = NULL, *scratch = NULL;
        int r = make_places(s, o->number, &work, &scratch, e);

        own.timeout_ns = p->timeout_ns ? p->timeout_ns : s->timeout_ns;
        r = r ? r : peer_vars_fill(p, &(struct peer_places){s->dir, s->rouse, work, scratch, ""}, &vars, e);
        r = r ? r : find_programs(p, &vars, e);
        r = r ? r : run_commands(p, &vars, p->prepare, &own, e);
        r = r ? r : find_files(a, p, &vars, e);
        peer_end_all();
        if (scratch)
                scratch_clear(scratch);
        return name_it(p, r, e);
}

/* --- a run --- */

static int expand_run(struct peer_run *run, unsigned number, struct err *e)
{
        const struct peer *p = run->peer;
        const struct arm_setting *s = &run->setting;
        struct peer_vars paths = {0};
        int r = make_places(s, number, &run->work, &run->scratch, e);

        r = r ? r : peer_vars_fill(p, &(struct peer_places){s->dir, s->rouse, run->work, run->scratch, ""}, &paths, e);
        r = r ? r : peer_serial_open(&run->serial, p, &paths, e);
        peer_vars_free(&paths);
        r = r ? r : peer_vars_fill(p, &(struct peer_places){s->dir, s->rouse, run->work, run->scratch, run->serial.path}, &run->vars, e);
        r = r ? r : peer_command_expand(p, &run->vars, p->argv, &run->vmm, e);
        return r ? r : peer_talk_prepare(&run->talk, p, &run->vars, e);
}

/* To the end of the run: an event, or -errno. */
static int watch(struct peer_run *run, struct guest_run *g, struct err *e)
{
        int r = guest_run_start(g, (const char *const *)run->vmm.argv, run->vmm.env,
                                run->peer->serial == PEER_SERIAL_STDOUT ? GUEST_SERIAL_STDOUT : GUEST_SERIAL_ELSEWHERE, NULL, e);

        if (r < 0)
                return r;
        r = peer_serial_attach(&run->serial, g, e);
        g->talks = true;
        r = r == GUEST_OTHER ? peer_talk_run(&run->talk, g, e) : r;
        g->talks = false;
        return r == GUEST_OTHER ? (int)guest_run_wait(g, -1, 0, 0) : r;
}

static int run_guest(struct peer_run *run, struct metric_values *ret, struct err *e)
{
        struct guest_run g;
        int r = guest_run_init(&g, &run->request, e);

        if (r)
                return r;
        g.helpers = run->helpers;
        g.nr_helpers = run->nr_helpers;
        g.awaits_t0 = run->peer->t0_is_step;
        g.stdio_fd = run->peer->serial == PEER_SERIAL_STDIO_PTY ? run->serial.slave_fd : -1;
        r = watch(run, &g, e);
        if (r > 0)
                r = guest_run_explain(&g, (enum guest_event)r, run->peer->name, e);
        guest_run_end(&g, r == GUEST_DONE, ret);
        return r < 0 ? r : 0;
}

static void end_run(struct peer_run *run)
{
        peer_talk_free(&run->talk);
        peer_serial_free(&run->serial);
        peer_command_free(&run->vmm);
        peer_vars_free(&run->vars);
        if (run->scratch)
                scratch_clear(run->scratch);
        free(run->scratch);
        free(run->work);
}

static int peer_run(struct arm *a, const struct arm_request *q, struct metric_values *ret, struct err *e)
{
        const struct peer_own *o = a->own;
        const struct peer *p = &o->peer;
        struct peer_run run = {.peer = p, .setting = *q->setting, .request = *q, .serial = {.master_fd = -1, .slave_fd = -1, .listen_fd = -1}};
        struct arm_setting after = *q->setting;
        struct err why = {0};
        int r;

        run.request.setting = &run.setting;
        if (p->timeout_ns)
                run.setting.timeout_ns = after.timeout_ns = p->timeout_ns + q->setting->settle_ns;
        after.stop = NULL;
        r = expand_run(&run, o->number, e);
        r = r ? r : run_commands(p, &run.vars, p->before, &run.setting, e);
        for (size_t i = 0; !r && i < p->nr_helpers; i++)
                r = start_helper(&run, &p->helpers[i], e);
        r = r ? r : run_guest(&run, ret, e);
        peer_end_all();
        /* also after a failure or Ctrl-C: it puts right what "before" did */
        if (run.vars.nr && run_commands(p, &run.vars, p->after, &after, &why) < 0 && !r)
                r = err_set(e, why.code, "after the run: %s", why.text);
        peer_end_all();
        if (q->timeline)
                bench_string_set(&q->timeline->no_timeline,
                                 "what another VMM's guest touches is not seen from outside; rouse trace records it");
        end_run(&run);
        return name_it(p, r, e);
}

static void peer_cleanup(struct arm *a)
{
        struct peer_own *o = a->own;

        if (o)
                peer_free(&o->peer);
        free(o);
        a->own = NULL;
}

/* What the report says of it, with the moment that its times count from. */
static char *describe(const struct peer *p)
{
        char *text = NULL;
        size_t i = 0;
        int n;

        while (i < p->nr_steps && !p->steps[i].t0)
                i++;
        if (p->t0_is_step)
                n = asprintf(&text, "%s (T0: just before %s)", p->what, p->steps[i].what);
        else
                n = asprintf(&text, "%s (T0: just before it is started)", p->what);
        return n < 0 ? NULL : text;
}

int peer_arm_add(struct arm_list *l, const char *file, struct err *e)
{
        static const struct arm_ops ops = {peer_prepare, peer_run, peer_cleanup};
        struct peer_own *o = calloc(1, sizeof(*o));
        const struct peer *p = &o->peer;
        _cleanup_free_ char *what = NULL;
        struct arm *a = NULL;
        int r = o ? peer_load(&o->peer, file, e) : err_set(e, -ENOMEM, "no memory");

        if (r) {
                free(o);
                return r;
        }
        o->number = (unsigned)l->nr;
        what = describe(p);
        for (size_t i = 0; i < l->nr; i++)
                if (strcmp(l->v[i].name, p->name) == 0)
                        r = err_usage(e, "--peer %s: there is an arm '%s' already; %s,name=OTHER gives this one another name",
                                      file, p->name, file);
        if (!r && what)
                a = arm_list_add(l, &ops, p->name, what);
        if (!r && !a)
                r = err_usage(e, "--peer %s: more than %d arms", file, ARMS_MAX);
        if (r) {
                peer_free(&o->peer);
                free(o);
                return r;
        }
        a->peer = true;
        a->own = o;
        return 0;
}
