/* The session thread waits for what the other threads tell it, and is the only one that decides. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/mapped_sources.h"
#include "core/probe.h"
#include "formats/hints_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

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

void session_message(struct session *s, const char *fmt, ...)
{
        char text[1100];
        va_list ap;

        if (!s->opt.message)
                return;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        s->opt.message(s->opt.message_arg, text);
}

static void on_entered(void *arg, uint64_t ns)
{
        struct session *s = arg;

        session_stamp(s, LEDGER_T2, ns);
        if (s->pager)
                pager_guest_entered(s->pager, ns);
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
        struct session *s = arg;

        session_stamp(s, LEDGER_T3, ns);
        if (s->pager)
                pager_guest_spoke(s->pager, ns);
        session_post(s, EVENT_SPOKE);
}

static void on_matched(void *arg, bool until, uint64_t ns)
{
        struct session *s = arg;

        session_stamp(s, LEDGER_T4, ns);
        session_post(s, until ? EVENT_UNTIL : EVENT_MARK);
}

/* A page that somebody waits for ends the VM before he is let go: what he does with wrong bytes is dropped. Before the VM can run,
 * session_restore finds `lost_demanded` and gives up. */
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

static void on_replayed(void *arg, uint64_t ns)
{
        struct session *s = arg;

        session_stamp(s, LEDGER_T5, ns);
        session_post(s, EVENT_REPLAYED);
}

static void on_settled(void *arg, uint64_t ns)
{
        struct session *s = arg;

        session_stamp(s, LEDGER_T6, ns);
        session_post(s, EVENT_SETTLED);
}

void session_set_live(struct session *s, struct vm *vm)
{
        pthread_mutex_lock(&s->lock);
        s->live_vm = vm;
        pthread_mutex_unlock(&s->lock);
}

void session_fill_vm_events(struct session *s, struct vm_events *ret)
{
        *ret = (struct vm_events){.arg = s, .entered = on_entered, .serial_out = on_serial_out, .exited = on_exited};
}

void session_fill_pager_events(struct session *s, struct pager_events *ret)
{
        *ret = (struct pager_events){.arg = s, .lost = on_lost, .replayed = on_replayed, .done = on_settled};
}

/* --- making and freeing --- */

static int make_console(struct session *s, struct err *e)
{
        struct console_config c = {
                .out_fd = s->opt.serial_out_fd,
                .until = s->opt.until,
                .mark = s->opt.mark,
                .arg = s,
                .first_byte = on_first_byte,
                .matched = on_matched,
        };

        return console_new(&c, &s->console, e);
}

int session_new(const struct session_options *o, struct session **ret, struct err *e)
{
        struct session *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return err_set(e, -ENOMEM, "no memory for a VM");
        s->opt = *o;
        s->snap.dir_fd = -1;
        s->event_fd = s->sources_fd = -1;
        pthread_mutex_init(&s->lock, NULL);
        s->ledger.t_ns[LEDGER_T0] = o->t0_ns ? o->t0_ns : now_ns();
        s->ledger.t0_from = o->t0_from;
        if (o->caps)
                s->caps = *o->caps;
        else
                host_probe(&s->caps);
        s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = s->event_fd < 0 ? err_set(e, -errno, "eventfd: %s", strerror(errno)) : make_console(s, e);
        if (r < 0) {
                session_free(s);
                return r;
        }
        s->polls[0] = (struct pollfd){.fd = s->event_fd, .events = POLLIN};
        *ret = s;
        return 0;
}

/* The mirror of open, plan, arm, build, run. */
void session_free(struct session *s)
{
        if (!s)
                return;
        indexer_free(s->indexer);
        if (s->console)
                console_hold_open(s->console, true); /* nobody waits for a reader any more */
        session_set_live(s, NULL);
        vm_free(s->vm); /* the pager still answers: no vCPU is left waiting inside KVM */
        pager_free(s->pager);
        guest_ram_unmap(&s->ram);
        console_free(s->console);
        snapshot_close(&s->snap);
        free(s->served);
        free(s->replay);
        if (s->sources_fd >= 0)
                close(s->sources_fd);
        if (s->event_fd >= 0)
                close(s->event_fd);
        pthread_mutex_destroy(&s->lock);
        free(s);
}

/* --- watches --- */

int session_watch(struct session *s, int fd, short events, void (*ready)(void *arg, int fd, short revents), void *arg)
{
        if (s->nr_watches == SESSION_WATCHES_MAX)
                return -ENOSPC;
        s->nr_watches++;
        s->polls[s->nr_watches] = (struct pollfd){.fd = fd, .events = events};
        s->watches[s->nr_watches] = (struct watch){.ready = ready, .arg = arg};
        return 0;
}

void session_unwatch(struct session *s, int fd)
{
        for (size_t i = 1; i <= s->nr_watches; i++) {
                if (s->polls[i].fd != fd)
                        continue;
                s->polls[i] = s->polls[s->nr_watches];
                s->watches[i] = s->watches[s->nr_watches];
                s->nr_watches--;
                return;
        }
}

/* A watcher may add and remove watches, its own too: look each up again by its descriptor. */
static void call_watches(struct session *s)
{
        struct pollfd ready[SESSION_WATCHES_MAX];
        size_t nr = 0;

        for (size_t i = 1; i <= s->nr_watches; i++)
                if (s->polls[i].revents)
                        ready[nr++] = s->polls[i];
        for (size_t k = 0; k < nr; k++)
                for (size_t i = 1; i <= s->nr_watches; i++)
                        if (s->polls[i].fd == ready[k].fd) {
                                s->watches[i].ready(s->watches[i].arg, ready[k].fd, ready[k].revents);
                                break;
                        }
}

/* --- what happened --- */

static void end(struct session *s, enum session_end why)
{
        if (s->result.why == SESSION_NONE)
                s->result.why = why;
}

void session_quit(struct session *s)
{
        end(s, SESSION_QUIT);
}

void session_end_by_signal(struct session *s, int signal)
{
        s->result.signal = signal;
        end(s, SESSION_SIGNAL);
}

static void describe_lost(struct session *s, const struct pager_lost *l, struct err *e)
{
        unsigned long long page = l->page, off = l->file_offset_bytes;
        unsigned long long gpa = mem_layout_offset_to_gpa(&s->layout, pages_to_bytes(l->page));

        e->kind = ERR_LOST;
        e->code = l->error;
        if (l->error == -ENODATA)
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

static void handle_lost(struct session *s)
{
        struct err err = {0};

        if (session_find_lost(s, &err)) {
                s->result.err = err;
                end(s, SESSION_LOST);
        } else if (!s->told_lost) {
                s->told_lost = true;
                session_message(s, "%s; the VM goes on until it needs it", err.text);
        }
}

static bool find_shrunk_source(const struct session *s, struct err *e)
{
        return s->sources_fd >= 0 && mapped_sources_shrunk(&s->snap.pages, e);
}

void session_sources_changed(void *arg, int fd, short revents)
{
        struct session *s = arg;
        (void)revents;

        mapped_sources_drain(fd);
        if (find_shrunk_source(s, &s->result.err))
                end(s, SESSION_LOST);
}

static void handle_exit(struct session *s)
{
        struct err *e = &s->result.err;
        struct pager_lost l;
        uint64_t offset;

        switch (s->exit_why) {
        case VM_EXIT_SHUTDOWN:
                end(s, SESSION_GUEST_OFF);
                return;
        case VM_EXIT_LOST:
                if (s->pager && mem_layout_gpa_to_offset(&s->layout, s->exit_gpa, 1, &offset) &&
                    pager_find_lost(s->pager, bytes_to_pages(offset), &l))
                        describe_lost(s, &l, e);
                else if (!find_shrunk_source(s, e)) {
                        err_set(e, -EFAULT, "vCPU %u: the memory at guest address %#llx is not there: %s", s->exit_vcpu,
                                (unsigned long long)s->exit_gpa, s->exit_text);
                        e->kind = ERR_LOST;
                }
                end(s, SESSION_LOST);
                return;
        case VM_EXIT_ERROR:
                if (find_shrunk_source(s, e)) {
                        end(s, SESSION_LOST);
                } else {
                        err_set(e, -EIO, "vCPU %u: %s", s->exit_vcpu, s->exit_text);
                        end(s, SESSION_ERROR);
                }
                return;
        }
}

static void count_at(struct session *s, enum ledger_stamp st, bool with_pss)
{
        s->ledger.t_ns[st] = atomic_load_explicit(&s->stamp_ns[st], memory_order_relaxed); /* after take_events' acquire */
        session_count(s, &s->ledger.at[st], with_pss);
        s->ledger.has_at[st] = true;
}

static void start_index(struct session *s)
{
        struct err err = {0};

        if (!s->index_wanted)
                return;
        s->index_wanted = false;
        if (indexer_start(&s->snap, s->data_dir, &s->indexer, &err) < 0)
                session_message(s, "%s", err.text);
}

static void handle_events(struct session *s)
{
        uint32_t ev = take_events(s);

        if (ev & EVENT_LOST)
                handle_lost(s);
        if (ev & EVENT_SPOKE) {
                count_at(s, LEDGER_T3, false);
                start_index(s);
        }
        if (ev & (EVENT_MARK | EVENT_UNTIL)) {
                count_at(s, LEDGER_T4, false);
                if (s->pager)
                        pager_end_record(s->pager);
        }
        if (ev & EVENT_REPLAYED)
                count_at(s, LEDGER_T5, false);
        if (ev & EVENT_SETTLED) {
                count_at(s, LEDGER_T6, true);
                start_index(s); /* of a guest that never spoke */
        }
        if (ev & EVENT_UNTIL)
                end(s, SESSION_UNTIL);
        if (ev & EVENT_EXITED)
                handle_exit(s);
}

/* --- running --- */

void session_resume(struct session *s)
{
        if (s->running || s->result.why != SESSION_NONE)
                return;
        console_hold_open(s->console, false);
        vm_resume(s->vm);
        s->running = true;
}

void session_pause(struct session *s)
{
        if (!s->running)
                return;
        console_hold_open(s->console, true);
        vm_pause(s->vm);
        s->running = false;
}

bool session_is_paused(const struct session *s)
{
        return !s->running;
}

static int poll_timeout_ms(const struct session *s)
{
        uint64_t now, until;

        if (!s->opt.timeout_ns)
                return -1;
        now = now_ns();
        until = s->ledger.t_ns[LEDGER_T0] + s->opt.timeout_ns;
        return now >= until ? 0 : (int)MIN((until - now) / NS_PER_MS + 1, 3600ULL * 1000);
}

static bool timed_out(const struct session *s)
{
        return s->opt.timeout_ns && now_ns() >= s->ledger.t_ns[LEDGER_T0] + s->opt.timeout_ns;
}

/* One wait and what came of it; timeout_ms as in poll(2). */
static void step(struct session *s, int timeout_ms)
{
        int n = poll(s->polls, 1 + s->nr_watches, timeout_ms);

        if (n < 0)
                return;
        if (s->polls[0].revents)
                handle_events(s);
        if (n > 0)
                call_watches(s);
}

static void loop(struct session *s)
{
        while (s->result.why == SESSION_NONE) {
                step(s, poll_timeout_ms(s));
                if (timed_out(s))
                        end(s, SESSION_TIMEOUT);
        }
}

int session_wait_settled(struct session *s, int timeout_ms)
{
        int r = s->pager ? pager_wait(s->pager, timeout_ms) : 0;

        handle_events(s);
        return r;
}

/* A recording that broke off would be replayed as if it were the working set. Whole: its mark or its end was reached, or none was
 * set and the VM ended in order. */
static bool record_is_whole(const struct session *s)
{
        switch (s->result.why) {
        case SESSION_UNTIL:
                return true;
        case SESSION_GUEST_OFF:
        case SESSION_QUIT:
        case SESSION_TIMEOUT:
        case SESSION_SIGNAL:
                return s->ledger.t_ns[LEDGER_T4] || (!s->opt.until && !s->opt.mark);
        case SESSION_NONE:
        case SESSION_LOST:
        case SESSION_ERROR:
                break;
        }
        return false;
}

static int keep_hints(const struct session *s, const struct hints *h, struct err *e)
{
        return strcmp(s->record_path, "auto") == 0 ? hints_file_write_data_dir(s->data_dir, h, e) : hints_file_write_path(s->record_path, h, e);
}

static void write_record(struct session *s)
{
        struct hints h = {.snapshot = s->snap.identity, .ram_pages = s->snap.pages.nr_pages, .recordings = 1};
        const uint64_t *pages;
        struct err err = {0};

        pager_end_record(s->pager);
        pager_stop(s->pager);
        if (!record_is_whole(s)) {
                session_message(s, "recording not kept: the VM ended before --until or --mark was reached");
                return;
        }
        h.nr = pager_recorded(s->pager, &pages);
        h.v = calloc(h.nr ? h.nr : 1, sizeof(*h.v));
        for (size_t i = 0; h.v && i < h.nr; i++)
                h.v[i] = (struct hint){.page = pages[i], .seen = 1};
        if ((h.v ? keep_hints(s, &h, &err) : err_set(&err, -ENOMEM, "no memory for %zu hints", h.nr)) < 0) {
                s->result.err = err;
                s->result.why = SESSION_ERROR;
        }
        hints_free(&h);
}

static void close_ledger(struct session *s)
{
        struct err err = {0};

        handle_events(s); /* stamps that came with the last event */
        for (int st = LEDGER_T1; st < LEDGER_STAMPS; st++)
                if (!s->ledger.t_ns[st])
                        s->ledger.t_ns[st] = atomic_load_explicit(&s->stamp_ns[st], memory_order_relaxed);
        session_count(s, &s->ledger.end, true);
        s->result.lost_pages = s->ledger.end.lost_pages;
        if (s->indexer && indexer_ended(s->indexer, &err) && err.code)
                session_message(s, "page index not kept: %s", err.text);
}

void session_run(struct session *s, struct session_result *ret)
{
        if (s->opt.paused)
                start_index(s);
        else
                session_resume(s);
        loop(s);
        /* Stop the guest first: what it does from now on is not part of the story. The pager answers who still waits. */
        session_pause(s);
        close_ledger(s);
        if (s->record_path && s->pager)
                write_record(s);
        console_flush(s->console, 1000);
        *ret = s->result;
}

size_t session_serial_in(struct session *s, const uint8_t *bytes, size_t len)
{
        return vm_serial_in(s->vm, bytes, len);
}

const struct ledger *session_ledger(const struct session *s)
{
        return &s->ledger;
}

const char *session_name(const struct session *s)
{
        return s->opt.name;
}

uint32_t session_nr_vcpus(const struct session *s)
{
        return s->nr_vcpus;
}

uint64_t session_memory_bytes(const struct session *s)
{
        return s->layout.total_bytes;
}
