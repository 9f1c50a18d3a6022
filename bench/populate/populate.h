/* bench/populate/populate.h: one `rouse bench populate`, from its words to its result; what the parts of it share.
 * Owns:    all that stands in it; populate_measure gives it back.
 * Threads: one; the pager has its own.
 * Blocks:  as long as its rounds take.
 *
 *     verb.c        options, the parts in order, the report
 *     subject.c     a snapshot, given or made here, as it is and packed by LZ4
 *     fill.c        the pager fills a RAM that nobody touches: once
 *     steps.c       a table: what is filled from what, and the floor beside it
 *     backings.c    the same by what stands behind RAM
 *     rounds.c      each round has every step once, in an order of chance
 *     words.c       how far from the floor, in words */
#pragma once

#include "bench/floors/rig.h"
#include "bench/model/result.h"
#include "core/base/err.h"
#include "core/inspect.h"

struct guest_stop;

enum populate_part { PART_WARM, PART_COLD, PART_SNAPSHOT, PART_BACKINGS, PARTS };
#define POPULATE_PARTS "warm,cold,snapshot,backings"

struct populate_options {
        const char *dir;     /* a snapshot; NULL: one is made here */
        const char *tmp;     /* where files are made: on the disk that is to be measured */
        unsigned    runs;
        uint64_t    seed, memory_bytes;
        bool        parts[PARTS];
        struct guest_stop *stop; /* ends it between two steps */
};

/* A snapshot over which the pager fills. */
struct populate_source {
        struct inspection i;
        struct rig        rig;
};

struct populate_subject {
        struct populate_source whole, packed;   /* rig.nr_pages 0: there is none */
        struct err             no_whole, no_packed; /* why */
};

void populate_subject_open(struct populate_subject *s, const struct populate_options *o);
void populate_subject_close(struct populate_subject *s);

struct populate {
        const struct populate_options *o;
        struct bench_result           *r;
        struct rig                     rig; /* over a raw file */
        struct populate_subject        subject;
};

/* What one filling took. */
struct filled {
        double rate;   /* bytes of data a second, from pager_arm to `done` */
        double cpu_us; /* of the pager's thread, a page */
};

/* ram NULL: new anonymous memory. */
struct fill_ram {
        uint8_t                   *ram;
        enum ram_backing           backing;
        const struct shared_pages *shared;
};
/* 0, or -errno and *e: the pager could not be made. Lost pages end the program. */
int populate_fill(struct rig *r, const struct fill_ram *ram, struct filled *ret, struct err *e);

struct step {
        enum populate_part part;
        const char        *arm, *what;
        bool               floor; /* what ratios of the part's group are to */
        /* Once, for this round: its values go to arms of the part's group. 0, or -errno and *e: the arm could not be measured. */
        int (*run)(struct populate *p, const struct step *s, uint32_t round, struct err *e);
};

#define FLOOR_COPY   "UFFDIO_COPY of 2 MiB"
#define FLOOR_DIRECT "O_DIRECT read"
#define FLOOR_UNPACK "codec alone"
#define FLOOR_ANON   "anonymous, UFFDIO_COPY"

extern const struct step populate_steps[];
extern const size_t      nr_populate_steps;
int step_backing(struct populate *p, const struct step *s, uint32_t round, struct err *e); /* backings.c */

const char *populate_group(enum populate_part part); /* its name */
/* Of the round: into the arm of that name of the part's group; round 0 is not kept. */
void populate_keep(struct populate *p, enum populate_part part, const char *arm, uint32_t round, const struct filled *f);
void populate_keep_rate(struct populate *p, enum populate_part part, const char *arm, uint32_t round, double rate);

void populate_measure(const struct populate_options *o, struct bench_result *r);
void populate_words(struct bench_result *r);
