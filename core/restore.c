/* The stages of a restore, one call each: open, plan, arm, build. session_run does run, settle and done. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/find_hints.h"
#include "core/mapped_sources.h"
#include "core/match_devices.h"
#include "core/plan.h"
#include "core/probe.h"
#include "formats/hints_file.h"

#include <errno.h>
#include <string.h>

static void fill_ledger_head(struct session *s, const struct restore_options *o)
{
        struct ledger *l = &s->ledger;

        snprintf(l->path, sizeof(l->path), "%s", o->path);
        snprintf(l->format, sizeof(l->format), "%s", s->snap.format->name);
        l->identity = s->snap.identity;
        l->memory_bytes = s->layout.total_bytes;
        l->zero_bytes = pages_to_bytes(page_map_count(&s->snap.pages).zero_pages);
        l->verify = !s->snap.verifiable || o->mode == RESTORE_MMAP ? "none" : o->verify ? "on" : "off";
}

static int stage_open(struct session *s, const struct restore_options *o, struct err *e)
{
        struct snapshot_open_options so = {.format = o->format, .data_dir = o->data_dir};
        int r = host_require(&s->caps, o->mode == RESTORE_LAZY, e);

        if (r >= 0)
                r = snapshot_open(o->path, &so, &s->snap, e);
        if (r < 0)
                return r;
        s->layout = s->snap.layout;
        s->nr_vcpus = s->snap.vm.nr_vcpus;
        s->data_dir = o->data_dir;
        s->record_path = o->record_path;
        s->record_past_t4 = o->record_path && !o->fill; /* nobody waits for the mark to bring the rest in */
        s->index_wanted = !s->snap.pages.zeros_known && o->data_dir;
        if (o->data_dir && asprintf(&s->cpuid_cache, "%s/host-cpuid", o->data_dir) < 0)
                s->cpuid_cache = NULL;
        fill_ledger_head(s, o);
        return 0;
}

/* Hints that are there but belong to something else stop a restore only when the user named them. */
static int find_hints(struct session *s, const struct restore_options *o, struct hints *ret, struct err *e)
{
        struct err mine = {0};
        int r;

        if (o->hints == HINTS_FILE)
                return hints_file_read_path(o->hints_path, &s->snap.identity, s->snap.pages.nr_pages, ret, e);
        if (o->hints == HINTS_NONE)
                return 0;
        r = hints_find(&s->snap, o->data_dir, ret, &mine);
        if (r < 0 && r != -ENOENT)
                snapshot_note(&s->snap, "hints are not used: %s", mine.text);
        return 0;
}

/* What a run touched by chance is not brought to every run. */
static int read_hints(struct session *s, const struct restore_options *o, struct hints *ret, struct err *e)
{
        int r = find_hints(s, o, ret, e);

        if (r >= 0)
                hints_keep_seen(ret, hints_min_seen(ret));
        return r;
}

static void set_arm(struct session *s, const char *arm)
{
        snprintf(s->ledger.arm, sizeof(s->ledger.arm), "%s", arm);
}

static int plan_pager(struct session *s, const struct restore_options *o, struct err *e)
{
        _cleanup_(hints_free) struct hints h = {0};
        bool record = o->record_path != NULL;
        struct pager_config c = {
                .ram = s->ram.base,
                .map = &s->snap.pages,
                .record = record,
                .fill = o->fill,
                .paused = o->common.paused,
                .verify = o->verify && s->snap.verifiable,
                .around_pages = record ? 1 : PLAN_AROUND_PAGES,
                .source_timeout_ms = o->source_timeout_ms,
                .caps = &s->caps,
        };
        int r = record ? 0 : read_hints(s, o, &h, e);

        if (s->snap.pages.nr_chunks) /* until the pager unpacks */
                return err_usage(e, "packed memory needs --mode eager");
        if (r >= 0 && plan_served(&s->snap.pages, record, &s->served, &c.nr_served, &s->ledger) < 0)
                r = err_set(e, -ENOMEM, "no memory for the plan of %llu pages", (unsigned long long)s->snap.pages.nr_pages);
        if (r < 0)
                return r;
        c.served = s->served;
        plan_replay(&h, &s->replay, &c.nr_replay);
        c.replay = s->replay;
        session_fill_pager_events(s, &c.events);
        set_arm(s, record ? "record" : c.nr_replay ? "hints" : "lazy");
        return pager_new(&c, &s->pager, e);
}

static int plan_mmap(struct session *s, struct err *e)
{
        struct page_counts n = page_map_count(&s->snap.pages);
        uint64_t mappings;
        int r;

        if (n.packed_pages)
                return err_usage(e, "--mode mmap: expected memory that is not packed, found %llu packed pages; use --mode auto, lazy or eager, or "
                                 "unpack it: rouse convert --pack none", (unsigned long long)n.packed_pages);
        r = guest_ram_map_files(&s->ram, &s->snap.pages, s->caps.max_map_count, &mappings, e);

        if (r < 0)
                return r;
        s->sources_mapped = true;
        r = mapped_sources_watch(&s->snap.pages, &s->sources_fd);
        if (r < 0)
                snapshot_note(&s->snap, "the memory file is not watched (inotify: %s): a change of it shows late", strerror(-r));
        else
                session_watch(s, s->sources_fd, POLLIN, session_sources_changed, s);
        s->ram_is_anonymous = false;
        set_arm(s, "mmap");
        plan_row(&s->ledger, "map", mappings, n.raw_pages, "MAP_PRIVATE of the memory file: the kernel is the pager");
        plan_row(&s->ledger, "anon", s->snap.pages.nr_runs - mappings, n.zero_pages, "zeros, left to the kernel");
        return 0;
}

/* Everything is brought in before anybody looks, so huge pages may stand behind it all. */
static int plan_eager(struct session *s, const struct restore_options *o, struct err *e)
{
        struct page_counts n = page_map_count(&s->snap.pages);

        set_arm(s, "eager");
        plan_row(&s->ledger, "prefill", s->snap.pages.nr_runs, n.raw_pages + n.packed_pages, "read completely before the guest runs");
        plan_row(&s->ledger, "anon", 1, n.zero_pages, "zeros, left to the kernel");
        return guest_ram_read_all(&s->ram, &s->snap.pages, o->verify && s->snap.verifiable, MIN(s->caps.nr_cpus, 4), &s->eager_bytes, e);
}

static int stage_plan(struct session *s, const struct restore_options *o, struct err *e)
{
        int r;

        if (o->mode == RESTORE_LAZY && o->common.memory_backing == RAM_HUGETLB)
                return err_usage(e, "--memory-backing hugetlb: needs --mode eager");
        r = guest_ram_map_as(o->common.memory_backing, s->layout.total_bytes, o->mode == RESTORE_EAGER, &s->ram, e);

        if (r < 0)
                return r;
        s->layout.ram = s->ram.base;
        s->ram_is_anonymous = true;
        switch (o->mode) {
        case RESTORE_MMAP:
                return plan_mmap(s, e);
        case RESTORE_EAGER:
                r = plan_eager(s, o, e);
                session_stamp(s, LEDGER_T6, now_ns());
                session_post(s, EVENT_SETTLED);
                return r;
        case RESTORE_LAZY:
                return plan_pager(s, o, e);
        }
        return -EINVAL;
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
                snapshot_note(&s->snap, "this host's CPU or KVM lacks what the guest saw: %s; it will fail where it uses that", lacking);
        return MIN(r, 0);
}

static int stage_build(struct session *s, const struct restore_options *o, struct err *e)
{
        struct vm_config c = {.caps = &s->caps, .layout = &s->layout, .machine = s->snap.vm.machine, .nr_vcpus = s->nr_vcpus,
                              .cpuid_cache = s->cpuid_cache, .devices = s->devices, .nr_devices = s->nr_devices, .saved = &s->snap.vm,
                              .faults_in_place = s->record_path != NULL};
        struct vm_load_report rep = {0};
        struct err lost = {0};
        int r;

        session_fill_vm_events(s, &c.events);
        r = vm_new(&c, &s->vm, &s->ledger.slots_ns, e);
        if (r >= 0)
                r = check_cpu(s, o, e);
        if (r >= 0)
                r = vm_load(s->vm, &s->snap.vm, &rep, e);
        if (r >= 0)
                r = vm_start(s->vm, e);
        if (r >= 0)
                session_set_live(s, s->vm);
        /* State that is set, and a device that goes on with what was in flight, read guest RAM. What was lost there is met before the
         * guest runs: the snapshot is bad, whatever came of it. */
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

int session_restore(const struct restore_options *o, struct session **ret, struct err *e)
{
        struct session *s;
        int r = session_new(&o->common, &s, e);

        if (r < 0)
                return r;
        r = stage_open(s, o, e);
        if (r >= 0) {
                r = prepare(s, o, e);
                if (r < 0)
                        err_wrap(e, r, "%s", o->path);
        }
        if (r < 0) {
                session_free(s);
                return r;
        }
        session_stamp(s, LEDGER_T1, now_ns());
        session_count_at(s, LEDGER_T1, false);
        *ret = s;
        return 0;
}
