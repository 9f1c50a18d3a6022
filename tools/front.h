/* tools/front.h: what stands around a VM in the foreground: shared options, signals, terminal, control socket, ledger, exit
 * status.
 * Owns:    nothing that outlives front_run.
 * Threads: main thread; the session is made before, and its threads take no signals.
 * Blocks:  front_run until the VM has ended. */
#pragma once

#include "core/session.h"
#include "tools/cli.h"

struct machine_store;
struct serial_socket;

struct front {
        const char *serial;      /* "stdio", "null", "file=PATH", "unix=PATH" */
        const char *ledger_path; /* "-": a table on standard error; NULL: none */
        const char *qmp_path;    /* NULL: none */
        /* What to do with the session when everything stands and the guest runs next; a failure ends it before that. And when it
         * has ended. Either may be NULL. */
        int (*before)(void *arg, struct session *s, struct err *e);
        void (*after)(void *arg, struct session *s, const struct session_result *result);
        void *hook_arg;
        /* from front_take_name on */
        const char           *name;
        int                   name_fd; /* holds the name; else -1 */
        struct machine_store *store;   /* of the named machine, locked; NULL: no name, or no place to keep machines */
        /* from front_open on */
        int                   qmp_fd;    /* listens at qmp_path; else -1 */
        int                   serial_fd; /* of a file; else -1 */
        struct serial_socket *serial_socket;
};

/* The options that run and restore have in common. */
#define FRONT_OPTIONS                                                                            \
        {"name", required_argument, NULL, 'n'}, {"qmp", required_argument, NULL, 'q'},           \
        {"serial", required_argument, NULL, 's'}, {"paused", no_argument, NULL, 'p'},            \
        {"until", required_argument, NULL, 'u'}, {"mark", required_argument, NULL, 'k'},         \
        {"memory-backing", required_argument, NULL, 'g'}, {"timeout", required_argument, NULL, 't'}, \
        {"ledger", required_argument, NULL, 'l'}, {"t0-ns", required_argument, NULL, '0'}

#define FRONT_HELP                                                                                  \
        "  --name NAME           other rouse verbs find the VM by this name\n"                      \
        "  --qmp unix=PATH       answer QMP, as StratoVirt and QEMU do, on a socket at PATH\n"               \
        "  --serial stdio|null|file=PATH|unix=PATH\n"                                             \
        "                        where the guest's serial port goes (default stdio). file: appended; unix: a socket for\n" \
        "                        one client at a time; the newest 64 KiB wait for one, older output is dropped\n"  \
        "  --memory-backing anon|memfd|hugetlb\n" \
        "                        what guest RAM is made of (default anon). memfd: memory that can be handed to\n" \
        "                        others; hugetlb: such memory in 2 MiB pages of the host's pool (vm.nr_hugepages)\n" \
        "  --paused              set everything up, do not run the guest\n"                         \
        "  --until REGEX         end with exit 0 when a whole serial line matches; stamps T4\n"           \
        "  --mark REGEX          stamp T4 when a whole serial line matches, and go on\n"                  \
        "  --timeout TIME        end with exit 124 after TIME (us, ms, s)\n"                        \
        "  --ledger FILE|-       write the ledger: JSON to FILE, or a table on standard error\n"    \
        "  --t0-ns N             the moment of the request, CLOCK_MONOTONIC, from the launcher\n"

/* What holds without any option. t0_ns: the first instruction of the program. */
void front_defaults(struct front *f, struct session_options *o, uint64_t t0_ns);
/* Takes option c: 1 taken, 0 not one of these, -1 a bad value, reported. */
int front_option(const struct verb *v, int c, const char *value, struct front *f, struct session_options *o);

/* "stdio", "null", "file=PATH" or "unix=PATH". */
bool front_is_serial(const char *word);

/* Takes the VM's name, if it has one, and locks the machine of that name. Before the session is made. front_close gives them
 * back. */
int front_take_name(struct front *f, const struct session_options *o, struct err *e);
/* A machine that has a saved state is not made anew over it: -EEXIST. */
int front_refuse_saved(const struct front *f, const struct session_options *o, struct err *e);

/* Opens what must be there before the session: where the serial port goes, and the QMP socket, so that who connects early is
 * answered before the guest runs. front_run closes it; front_close where there is no session. */
int  front_open(struct front *f, struct session_options *o, struct err *e);
void front_close(struct front *f);

/* Runs the session to its end and frees it; returns the exit status. */
int front_run(struct session *s, struct front *f);
