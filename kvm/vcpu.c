/* One vCPU's descriptor, run page and thread: it runs the guest, answers its exits, and parks, ends or goes on as the VM wants.
 *
 * No signal handler and no global: the thread blocks every signal, and KVM_SET_SIGNAL_MASK lets two through while the guest runs.
 * Both then stay pending after KVM_RUN's -EINTR and are taken by sigtimedwait: the kick, and the SIGBUS of a page that is
 * lost. */
#include "kvm/vcpu.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "kvm/sys.h"
#include "kvm/vm_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SIGNAL_KICK SIGRTMIN

/* The kernel's sigset_t: 64 signals (asm/signal.h); glibc's is larger. */
struct run_signal_mask {
        struct kvm_signal_mask head;
        uint8_t                set[8];
};
static_assert(sizeof(struct run_signal_mask) == 12, "as KVM_SET_SIGNAL_MASK takes it");

/* Why a vCPU will not go on. */
struct last_exit {
        enum vm_exit why;
        gpa_t        gpa;
        char         text[160];
};

/* --- making and freeing --- */

static int set_run_signals(struct vcpu *v)
{
        struct run_signal_mask m = { .head.len = sizeof(m.set) };
        sigset_t               s;

        sigfillset(&s);
        sigdelset(&s, SIGNAL_KICK);
        sigdelset(&s, SIGBUS);
        memcpy(m.set, &s, sizeof(m.set));
        return kvm_ioctl(v->fd, KVM_SET_SIGNAL_MASK, &m);
}

static int map_run_page(struct vcpu *v)
{
        int   bytes = kvm_ioctl(v->vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
        void *run;

        if (bytes < 0)
                return bytes;
        run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
        if (run == MAP_FAILED)
                return -errno;
        v->run = run;
        v->run_bytes = (size_t)bytes;
        return 0;
}

int vcpu_create(struct vcpu *v, struct vm *vm, uint32_t index, struct err *e)
{
        int r;

        *v = (struct vcpu){ .vm = vm, .index = index };
        v->fd = kvm_ioctl_value(vm->vm_fd, KVM_CREATE_VCPU, index);
        if (v->fd < 0)
                return err_set(e, v->fd, "KVM_CREATE_VCPU %u: %s", index, strerror(-v->fd));
        r = map_run_page(v);
        if (r >= 0)
                r = set_run_signals(v);
        if (r >= 0)
                return 0;
        vcpu_destroy(v);
        return err_set(e, r, "run page and signals of vCPU %u: %s", index, strerror(-r));
}

void vcpu_destroy(struct vcpu *v)
{
        if (v->run)
                munmap(v->run, v->run_bytes);
        if (v->fd >= 0)
                close(v->fd);
        v->run = NULL;
        v->fd = -1;
}

/* --- what the VM wants --- */

static void set_immediate_exit(struct vcpu *v, uint8_t value)
{
        /* Relaxed: partner is KVM_RUN's entry, in the kernel; a value that comes too late for it is made good by the kick
         * signal. */
        __atomic_store_n(&v->run->immediate_exit, value, __ATOMIC_RELAXED);
}

void vcpu_kick(struct vcpu *v)
{
        set_immediate_exit(v, 1);
        if (v->running)
                pthread_kill(v->thread, SIGNAL_KICK);
}

void vcpu_unkick(struct vcpu *v)
{
        if (v->running)
                set_immediate_exit(v, 0);
}

/* Under vm->lock. */
static void set_running(struct vcpu *v, bool running)
{
        struct vm *vm = v->vm;

        if (v->running == running)
                return;
        v->running = running;
        vm->nr_running += running ? 1 : -1u;
        if (!vm->nr_running)
                pthread_cond_broadcast(&vm->parked);
}

/* Waits while the VM is paused. False: the thread must end. */
static bool park(struct vcpu *v)
{
        struct vm *vm = v->vm;
        bool       go;

        pthread_mutex_lock(&vm->lock);
        while (vm_want_now(v->vm) == VM_WANT_PAUSE) {
                set_running(v, false);
                pthread_cond_wait(&vm->go, &vm->lock);
        }
        go = vm_want_now(v->vm) == VM_WANT_RUN;
        set_running(v, go);
        if (go)
                set_immediate_exit(v, 0);
        pthread_mutex_unlock(&vm->lock);
        return go;
}

static void park_for_good(struct vcpu *v)
{
        struct vm *vm = v->vm;

        pthread_mutex_lock(&vm->lock);
        v->ended = true;
        set_running(v, false);
        while (vm_want_now(v->vm) != VM_WANT_STOP)
                pthread_cond_wait(&vm->go, &vm->lock);
        pthread_mutex_unlock(&vm->lock);
}

/* --- exits: each answers true when the vCPU goes on, else it has filled *x --- */

static bool answer_port(struct vcpu *v)
{
        struct kvm_run *run = v->run;
        uint8_t        *data = (uint8_t *)run + run->io.data_offset;

        for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
                if (run->io.direction == KVM_EXIT_IO_IN)
                        bus_read(&v->vm->bus, BUS_PORTS, run->io.port, data, run->io.size);
                else
                        bus_write(&v->vm->bus, BUS_PORTS, run->io.port, data, run->io.size);
        }
        return true;
}

static bool lost(struct last_exit *x, gpa_t gpa)
{
        x->why = VM_EXIT_LOST;
        x->gpa = gpa;
        snprintf(x->text, sizeof(x->text), "the page at guest address %#" PRIx64 " is lost", gpa);
        return false;
}

/* KVM's emulator turns an access to RAM that it cannot make into MMIO: nobody may answer that in the page's stead. */
static bool answer_mmio(struct vcpu *v, struct last_exit *x)
{
        struct kvm_run *run = v->run;
        uint64_t        ram_offset_bytes;

        if (mem_layout_gpa_to_offset(&v->vm->layout, run->mmio.phys_addr, 1, &ram_offset_bytes))
                return lost(x, run->mmio.phys_addr);
        if (run->mmio.is_write)
                bus_write(&v->vm->bus, BUS_MMIO, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
        else
                bus_read(&v->vm->bus, BUS_MMIO, run->mmio.phys_addr, run->mmio.data, run->mmio.len);
        return true;
}

static bool failed(struct vcpu *v, struct last_exit *x, const char *what, uint64_t detail)
{
        struct kvm_regs regs;

        x->why = VM_EXIT_ERROR;
        if (kvm_ioctl(v->fd, KVM_GET_REGS, &regs) < 0)
                regs.rip = 0;
        snprintf(x->text, sizeof(x->text), "%s (%#" PRIx64 ") at rip %#" PRIx64, what, detail, (uint64_t)regs.rip);
        return false;
}

static bool answer_exit(struct vcpu *v, struct last_exit *x)
{
        struct kvm_run *run = v->run;

        switch (run->exit_reason) {
        case KVM_EXIT_IO:
                return answer_port(v);
        case KVM_EXIT_MMIO:
                return answer_mmio(v, x);
        case KVM_EXIT_INTR:
        case KVM_EXIT_IRQ_WINDOW_OPEN:
                return true;
        case KVM_EXIT_SHUTDOWN:
                x->why = VM_EXIT_SHUTDOWN;
                return false;
        case KVM_EXIT_INTERNAL_ERROR:
                return failed(v, x, "KVM internal error: suberror", run->internal.suberror);
        case KVM_EXIT_FAIL_ENTRY:
                return failed(v, x, "KVM cannot enter the guest: hardware reason", run->fail_entry.hardware_entry_failure_reason);
        case KVM_EXIT_UNKNOWN:
                return failed(v, x, "KVM exit unknown to itself: hardware reason", run->hw.hardware_exit_reason);
        default: /* HLT among them: the irqchip is KVM's, so KVM sleeps in the guest's stead */
                return failed(v, x, "unexpected KVM exit: reason", run->exit_reason);
        }
}

/* --- signals --- */

/* The guest address of a host address inside RAM. */
static bool hva_to_gpa(const struct vcpu *v, const void *hva, gpa_t *ret)
{
        const struct mem_layout *l = &v->vm->layout;
        uintptr_t                offset = (uintptr_t)hva - (uintptr_t)l->ram;

        if ((uintptr_t)hva < (uintptr_t)l->ram || offset >= l->total_bytes)
                return false;
        *ret = mem_layout_offset_to_gpa(l, offset);
        return true;
}

/* Takes what is pending. False: a SIGBUS was among it. */
static bool take_signals(struct vcpu *v, struct last_exit *x)
{
        const struct timespec now = { 0 };
        siginfo_t             info;
        sigset_t              s;
        gpa_t                 gpa;

        sigemptyset(&s);
        sigaddset(&s, SIGNAL_KICK);
        sigaddset(&s, SIGBUS);
        for (;;) {
                int sig = sigtimedwait(&s, &info, &now);

                if (sig < 0 && errno != EINTR)
                        return true;
                if (sig != SIGBUS)
                        continue;
                if (hva_to_gpa(v, info.si_addr, &gpa))
                        return lost(x, gpa);
                return failed(v, x, "SIGBUS outside guest RAM: host address", (uint64_t)info.si_addr);
        }
}

/* Linux 6.8 says which page KVM_RUN could not have; before, nobody knows. */
static bool run_failed(struct vcpu *v, struct last_exit *x, int r)
{
        const struct kvm_memory_fault_exit *fault = (const void *)&v->run->hw;
        char                                what[64];

        if ((r == -EFAULT || r == -EHWPOISON) && v->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
                return lost(x, fault->gpa);
        snprintf(what, sizeof(what), "KVM_RUN: %s: errno", strerror(-r));
        return failed(v, x, what, (uint64_t)-r);
}

/* --- the thread --- */

static void tell_entered(struct vm *vm)
{
        if (!atomic_flag_test_and_set_explicit(&vm->entered, memory_order_relaxed))
                vm->events.entered(vm->events.arg, now_ns());
}

/* One KVM_RUN and its answer. *io_begun: KVM completes an access at the next KVM_RUN; the vCPU's state is not whole before
 * that. */
static bool run_once(struct vcpu *v, bool *io_begun, struct last_exit *x)
{
        int r = kvm_run(v->fd);

        *io_begun = false;
        if (r == -EINTR)
                return take_signals(v, x);
        if (r == -EAGAIN) /* an application processor that got its SIPI */
                return true;
        if (r < 0)
                return run_failed(v, x, r);
        /* A condemned VM drops what KVM did meanwhile: the bytes may be wrong. */
        if (vm_want_now(v->vm) == VM_WANT_STOP)
                return true;
        *io_begun = true;
        return answer_exit(v, x);
}

static void run_guest(struct vcpu *v, struct last_exit *x)
{
        bool io_begun = false;

        do {
                /* An access that was begun is completed first: immediate_exit makes KVM return right after that. */
                if (vm_want_now(v->vm) != VM_WANT_RUN && (!io_begun || vm_want_now(v->vm) == VM_WANT_STOP) && !park(v))
                        return;
        } while (run_once(v, &io_begun, x));
        v->vm->events.exited(v->vm->events.arg, x->why, v->index, x->gpa, x->text);
        park_for_good(v);
}

static void *vcpu_main(void *arg)
{
        struct vcpu     *v = arg;
        struct last_exit x = { 0 };
        char             name[16];

        atomic_store_explicit(&v->tid, gettid(), memory_order_relaxed);
        snprintf(name, sizeof(name), "vcpu%u", v->index);
        prctl(PR_SET_NAME, name);
        if (park(v)) {
                tell_entered(v->vm);
                run_guest(v, &x);
        }
        return NULL;
}

int vcpu_start(struct vcpu *v)
{
        return thread_start(&v->thread, vcpu_main, v);
}

void vcpu_join(struct vcpu *v)
{
        pthread_join(v->thread, NULL);
}
