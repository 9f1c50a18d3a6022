/* rouse run: boots a kernel in rouse's own microVM. */
#include "tools/front.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/model/vm_state.h"
#include "tools/definition_keeper.h"
#include "tools/device_options.h"

#include <string.h>
#include <unistd.h>

static const struct option options[] = {
        FRONT_OPTIONS,
        DEVICE_BOOT_OPTIONS,
        {"kernel", required_argument, NULL, 'K'},
        {"initrd", required_argument, NULL, 'I'},
        {"append", required_argument, NULL, 'A'},
        {"memory", required_argument, NULL, 'M'},
        {"cpus", required_argument, NULL, 'C'},
        CLI_LAST_OPTIONS,
};

static int take_option(int c, struct front *f, struct device_options *d, struct boot_options *o)
{
        uint64_t n;
        int r;

        switch (c) {
        case 'K':
                o->kernel = optarg;
                return 1;
        case 'I':
                o->initrd = optarg;
                return 1;
        case 'A':
                o->cmdline = optarg;
                return 1;
        case 'M':
                if (cli_size(optarg, &o->memory_bytes) && is_page_aligned(o->memory_bytes) && o->memory_bytes)
                        return 1;
                cli_usage("run", "--memory: expected a size in whole pages like 256M, found '%s'", optarg);
                return -1;
        case 'C':
                if (!cli_number(optarg, 1, BOOT_VCPUS_MAX, &n)) {
                        cli_usage("run", "--cpus: expected 1 to %d, found '%s'", BOOT_VCPUS_MAX, optarg);
                        return -1;
                }
                o->nr_vcpus = (uint32_t)n;
                return 1;
        }
        r = device_option_boot(&verb_run, c, optarg, d);
        return r ? r : front_option(&verb_run, c, optarg, f, &o->common);
}

/* The options are read: from here to the end of the VM. */
static int boot(struct front *f, struct boot_options *o)
{
        struct definition_keeper keeper = {.front = f, .kernel = o->kernel, .initrd = o->initrd, .append = o->cmdline};
        struct session *s;
        struct err err = {0};

        definition_keep(&keeper, &o->common);
        if (front_take_name(f, &o->common, &err) < 0 || front_refuse_saved(f, &o->common, &err) < 0 ||
            front_open(f, &o->common, &err) < 0 ||
            session_boot(o, &s, &err) < 0) {
                front_close(f);
                return cli_fail(&err);
        }
        return front_run(s, f);
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct boot_options o = {.memory_bytes = 256 * MIB, .nr_vcpus = 1};
        _cleanup_(device_options_free) struct device_options d = {0};
        struct front f;
        int c;

        front_defaults(&f, &o.common, t0_ns);
        while ((c = cli_getopt(&verb_run, argc, argv, options)) != -1)
                if (c == '?' || take_option(c, &f, &d, &o) < 0)
                        return EXIT_USAGE;
        if (optind < argc)
                return cli_usage("run", "unexpected word '%s'", argv[optind]);
        if (!o.kernel)
                return cli_usage("run", "--kernel FILE is missing");
        o.common.devices = d.configs;
        o.common.nr_devices = d.nr;
        return boot(&f, &o);
}

const struct verb verb_run = {
        .name = "run",
        .summary = "boot a kernel in a microVM",
        .help = "usage: rouse run --kernel FILE [OPTIONS]\n\n"
                "Boots a flat 64-bit image, an ELF file (PVH note or 64-bit entry) or a bzImage in rouse's own microVM.\n"
                "On a terminal, what is typed goes to the guest's serial port; Ctrl-A x leaves.\n\n"
                "  --kernel FILE         what to boot\n"
                "  --initrd FILE         its initial RAM disk\n"
                "  --append STR          its command line\n"
                "  --memory SIZE         guest RAM (default 256M)\n"
                "  --cpus N              1 to 16 vCPUs (default 1)\n"
                DEVICE_BOOT_HELP
                FRONT_HELP
                "\nexample: rouse run --kernel build/guest/beacon.bin --memory 128M --until 'TICK 3 '\n",
        .run = run,
};
