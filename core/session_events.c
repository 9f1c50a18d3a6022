/* What the other threads tell, any of them, and what the session thread makes of it. */
#include "core/session_internal.h"

#include "core/mapped_sources.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NO_VCPU UINT32_MAX /* what ended the VM was a device */

/* --- events: any thread tells, the session thread listens --- */

void session_post(struct session *s, enum session_event ev)
{
        uint64_t one = 1;

        /* release: pairs with the acquire in take_events; what the event speaks of is written before it */
        atomic_fetch_or_explicit(&s->events, ev, memory_order_release);
        if (write(s->event_fd, &one, sizeof(one)) < 0)
                return; /* the counter is full: the session thread is awake anyway */
}

static uint32_t take_events(struct session *s)
{
        uint64_t n;

        if (read(s->event_fd, &n, sizeof(n)) < 0)
                return 0;
        return atomic_exchange_explicit(&s->events, 0, memory_order_acquire);
}

void session_stamp(struct session *s, enum ledger_stamp st, uint64_t ns)
{
        uint64_t unset = 0;

        /* relaxed: the event bit that follows carries it over */
        atomic_compare_exchange_strong_explicit(&s->stamp_ns[st], &unset, ns, memory_order_relaxed, memory_order_relaxed);
}

static void on_entered(void *arg, uint64_t ns)
{
        struct session *s = arg;

        session_stamp(s, LEDGER_T2, ns);
        if (s->pager)
                pager_guest_entered(s->pager, ns);
        if (s->mapper)
                mapper_guest_entered(s->mapper, ns);
        session_post(s, EVENT_ENTERED);
}

static void on_serial_out(void *arg, uint8_t byte)
{
        struct session *s = arg;

        console_put(s->console, byte);
}

static void on_exited(void *arg, enum vm_exit why, uint32_t vcpu, gpa_t gpa, const char *text)
{
        struct session *s = arg;

        pthread_mutex_lock(&s->lock);
        if (!s->exit_set) {
                s->exit_set = true;
                s->exit_why = why;
                s->exit_vcpu = vcpu;
                s->exit_gpa = gpa;
                snprintf(s->exit_text, sizeof(s->exit_text), "%s", text ? text : "");
        }
        pthread_mutex_unlock(&s->lock);
        session_post(s, EVENT_EXITED);
}

static void on_first_byte(void *arg, uint64_t ns)
{
        session_stamp(arg, LEDGER_T3, ns);
}

/* Pager, mapper and session thread are told behind the byte: each that wakes up may take the vCPU's place, and the byte waited for
 * its time slice, 3 ms and more. */
static void on_first_is_out(void *arg, uint64_t ns)
{
        struct session *s = arg;

        if (s->pager)
                pager_guest_spoke(s->pager, ns);
        if (s->mapper)
                mapper_guest_spoke(s->mapper, ns);
        session_post(s, EVENT_SPOKE);
}

static void on_matched(void *arg, bool until, uint64_t ns)
{
        struct session *s = arg;

        session_stamp(s, LEDGER_T4, ns);
        session_post(s, until ? EVENT_UNTIL : EVENT_MARK);
}

/* A page that somebody waits for ends the VM before he is let go: what he does with wrong bytes is dropped. Before the VM can
 * run, session_restore finds `lost_demanded` and gives up. */
static bool on_lost(void *arg, const struct pager_lost *lost)
{
        struct session *s = arg;

        pthread_mutex_lock(&s->lock);
        /* The one to tell of is the one that ends the VM. */
        if (!s->has_lost || (lost->demanded && !s->lost_demanded))
                s->first_lost = *lost;
        s->has_lost = true;
        s->lost_demanded |= lost->demanded;
        if (lost->demanded)
                vm_condemn(s->live_vm); /* under the lock: session_free takes live_vm away before it frees it */
        pthread_mutex_unlock(&s->lock);
        session_post(s, EVENT_LOST);
        return lost->demanded;
}

/* Pager, mapper and prefill each tell once. */
static void on_replayed(void *arg, uint64_t ns)
{
        struct session *s = arg;

        if (atomic_fetch_sub_explicit(&s->replays_left, 1, memory_order_relaxed) != 1)
                return;
        session_stamp(s, LEDGER_T5, ns);
        session_post(s, EVENT_REPLAYED);
}

void session_part_settled(struct session *s, uint64_t ns)
{
        uint64_t last = atomic_load_explicit(&s->settled_ns, memory_order_relaxed);

        while (last < ns &&
               !atomic_compare_exchange_weak_explicit(&s->settled_ns, &last, ns, memory_order_relaxed, memory_order_relaxed))
                ; /* prefill tells late of what was there before */
        /* acq_rel, pairs with itself: whoever is the last sees the times of all */
        if (atomic_fetch_sub_explicit(&s->settles_left, 1, memory_order_acq_rel) != 1)
                return;
        session_stamp(s, LEDGER_T6, atomic_load_explicit(&s->settled_ns, memory_order_relaxed));
        session_post(s, EVENT_SETTLED);
}

static void on_settled(void *arg, uint64_t ns)
{
        session_part_settled(arg, ns);
}

/* The mapper's thread. The kernel could not bring a mapped page in: its file was cut, cannot be read, or there is no memory. */
static void on_not_mapped(void *arg, uint64_t page, int error)
{
        struct session *s = arg;

        pthread_mutex_lock(&s->lock);
        s->unmapped_page = page;
        s->unmapped_error = error;
        pthread_mutex_unlock(&s->lock);
        session_post(s, EVENT_NOT_MAPPED);
}

/* A balloon's thread. It may wait for the pager here, which waits for nobody. */
static void on_discard(void *arg, gpa_t gpa, uint64_t len_bytes)
{
        struct session *s = arg;
        uint64_t offset;
        char text[120];
        int r = -EFAULT;

        written_pages_mark(s->layout.written, mem_layout_gpa_to_hva(&s->layout, gpa, len_bytes), len_bytes);
        if (mem_layout_gpa_to_offset(&s->layout, gpa, len_bytes, &offset))
                r = discard_pages(&s->discard, bytes_to_pages(offset), bytes_to_pages(len_bytes));
        if (r > 0)
                session_post(s, EVENT_NOT_FREED);
        if (r >= 0)
                return;
        /* They should be zero and may not be: nothing may run on them. */
        pthread_mutex_lock(&s->lock);
        vm_condemn(s->live_vm);
        pthread_mutex_unlock(&s->lock);
        snprintf(text, sizeof(text), "the balloon's memory at guest address %#llx, %llu bytes, cannot be made zero: %s",
                 (unsigned long long)gpa, (unsigned long long)len_bytes, strerror(-r));
        on_exited(s, VM_EXIT_ERROR, NO_VCPU, gpa, text);
}

/* A device's thread. Whose messages are many is kvm/virtio/device.h's to limit. */
static void on_message(void *arg, const char *text)
{
        struct session *s = arg;

        pthread_mutex_lock(&s->lock);
        if (s->nr_said < SAID_LINES)
                snprintf(s->said[s->nr_said++], SAID_CHARS, "%s", text);
        else
                s->nr_unsaid++;
        pthread_mutex_unlock(&s->lock);
        session_post(s, EVENT_SAID);
}

void session_set_live(struct session *s, struct vm *vm)
{
        pthread_mutex_lock(&s->lock);
        s->live_vm = vm;
        pthread_mutex_unlock(&s->lock);
}

void session_fill_vm_events(struct session *s, struct vm_events *ret)
{
        discard_init(&s->discard, &s->ram, s->caps.max_map_count);
        *ret = (struct vm_events){.arg = s, .entered = on_entered, .serial_out = on_serial_out, .exited = on_exited,
                                  .discard = on_discard, .message = on_message};
}

void session_fill_console_events(struct session *s, struct console_config *ret)
{
        ret->arg = s;
        ret->first_byte = on_first_byte;
        ret->first_is_out = on_first_is_out;
        ret->matched = on_matched;
}

void session_fill_pager_events(struct session *s, struct pager_events *ret)
{
        *ret = (struct pager_events){.arg = s, .lost = on_lost, .replayed = on_replayed, .done = on_settled};
}

void session_fill_mapper_events(struct session *s, struct mapper_config *ret)
{
        ret->arg = s;
        ret->populated = on_replayed;
        ret->settled = on_settled;
        ret->failed = on_not_mapped;
}

/* A chunk's pages are lost together: all of its bytes are needed, and its checksum is of all of them. */
static void describe_lost_chunk(const struct pager_lost *l, unsigned long long gpa, struct err *e)
{
        const char *found = l->error == -ENODATA ? "the end of the file" : l->error == -EBADMSG ? "others" : strerror(-l->error);

        snprintf(e->text, sizeof(e->text), "%s: offset %llu: chunk %llu, that page %llu (guest address %#llx) is packed in: expected %u bytes that unpack to what "
                 "its checksum knows, found %s; its pages are lost: take the snapshot from a good copy", l->source,
                 (unsigned long long)l->file_offset_bytes, (unsigned long long)l->chunk, (unsigned long long)l->page, gpa, l->chunk_bytes, found);
}

static void describe_lost(struct session *s, const struct pager_lost *l, struct err *e)
{
        unsigned long long page = l->page, off = l->file_offset_bytes;
        unsigned long long gpa = mem_layout_offset_to_gpa(&s->layout, pages_to_bytes(l->page));

        e->kind = ERR_LOST;
        e->code = l->error;
        if (l->chunk != PAGER_NO_CHUNK)
                describe_lost_chunk(l, gpa, e);
        else if (l->error == -ENODATA)
                snprintf(e->text, sizeof(e->text), "%s: offset %llu: expected the 4096 bytes of page %llu (guest address %#llx), found the end of the file; "
                         "the page is lost: the file was cut short while it was in use", l->source, off, page, gpa);
        else if (l->error == -EBADMSG)
                snprintf(e->text, sizeof(e->text), "%s: offset %llu: page %llu (guest address %#llx) does not match its checksum; the page is lost: take the "
                         "snapshot from a good copy", l->source, off, page, gpa);
        else
                snprintf(e->text, sizeof(e->text), "%s: offset %llu: cannot read page %llu (guest address %#llx): %s; the page is lost", l->source, off, page,
                         gpa, strerror(-l->error));
}

bool session_find_lost(struct session *s, struct err *e)
{
        bool demanded;

        pthread_mutex_lock(&s->lock);
        demanded = s->lost_demanded;
        if (s->has_lost)
                describe_lost(s, &s->first_lost, e);
        pthread_mutex_unlock(&s->lock);
        return demanded;
}

static bool has_lost(struct session *s)
{
        bool any;

        pthread_mutex_lock(&s->lock);
        any = s->has_lost;
        pthread_mutex_unlock(&s->lock);
        return any;
}

static void handle_lost(struct session *s)
{
        struct err err = {0};

        if (session_find_lost(s, &err)) {
                s->result.err = err;
                session_end(s, SESSION_LOST);
        } else if (!s->told_lost) {
                s->told_lost = true;
                session_message(s, "%s; the VM goes on until it needs it", err.text);
        }
}

static void handle_not_freed(struct session *s)
{
        if (s->told_not_freed)
                return;
        s->told_not_freed = true;
        if (s->ram.backing == RAM_HUGETLB) {
                session_message(s, "the balloon's pages are parts of 2 MiB pages: only whole ones are freed, the others are made zero; use --memory-backing memfd or anon");
                return;
        }
        session_message(s, "the balloon's pages lie too far apart to free them all (%llu mappings, half of vm.max_map_count): some are "
                        "only made zero; use --mode lazy, or sysctl -w vm.max_map_count=%llu",
                        (unsigned long long)s->caps.max_map_count / 2, (unsigned long long)s->caps.max_map_count * 4);
}

/* The message itself is told without the lock: it may block, and a device shall not wait for a terminal. */
static void handle_said(struct session *s)
{
        char said[SAID_LINES][SAID_CHARS];
        uint32_t nr, left_out;

        pthread_mutex_lock(&s->lock);
        nr = s->nr_said;
        left_out = s->nr_unsaid;
        memcpy(said, s->said, nr * sizeof(said[0]));
        s->nr_said = s->nr_unsaid = 0;
        pthread_mutex_unlock(&s->lock);
        for (uint32_t i = 0; i < nr; i++)
                session_message(s, "%s", said[i]);
        if (left_out)
                session_message(s, "%u more messages of devices were left out", left_out);
}

static bool find_changed_source(const struct session *s, struct err *e)
{
        return s->plan.nr_mapped && mapped_sources_changed(&s->plan, &s->snap.pages, e);
}

void session_sources_changed(void *arg, int fd, short revents)
{
        struct session *s = arg;
        (void)revents;

        mapped_sources_drain(fd);
        if (find_changed_source(s, &s->result.err))
                session_end(s, SESSION_LOST);
}

/* The guest may never need it: it goes on, as with a page that is lost ahead of anybody's asking. */
static void handle_not_mapped(struct session *s)
{
        if (find_changed_source(s, &s->result.err)) {
                session_end(s, SESSION_LOST);
        } else if (!s->told_not_mapped) {
                s->told_not_mapped = true;
                session_message(s, "page %llu cannot be brought in from its mapped file: %s; the VM goes on until it needs it",
                                (unsigned long long)s->unmapped_page, strerror(-s->unmapped_error));
        }
}

static void handle_exit(struct session *s)
{
        struct err *e = &s->result.err;
        struct pager_lost l;
        uint64_t offset;

        switch (s->exit_why) {
        case VM_EXIT_SHUTDOWN: /* a guest whose memory was taken away ends like this, too */
                session_end(s, find_changed_source(s, e) ? SESSION_LOST : SESSION_GUEST_OFF);
                return;
        case VM_EXIT_LOST:
                if (s->pager && mem_layout_gpa_to_offset(&s->layout, s->exit_gpa, 1, &offset) &&
                    pager_find_lost(s->pager, bytes_to_pages(offset), &l))
                        describe_lost(s, &l, e);
                else if (!find_changed_source(s, e)) {
                        err_set(e, -EFAULT, "vCPU %u: the memory at guest address %#llx is not there: %s", s->exit_vcpu,
                                (unsigned long long)s->exit_gpa, s->exit_text);
                        e->kind = ERR_LOST;
                }
                session_end(s, SESSION_LOST);
                return;
        case VM_EXIT_ERROR:
                if (find_changed_source(s, e)) {
                        session_end(s, SESSION_LOST);
                } else if (s->exit_vcpu == NO_VCPU) {
                        err_set(e, -EIO, "%s", s->exit_text);
                        session_end(s, SESSION_ERROR);
                } else {
                        err_set(e, -EIO, "vCPU %u: %s", s->exit_vcpu, s->exit_text);
                        session_end(s, SESSION_ERROR);
                }
                return;
        }
}

void session_count_at(struct session *s, enum ledger_stamp st, bool with_pss)
{
        s->ledger.t_ns[st] = atomic_load_explicit(&s->stamp_ns[st], memory_order_relaxed); /* after take_events' acquire */
        session_count(s, &s->ledger.at[st], with_pss);
        s->ledger.has_at[st] = true;
}

void session_start_index(struct session *s)
{
        struct err err = {0};

        if (!s->index_wanted)
                return;
        s->index_wanted = false;
        if (indexer_start(&s->snap, s->data_dir, &s->indexer, &err) < 0)
                session_message(s, "%s", err.text);
}

/* Not where pages were lost: their ranges may still be registered. */
static void start_collapse(struct session *s)
{
        struct err err = {0};

        if (!s->collapse_wanted || s->collapse || has_lost(s))
                return;
        if (collapse_start(&s->ram, &s->collapse, &err) < 0)
                session_message(s, "%s", err.text);
}

void session_handle_events(struct session *s)
{
        uint32_t ev = take_events(s);

        if (ev & EVENT_SAID)
                handle_said(s);
        if (ev & EVENT_LOST)
                handle_lost(s);
        if (ev & EVENT_NOT_FREED)
                handle_not_freed(s);
        if (ev & EVENT_NOT_MAPPED)
                handle_not_mapped(s);
        if (ev & EVENT_ENTERED)
                session_count_at(s, LEDGER_T2, false);
        if (ev & EVENT_SPOKE) {
                session_count_at(s, LEDGER_T3, false);
                session_start_index(s);
        }
        if (ev & (EVENT_MARK | EVENT_UNTIL)) {
                session_count_at(s, LEDGER_T4, false);
                if (s->pager && !s->record_past_t4)
                        pager_end_record(s->pager);
        }
        if (ev & EVENT_REPLAYED)
                session_count_at(s, LEDGER_T5, false);
        if (ev & EVENT_SETTLED) {
                session_count_at(s, LEDGER_T6, true);
                if (!has_lost(s) && !s->plan.nr_mapped) /* else devices go on looking before they let a page out */
                        vm_settled(s->vm);
                if (s->pager || s->mapper)
                        session_start_index(s); /* of a guest that never spoke */
                start_collapse(s);
        }
        if (ev & EVENT_UNTIL)
                session_end(s, SESSION_UNTIL);
        if (ev & EVENT_EXITED)
                handle_exit(s);
}
