/* tools/stratovirt_internal.h: what a StratoVirt command line said, between the pass that reads it and the one that says it in
 * rouse's words.
 * Owns:    nothing; strings are the command line's.
 * Threads: main thread.
 * Blocks:  never. */
#pragma once

#include "tools/stratovirt_args.h"
#include "tools/stratovirt_list.h"

#include <stdbool.h>

#define PARTS_MAX 16 /* of one kind on a command line */

/* "kind,key=value,flag,..." as it stands on the command line */
struct parts {
        size_t      nr;
        const char *v[PARTS_MAX];
};

struct translation {
        void (*note)(void *arg, const char *text);
        void         *note_arg;
        struct words *out;
        struct err   *e;
        /* what was said */
        const char  *kernel, *initrd, *append, *memory, *cpus, *name, *qmp, *mon, *serial, *incoming;
        bool         paused;
        struct parts drives, devices, netdevs, chardevs, objects;
};

/* One line about what is dropped. */
void sv_note(const struct translation *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds a word of rouse's. */
int sv_say(const struct translation *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int sv_say_option(const struct translation *t, const char *option, const char *value);

/* What was said, said in rouse's words. */
int sv_say_all(const struct translation *t);
/* stratovirt_devices.c: the devices, in the order of the command line, and where the serial port and QMP go. */
int sv_say_devices(const struct translation *t);
int sv_say_serial(const struct translation *t);
int sv_say_qmp(const struct translation *t);
