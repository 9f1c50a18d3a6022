/* bench/describe.c: a figure without its machine says nothing. */
#include "bench/describe.h"

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/probe.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef ROUSE_COMMIT
#define ROUSE_COMMIT "" /* GNUmakefile asks git; a tarball has none */
#endif

static void fact(struct bench_result *r, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fact(struct bench_result *r, const char *name, const char *format, ...)
{
        char text[200];
        va_list args;

        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        bench_fact_add(r, name, text);
}

static void describe_machine(struct bench_result *r)
{
        struct host_caps c;

        host_probe_all(&c);
        fact(r, "cpu", "%s", c.cpu[0] ? c.cpu : "unknown");
        fact(r, "cpus", "%" PRIu32, c.nr_cpus);
        fact(r, "microcode", "%s", c.microcode[0] ? c.microcode : "unknown");
        fact(r, "memory", "%" PRIu64 " MiB", c.ram_bytes / MIB);
        fact(r, "kernel", "%s", c.kernel);
        fact(r, "virtualization", "%s",
             c.nested_or_software ? "KVM runs nested or in software: the CPU shows neither VMX nor SVM"
             : "the CPU's own (VMX or SVM)");
        fact(r, "transparent huge pages", "%s", c.thp);
        fact(r, "free 2 MiB pages", "%" PRIu64, c.huge_2m_free);
        fact(r, "userfaultfd", "%s", c.uffd_way == UFFD_WAY_DEVICE ? "/dev/userfaultfd" : c.uffd_way == UFFD_WAY_SYSCALL
             ? "the system call" : "none for us");
        fact(r, "UFFDIO_MOVE", "%s", c.uffd_move ? "yes" : "no");
        fact(r, "io_uring", "%s", c.io_uring ? "yes" : "no");
}

/* As a shell would take it, where no word needs quotes. */
static void set_command(struct bench_result *r, int argc, char *const *argv)
{
        char  *text = NULL;
        size_t len;
        FILE  *to = open_memstream(&text, &len);

        if (!to)
                return;
        fputs("rouse bench", to);
        for (int i = 0; i < argc; i++)
                fprintf(to, strpbrk(argv[i], " \t'\"$*^|;&()<>\\") ? " '%s'" : " %s", argv[i]);
        if (fclose(to) == 0)
                bench_string_set(&r->command, text);
        free(text);
}

void bench_describe(struct bench_result *r, enum bench_kind kind, int argc, char *const *argv)
{
        r->kind = kind;
        set_command(r, argc, argv);
        bench_string_set(&r->rouse_version, ROUSE_VERSION);
        if (ROUSE_COMMIT[0])
                bench_string_set(&r->commit, ROUSE_COMMIT);
        r->started_unix_s = (int64_t)time(NULL);
        r->took_s = -(double)now_ns() / (double)NS_PER_S; /* bench_describe_end adds the end */
        describe_machine(r);
}

void bench_describe_end(struct bench_result *r)
{
        r->took_s += (double)now_ns() / (double)NS_PER_S;
}
