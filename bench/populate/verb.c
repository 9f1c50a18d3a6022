/* rouse bench populate: how fast the pager fills a RAM that nobody uses. */
#include "bench/describe.h"
#include "bench/options.h"
#include "bench/populate/populate.h"
#include "bench/populate/verb.h"
#include "bench/run/guest_run.h"

#include <stdlib.h>
#include <string.h>

#define WORD "populate"

static const struct option options[] = {
        { "parts", required_argument, NULL, 'P' },
        { "memory", required_argument, NULL, 'M' },
        COMMON_OPTIONS,
};

static const char *take(int c, const char *value, void *arg)
{
        static const char *const names[PARTS] = { "warm", "cold", "snapshot", "backings" };
        struct populate_options *o = arg;

        if (c == 'P')
                return option_names(value, names, PARTS, o->parts) ? NULL : "some of " POPULATE_PARTS;
        return option_size(value, 4 * MIB, 64 * GIB, &o->memory_bytes) && o->memory_bytes % HUGE_PAGE_BYTES == 0 ? NULL : "a multiple of 2M, from 4M to 64G";
}

static int measure(const struct populate_options *o, int argc, char **argv, const struct bench_outputs *out)
{
        struct bench_result r = { .seed = o->seed, .rounds = o->runs };
        int                 status;

        bench_describe(&r, BENCH_POPULATE, argc, argv);
        populate_measure(o, &r);
        bench_describe_end(&r);
        populate_words(&r);
        status = bench_report_stopped(WORD, o->stop->signal, &r, out);
        bench_result_free(&r);
        return status;
}

static int run(int argc, char **argv)
{
        struct populate_options o = { .memory_bytes = 512 * MIB, .parts = { true, true, true, true } };
        struct common_options   common;
        struct inspection       i;
        struct guest_stop       stop;
        struct err              e = { 0 };
        int                     status = options_parse(WORD, argc, argv, options, &common, take, &o);

        if (status != BENCH_EXIT_OK)
                return status;
        if (argc - optind > 1)
                return bench_usage(WORD, "expected one snapshot at most, found '%s' too", argv[optind + 1]);
        status = bench_outputs_check(WORD, &common.outputs);
        if (status != BENCH_EXIT_OK)
                return status;
        o.dir = argv[optind]; /* NULL: none */
        o.runs = common.runs;
        o.seed = common.seed;
        o.tmp = common.tmp;
        setenv("TMPDIR", o.tmp, 1); /* where scratch_make goes */
        if (o.dir && inspect_open(o.dir, &(struct inspect_options){ 0 }, &i, &e) < 0) {
                (void)bench_failed(WORD, "%s", e.text);
                return BENCH_EXIT_BAD_SNAPSHOT;
        }
        if (o.dir)
                inspect_close(&i);
        o.stop = &stop;
        if (guest_stop_open(&stop, &e) < 0)
                return bench_failed(WORD, "%s", e.text);
        status = measure(&o, argc, argv, &common.outputs);
        guest_stop_close(&stop);
        return status;
}

const struct bench_verb bench_verb_populate = {
        .name = WORD,
        .summary = "how fast guest memory is filled, beside what bare calls reach",
        .help = "usage: rouse bench populate [DIR] [OPTIONS]\n\n"
                "Lets rouse's pager fill a RAM that nobody uses, and says bytes of data a second, from the moment\n"
                "that its ranges are registered to the moment that all is there; beside them what the bare calls\n"
                "reach on the same bytes in the same round (floors). DIR is a snapshot to fill from, as it is and\n"
                "packed by LZ4; without it a small one is made.\n\n"
                "  --parts LIST          of " POPULATE_PARTS " (default: all). warm, cold: a raw file in the page cache, or\n"
                "                        out of it, proved; snapshot: DIR, checksums held; backings: by what stands\n"
                "                        behind RAM (the rows of 2 MiB pages need --memory twice as free huge pages:\n"
                "                        sysctl -w vm.nr_hugepages=N)\n"
                "  --memory SIZE         how much is filled from the raw file (default 512M)\n"
                COMMON_HELP("the raw file and a packed snapshot are")
                "\nWhat this host lacks is named, with what mends it.\n"
                "Ctrl-C reports the rounds until then.\n"
                "Exit status: 0 done; 1 it failed; 2 wrong usage; 4 the snapshot is bad;\n"
                "128+n stopped by signal n.\n"
                "\nexample: rouse bench populate /srv/snapshots/web --parts snapshot,cold --html populate.html\n",
        .run = run,
};
