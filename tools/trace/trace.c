/* One trace: everything is opened and armed, then the command is let go; at the end what was seen becomes hints. */
#include "tools/trace/trace.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/hints_load.h"
#include "tools/trace/compare.h"
#include "tools/trace/place.h"
#include "tools/trace/process.h"
#include "tools/trace/report.h"
#include "tools/trace/to_hints.h"
#include "tools/trace/touches.h"
#include "tools/trace/tracer.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LOOK_EVERY_MS 10 /* so that events wake nobody: the guest is on the same CPUs */

struct run {
        const struct trace_words *words;
        char                      data_dir[PATH_MAX];
        struct process            process;
        struct tracer            *tracer;
        struct touches            touches;
        struct place              place;
        bool                      placed;    /* there is nothing more to be found out about the snapshot */
        size_t                    nr_slots;  /* that were there when it was last looked for */
        int                       signal_fd;
        int                       vm_pidfd;  /* of the process that has the VM, where that is another one; -1 */
        uint64_t                  end_ns;    /* 0: none */
};

static void run_free(struct run *r)
{
        tracer_free(r->tracer);
        process_free(&r->process);
        place_free(&r->place);
        touches_free(&r->touches);
        cleanup_close(&r->signal_fd);
        cleanup_close(&r->vm_pidfd);
}

/* Before minutes are spent on what cannot be kept. */
static int check_out(const char *out, struct err *e)
{
        char copy[PATH_MAX];
        const char *folder;

        if (strcmp(out, "auto") == 0)
                return 0;
        if (snprintf(copy, sizeof(copy), "%s", out) >= (int)sizeof(copy))
                return err_set(e, -ENAMETOOLONG, "--out %s: too long", out);
        folder = dirname(copy);
        return access(folder, W_OK | X_OK) < 0 ? err_set(e, -errno, "--out %s: %s: %s", out, folder, strerror(errno)) : 0;
}

static int open_snapshot(struct run *r, struct err *e)
{
        const struct trace_words *w = r->words;
        struct inspect_options how = {.format = w->format, .data_dir = r->data_dir, .bases = w->bases.v, .nr_bases = w->bases.nr};

        return w->snapshot ? place_open(w->snapshot, &how, &r->place, e) : 0;
}

/* The signals that end a trace are read; a command gets back what its caller had. */
static int open_signals(struct run *r, sigset_t *ret_before, struct err *e)
{
        sigset_t end;

        cli_end_signals(&end);
        sigprocmask(SIG_BLOCK, &end, ret_before);
        r->signal_fd = signalfd(-1, &end, SFD_CLOEXEC);
        return r->signal_fd < 0 ? err_set(e, -errno, "signalfd: %s", strerror(errno)) : 0;
}

static int prepare(struct run *r, struct err *e)
{
        const struct trace_words *w = r->words;
        sigset_t before;
        int ret;

        ret = check_out(w->out, e);
        ret = ret < 0 ? ret : open_snapshot(r, e);
        ret = ret < 0 ? ret : open_signals(r, &before, e);
        if (ret < 0)
                return ret;
        ret = w->pid ? process_attach(w->pid, &r->process, e) : process_start(w->command, &before, w->huge_pages, &r->process, e);
        if (ret < 0)
                return ret;
        struct tracer_options o = {.pid = r->process.pid, .follow = !w->pid, .ring_bytes = w->buffer_bytes, .debug = w->debug,
                                   .record = touches_add, .arg = &r->touches};
        ret = tracer_new(&o, &r->tracer, e);
        ret = ret < 0 ? ret : process_let_go(&r->process, e);
        if (ret >= 0 && w->pid)
                fprintf(stderr, "rouse: tracing process %d (%s); Ctrl-C ends it\n", w->pid, r->process.name);
        return ret;
}

/* The VM's process by the number that we know it by. In a container the kernel's numbers are not ours. */
static pid_t vm_pid(const struct run *r)
{
        return tracer_numbers_are_ours(r->tracer) && r->touches.vm_tgid ? (pid_t)r->touches.vm_tgid : r->process.pid;
}

static void check_memory(const struct run *r)
{
        uint64_t bytes;
        gpa_t gpa;

        if (r->place.bound && !place_fits_slots(&r->place, &r->touches, &gpa, &bytes))
                report_other_memory(r->place.snapshot.path, gpa, bytes);
}

/* Once there is a VM: its process, and its snapshot where that was not said. */
static void look_at_vm(struct run *r)
{
        char file[PATH_MAX], folder[PATH_MAX];

        if (r->touches.nr_slots == r->nr_slots)
                return;
        r->nr_slots = r->touches.nr_slots;
        if (r->vm_pidfd < 0 && vm_pid(r) != r->process.pid)
                r->vm_pidfd = pidfd_open(vm_pid(r), 0);
        if (r->placed || !place_find_file(vm_pid(r), &r->touches, file, sizeof(file)))
                return;
        r->placed = true;
        snprintf(folder, sizeof(folder), "%s", file);
        dirname(folder);
        if (r->place.bound) {
                if (!place_has_folder(&r->place, folder))
                        report_other_snapshot(r->words->snapshot, file);
                return;
        }
        struct inspect_options how = {.data_dir = r->data_dir};
        struct err err = {0};

        if (place_open(folder, &how, &r->place, &err) < 0)
                report_no_snapshot(file, &err);
        else
                report_snapshot(folder, file);
}

/* Its process, while it lives; 0: it has ended, or it is some child in a container, whose number is not known. */
static pid_t living_vm(struct run *r)
{
        struct pollfd vm = {.fd = r->vm_pidfd, .events = POLLIN};

        if (r->vm_pidfd >= 0)
                return poll(&vm, 1, 0) == 0 ? vm_pid(r) : 0;
        if (process_has_ended(&r->process) || (!r->words->pid && vm_pid(r) != (pid_t)r->touches.vm_tgid))
                return 0;
        return r->process.pid;
}

static bool has_ended(struct run *r)
{
        struct pollfd vm = {.fd = r->vm_pidfd, .events = POLLIN};
        struct tracer_counts c;

        if (r->vm_pidfd >= 0)
                return poll(&vm, 1, 0) == 1;
        if (!process_has_ended(&r->process))
                return false;
        tracer_count(r->tracer, &c);
        return c.offspring == 0;
}

static int wait_ms(const struct run *r)
{
        uint64_t now = now_ns();

        if (!r->end_ns || r->end_ns > now + LOOK_EVERY_MS * NS_PER_MS)
                return LOOK_EVERY_MS;
        return r->end_ns > now ? (int)((r->end_ns - now) / NS_PER_MS) : 0;
}

/* Until the process ends, somebody ends us, or it is time: then true. */
static bool watch(struct run *r)
{
        bool timed_out = false;
        struct pollfd f[] = {{.fd = r->signal_fd, .events = POLLIN}, {.fd = tracer_fd(r->tracer), .events = POLLIN}};

        r->end_ns = r->words->timeout_ns ? now_ns() + r->words->timeout_ns : 0;
        for (;;) {
                poll(f, ARRAY_LEN(f), wait_ms(r));
                tracer_read(r->tracer);
                look_at_vm(r);
                if (f[0].revents || has_ended(r))
                        break;
                timed_out = r->end_ns && now_ns() >= r->end_ns;
                if (timed_out)
                        break;
        }
        tracer_disarm(r->tracer);
        tracer_read(r->tracer);
        process_has_ended(&r->process);
        return timed_out;
}

static int keep(struct run *r, struct err *e)
{
        _cleanup_(first_touches_free) struct first_touches first = {0};
        _cleanup_(hints_free) struct hints h = {0};
        struct to_hints_report outside;
        struct tracer_counts c;
        int ret;

        tracer_count(r->tracer, &c);
        report_counts(&c, r->words->buffer_bytes);
        if (!c.first_ns)
                return report_nothing(&r->process, e);
        check_memory(r);
        ret = touches_resolve(&r->touches, c.vm_mm, c.first_ns, &first, e);
        if (ret >= 0 && !r->place.bound)
                ret = place_of_slots(&r->touches, &r->place, e);
        ret = ret < 0 ? ret : to_hints(&first, &r->place, c.first_ns, c.serial_ns, &h, &outside, e);
        if (ret < 0)
                return ret;
        if (!h.nr)
                return report_all_outside(&outside, r->words->snapshot, e);
        ret = compare_with_snapshot(&h, &r->place, &r->touches, living_vm(r), e);
        ret = ret < 0 ? ret : hints_save(r->words->out, r->data_dir, &h, e);
        if (ret >= 0)
                report_done(&h, &first, &outside, &r->process, r->words->out, r->place.bound);
        return ret;
}

int trace(const struct trace_words *w)
{
        _cleanup_(run_free) struct run r = {.words = w, .signal_fd = -1, .vm_pidfd = -1, .process = {.pidfd = -1, .go_fd = -1, .result_fd = -1}};
        struct err err = {0};
        bool timed_out;

        cli_data_dir(r.data_dir, sizeof(r.data_dir));
        if (prepare(&r, &err) < 0)
                return cli_fail(&err);
        timed_out = watch(&r);
        if (keep(&r, &err) < 0)
                return cli_fail(&err);
        return timed_out ? EXIT_TIMEOUT : EXIT_OK; /* a script learns whether the VM came to its end */
}
