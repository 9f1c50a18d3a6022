/* core/control/machine_definition.h: what a named VM is made of, so that it can be started again: plain data, and its JSON.
 * Owns:    its strings, those of `devices` too; machine_definition_free gives them back and accepts a zeroed one.
 * Threads: plain data.
 * Blocks:  never.
 *
 *     {"version":1,"kernel":PATH,"initrd":PATH,"append":STR,"restored_from":DIR,"memory_bytes":N,"memory_backing":"memfd|hugetlb","vcpus":N,"serial":"stdio|null|...","qmp":PATH,
 *      "devices":[{"kind":"blk","slot":0,"path":PATH,"serial":STR,"readonly":false,"direct":false,"discard":false},{"kind":"net","slot":4,
 *                 "tap":NAME,"mac":"52:54:00:12:34:56"},{"kind":"vsock","slot":6,"path":PATH,"cid":3},{"kind":"console","slot":7,"path":PATH,"listen":true}]} */
#pragma once

#include "core/base/err.h"
#include "core/model/device_config.h"
#include "core/model/ram_backing.h"

#include <stddef.h>

struct machine_definition {
        char                *kernel; /* absolute, as all paths; NULL: it was restored, and there is nothing to boot */
        char                *initrd, *append;
        char                *restored_from; /* a snapshot's directory, or NULL */
        uint64_t             memory_bytes;
        enum ram_backing     memory_backing;
        uint32_t             nr_vcpus;
        char                *serial; /* as --serial has it */
        char                *qmp;    /* a socket's path, or NULL */
        struct device_config devices[DEVICE_CONFIGS_MAX];
        size_t               nr_devices;
};

/* The caller frees *ret_text. -ENOMEM. */
int  machine_definition_print(const struct machine_definition *d, char **ret_text, struct err *e);
/* path: for messages. What is missing, of another type or of another version is named. */
int  machine_definition_parse(const char *text, const char *path, struct machine_definition *ret, struct err *e);
void machine_definition_free(struct machine_definition *d);

/* Has it a disk that its guest can write to? Then its saved state fits only the disk as it was. */
bool machine_definition_writes_disks(const struct machine_definition *d);
