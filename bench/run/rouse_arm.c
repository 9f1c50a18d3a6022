/* rouse's own modes as arms: one command line each, and the ledger that it leaves. */
#include "bench/run/arm.h"
#include "bench/run/guest_run.h"
#include "bench/model/timeline.h"
#include "core/base/units.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 32

/* cli.md */
enum { ROUSE_BAD_SNAPSHOT = 4, ROUSE_LOST_PAGE = 5 };

struct rouse_mode {
        const char *name, *what;
        const char *words[6]; /* NULL-ended */
        bool        hints;
};

static const struct rouse_mode modes[] = {
        {"eager", "reads all data, zeros left out and huge pages behind it, then runs", {"--mode", "eager"}, .hints = false},
        {"eager-naive", "reads every byte into 4 KiB pages, zeros too, on one thread, then runs, as most VMMs do", {"--mode", "eager", "--naive", "--verify", "off"}, .hints = false},
        {"mmap", "MAP_PRIVATE of the memory file: the kernel is the pager", {"--mode", "mmap"}, .hints = false},
        {"lazy", "userfaultfd, no hints, the rest filled in behind the guest", {"--mode", "lazy"}, .hints = false},
        {"hints", "userfaultfd, the recorded working set replayed ahead, the rest filled in behind", {"--mode", "lazy"}, .hints = true},
        {"shared", "the first VM of a template that others can share (memfd, UFFDIO_CONTINUE), with hints; nobody shares it here", {"--mode", "shared"},
         .hints = true},
        {"auto", "what the plan chooses, with hints", {"--mode", "auto"}, .hints = true},
        {ROUSE_ARM_NO_FILL, "userfaultfd, no hints, and nothing filled in behind the guest", {"--mode", "lazy", "--fill", "off"}, .hints = false},
};

/* --- the ledger --- */

static const struct {
        enum metric metric;
        const char *path;
} ledger_rows[] = {
        {METRIC_T1, "t_us.t1"}, {METRIC_T2, "t_us.t2"}, {METRIC_T5, "t_us.t5"}, {METRIC_T6, "t_us.t6"}, {METRIC_T3_LEDGER, "t_us.t3"},
        {METRIC_T4_LEDGER, "t_us.t4"}, {METRIC_DEMAND, "faults.demand"}, {METRIC_AROUND, "faults.around"}, {METRIC_REPLAY, "faults.replay"},
        {METRIC_FILL, "faults.fill"}, {METRIC_ZERO, "faults.zero"}, {METRIC_INSTALLED, "bytes.installed"}, {METRIC_READ, "bytes.read"},
        {METRIC_LOST, "lost_pages"}, {METRIC_STALL, "stall_us"}, {METRIC_PAGER_CPU, "pager_cpu_us"},
};

static int take_ledger(const struct arm *a, const char *path, struct metric_values *ret, struct err *e)
{
        struct json_object *doc = json_object_from_file(path), *slots;

        if (!doc)
                return err_set(e, -ENOENT, "%s: rouse restore left no ledger at %s", a->name, path);
        for (size_t i = 0; i < ARRAY_LEN(ledger_rows); i++) {
                struct json_object *v = json_at(doc, ledger_rows[i].path);

                if (v)
                        metric_set(ret, ledger_rows[i].metric, json_object_get_double(v));
        }
        slots = json_at(doc, "slots_us");
        if (slots && ret->has[METRIC_T2])
                metric_set(ret, METRIC_T2_LESS_SLOTS, ret->v[METRIC_T2] - json_object_get_double(slots));
        json_object_put(doc);
        return 0;
}

/* --- a run --- */

struct files {
        char ledger[4200], timeline[4200], t0[32], timeout[32];
};

static void name_files(const struct arm_request *q, struct files *f)
{
        const struct arm_setting *s = q->setting;
        uint64_t timeout_ms = s->timeout_ns / NS_PER_MS + 2000; /* the bench's own comes first */

        snprintf(f->ledger, sizeof(f->ledger), "%s/ledger.json", s->scratch);
        snprintf(f->timeline, sizeof(f->timeline), "%s/timeline", s->scratch);
        snprintf(f->timeout, sizeof(f->timeout), "%llums", (unsigned long long)timeout_ms);
        unlink(f->ledger);
        unlink(f->timeline);
}

/* A mode that replays no hints is not offered any. */
static size_t make_words(const struct rouse_mode *m, const struct arm_request *q, struct files *f, const char *argv[WORDS_MAX])
{
        const struct arm_setting *s = q->setting;
        const char *first[] = {s->rouse, "restore", s->dir, "--ledger", f->ledger, "--timeout", f->timeout, "--t0-ns", f->t0, "--hints",
                               m->hints && s->hints ? s->hints : "none"};
        size_t n = 0;

        for (size_t i = 0; i < ARRAY_LEN(first); i++)
                argv[n++] = first[i];
        for (size_t i = 0; m->words[i]; i++)
                argv[n++] = m->words[i];
        if (s->mark) {
                argv[n++] = "--mark";
                argv[n++] = s->mark;
        }
        if (q->timeline) {
                argv[n++] = "--timeline";
                argv[n++] = f->timeline;
        }
        argv[n] = NULL;
        return n;
}

/* The whole truth of a run that seemed to go well. */
static int check_end(const struct arm *a, int status, struct err *e)
{
        if (WIFEXITED(status) && WEXITSTATUS(status) == ROUSE_LOST_PAGE) {
                err_set(e, -EBADMSG, "%s: a page was lost while the guest ran (exit 5)", a->name);
                if (e)
                        e->kind = ERR_LOST;
                return -EBADMSG;
        }
        return 0;
}

/* What it says to standard error names the place: its kind is told by its exit status. */
static int failed(struct guest_run *g, enum guest_event ev, const struct arm *a, struct err *e)
{
        siginfo_t si = {0};
        int r = guest_run_explain(g, ev, a->name, e);

        if (ev == GUEST_ENDED && e && waitid(P_PID, (id_t)g->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_code == CLD_EXITED) {
                if (si.si_status == ROUSE_BAD_SNAPSHOT)
                        e->kind = ERR_SNAPSHOT;
                if (si.si_status == ROUSE_LOST_PAGE)
                        e->kind = ERR_LOST;
        }
        return r;
}

static int take_timeline(const struct arm *a, const struct arm_request *q, const struct files *f, struct err *e)
{
        char *text = NULL;
        int r = q->timeline ? bench_timeline_read(f->timeline, q->timeline, &text) : 0;

        if (r < 0)
                err_set(e, r, "%s: timeline: %s", a->name, text ? text : strerror(-r));
        free(text);
        return r;
}

static int run(struct arm *a, const struct arm_request *q, struct metric_values *ret, struct err *e)
{
        const struct rouse_mode *m = a->own;
        const char *argv[WORDS_MAX];
        struct guest_run g;
        struct files f = {0};
        enum guest_event ev = GUEST_ENDED;
        int r = guest_run_init(&g, q, e);

        if (r < 0)
                return r;
        name_files(q, &f);
        make_words(m, q, &f, argv);
        r = guest_run_start(&g, argv, NULL, GUEST_SERIAL_STDOUT, f.t0, e);
        if (r >= 0) {
                ev = guest_run_wait(&g, -1, 0, 0);
                if (ev != GUEST_DONE)
                        r = failed(&g, ev, a, e);
        }
        guest_run_end(&g, r >= 0, ret);
        if (r >= 0)
                r = check_end(a, g.status, e);
        if (r >= 0)
                r = take_ledger(a, f.ledger, ret, e);
        return r >= 0 ? take_timeline(a, q, &f, e) : r;
}

static const struct arm_ops rouse_ops = {.run = run};

bool rouse_arm_add(struct arm_list *l, const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(modes); i++)
                if (strcmp(modes[i].name, name) == 0) {
                        struct arm *a = arm_list_add(l, &rouse_ops, name, modes[i].what);

                        if (!a)
                                return false;
                        a->in_control = true;
                        a->own = (void *)(uintptr_t)&modes[i]; /* it is const there, and stays so */
                        return true;
                }
        return false;
}

bool rouse_arm_has_hints(const struct arm *a)
{
        return a->ops == &rouse_ops && ((const struct rouse_mode *)a->own)->hints;
}

const char *const *rouse_arm_words(const struct arm *a)
{
        return ((const struct rouse_mode *)a->own)->words;
}
