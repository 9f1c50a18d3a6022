/* bench/run/guest_run.h: one run of a VMM, watched from outside: when the first byte and the marked line come out of its serial
 * port, what its process tree holds, and what it has cost. The same code for every arm, so that they can be compared.
 * Owns:    the process group and the descriptor of the serial port, until guest_run_end.
 * Threads: one.
 * Blocks:  guest_run_wait until what it waits for; guest_run_end until every process of the tree has ended and been reaped.
 *
 *     struct guest_run g;
 *     guest_run_init(&g, q);
 *     g.helpers, g.stdio_fd, g.awaits_t0                            peers may have those
 *     guest_run_start(&g, argv, env, GUEST_SERIAL_STDOUT, &e);      T0, then posix_spawn
 *     guest_run_wait(&g, api_fd, POLLIN, limit)                     as often as there is something to tell the VMM
 *     guest_run_wait(&g, -1, 0, 0)                                  to the end: GUEST_DONE
 *     guest_run_end(&g, ret)                                        SIGTERM, then SIGKILL; CPU time and faults of all that was reaped */
#pragma once

#include "bench/run/arm.h"

#include <regex.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Ctrl-C: INT, TERM and HUP are blocked and come by this descriptor. */
struct guest_stop {
        int fd;     /* signalfd; -1: nobody can stop it */
        int signal; /* that came; 0: none */
};
int  guest_stop_open(struct guest_stop *s, struct err *e);
void guest_stop_close(struct guest_stop *s);
/* Has one come? Does not wait. */
bool guest_stop_asked(struct guest_stop *s);

struct guest_run {
        const struct arm_request *q;
        uint64_t                  t0_ns, t3_ns, t4_ns; /* CLOCK_MONOTONIC; 0: not yet */
        pid_t                     pid;       /* leads its process group; 0: none runs */
        int                       status;    /* of waitpid, when it has ended */
        int                       serial_fd; /* -1: not connected yet; guest_run_wait reads it */
        int                       stderr_fd; /* a file, for the last line of what the program said */
        int                       stdio_fd;  /* borrowed; the program's standard input and output; -1: /dev/null, and as guest_run_start has it */
        const pid_t              *helpers;   /* started by the caller before: they count as the tree's, and end with it */
        size_t                    nr_helpers;
        bool                      awaits_t0; /* guest_run_t0 has yet to come: what the serial port says until then is nobody's answer */
        bool                      talks;     /* answers are awaited: what the serial port says meanwhile, maybe a refusal, ends no run */
        bool                      serial_ended;
        bool                      has_mark;
        regex_t                   mark;
        char                      line[4097];
        size_t                    line_len;
        struct rusage             before;
        uint64_t                  next_level_ns; /* timeline runs */
        struct metric_values      seen;
};

enum guest_serial { GUEST_SERIAL_STDOUT, GUEST_SERIAL_ELSEWHERE };

/* q is borrowed. 0, or -EINVAL: --mark is no regular expression. */
int guest_run_init(struct guest_run *g, const struct arm_request *q, struct err *e);

/* T0, then the program as the leader of a process group, standard input /dev/null, standard error to a file of its own.
 * GUEST_SERIAL_STDOUT: its standard output is the guest's serial port; ELSEWHERE: to the same file, and the caller sets serial_fd
 * when it has it. argv may point into a buffer that t0_text, if not NULL, is part of: it gets T0 as decimal digits (32 bytes).
 * env NULL: as ours. */
int guest_run_start(struct guest_run *g, const char *const *argv, char **env, enum guest_serial serial, char *t0_text,
                    struct err *e);

/* T0 is now, not when the program was started. */
void guest_run_t0(struct guest_run *g);

enum guest_event {
        GUEST_DONE,    /* T3, T4 where there is a mark, and the time to settle have passed */
        GUEST_OTHER,   /* other_fd is ready */
        GUEST_LIMIT,   /* limit_ns has passed; the program still runs */
        GUEST_ENDED,   /* the program ended before it was done */
        GUEST_TIMEOUT, /* the request's */
        GUEST_STOPPED, /* Ctrl-C */
};
/* other_fd -1: none. limit_ns: CLOCK_MONOTONIC, 0: none. */
enum guest_event guest_run_wait(struct guest_run *g, int other_fd, short other_events, uint64_t limit_ns);
/* What to say of the events that are failures; returns -errno. Adds the last lines of the program's standard error. */
#define GUEST_LAST_LINES 3
int guest_run_explain(struct guest_run *g, enum guest_event ev, const char *arm, struct err *e);

/* Looks at the tree once more if all is well (done), ends it, reaps it, and gives what was seen from outside. Call it whatever
 * happened before; after a guest_run_init that failed, too. */
void guest_run_end(struct guest_run *g, bool done, struct metric_values *ret);
