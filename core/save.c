/* A running VM into a snapshot: refused before it is stopped where that can be known, what is absent is fetched while it runs,
 * and it is stopped only while its pages are written. */
#include "core/session_internal.h"

#include "core/base/clock.h"
#include "core/ram_blocks.h"
#include "core/save_base.h"
#include "formats/snapshot_writer.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#define ASK_MS 20 /* how often it is asked whether to give up */

/* One save. */
struct saving {
        struct session *s;
        const struct save_options *o;
        const struct snapshot_writer_ops *ops;
        struct snapshot_writer *writer;
        struct save_base base; /* zeroed without one */
        struct save_report report;
        uint64_t asked_ns;
};

static int err_ended(struct err *e)
{
        return err_set(e, -ECANCELED, "the VM ended before it could be saved");
}

/* One page that cannot be had is enough: its source may be silent for --source-timeout with each of the others. */
static int check_lost(struct session *s, struct err *e)
{
        struct err lost = {0};

        (void)session_find_lost(s, &lost);
        return lost.code ? err_set(e, -EIO, "%s: this VM cannot be saved", lost.text) : 0;
}

static int check_cancelled(const struct save_options *o, struct err *e)
{
        return o->cancelled && o->cancelled(o->cancelled_arg) ? err_set(e, -ECANCELED, "the snapshot was cancelled") : 0;
}

/* --- before the guest is stopped --- */

/* How small packed pages get is not known before they are packed: what is too much for the file system shows then, and the guest
 * goes on. Beside the pages: their sums and runs, a sixtieth of them at worst (every second page zero); vCPUs, devices, and as
 * much again for the file system itself. */
static uint64_t overhead_bytes(uint64_t data_bytes, uint32_t nr_vcpus)
{
        return data_bytes / 32 + nr_vcpus * 128 * KIB + 2 * MIB;
}

/* At most: what the guest was restored from, and of the rest what it has touched. A booted VM was restored from nothing. */
static uint64_t data_bytes_bound(const struct session *s)
{
        const struct page_map *m = &s->snap.pages;
        uint64_t pages = 0;

        if (!m->nr_runs)
                return pages_to_bytes(ram_blocks_resident(&s->ram, 0, bytes_to_pages(s->ram.size_bytes)));
        for (size_t i = 0; i < m->nr_runs; i++) {
                const struct page_run *run = &m->runs[i];

                pages += run->kind == RUN_ZERO ? ram_blocks_resident(&s->ram, run->first_page, run->nr_pages) : run->nr_pages;
        }
        return pages_to_bytes(pages);
}

static bool is_settled(const struct session *s)
{
        return !s->pager || pager_wait(s->pager, 0) == 0;
}

/* Until session_hold waits for no vCPU that waits for a page. */
static int wait_hold(struct saving *v, struct err *e)
{
        int r = 0;

        while (r >= 0 && !session_hold_begin(v->s, ASK_MS)) {
                session_handle_events(v->s);
                r = v->s->result.why == SESSION_NONE ? check_lost(v->s, e) : err_ended(e);
                if (r >= 0)
                        r = check_cancelled(v->o, e);
                if (r < 0)
                        session_hold_undo(v->s);
        }
        return r;
}

/* A VM that cannot be saved is told so before its pages are fetched, which may take long: its state is looked at in a pause of a
 * millisecond that nobody hears of. Where nothing is absent the real pause comes as soon. */
static int check_state(struct saving *v, struct err *e)
{
        struct vm_state vm = {0};
        bool ran;
        int r;

        if (is_settled(v->s))
                return 0;
        r = wait_hold(v, e);
        if (r < 0)
                return r;
        ran = session_hold(v->s);
        r = vm_save(v->s->vm, &vm, e);
        if (r >= 0)
                r = v->ops->check(&vm, e);
        if (ran)
                session_let_run(v->s);
        vm_state_free(&vm);
        return r;
}

/* What is brought in ahead is no touch of the guest's, and hides those that follow. */
static void say_record_ends(struct session *s)
{
        if (s->record_path && !s->told_record_ends && (s->record_past_t4 || !s->ledger.t_ns[LEDGER_T4]))
                session_message(s, "the recording ends here: a snapshot brings in what is absent, and first touches do not show "
                                "any more");
        s->told_record_ends = true;
}

/* Absent pages come first, while the guest still runs. */
static int fetch_absent(struct session *s, const struct save_options *o, struct err *e)
{
        int r = 0;

        if (s->pager) {
                say_record_ends(s);
                pager_hurry(s->pager);
                do {
                        r = check_cancelled(o, e);
                        if (r < 0)
                                return r;
                        r = pager_wait(s->pager, ASK_MS);
                        session_handle_events(s); /* the VM may end meanwhile */
                        if (s->result.why == SESSION_NONE && check_lost(s, e) < 0)
                                return -EIO;
                } while (r == -ETIMEDOUT && s->result.why == SESSION_NONE);
        }
        if (s->result.why != SESSION_NONE)
                return err_ended(e);
        if (r == -EIO)
                return err_set(e, r, "pages of this VM are lost: it cannot be saved");
        return r < 0 ? err_set(e, r, "fetch the pages that are still absent: %s", strerror(-r)) : 0;
}

/* --- with the guest stopped: state and memory, no fsync --- */

static int ask(void *arg, struct err *e)
{
        struct saving *v = arg;

        if (now_ns() - v->asked_ns < ASK_MS * NS_PER_MS)
                return 0;
        v->asked_ns = now_ns();
        return check_cancelled(v->o, e);
}

static int write_block(void *arg, const void *bytes, uint64_t nr_pages, struct err *e)
{
        struct saving *v = arg;
        int r = ask(v, e);

        return r < 0 ? r : v->ops->pages(v->writer, bytes, nr_pages, e);
}

/* Also where nobody asks for it now: what was written before this snapshot must not count as written after it. */
static int take_written(struct session *s, struct err *e)
{
        if (!lineage_tracks(&s->lineage))
                return 0;
        lineage_take_written(&s->lineage);
        return vm_dirty_log(s->vm, lineage_mark, &s->lineage, e);
}

static int write_memory(struct saving *v, struct err *e)
{
        struct session *s = v->s;
        int r = take_written(s, e);

        if (r < 0)
                return r;
        if (!v->o->base)
                return ram_blocks_walk(&s->ram, write_block, v, e);
        r = save_base_write(&v->base, s, v->ops, v->writer, ask, v, e);
        return r < 0 ? r : check_lost(s, e); /* of pages that the pager found lost meanwhile nobody took notice */
}

static void say(void *arg, const char *text)
{
        session_message(arg, "%s", text);
}

static int write_stopped(struct saving *v, struct err *e)
{
        struct session *s = v->s;
        struct vm_state vm = {0};
        int r = vm_save(s->vm, &vm, e);

        if (r >= 0)
                r = v->ops->check(&vm, e);
        v->asked_ns = now_ns();
        if (r >= 0)
                r = write_memory(v, e);
        if (r >= 0)
                r = v->ops->state(v->writer, &vm, &s->layout, e);
        if (r >= 0)
                v->ops->advise(&vm, say, s);
        vm_state_free(&vm);
        return r;
}

/* --- the whole --- */

/* Until it can be stopped at once. A VM that cannot be saved is told so before anything takes long. */
static int prepare(struct saving *v, struct err *e)
{
        int r;

        if (v->o->base && v->base.known) { /* nothing needs to be fetched */
                r = check_lost(v->s, e);
                return r < 0 ? r : wait_hold(v, e);
        }
        r = check_state(v, e);
        return r < 0 ? r : fetch_absent(v->s, v->o, e);
}

static int save(struct saving *v, struct err *e)
{
        struct session *s = v->s;
        bool ran = s->running;
        uint64_t stopped_ns;
        int r;

        r = prepare(v, e);
        if (r < 0)
                return r;
        stopped_ns = now_ns();
        session_pause(s);
        /* on its way into the pause it may have ended: its last vCPU is then in the middle of that */
        r = s->result.why == SESSION_NONE ? write_stopped(v, e) : err_ended(e);
        if (ran && (r < 0 || !v->o->pause_after))
                session_resume(s);
        v->report.pause_ns = now_ns() - stopped_ns;
        if (r >= 0)
                r = vm_sync_disks(s->vm, e);
        if (r >= 0)
                r = v->ops->commit(v->writer, &v->report.identity, e);
        if (r >= 0)
                lineage_add(&s->lineage, &v->report.identity);
        if (r < 0 && ran)
                session_resume(s); /* it could not be saved: it goes on */
        return r;
}

static void count(struct saving *v)
{
        struct snapshot_writer_counts n = v->ops->counts(v->writer);
        const struct save_base_counts *b = &v->base.n;
        struct save_report *rep = &v->report;

        rep->data_bytes = pages_to_bytes(n.data_pages);
        rep->zero_bytes = pages_to_bytes(n.zero_pages);
        rep->stored_bytes = n.stored_bytes;
        rep->parent_bytes = pages_to_bytes(n.parent_pages);
        rep->unfetched_bytes = pages_to_bytes(b->unfetched_pages);
        rep->clean_bytes = pages_to_bytes(b->clean_pages);
        rep->compared_bytes = pages_to_bytes(b->compared_pages);
        rep->same_bytes = pages_to_bytes(b->same_pages);
}

static int open_base(struct saving *v, struct snapshot_writer_options *wo, struct err *e)
{
        int r;

        if (!v->o->base)
                return 0;
        if (!v->ops->parent_pages)
                return err_usage(e, "base: a snapshot of format %s cannot refer to another; expected format native",
                                 v->ops->name);
        r = save_base_open(&v->base, v->s, v->o->base, v->o->path, e);
        wo->parent = v->base.snap.identity;
        wo->parent_place = &v->base.place;
        return r;
}

/* How much a child will hold is not known before it is written; a file system that gets full shows in time: the VM goes on. */
static uint64_t need_bytes(const struct session *s, const struct save_options *o)
{
        uint64_t data_bytes;

        if (o->base)
                return overhead_bytes(0, s->nr_vcpus);
        data_bytes = data_bytes_bound(s);
        return (o->pack ? 0 : data_bytes) + overhead_bytes(data_bytes, s->nr_vcpus);
}

int session_save(struct session *s, const struct save_options *o, struct save_report *ret, struct err *e)
{
        struct saving v = {.s = s, .o = o, .ops = snapshot_writer_find(o->format, e)};
        struct snapshot_writer_options wo = {.path = o->path, .replace = o->replace,
                                             .ram_pages = bytes_to_pages(s->layout.total_bytes),
                                             .pack = o->pack, .pack_level = o->pack_level, .need_bytes = need_bytes(s, o)};
        uint64_t start_ns = now_ns();
        int r;

        if (!v.ops)
                return -EINVAL;
        if (o->pack && snapshot_writer_check_pack(v.ops, o->pack_level, e) < 0)
                return -EINVAL;
        r = open_base(&v, &wo, e);
        if (r >= 0)
                r = v.ops->new(&wo, &v.writer, e);
        if (r >= 0)
                r = save(&v, e);
        if (r >= 0) {
                count(&v);
                v.report.total_ns = now_ns() - start_ns;
                *ret = v.report;
        }
        v.ops->free(v.writer);
        save_base_close(&v.base);
        return r;
}

/* --- for tests and verify --- */

static int hash_block(void *arg, const void *bytes, uint64_t nr_pages, struct err *e)
{
        static const uint8_t zeros[PAGE_BYTES];
        (void)e;

        for (uint64_t i = 0; i < nr_pages; i++)
                XXH3_64bits_update(arg, bytes ? (const uint8_t *)bytes + pages_to_bytes(i) : zeros, PAGE_BYTES);
        return 0;
}

int session_hash_ram(const struct session *s, uint64_t *ret_xxh3, struct err *e)
{
        XXH3_state_t *x = XXH3_createState();
        int r;

        if (!x)
                return err_set(e, -ENOMEM, "no memory for a hash");
        XXH3_64bits_reset(x);
        r = ram_blocks_walk(&s->ram, hash_block, x, e);
        if (r >= 0)
                *ret_xxh3 = XXH3_64bits_digest(x);
        XXH3_freeState(x);
        return r;
}
