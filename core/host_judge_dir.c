/* The file system that a snapshot lies in. */
#include "core/host_judge.h"

#include <errno.h>
#include <stdio.h>

void judge_dir_filesystem(const struct host_look *h, struct host_fact *f)
{
        if (h->dir.filesystem[0])
                fact_text(f, true, "%s", h->dir.filesystem);
        else
                fact_unknown(f, "not in /proc/self/mountinfo");
}

void judge_dir_kind(const struct host_look *h, struct host_fact *f)
{
        static const char *const names[] = {[DIR_LOCAL] = "local", [DIR_MEMORY] = "memory", [DIR_NETWORK] = "network",
                                            [DIR_FUSE] = "fuse"};

        if (h->dir.kind == DIR_UNKNOWN)
                fact_unknown(f, "not in /proc/self/mountinfo");
        else
                fact_text(f, h->dir.kind == DIR_LOCAL || h->dir.kind == DIR_MEMORY, "%s", names[h->dir.kind]);
}

static void judge_dir_try(const struct host_look *h, int error, struct host_fact *f)
{
        if (error == ENODATA && !h->dir.file[0])
                fact_unknown(f, "no file in it to try it on");
        else
                fact_try(f, error);
}

void judge_dir_direct(const struct host_look *h, struct host_fact *f)
{
        judge_dir_try(h, h->dir.direct, f);
        if (h->dir.direct && h->dir.kind == DIR_MEMORY && f->kind != FACT_NULL)
                f->state = FACT_INFO; /* nothing is ever cold there */
}

void judge_dir_nowait(const struct host_look *h, struct host_fact *f)
{
        judge_dir_try(h, h->dir.nowait, f);
        if (h->dir.nowait && h->dir.kind == DIR_MEMORY && f->kind != FACT_NULL)
                f->state = FACT_INFO; /* the pager knows that nothing has to be waited for there */
}

/* Virtual disks say that they are, whatever is below them: then it proves nothing. */
void judge_dir_rotational(const struct host_look *h, struct host_fact *f)
{
        if (h->dir.rotational == HOST_UNKNOWN) {
                fact_unknown(f, "no disk of this host");
                return;
        }
        f->kind = FACT_FLAG;
        f->number = h->dir.rotational != 0;
        f->state = !f->number ? FACT_OK : h->files.hypervisor ? FACT_INFO : FACT_SLOW;
        snprintf(f->text, sizeof(f->text), !f->number ? "no" : h->files.hypervisor ? "yes, as virtual disks say" : "yes");
}

void judge_dir_read_ahead(const struct host_look *h, struct host_fact *f)
{
        if (h->dir.read_ahead_bytes == HOST_UNKNOWN) {
                fact_unknown(f, "no disk of this host");
                return;
        }
        fact_bytes(f, h->dir.read_ahead_bytes);
        f->state = FACT_INFO;
}
