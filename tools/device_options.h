/* tools/device_options.h: --disk, --net and the like: words of the command line to what stands behind a VM's virtio slots.
 * Owns:    copies of the words; device_options_free gives them back, after the session that was given `configs`.
 * Threads: main thread.
 * Blocks:  never. */
#pragma once

#include "core/model/device_config.h"
#include "tools/cli.h"

struct device_options {
        struct device_config configs[DEVICE_CONFIGS_MAX];
        size_t               nr;
        char                *words[DEVICE_CONFIGS_MAX]; /* what the strings of configs[i] point into */
};

#define DEVICE_BOOT_OPTIONS                                                                                       \
        {"disk", required_argument, NULL, 'd'}, {"net", required_argument, NULL, 'e'}, {"rng", no_argument, NULL, 'r'}, \
                {"balloon", no_argument, NULL, 'b'}, {"vsock", required_argument, NULL, 'v'}, {"console", required_argument, NULL, 'c'}

#define DEVICE_BOOT_HELP                                                                                          \
        "  --disk FILE[,readonly][,direct=on|off][,discard=on|off][,serial=S]\n"                                  \
        "                        a raw image or block device; up to 4, /dev/vda first. direct=off, the default, goes\n" \
        "                        through the host's page cache: what one VM has read is there for the next one that\n"  \
        "                        wakes from it, and a flush reaches the disk all the same. direct=on is O_DIRECT.\n"    \
        "                        discard=on (default off): what the guest discards makes holes in FILE. serial=S:\n" \
        "                        what the guest reads as the disk's serial number, up to 20 characters\n"         \
        "  --net tap=NAME|none[,mac=M]  a card on a tap interface that exists, or without a cable; up to 2\n"                              \
        "  --rng                 a source of random numbers\n"                                                    \
        "  --balloon             the guest can give memory back\n"                                                \
        "  --vsock cid=N,path=SOCK  sockets between guest and host; the guest's port P is SOCK_P\n"               \
        "  --console unix=PATH|file=PATH  a virtio console: a socket to connect to, or a file to append to\n"     \
        "                        (a comma in a path is written twice)\n"

#define DEVICE_RESTORE_OPTIONS                                                                                    \
        {"disk", required_argument, NULL, 'd'}, {"net", required_argument, NULL, 'e'}, {"device", required_argument, NULL, 'x'}, \
                {"vsock", required_argument, NULL, 'v'}, {"console", required_argument, NULL, 'c'}

#define DEVICE_RESTORE_HELP                                                                                       \
        "  --disk N=FILE[,readonly][,direct=on|off][,serial=S]\n"                                                 \
        "                        what stands behind disk N (0 to 3). direct=off, the default, goes through the host's\n" \
        "                        page cache, which VMs that wake from one image share; direct=on is O_DIRECT\n"   \
        "  --net N=tap=NAME      the tap interface of the card in slot N (4 or 5; also 0 and 1); N=none: no cable\n" \
        "  --device N=KIND[,path=PATH][,cid=N][,listen]\n"                                                        \
        "                        what slot N (6 to 10) is: rng, console, balloon, vsock. path: vsock's socket, or the\n" \
        "                        console's file, with listen a socket to connect to. StratoVirt's files do not say it\n" \
        "  --vsock path=SOCK     where the snapshot's vsock device listens\n"                                     \
        "  --console unix=PATH|file=PATH  where the snapshot's virtio console goes\n"                             \
        "                        (a comma in a path is written twice)\n"

/* Takes option c with its value, of `run` or of `restore`: 1 taken, 0 not one of these, -1 bad, reported. */
int  device_option_boot(const struct verb *v, int c, const char *value, struct device_options *d);
int  device_option_restore(const struct verb *v, int c, const char *value, struct device_options *d);
void device_options_free(struct device_options *d); /* accepts a zeroed one */
