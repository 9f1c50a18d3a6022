/* How many clones may be started without driving the machine out of memory, files or processes. */
#include "bench/fanout/fanout.h"

#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define OF_MEMORY    0.8      /* of what is left may be used: the rest is the host's, and what we do not foresee */
#define EACH_BYTES   (24 * MIB) /* a VMM beside its guest's memory: its own pages, page tables */
#define FILES_EACH   4        /* of a clone in the bench: pipe, standard error */
#define FILES_BESIDE 64

/* A guest whose memory is filled in comes to hold all data; of the others, as much as one has shown, and half as much again. */
static uint64_t need_each(const struct fanout *f, const struct subject *s, size_t arm)
{
        const char *name = s->arms.v[arm].name;
        bool shares = strcmp(name, "mmap") == 0 || strcmp(name, "shared") == 0;

        if (strcmp(name, "eager-naive") == 0)
                return s->data_bytes + s->zero_bytes + EACH_BYTES;
        return shares ? f->one_bytes[arm] * 3 / 2 + EACH_BYTES : MAX(s->data_bytes, f->one_bytes[arm]) + EACH_BYTES;
}

static void check_memory(struct fanout *f, size_t i, uint64_t left)
{
        struct subject *s = fanout_subject(f);

        for (size_t a = 0; a < s->arms.nr && f->fits[i]; a++) {
                uint64_t each = need_each(f, s, a), all = each * f->sizes[i];

                if (s->out[a] || (double)all <= OF_MEMORY * (double)left)
                        continue;
                f->fits[i] = false;
                snprintf(f->lacks[i], sizeof(f->lacks[i]),
                         "%.40s could need %u times %llu MiB, and %.0f %% of what is left here are %llu MiB", s->arms.v[a].name,
                         f->sizes[i], (unsigned long long)(each / MIB), OF_MEMORY * 100,
                         (unsigned long long)(OF_MEMORY * (double)left / (double)MIB));
        }
}

static void check_files(struct fanout *f, size_t i)
{
        struct rlimit files;
        uint64_t need = (uint64_t)fanout_steady_starts(f->sizes[i]) * FILES_EACH + FILES_BESIDE;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur >= need)
                return;
        files.rlim_cur = MIN(need, files.rlim_max);
        if (setrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur >= need)
                return;
        f->fits[i] = false;
        snprintf(f->lacks[i], sizeof(f->lacks[i]), "%llu files must be open at once, and ulimit -Hn is %llu",
                 (unsigned long long)need, (unsigned long long)files.rlim_max);
}

int fanout_limits(struct fanout *f, struct err *e)
{
        uint64_t left = burst_memory_left();
        bool any = false;

        for (size_t i = 0; i < f->nr_sizes; i++) {
                f->fits[i] = true;
                check_memory(f, i, left);
                if (f->fits[i])
                        check_files(f, i);
                any |= f->fits[i];
                if (!f->fits[i])
                        fprintf(stderr, "rouse bench fanout: %u clones: left out: %s\n", f->sizes[i], f->lacks[i]);
        }
        return any ? 0 : err_set(e, -ENOMEM, "no number of --clones fits this machine: %s; name a smaller one", f->lacks[0]);
}
