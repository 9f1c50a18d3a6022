/* tools/trace/tracer.h: the BPF program, loaded and armed, and what it tells.
 * Owns:    its programs and maps in the kernel; tracer_free takes them out again.
 * Threads: main thread.
 * Blocks:  tracer_new some ten ms, while the kernel checks the programs. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tracer;

struct tracer_options {
        pid_t    pid;        /* whose VM */
        bool     follow;     /* or one of a child of its, started later */
        uint64_t ring_bytes; /* room for events that were not read yet: a power of 2, of a page or more */
        bool     debug;      /* libbpf says what it does, on standard error */
        /* One of tools/trace/event.h's records, in the order in which they happened. Not 0: no memory for it, it counts as
         * lost. */
        int (*record)(void *arg, const void *data, size_t size);
        void *arg;
};

struct tracer_counts {
        uint64_t lost;       /* events for which there was no room */
        uint64_t unfollowed; /* slots, processes, or pages mapped ahead, for which a map in the kernel had no room */
        uint64_t other_vm;   /* requests of VMs beside the first one */
        uint64_t offspring;  /* living processes that the first one started */
        uint64_t first_ns;   /* the VM's first request; 0: there was none */
        uint64_t serial_ns;  /* the first byte on its serial port; 0: there was none */
        uint64_t vm_mm;      /* as in the events */
};

/* Armed: from now on nothing is missed. What this host lacks is said, with what mends it. */
int  tracer_new(const struct tracer_options *o, struct tracer **ret, struct err *e);
void tracer_free(struct tracer *t); /* accepts NULL */

int  tracer_fd(const struct tracer *t);   /* readable when much is waiting; what is less is to be read every some ms */
void tracer_read(struct tracer *t);       /* calls record for all that is waiting; looks whether what was mapped ahead was touched since */
void tracer_disarm(struct tracer *t);     /* nothing more happens; what is waiting can still be read */
bool tracer_numbers_are_ours(const struct tracer *t); /* processes have for the kernel the numbers that they have for us */
void tracer_count(const struct tracer *t, struct tracer_counts *ret);
