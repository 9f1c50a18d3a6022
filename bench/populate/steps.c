/* bench/populate/steps.c: what is filled from what. A table; the functions below are its rows. */
#include "bench/floors/memory.h"
#include "bench/floors/rates.h"
#include "bench/populate/populate.h"

#include <errno.h>

static const struct fill_ram new_ram;

static int fill_and_keep(struct populate *p, struct rig *r, const struct step *s, uint32_t round, struct err *e)
{
        struct filled f;
        int           x = populate_fill(r, &new_ram, &f, e);

        if (x >= 0)
                populate_keep(p, s->part, s->arm, round, &f);
        return x;
}

/* --- warm: a raw file in the page cache --- */

static int step_copy(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        double rate;
        int    r;

        rig_new_ram(&p->rig);
        r = rate_copy_2m(&p->rig.caps, p->rig.ram, p->rig.warm, pages_to_bytes(p->rig.nr_pages), &rate, e);
        if (r >= 0)
                populate_keep_rate(p, s->part, s->arm, round, rate);
        return r;
}

static int step_memcpy(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        (void)e;
        populate_keep_rate(p, s->part, s->arm, round, rate_memcpy(p->rig.warm, pages_to_bytes(p->rig.nr_pages)));
        return 0;
}

static int step_warm(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        rig_map_whole(&p->rig);
        return fill_and_keep(p, &p->rig, s, round, e);
}

/* As on Linux before 6.8. */
static int step_no_move(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        bool move = p->rig.caps.uffd_move;
        int  r;

        p->rig.caps.uffd_move = false;
        r = step_warm(p, s, round, e);
        p->rig.caps.uffd_move = move;
        return r;
}

static int step_in_file(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        rig_map_scattered_file(&p->rig, 4, p->o->seed + round);
        return fill_and_keep(p, &p->rig, s, round, e);
}

static int step_in_ram(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        rig_map_scattered_ram(&p->rig, 4);
        return fill_and_keep(p, &p->rig, s, round, e);
}

/* --- cold: both of one round side by side in time, in turns before and after: a disk has its moods --- */

static struct bench_arm *arm_of(struct populate *p, enum populate_part part, const char *arm)
{
        return bench_arm_get(bench_group_get(p->r, populate_group(part)), arm);
}

static void note_failure(struct bench_arm *a, const struct err *e)
{
        if (!a->failure)
                bench_string_set(&a->failure, e->text);
}

static void read_direct(struct populate *p, uint32_t round)
{
        struct err e = { 0 };
        double     rate;

        if (rate_direct(p->rig.fd, "the memory file", pages_to_bytes(p->rig.nr_pages), &rate, &e) >= 0)
                populate_keep_rate(p, PART_COLD, FLOOR_DIRECT, round, rate);
        else
                note_failure(arm_of(p, PART_COLD, FLOOR_DIRECT), &e);
}

static int step_cold(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        int r = 0;

        rig_map_whole(&p->rig);
        if (round % 2)
                read_direct(p, round);
        if (rig_evict(&p->rig) == 0)
                r = fill_and_keep(p, &p->rig, s, round, e);
        else if (round > 0)
                arm_of(p, s->part, s->arm)->runs_not_cold++;
        if (round % 2 == 0)
                read_direct(p, round);
        rig_warm(&p->rig);
        return r;
}

/* --- a snapshot, its checksums on --- */

static int step_whole(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        if (!p->subject.whole.rig.nr_pages)
                return err_set(e, p->subject.no_whole.code, "%s", p->subject.no_whole.text);
        return fill_and_keep(p, &p->subject.whole.rig, s, round, e);
}

static int step_packed(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        if (!p->subject.packed.rig.nr_pages)
                return err_set(e, p->subject.no_packed.code, "%s", p->subject.no_packed.text);
        return fill_and_keep(p, &p->subject.packed.rig, s, round, e);
}

static int step_unpack(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        const struct populate_source *from = p->subject.packed.rig.nr_pages ? &p->subject.packed : &p->subject.whole;

        if (!from->rig.nr_pages || !from->i.pages->nr_chunks)
                return err_set(e, p->subject.no_packed.code, "%s", p->subject.no_packed.text);
        populate_keep_rate(p, s->part, s->arm, round, rate_unpack(from->i.pages));
        return 0;
}

const struct step populate_steps[] = {
        { PART_WARM, FLOOR_COPY, "the floor: UFFDIO_COPY of warm memory, 2 MiB a call", true, step_copy },
        { PART_WARM, "memcpy", "memory that is there into memory that is there", false, step_memcpy },
        { PART_WARM, "raw", "the pager fills from a raw file in the page cache", false, step_warm },
        { PART_WARM, "raw, no UFFDIO_MOVE", "the same as on Linux before 6.8", false, step_no_move },
        { PART_WARM, "runs of 4, scattered in file", "neighbours in RAM, four pages at a time, lie apart in the file", false,
          step_in_file },
        { PART_WARM, "runs of 4, zeros between", "four pages of data, four of zeros; only data counts", false, step_in_ram },
        { PART_COLD, FLOOR_DIRECT, "the floor: the same file in order with O_DIRECT, 2 MiB a read, two under way", true, NULL },
        { PART_COLD, "raw", "the pager fills from a raw file that is not in the page cache", false, step_cold },
        { PART_SNAPSHOT, FLOOR_COPY, "the floor: UFFDIO_COPY of warm memory, 2 MiB a call", true, step_copy },
        { PART_SNAPSHOT, FLOOR_UNPACK, "the floor: every chunk unpacked on one core, and nothing else", true, step_unpack },
        { PART_SNAPSHOT, "as it is", "the pager fills from the snapshot, with its checksums held", false, step_whole },
        { PART_SNAPSHOT, "packed by LZ4", "the same from the snapshot packed by rouse convert --pack lz4", false, step_packed },
        { PART_BACKINGS, FLOOR_ANON, "private memory, by UFFDIO_COPY alone", true, step_backing },
        { PART_BACKINGS, "memfd", "a memfd of the VM's own", false, step_backing },
        { PART_BACKINGS, "template, first VM", "mode shared: whoever comes first fills the template", false, step_backing },
        { PART_BACKINGS, "template, later VM", "mode shared: all is there already, and only mapped (UFFDIO_CONTINUE)", false,
          step_backing },
        { PART_BACKINGS, "2 MiB pages", "huge pages from the host's pool", false, step_backing },
        { PART_BACKINGS, "2 MiB template, first VM", "mode shared with huge pages", false, step_backing },
        { PART_BACKINGS, "2 MiB template, later VM", "the same, all is there already", false, step_backing },
};
const size_t nr_populate_steps = ARRAY_LEN(populate_steps);
