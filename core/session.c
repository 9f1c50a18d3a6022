/* The session thread waits for what the other threads tell it, and is the only one that decides. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

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

/* --- making and freeing --- */

static int make_console(struct session *s, struct err *e)
{
        struct console_config c = {.out_fd = s->opt.serial_out_fd, .lossy = s->opt.serial_lossy, .until = s->opt.until,
                                   .mark = s->opt.mark};

        session_fill_console_events(s, &c);
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
        uint64_t ns;

        if (!s)
                return;
        indexer_free(s->indexer);
        if (s->console)
                console_hold_open(s->console, true); /* nobody waits for a reader any more */
        session_set_live(s, NULL);
        (void)prefill_finish(s->prefill, &s->eager_bytes, &ns, NULL);
        vm_free(s->vm); /* the pager still answers: no vCPU is left waiting inside KVM */
        collapse_free(s->collapse);
        discard_fini(&s->discard);
        if (!pager_free(s->pager))
                return; /* its thread is held up in a file system, and has the rest in its hands; the process ends it */
        mapper_free(s->mapper);
        guest_ram_unmap(&s->ram);
        template_free(s->template);
        lineage_free(&s->lineage);
        console_free(s->console);
        snapshot_close(&s->snap);
        plan_free(&s->plan);
        free(s->cpuid_cache);
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

/* --- how it ends --- */

void session_end(struct session *s, enum session_end why)
{
        if (s->result.why == SESSION_NONE)
                s->result.why = why;
}

void session_quit(struct session *s)
{
        session_end(s, SESSION_QUIT);
}

void session_end_by_signal(struct session *s, int signal)
{
        s->result.signal = signal;
        session_end(s, SESSION_SIGNAL);
}

enum session_end session_why(const struct session *s)
{
        return s->result.why;
}

/* --- running --- */

void session_observe(struct session *s, void (*changed)(void *arg, enum session_change what), void *arg)
{
        s->changed = changed;
        s->changed_arg = arg;
}

static void tell_change(struct session *s, enum session_change what)
{
        if (s->changed)
                s->changed(s->changed_arg, what);
}

bool session_let_run(struct session *s)
{
        if (s->running || s->result.why != SESSION_NONE)
                return false;
        console_hold_open(s->console, false);
        vm_resume(s->vm);
        s->running = true;
        return true;
}

void session_resume(struct session *s)
{
        if (session_let_run(s))
                tell_change(s, SESSION_RESUMED);
}

/* A vCPU that waits inside KVM for a page holds this up until the page comes, or until --source-timeout, when the pager declares
 * it lost and condemns the VM: its vCPUs end instead of parking. */
bool session_hold(struct session *s)
{
        if (!s->running)
                return false;
        console_hold_open(s->console, true);
        vm_pause(s->vm);
        s->running = false;
        session_handle_events(s); /* was a page lost meanwhile? */
        return true;
}

bool session_hold_begin(struct session *s, int timeout_ms)
{
        if (!s->running)
                return true;
        console_hold_open(s->console, true);
        return vm_pause_begin(s->vm, timeout_ms);
}

void session_hold_undo(struct session *s)
{
        if (!s->running)
                return;
        console_hold_open(s->console, false);
        vm_resume(s->vm);
}

void session_pause(struct session *s)
{
        if (session_hold(s))
                tell_change(s, SESSION_STOPPED);
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
                session_handle_events(s);
        if (n > 0)
                call_watches(s);
}

static void loop(struct session *s)
{
        while (s->result.why == SESSION_NONE) {
                step(s, poll_timeout_ms(s));
                if (timed_out(s))
                        session_end(s, SESSION_TIMEOUT);
        }
}

int session_wait_settled(struct session *s, int timeout_ms)
{
        int r = s->pager ? pager_wait(s->pager, timeout_ms) : 0;

        if (r >= 0 && s->mapper)
                r = mapper_wait(s->mapper, timeout_ms);
        session_handle_events(s);
        return r;
}

static void close_ledger(struct session *s)
{
        struct err err = {0};

        session_handle_events(s); /* stamps that came with the last event */
        for (int st = LEDGER_T1; st < LEDGER_STAMPS; st++)
                if (!s->ledger.t_ns[st])
                        s->ledger.t_ns[st] = atomic_load_explicit(&s->stamp_ns[st], memory_order_relaxed);
        s->closed_ns = now_ns();
        session_count(s, &s->ledger.end, true);
        s->ledger.collapsed_bytes = collapse_bytes(s->collapse);
        s->result.lost_pages = s->ledger.end.lost_pages;
        if (s->indexer && indexer_ended(s->indexer, &err) && err.code)
                session_message(s, "page index not kept: %s", err.text);
}

void session_run(struct session *s, struct session_result *ret)
{
        if (s->opt.paused)
                session_start_index(s);
        else
                session_let_run(s); /* that it runs at all is no news */
        loop(s);
        tell_change(s, SESSION_SHUTDOWN);
        /* What the guest does from now on is not part of the story. Nobody waits for a vCPU that waits for a page: it is let
         * go. */
        vm_condemn(s->vm);
        close_ledger(s);
        if (s->pager)
                pager_give_up(s->pager);
        console_hold_open(s->console, true);
        vm_stop(s->vm);
        s->running = false;
        if (s->record_path && s->pager)
                session_keep_record(s);
        if (s->timeline_path)
                session_keep_timeline(s);
        console_flush(s->console, 1000);
        if (s->opt.serial_lossy)
                session_serial_to(s, -1); /* says what was dropped */
        *ret = s->result;
}

size_t session_serial_in(struct session *s, const uint8_t *bytes, size_t len)
{
        return vm_serial_in(s->vm, bytes, len);
}

void session_serial_to(struct session *s, int fd)
{
        uint64_t dropped = console_connect(s->console, fd);

        if (dropped)
                session_message(s, "serial port: %llu bytes were dropped, as nobody read them", (unsigned long long)dropped);
}

int session_balloon_set(struct session *s, uint64_t give_bytes)
{
        return vm_balloon_set(s->vm, give_bytes);
}

int session_balloon_get(struct session *s, uint64_t *ret_given_bytes)
{
        return vm_balloon_get(s->vm, ret_given_bytes);
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

int session_vcpu_tid(const struct session *s, uint32_t vcpu)
{
        return vcpu < s->nr_vcpus ? vm_vcpu_tid(s->vm, vcpu) : 0;
}

bool session_is_restored(const struct session *s)
{
        return s->snap.format != NULL;
}

bool session_is_settled(const struct session *s)
{
        if (!session_is_restored(s))
                return true;
        /* What is mapped needs its file as long as it lives. Relaxed: a stamp is all that is asked. */
        return !s->plan.nr_mapped && atomic_load_explicit(&s->stamp_ns[LEDGER_T6], memory_order_relaxed) != 0;
}

uint64_t session_memory_bytes(const struct session *s)
{
        return s->layout.total_bytes;
}
