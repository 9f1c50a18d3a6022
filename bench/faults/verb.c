/* rouse bench faults: what a fault costs whoever meets it, by who answers it. */
#include "bench/describe.h"
#include "bench/faults/faults.h"
#include "bench/faults/verb.h"
#include "bench/floors/touch.h"
#include "bench/options.h"
#include "bench/run/guest_run.h"

#define WORD "faults"

static const struct option options[] = {
        { "threads", required_argument, NULL, 'T' }, { "touches", required_argument, NULL, 'C' }, { "pages", required_argument, NULL, 'P' },
        { "memory", required_argument, NULL, 'M' },  COMMON_OPTIONS,
};

/* NULL: taken; else what was expected. */
static const char *take(int c, const char *value, void *arg)
{
        static const char *const sizes[] = { "4K", "2M" };
        struct faults_options   *o = arg;
        bool                     has[ARRAY_LEN(sizes)];
        uint64_t                 v;

        switch (c) {
        case 'T':
                return option_numbers(value, 1, TOUCH_THREADS_MAX, o->threads, FAULTS_THREADS_MAX, &o->nr_threads) ? NULL : "up to 8 numbers from 1 to 64, as in 1,2,8";
        case 'C':
                if (!option_number(value, 1, 1000000, &v))
                        return "a number from 1 to 1000000";
                o->touches = (unsigned)v;
                return NULL;
        case 'P':
                if (!option_names(value, sizes, ARRAY_LEN(sizes), has))
                        return "4K, 2M or 4K,2M";
                o->small = has[0];
                o->huge = has[1];
                return NULL;
        }
        return option_size(value, 4 * MIB, 64 * GIB, &o->memory_bytes) && o->memory_bytes % HUGE_PAGE_BYTES == 0 ? NULL : "a multiple of 2M, from 4M to 64G";
}

static int run(int argc, char **argv)
{
        struct faults_options o = { .threads = { 1, 2, 4, 8 }, .nr_threads = 4, .touches = 2000, .memory_bytes = GIB, .small = true, .huge = true };
        struct common_options common;
        struct bench_result   r = { 0 };
        struct guest_stop     stop;
        struct err            e = { 0 };
        int                   status = options_parse(WORD, argc, argv, options, &common, take, &o);

        if (status != BENCH_EXIT_OK)
                return status;
        if (optind < argc)
                return bench_usage(WORD, "unexpected word '%s'", argv[optind]);
        if (o.touches > bytes_to_pages(o.memory_bytes))
                return bench_usage(WORD, "--touches: expected at most one for each page of --memory, %llu, found %u", (unsigned long long)bytes_to_pages(o.memory_bytes),
                                   o.touches);
        status = bench_outputs_check(WORD, &common.outputs);
        if (status != BENCH_EXIT_OK)
                return status;
        o.runs = r.rounds = common.runs;
        o.seed = r.seed = common.seed;
        o.dir = common.tmp;
        o.stop = &stop;
        if (guest_stop_open(&stop, &e) < 0)
                return bench_failed(WORD, "%s", e.text);
        bench_describe(&r, BENCH_FAULTS, argc, argv);
        faults_measure(&o, &r);
        bench_describe_end(&r);
        faults_words(&r);
        status = bench_report_stopped(WORD, stop.signal, &r, &common.outputs);
        guest_stop_close(&stop);
        bench_result_free(&r);
        return status;
}

const struct bench_verb bench_verb_faults = {
        .name = WORD,
        .summary = "from the touch of a page to the touch done, by who answers",
        .help = "usage: rouse bench faults [OPTIONS]\n\n"
                "Touches pages by plain threads (no VM), and times each touch: answered by rouse's pager (bytes\n"
                "copied, zeros, or pages of a template mapped), by the least that could answer (a bare loop: the\n"
                "floor), or by the kernel alone (a private mapping of a cached file, memory without a file). Every\n"
                "round has every mechanism once, in an order of chance; its p50, p99 and mean are one value each.\n\n"
                "  --threads LIST        how many touch at once, up to 8 numbers (default 1,2,4,8)\n"
                "  --pages 4K|2M|4K,2M   the size of pages (default both; 2M needs 128 free huge pages: sysctl -w\n"
                "                        vm.nr_hugepages=128)\n"
                "  --touches N           of each round, by all threads together (default 2000)\n"
                "  --memory SIZE         what is touched lies in so much memory (default 1G)\n"
                COMMON_HELP("the memory file is")
                "\nA mechanism that this host lacks is named, with what is missing.\n"
                "Ctrl-C reports the rounds until then.\n"
                "\nexample: rouse bench faults --threads 1,8 --runs 100 --html faults.html\n",
        .run = run,
};
