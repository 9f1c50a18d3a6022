/* tests/unit/kvm/small_vm.h: a VM of 32 MiB with a few bytes of machine code at 16 MiB, on the real /dev/kvm.
 * Owns:    RAM and VM, until small_vm_free.
 * Threads: the test's; its output may be read while the vCPUs write it.
 * Blocks:  small_vm_wait up to 20 s (a loaded machine, a guest that KVM emulates), then the test fails. */
#pragma once

#include "kvm/boot/boot.h"
#include "kvm/machine/machine.h"
#include "kvm/vm.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SMALL_RAM_BYTES (32 * MIB)
#define SMALL_CODE_GPA  (16 * MIB)
#define SMALL_OUT_MAX   (1 << 20)

struct small_vm {
        struct mem_layout layout;
        struct vm        *vm;
        uint64_t          slots_ns;
        pthread_mutex_t   lock;
        pthread_cond_t    changed;
        /* under lock */
        uint8_t     *out;
        size_t       nr_out;
        unsigned int nr_entered, nr_exited;
        enum vm_exit why;
        uint32_t     vcpu;
        gpa_t        gpa;
        char         text[200];
};

static inline void small_entered(void *arg, uint64_t ns)
{
        struct small_vm *s = arg;

        pthread_mutex_lock(&s->lock);
        s->nr_entered += ns != 0;
        pthread_mutex_unlock(&s->lock);
}

static inline void small_out(void *arg, uint8_t byte)
{
        struct small_vm *s = arg;

        pthread_mutex_lock(&s->lock);
        s->out[s->nr_out++ % SMALL_OUT_MAX] = byte;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
}

static inline void small_exited(void *arg, enum vm_exit why, uint32_t vcpu, gpa_t gpa, const char *text)
{
        struct small_vm *s = arg;

        pthread_mutex_lock(&s->lock);
        s->nr_exited++;
        s->why = why;
        s->vcpu = vcpu;
        s->gpa = gpa;
        strncpy(s->text, text, sizeof(s->text) - 1);
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
}

static inline uint8_t *small_ram(void)
{
        uint8_t *ram = mmap(NULL, SMALL_RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        cr_assert_neq((void *)ram, MAP_FAILED);
        return ram;
}

/* A VM with RAM and no state; ram NULL: fresh. track: KVM logs what is written. */
static inline struct small_vm *small_vm_bare_tracked(uint32_t nr_vcpus, uint8_t *ram, bool track)
{
        struct small_vm *s = calloc(1, sizeof(*s));
        struct host_caps caps = { 0 };
        struct vm_config c = { .caps = &caps, .machine = MACHINE_MICROVM, .nr_vcpus = nr_vcpus, .track_dirty = track };
        struct err       e = { 0 };

        need_kvm();
        kvm_probe(&caps);
        pthread_mutex_init(&s->lock, NULL);
        pthread_cond_init(&s->changed, NULL);
        s->out = malloc(SMALL_OUT_MAX);
        cr_assert_eq(machine_layout(&machine_microvm, SMALL_RAM_BYTES, &s->layout, &e), 0, "%s", e.text);
        s->layout.ram = ram ? ram : small_ram();
        c.layout = &s->layout;
        c.events = (struct vm_events){ .arg = s, .entered = small_entered, .serial_out = small_out, .exited = small_exited };
        cr_assert_eq(vm_new(&c, &s->vm, &s->slots_ns, &e), 0, "%s", e.text);
        return s;
}

static inline struct small_vm *small_vm_bare(uint32_t nr_vcpus, uint8_t *ram)
{
        return small_vm_bare_tracked(nr_vcpus, ram, false);
}

/* The same, with a kernel file booted and its threads started. */
static inline struct small_vm *small_vm_boot_file(const struct boot_config *c)
{
        struct small_vm  *s = small_vm_bare(c->nr_vcpus, NULL);
        struct boot_entry entry;
        struct err        e = { 0 };

        cr_assert_eq(boot_load(c, &s->layout, &entry, &e), 0, "%s", e.text);
        cr_assert_eq(boot_set_vcpus(s->vm, &entry, &e), 0, "%s", e.text);
        cr_assert_eq(vm_start(s->vm, &e), 0, "%s", e.text);
        return s;
}

static inline struct small_vm *small_vm_boot(const void *code, size_t len_bytes, uint32_t nr_vcpus)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[sizeof(t.path) + 8];
        struct boot_config             c = { .kernel = path, .cmdline = "", .nr_vcpus = nr_vcpus };

        tmpdir_write(&t, "flat", code, len_bytes);
        snprintf(path, sizeof(path), "%s/flat", t.path);
        return small_vm_boot_file(&c);
}

static inline void small_vm_free(struct small_vm *s)
{
        vm_free(s->vm);
        munmap(s->layout.ram, SMALL_RAM_BYTES);
        free(s->out);
        free(s);
}

static inline struct timespec small_deadline(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_sec += 20;
        return t;
}

static inline size_t small_nr_out(struct small_vm *s)
{
        size_t nr;

        pthread_mutex_lock(&s->lock);
        nr = s->nr_out;
        pthread_mutex_unlock(&s->lock);
        return nr;
}

static inline void small_wait_out(struct small_vm *s, size_t nr_out)
{
        struct timespec until = small_deadline();
        size_t          there;
        int             r = 0;

        pthread_mutex_lock(&s->lock);
        while (s->nr_out < nr_out && !s->nr_exited && !r)
                r = pthread_cond_timedwait(&s->changed, &s->lock, &until);
        there = s->nr_out;
        pthread_mutex_unlock(&s->lock);
        cr_assert_geq(there, nr_out, "no output; exit: %s", s->text);
}

static inline void small_wait_exit(struct small_vm *s)
{
        struct timespec until = small_deadline();
        int             r = 0;

        pthread_mutex_lock(&s->lock);
        while (!s->nr_exited && !r)
                r = pthread_cond_timedwait(&s->changed, &s->lock, &until);
        pthread_mutex_unlock(&s->lock);
        cr_assert_gt(s->nr_exited, 0, "the guest did not exit");
}
