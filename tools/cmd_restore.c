/* rouse restore: wakes a snapshot. */
#include "tools/front.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tools/definition_keeper.h"
#include "tools/device_options.h"
#include "tools/restore_words.h"

#include <string.h>
#include <unistd.h>

static const struct option options[] = {
        FRONT_OPTIONS,
        DEVICE_RESTORE_OPTIONS,
        {"mode", required_argument, NULL, 'M'},
        {"format", required_argument, NULL, 'F'},
        {"base", required_argument, NULL, 'B'},
        {"track-dirty", no_argument, NULL, 'T'},
        {"hints", required_argument, NULL, 'H'},
        {"hints-budget", required_argument, NULL, 'U'},
        {"record", required_argument, NULL, 'R'},
        {"timeline", required_argument, NULL, 'I'},
        {"fill", required_argument, NULL, 'L'},
        {"verify", required_argument, NULL, 'V'},
        {"source-timeout", required_argument, NULL, 'S'},
        {"collapse", required_argument, NULL, 'K'},
        {"naive", no_argument, NULL, 'E'},
        {"allow-cpu-mismatch", no_argument, NULL, 'a'},
        CLI_LAST_OPTIONS,
};

static int bad(const char *option, const char *expected)
{
        cli_usage("restore", "--%s: expected %s, found '%s'", option, expected, optarg);
        return -1;
}

static int take_budget(const char *value, struct restore_options *o)
{
        uint64_t bytes = 0, ns = 0;

        if (!cli_time(value, &ns) && !cli_size(value, &bytes))
                return bad("hints-budget", "a size like 64M or a time like 20ms");
        if (ns == 0 && bytes < PAGE_BYTES)
                return bad("hints-budget", "4K or more, or 1us or more");
        o->hints_budget_bytes = bytes;
        o->hints_budget_ns = ns;
        return 1;
}

static int take_timeout(const char *value, uint32_t *ret_ms)
{
        uint64_t ns;

        if (!cli_time(value, &ns) || ns < NS_PER_MS || ns / NS_PER_MS > UINT32_MAX / 2)
                return bad("source-timeout", "a time like 500ms or 30s");
        *ret_ms = (uint32_t)(ns / NS_PER_MS);
        return 1;
}

/* Options whose values are lists. */
struct lists {
        struct device_options devices;
        struct cli_bases      bases;
};

static int take_option(int c, struct front *f, struct lists *l, struct restore_options *o)
{
        int r;

        switch (c) {
        case 'M':
                return take_mode(optarg, &o->mode) ? 1 : bad("mode", MODE_WORDS);
        case 'F':
                o->format = optarg;
                return 1;
        case 'B':
                return cli_base("restore", optarg, &l->bases) ? 1 : -1;
        case 'T':
                o->track_dirty = true;
                return 1;
        case 'H':
                take_hints(optarg, o);
                return 1;
        case 'U':
                return take_budget(optarg, o);
        case 'R':
                o->record_path = optarg;
                return 1;
        case 'I':
                o->timeline_path = optarg;
                return 1;
        case 'L':
                return cli_on_off(optarg, &o->fill) ? 1 : bad("fill", "on or off");
        case 'V':
                return cli_on_off(optarg, &o->verify) ? 1 : bad("verify", "on or off");
        case 'S':
                return take_timeout(optarg, &o->source_timeout_ms);
        case 'K':
                return cli_on_off(optarg, &o->collapse) ? 1 : bad("collapse", "on or off");
        case 'E':
                o->naive = true;
                return 1;
        case 'a':
                o->allow_cpu_mismatch = true;
                return 1;
        }
        r = device_option_restore(&verb_restore, c, optarg, &l->devices);
        return r ? r : front_option(&verb_restore, c, optarg, f, &o->common);
}

static int check_pager_options(const struct restore_options *o, uint32_t asked)
{
        static const struct {
                int         option;
                bool        shared; /* --mode shared has it, too */
                const char *name, *why;
        } pager_only[] = {
                {'R', false, "record", "only a pager sees first touches, and no other VM's pages must be in the way"},
                {'H', true, "hints", "only a pager replays them"},
                {'U', true, "hints-budget", "only a pager replays them"},
                {'L', true, "fill", "only a pager fills"},
                {'S', true, "source-timeout", "only a pager reads while the guest runs"},
        };

        if (o->mode == RESTORE_LAZY || o->mode == RESTORE_AUTO)
                return EXIT_OK;
        for (size_t i = 0; i < ARRAY_LEN(pager_only); i++) {
                bool named = asked & 1u << (pager_only[i].option - 'A') && !(pager_only[i].option == 'H' && o->hints != HINTS_FILE);

                if (named && !(pager_only[i].shared && o->mode == RESTORE_SHARED))
                        return cli_usage("restore", "--%s needs --mode %s: %s", pager_only[i].name, pager_only[i].shared ? "auto, lazy or shared" : "auto or lazy",
                                         pager_only[i].why);
        }
        return EXIT_OK;
}

static int check_backing(const struct restore_options *o)
{
        enum ram_backing b = o->common.memory_backing;

        if (!mode_has_backing("restore", o))
                return EXIT_USAGE;
        if (o->record_path && b == RAM_HUGETLB)
                return cli_usage("restore", "--record cannot have --memory-backing hugetlb: a touch of 2 MiB is all that is seen of 512 pages; use anon or memfd");
        return EXIT_OK;
}

/* What was asked for and cannot be had in this mode is refused, not passed over. */
static int check_mode(const struct restore_options *o, uint32_t asked)
{
        if (check_pager_options(o, asked) != EXIT_OK || check_backing(o) != EXIT_OK)
                return EXIT_USAGE;
        if (o->naive && o->mode != RESTORE_EAGER)
                return cli_usage("restore", "--naive needs --mode eager: it is the eager restore to compare with");
        if (o->mode == RESTORE_MMAP && o->verify && asked & 1u << ('V' - 'A'))
                return cli_usage("restore",
                                 "--verify on needs --mode auto, lazy, eager or shared: what is mapped is not checked");
        return EXIT_OK;
}

/* The options are read: from here to the end of the VM. */
static int wake(struct front *f, struct restore_options *o)
{
        struct definition_keeper keeper = {.front = f, .restored_from = o->path};
        struct session *s;
        struct err err = {0};

        definition_keep(&keeper, &o->common);
        if (front_take_name(f, &o->common, &err) < 0 || front_refuse_saved(f, &o->common, &err) < 0 || front_open(f, &o->common, &err) < 0 ||
            session_restore(o, &s, &err) < 0) {
                front_close(f);
                return cli_fail(&err);
        }
        return front_run(s, f);
}

static void lists_free(struct lists *l)
{
        device_options_free(&l->devices);
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct restore_options o = {.mode = RESTORE_AUTO, .hints = HINTS_AUTO, .fill = true, .verify = true, .source_timeout_ms = 30000};
        char data_dir[4096], runtime_dir[4096];
        _cleanup_(lists_free) struct lists l = {0};
        struct front f;
        uint32_t asked = 0; /* 1 << (option - 'A') of restore's own */
        int c;

        front_defaults(&f, &o.common, t0_ns);
        while ((c = cli_getopt(&verb_restore, argc, argv, options)) != -1) {
                if (c == '?' || take_option(c, &f, &l, &o) < 0)
                        return EXIT_USAGE;
                if (c >= 'A' && c <= 'Z')
                        asked |= 1u << (c - 'A');
        }
        if (optind + 1 != argc)
                return cli_usage("restore", optind < argc ? "unexpected word '%s'" : "DIR is missing%s",
                                 optind < argc ? argv[optind + 1] : "");
        if (check_mode(&o, asked) != EXIT_OK)
                return EXIT_USAGE;
        o.path = argv[optind];
        o.data_dir = cli_data_dir(data_dir, sizeof(data_dir));
        o.runtime_dir = cli_runtime_dir(runtime_dir, sizeof(runtime_dir));
        if (o.record_path && strcmp(o.record_path, "auto") == 0 && !o.data_dir)
                return cli_usage("restore", "--record auto needs a home: set XDG_DATA_HOME");
        o.common.devices = l.devices.configs;
        o.common.nr_devices = l.devices.nr;
        o.bases = l.bases.v;
        o.nr_bases = l.bases.nr;
        return wake(&f, &o);
}

const struct verb verb_restore = {
        .name = "restore",
        .summary = "wake a snapshot, and bring its memory in while it runs",
        .help = "usage: rouse restore DIR [OPTIONS]\n\n"
                "Restores a native snapshot or a StratoVirt microVM template (2.3 to 2.5); the format is found by looking.\n\n"
                "  --mode MODE           auto (the default): what is fastest for each run of pages (rouse inspect --plan shows it);\n"
                "                        lazy: userfaultfd for all data; mmap: MAP_PRIVATE of the memory file, nothing is checked;\n"
                "                        eager: read everything first; shared: VMs of one snapshot and one user have what they do not\n"
                "                        write once in memory\n"
                "  --format NAME         insist on a format: native, stratovirt\n"
                CLI_BASE_HELP
                "  --hints auto|none|FILE  replay a recorded working set; auto: the one kept for this snapshot, if any\n"
                "  --hints-budget SIZE|TIME  of the hints only so many bytes, or only for so long; what is left out comes with the rest\n"
                "  --record FILE|auto    record first touches until --mark or the end (with --fill off to the end in any case),\n"
                "                        for rouse hints; auto: where --hints auto finds them\n"
                "  --timeline FILE       log what the pager did: when, which pages, and why (rouse(1) has the format)\n"
                "  --fill on|off         bring the rest in behind the guest (default on)\n"
                "  --verify on|off       check checksums, where the format has them (default on; --mode mmap checks none)\n"
                "  --source-timeout TIME  a page that the file does not yield in this time is lost (default 30s)\n"
                "  --track-dirty         keep account of what the guest writes, so that rouse snapshot --base need not compare pages\n"
                "  --collapse on|off     make huge pages of what is all there, after T6, at idle priority (default off)\n"
                "  --naive               with --mode eager: every byte, zeros too, one thread, 4 KiB pages, as most VMMs do; to compare with\n"
                "  --allow-cpu-mismatch  restore even where this CPU lacks what the guest saw\n"
                DEVICE_RESTORE_HELP
                FRONT_HELP
                "\nexample: rouse restore /srv/snapshots/web --until 'ready' --ledger -\n",
        .run = run,
};
