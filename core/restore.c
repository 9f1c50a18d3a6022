/* The stages of a restore, one call each: open, plan, arm, build. session_run does run, settle and done. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/fdio.h"
#include "core/mapped_sources.h"
#include "core/match_devices.h"
#include "core/naive.h"
#include "core/plan_snapshot.h"
#include "core/probe.h"
#include "core/shared_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void fill_ledger_head(struct session *s, const struct restore_options *o)
{
        struct ledger *l = &s->ledger;

        snprintf(l->path, sizeof(l->path), "%s", o->path);
        snprintf(l->format, sizeof(l->format), "%s", s->snap.format->name);
        l->identity = s->snap.identity;
        l->memory_bytes = s->layout.total_bytes;
        l->zero_bytes = pages_to_bytes(page_map_count(&s->snap.pages).zero_pages);
        l->verify = !s->snap.verifiable || o->mode == RESTORE_MMAP ? "none" : !o->verify ? "off" : s->snap.partly ? "part" : "on";
}

/* What is written when the VM has ended: that it cannot be is said before it runs. */
static int check_place(const char *option, const char *path, struct err *e)
{
        int r = path ? fd_may_replace_file(AT_FDCWD, path) : 0;

        return r < 0 ? err_set(e, r, "%s %s: expected a place for a file, found none: %s", option, path, strerror(-r)) : 0;
}

static int check_places(const struct restore_options *o, struct err *e)
{
        bool by_identity = o->record_path && strcmp(o->record_path, "auto") == 0;
        int r = check_place("--record", by_identity ? NULL : o->record_path, e);

        return r < 0 ? r : check_place("--timeline", o->timeline_path, e);
}

static int stage_open(struct session *s, const struct restore_options *o, struct err *e)
{
        struct snapshot_open_options so = {.format = o->format, .data_dir = o->data_dir, .bases = o->bases, .nr_bases = o->nr_bases};
        int r = host_require(&s->caps, false, e);

        if (r >= 0)
                r = check_places(o, e);
        if (r >= 0 && o->collapse && !s->caps.madv_collapse)
                r = err_host(e, -EOPNOTSUPP, "--collapse on: expected a kernel with MADV_COLLAPSE (Linux 6.1, CONFIG_TRANSPARENT_HUGEPAGE), found none; use --collapse off");
        if (r >= 0)
                r = snapshot_open(o->path, &so, &s->snap, e);
        if (r < 0)
                return r;
        s->layout = s->snap.layout;
        s->nr_vcpus = s->snap.vm.nr_vcpus;
        s->data_dir = o->data_dir;
        s->record_path = o->record_path;
        s->timeline_path = o->timeline_path;
        s->collapse_wanted = o->collapse;
        s->record_past_t4 = o->record_path && !o->fill; /* nobody waits for the mark to bring the rest in */
        s->index_wanted = !s->snap.pages.zeros_known && !s->snap.nr_levels && o->data_dir; /* of a chain: the foreign parent's own restores */
        if (o->data_dir && asprintf(&s->cpuid_cache, "%s/host-cpuid", o->data_dir) < 0)
                s->cpuid_cache = NULL;
        fill_ledger_head(s, o);
        return 0;
}

/* --- plan: decided, checked, and everything allocated that it needs --- */

static void fill_ledger_plan(struct session *s, bool naive)
{
        struct ledger *l = &s->ledger;

        snprintf(l->arm, sizeof(l->arm), "%s%s", s->plan.arm, naive ? "-naive" : "");
        l->nr_plan = s->plan.nr_rows;
        memcpy(l->plan, s->plan.rows, sizeof(l->plan));
}

static int decide(struct session *s, const struct restore_options *o, struct plan_limits *ret_limits, struct err *e)
{
        int r = plan_snapshot(&s->snap, o, &s->caps, &s->plan, ret_limits, e);

        if (r >= 0 && o->mode != RESTORE_SHARED) /* what a template has already is not known yet */
                r = plan_check(&s->plan, ret_limits, e);
        if (r >= 0 && s->plan.nr_served)
                r = host_require(&s->caps, true, e);
        if (r < 0)
                return r;
        fill_ledger_plan(s, o->naive);
        /* relaxed: no other thread is there yet */
        atomic_store_explicit(&s->replays_left, (s->plan.nr_replay > 0) + (s->plan.nr_populate > 0), memory_order_relaxed);
        atomic_store_explicit(&s->settles_left, (s->plan.nr_served > 0) + (s->plan.nr_mapped > 0) + (s->plan.nr_prefill > 0),
                              memory_order_relaxed);
        return 0;
}

static int plan_pager(struct session *s, const struct restore_options *o, struct err *e)
{
        bool record = o->record_path != NULL;
        struct pager_config c = {
                .ram = s->ram.base,
                .backing = s->ram.backing,
                .shared = s->template ? template_pages(s->template) : NULL,
                .map = &s->snap.pages,
                .served = s->plan.served,
                .nr_served = s->plan.nr_served,
                .replay = s->plan.replay,
                .nr_replay = s->plan.nr_replay,
                .replay_budget_ns = o->hints_budget_ns,
                .record = record,
                .timeline = o->timeline_path != NULL,
                .fill = o->fill,
                .paused = o->common.paused,
                .verify = o->verify && s->snap.verifiable,
                .around_pages = record ? 1 : PLAN_AROUND_PAGES,
                .spare_cpu = s->caps.nr_cpus > s->nr_vcpus,
                .source_timeout_ms = o->source_timeout_ms,
                .caps = &s->caps,
        };

        if (!s->plan.nr_served)
                return 0;
        session_fill_pager_events(s, &c.events);
        return pager_new(&c, &s->pager, e);
}

static int plan_mapped(struct session *s, const struct restore_options *o, struct err *e)
{
        struct mapper_config c = {.ram = &s->ram, .map = &s->snap.pages, .plan = &s->plan, .settle = o->fill && s->plan.nr_mapped,
                                  .paused = o->common.paused, .budget_ns = o->hints_budget_ns};
        int r = guest_ram_map_files(&s->ram, &s->snap.pages, s->plan.mapped, s->plan.nr_mapped, e);

        if (r < 0)
                return r;
        if (s->plan.nr_mapped) {
                r = mapped_sources_watch(&s->plan, &s->snap.pages, &s->sources_fd);
                if (r < 0)
                        snapshot_note(&s->snap, "the memory file is not watched (inotify: %s): a change of it shows late",
                                      strerror(-r));
                else
                        session_watch(s, s->sources_fd, POLLIN, session_sources_changed, s);
        }
        /* mode mmap is the kernel's own paging and nothing else: the arm to compare with */
        if (o->mode != RESTORE_AUTO || (!s->plan.nr_populate && !c.settle))
                return 0;
        session_fill_mapper_events(s, &c);
        return mapper_start(&c, &s->mapper, e);
}

static int begin_prefill(struct session *s, const struct restore_options *o, struct err *e)
{
        struct prefill_config c = {.ram = &s->ram, .map = &s->snap.pages, .ranges = s->plan.prefill, .nr_ranges = s->plan.nr_prefill,
                                   .verify = o->verify && s->snap.verifiable, .cold = s->plan.cold,
                                   .nr_threads = MAX(s->caps.nr_cpus, 2) - 1};

        return prefill_begin(&c, &s->prefill, e);
}

/* As many threads read as there are CPUs, this one among them: one more would only take the CPU that the build needs (T6 of
 * 128 MiB of which 34 are read, 12.4 ms where it was 13.9). From a disk nobody reads faster for it, and the build goes on. */
static void help_prefill(struct session *s)
{
        if (!s->plan.cold)
                prefill_help(s->prefill);
}

/* Everything is brought in before anybody looks, so huge pages may stand behind it all. */
static int read_all(struct session *s, const struct restore_options *o, struct err *e)
{
        bool verify = o->verify && s->snap.verifiable;
        int r = o->naive ? naive_read_all(&s->ram, &s->snap.pages, verify, &s->eager_bytes, e)
                         : guest_ram_read_all(&s->ram, &s->snap.pages, verify, MIN(s->caps.nr_cpus, 4), &s->eager_bytes, e);

        session_stamp(s, LEDGER_T6, now_ns());
        session_post(s, EVENT_SETTLED);
        return r;
}

static int stage_plan(struct session *s, const struct restore_options *o, struct err *e)
{
        struct plan_limits limits;
        int r;

        r = decide(s, o, &limits, e);
        if (r >= 0 && o->mode == RESTORE_SHARED)
                r = session_map_shared(s, o, &limits, e);
        else if (r >= 0)
                r = guest_ram_map_as(o->common.memory_backing, s->layout.total_bytes, o->mode == RESTORE_EAGER &&
                                     !o->naive, &s->ram, e);
        if (r < 0)
                return r;
        s->layout.ram = s->ram.base;
        if (o->mode == RESTORE_EAGER)
                return read_all(s, o, e);
        r = begin_prefill(s, o, e);
        if (r >= 0)
                r = plan_mapped(s, o, e);
        if (r >= 0)
                r = plan_pager(s, o, e);
        if (r >= 0)
                help_prefill(s);
        return r;
}

/* Before KVM looks at RAM: a range that is half read, and not registered, would show it zeros. */
static int end_prefill(struct session *s, const struct restore_options *o, struct err *e)
{
        struct err why = {0};
        uint64_t ns = now_ns();
        int r = prefill_finish(TAKE_PTR(s->prefill), &s->eager_bytes, &ns, &why);

        s->prefill_failed = r < 0 && why.kind == ERR_SNAPSHOT;
        if (r < 0 && e)
                *e = why;
        if (r < 0 || o->mode != RESTORE_AUTO)
                return r;
        if (s->plan.nr_hints && !s->plan.nr_replay && !s->plan.nr_populate) {
                session_stamp(s, LEDGER_T5, ns);
                session_post(s, EVENT_REPLAYED);
        }
        if (s->plan.nr_prefill) {
                session_part_settled(s, ns);
        } else if (!s->plan.nr_served && !s->plan.nr_mapped) {
                session_stamp(s, LEDGER_T6, ns);
                session_post(s, EVENT_SETTLED);
        }
        return 0;
}

static void note_device(void *arg, const char *text)
{
        snapshot_note(arg, "%s", text);
}

/* What stands behind each device is known before anything is made. */
static int plan_devices(struct session *s, const struct restore_options *o, struct err *e)
{
        if (o->common.nr_devices > DEVICE_CONFIGS_MAX)
                return err_usage(e, "devices: expected at most %d, found %zu", DEVICE_CONFIGS_MAX, o->common.nr_devices);
        s->nr_devices = o->common.nr_devices;
        for (size_t i = 0; i < s->nr_devices; i++)
                s->devices[i] = o->common.devices[i];
        return match_devices(&s->snap.vm, s->devices, s->nr_devices, note_device, &s->snap, e);
}

static int stage_arm(struct session *s, struct err *e)
{
        return s->pager ? pager_arm(s->pager, e) : 0;
}

/* What a user should know of a restore that works: a restore that fails says its one line and nothing else. */
static void report(struct session *s, const struct vm_load_report *rep)
{
        size_t named = MIN(rep->nr_refused, (size_t)VM_REFUSED_MAX);

        s->ledger.msrs_refused = rep->nr_refused;
        for (size_t i = 0; i < s->snap.nr_notes; i++)
                session_message(s, "%s", s->snap.notes[i]);
        if (rep->tsc_khz_saved)
                session_message(s, "the guest knows a TSC of %u kHz, this host's is %u and cannot be scaled: a guest that keeps time by it runs fast or slow",
                                rep->tsc_khz_saved, rep->tsc_khz_here);
        for (size_t i = 0; i < named; i++)
                session_message(s, "vCPU %u: this host refuses MSR %#x (value %#llx); the guest goes on without it", rep->refused[i].vcpu,
                                rep->refused[i].index, (unsigned long long)rep->refused[i].data);
        if (rep->nr_refused > named)
                session_message(s, "%zu more MSRs were refused", rep->nr_refused - named);
}

/* Before anything is set: KVM takes a state that this CPU cannot run, and the guest dies of it later. */
static int check_cpu(struct session *s, const struct restore_options *o, struct err *e)
{
        char lacking[400];
        int r = vm_cpu_lacks(s->vm, &s->snap.vm, lacking, sizeof(lacking), e);

        if (r > 0 && !o->allow_cpu_mismatch)
                return err_bad(e, "state", ERR_NO_OFFSET, "this host's CPU or KVM lacks what the guest saw: %s; restore it where they are there, or "
                               "with --allow-cpu-mismatch", lacking);
        if (r > 0)
                snapshot_note(&s->snap, "this host's CPU or KVM lacks what the guest saw: %s; it will fail where it uses that",
                              lacking);
        return MIN(r, 0);
}

static int begin_lineage(struct session *s, const struct restore_options *o, struct err *e)
{
        int r = lineage_init(&s->lineage, &s->snap.identity, s->snap.pages.nr_pages, o->track_dirty, s->ram.base, e);

        if (o->track_dirty)
                s->layout.written = &s->lineage.written;
        return r;
}

static int stage_build(struct session *s, const struct restore_options *o, struct err *e)
{
        struct vm_config c = {.caps = &s->caps, .layout = &s->layout, .machine = s->snap.vm.machine, .nr_vcpus = s->nr_vcpus,
                              .cpuid_cache = s->cpuid_cache, .devices = s->devices, .nr_devices = s->nr_devices, .saved = &s->snap.vm,
                              .faults_in_place = s->record_path != NULL, .track_dirty = o->track_dirty};
        struct vm_load_report rep = {0};
        struct err lost = {0};
        int r;

        session_fill_vm_events(s, &c.events);
        r = begin_lineage(s, o, e);
        if (r >= 0)
                r = vm_new(&c, &s->vm, &s->ledger.slots_ns, e);
        if (r >= 0)
                r = check_cpu(s, o, e);
        if (r >= 0)
                r = end_prefill(s, o, e);
        if (r >= 0)
                r = vm_load(s->vm, &s->snap.vm, &rep, e);
        if (r >= 0)
                r = vm_start(s->vm, e);
        if (r >= 0)
                session_set_live(s, s->vm);
        /* State that is set, and a device that goes on with what was in flight, read guest RAM. What was lost there is met before
         * the guest runs: the snapshot is bad, whatever came of it. */
        if (session_find_lost(s, &lost)) {
                if (e)
                        *e = lost;
                if (e)
                        e->kind = ERR_SNAPSHOT;
                return -EBADMSG;
        }
        if (r < 0)
                return r;
        report(s, &rep);
        return 0;
}

static int prepare(struct session *s, const struct restore_options *o, struct err *e)
{
        int r = plan_devices(s, o, e);

        if (r >= 0)
                r = stage_plan(s, o, e);
        if (r >= 0)
                r = stage_arm(s, e);
        if (r >= 0)
                r = stage_build(s, o, e);
        return r;
}

/* bad: what an earlier try met where it read ahead; NULL: this is the first one. *ret_ahead: it failed there itself. */
static int try_to_restore(const struct restore_options *o, const struct err *bad, struct session **ret, bool *ret_ahead, struct err *e)
{
        struct session *s;
        int r = session_new(&o->common, &s, e);

        if (r < 0)
                return r;
        r = stage_open(s, o, e);
        if (r >= 0) {
                if (bad)
                        snapshot_note(&s->snap, "no huge pages are read ahead, pages come one by one: %s", bad->text);
                r = prepare(s, o, e);
                if (r < 0)
                        err_wrap(e, r, "%s", o->path);
        }
        if (r < 0) {
                *ret_ahead = s->prefill_failed;
                session_free(s);
                return r;
        }
        session_stamp(s, LEDGER_T1, now_ns());
        session_count_at(s, LEDGER_T1, false);
        *ret = s;
        return 0;
}

/* A page that is bad is lost alone, and only when somebody needs it. A huge page has it with 511 others, and no pager behind them:
 * where such a range cannot be read whole nothing is, and all starts again, from nothing and the same T0. */
int session_restore(const struct restore_options *o, struct session **ret, struct err *e)
{
        struct restore_options again = *o;
        struct err why = {0}, bad;
        bool ahead = false;
        int r;

        again.common.t0_ns = o->common.t0_ns ? o->common.t0_ns : now_ns();
        r = try_to_restore(&again, NULL, ret, &ahead, &why);
        if (r < 0 && ahead) {
                bad = why;
                again.no_prefill = true;
                r = try_to_restore(&again, &bad, ret, &ahead, &why);
        }
        if (r < 0 && e)
                *e = why;
        return r;
}
