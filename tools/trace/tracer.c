/* Loads the BPF program and says, where that fails, which of the things that it needs is missing here. */
#include "tools/trace/tracer.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"

#include "tools/trace/first_touch.skel.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SWEEP_SHARE     20          /* of this thread's time, one part in so many */
#define FIRST_PIDNS_INO 0xeffffffcU /* PROC_PID_INIT_INO: the same on every kernel since 3.8 */

struct tracer {
        struct first_touch *bpf;
        struct ring_buffer *ring;
        uint64_t            refused;  /* records that had no memory */
        uint64_t            sweep_ns; /* when it is time to look again at what is mapped ahead */
        int (*record)(void *arg, const void *data, size_t size);
        void *arg;
};

/* What this kernel says of itself; of KVM in a file of its own where that is a module. */
struct kernel_btf {
        struct btf *kernel, *kvm;
};

static void kernel_btf_free(struct kernel_btf *b)
{
        btf__free(b->kvm);
        btf__free(b->kernel);
}

static int print_all(enum libbpf_print_level level, const char *format, va_list args)
{
        (void)level;
        return vfprintf(stderr, format, args);
}

static bool has_type(const struct kernel_btf *b, const char *name, uint32_t kind)
{
        return btf__find_by_name_kind(b->kvm ? b->kvm : b->kernel, name, kind) > 0;
}

/* Trace points are typedefs with this prefix. */
static bool has_event(const struct kernel_btf *b, const char *name)
{
        char type[64];

        snprintf(type, sizeof(type), "btf_trace_%s", name);
        return has_type(b, type, BTF_KIND_TYPEDEF);
}

static int read_btf(struct kernel_btf *ret, struct err *e)
{
        struct stat st;

        ret->kernel = btf__load_vmlinux_btf();
        if (!ret->kernel)
                return err_host(e, -errno, "/sys/kernel/btf/vmlinux: %s: tracing needs a kernel that describes its types (BTF); Debian's and most others do, one of "
                                "your own is to be built with CONFIG_DEBUG_INFO_BTF=y", strerror(errno == ESRCH ? ENOENT : errno)); /* ESRCH: libbpf looked in many places */
        if (stat("/sys/module/kvm", &st) < 0)
                return err_host(e, -ENODEV,
                                "KVM is not loaded, and its events are not there to be traced; modprobe kvm_intel or kvm_amd");
        ret->kvm = btf__parse_split("/sys/kernel/btf/kvm", ret->kernel);
        return 0;
}

static int check_events(const struct kernel_btf *b, struct err *e)
{
        if (has_event(b, "kvm_mmu_spte_requested") && has_type(b, "kvm_page_fault", BTF_KIND_STRUCT))
                return 0;
        return err_host(e, -EOPNOTSUPP, "this kernel's KVM has no event kvmmmu:kvm_mmu_spte_requested with a struct kvm_page_fault in %s; tracing needs Linux 6.1 or "
                        "later, with BTF for its modules", b->kvm ? "/sys/kernel/btf/kvm" : "/sys/kernel/btf/vmlinux");
}

/* In a container processes have other numbers than the kernel's. */
static int say_who(struct first_touch *bpf, const struct tracer_options *o, struct err *e)
{
        struct stat st;

        bpf->rodata->root_tgid = (uint32_t)o->pid;
        bpf->rodata->follow = o->follow;
        bpf->rodata->ring_bytes = o->ring_bytes;
        if (stat("/proc/self/ns/pid", &st) < 0)
                return err_set(e, -errno, "/proc/self/ns/pid: %s", strerror(errno));
        if (st.st_ino == FIRST_PIDNS_INO)
                return 0;
        bpf->rodata->pidns_dev = st.st_dev;
        bpf->rodata->pidns_ino = st.st_ino;
        return 0;
}

static int cannot_load(int r, const char *what, struct err *e)
{
        if (r == -EPERM || r == -EACCES)
                return err_host(e, r, "%s: not permitted (%s): tracing needs CAP_BPF, CAP_PERFMON and, for BTF of modules, CAP_SYS_ADMIN; run it as root (sudo rouse trace "
                                "...), or setcap cap_bpf,cap_perfmon,cap_sys_admin,cap_sys_ptrace+ep on rouse-trace", what, strerror(-r));
        return err_host(e, r, "%s: %s; --debug shows what the kernel has against it", what, strerror(-r));
}

static int on_record(void *arg, void *data, size_t size)
{
        struct tracer *t = arg;

        if (t->record(t->arg, data, size) != 0)
                t->refused++;
        return 0;
}

static int arm(struct tracer *t, const struct tracer_options *o, const struct kernel_btf *b, struct err *e)
{
        bool ahead;
        int r;

        t->bpf = first_touch__open();
        if (!t->bpf)
                return cannot_load(-errno, "the BPF program", e);
        r = say_who(t->bpf, o, e);
        if (r < 0)
                return r;
        bpf_map__set_max_entries(t->bpf->maps.events, (uint32_t)o->ring_bytes);
        bpf_program__set_autoload(t->bpf->progs.async_frame, has_event(b, "kvm_try_async_get_page"));
        bpf_program__set_autoload(t->bpf->progs.table_frame, has_event(b, "kvm_mmu_get_page"));
        ahead = has_event(b, "kvm_mmu_set_spte") && has_event(b, "kvm_mmu_prepare_zap_page");
        bpf_program__set_autoload(t->bpf->progs.entry_set, ahead);
        bpf_program__set_autoload(t->bpf->progs.table_zapped, ahead);
        bpf_program__set_autoload(t->bpf->progs.port, has_event(b, "kvm_pio"));
        r = first_touch__load(t->bpf);
        if (r < 0)
                return cannot_load(r, "loading the BPF program", e);
        t->ring = ring_buffer__new(bpf_map__fd(t->bpf->maps.events), on_record, t, NULL);
        if (!t->ring)
                return err_set(e, -errno, "the ring buffer of %llu bytes: %s", (unsigned long long)o->ring_bytes,
                               strerror(errno));
        r = first_touch__attach(t->bpf);
        return r < 0 ? cannot_load(r, "attaching to the kernel's trace points", e) : 0;
}

int tracer_new(const struct tracer_options *o, struct tracer **ret, struct err *e)
{
        _cleanup_(kernel_btf_free) struct kernel_btf b = {0};
        struct tracer *t;
        int r;

        libbpf_set_print(o->debug ? print_all : NULL);
        r = read_btf(&b, e);
        r = r < 0 ? r : check_events(&b, e);
        if (r < 0)
                return r;
        t = calloc(1, sizeof(*t));
        if (!t)
                return err_set(e, -ENOMEM, "no memory for a tracer");
        t->record = o->record;
        t->arg = o->arg;
        r = arm(t, o, &b, e);
        if (r < 0) {
                tracer_free(t);
                return r;
        }
        *ret = t;
        return 0;
}

void tracer_free(struct tracer *t)
{
        if (!t)
                return;
        ring_buffer__free(t->ring);
        first_touch__destroy(t->bpf);
        free(t);
}

int tracer_fd(const struct tracer *t)
{
        return ring_buffer__epoll_fd(t->ring);
}

/* Every page table entry that KVM filled ahead is looked at: the more of them, the more rarely. */
static void sweep(struct tracer *t, bool at_once)
{
        struct bpf_test_run_opts o = {.sz = sizeof(o)};
        uint64_t begin = now_ns();

        if ((begin < t->sweep_ns && !at_once) || !__atomic_load_n(&t->bpf->bss->ahead_nr, __ATOMIC_RELAXED))
                return;
        bpf_prog_test_run_opts(bpf_program__fd(t->bpf->progs.sweep), &o);
        t->sweep_ns = begin + SWEEP_SHARE * (now_ns() - begin);
}

void tracer_read(struct tracer *t)
{
        sweep(t, false);
        ring_buffer__consume(t->ring);
}

void tracer_disarm(struct tracer *t)
{
        sweep(t, true);
        first_touch__detach(t->bpf);
}

bool tracer_numbers_are_ours(const struct tracer *t)
{
        return t->bpf->rodata->pidns_ino == 0;
}

void tracer_count(const struct tracer *t, struct tracer_counts *ret)
{
        const struct first_touch__bss *b = t->bpf->bss;

        *ret = (struct tracer_counts){
                .lost = __atomic_load_n(&b->lost, __ATOMIC_RELAXED) + t->refused,
                .unfollowed = __atomic_load_n(&b->unfollowed, __ATOMIC_RELAXED),
                .other_vm = __atomic_load_n(&b->other_vm, __ATOMIC_RELAXED),
                .offspring = __atomic_load_n(&b->offspring, __ATOMIC_RELAXED),
                .first_ns = __atomic_load_n(&b->first_ns, __ATOMIC_RELAXED),
                .serial_ns = __atomic_load_n(&b->serial_ns, __ATOMIC_RELAXED),
                .vm_mm = __atomic_load_n(&b->vm_mm, __ATOMIC_RELAXED),
        };
}
