/* bench/run/peer_file.h: a peer file: how another VMM wakes a snapshot, as rouse-bench(1) and bench/peers/README.md tell it. Read
 * strictly: a key that is none, a value of another type, a {name} that is none: refused, with the place.
 * Owns:    the document, which most fields point into; peer_free.
 * Threads: one.
 * Blocks:  on the file. */
#pragma once

#include "bench/run/peer_vars.h"

#include <limits.h>
#include <stdint.h>

struct json_object;

#define PEER_STEPS_MAX   32
#define PEER_HELPERS_MAX 8
#define PEER_FILE_MAX    (256 << 10)

enum peer_serial {
        PEER_SERIAL_STDOUT,
        PEER_SERIAL_PTY,          /* we make it; {serial} is its name */
        PEER_SERIAL_STDIO_PTY,    /* we make it; the program has it as standard input and output */
        PEER_SERIAL_PRINTED_PTY,  /* the program prints its name */
        PEER_SERIAL_ANSWERED_PTY, /* an answer has its name */
        PEER_SERIAL_FILE,         /* {serial}: a FIFO that we make, so that a byte is seen when it is written */
        PEER_SERIAL_CONNECT,      /* {serial}: a unix socket that the program listens at */
        PEER_SERIAL_LISTEN,       /* {serial}: a unix socket that the program connects to */
};

enum peer_api { PEER_NO_API, PEER_HTTP, PEER_QMP };

enum peer_step_kind { PEER_STEP_HTTP, PEER_STEP_QMP, PEER_STEP_EVENT };

struct peer_step {
        enum peer_step_kind kind;
        const char         *what;    /* "PUT /snapshot/load", a QMP command, the name of an event */
        struct json_object *body;    /* to be expanded; NULL: none */
        int                 status;  /* that HTTP must answer; 0: any 2xx */
        bool                t0;      /* T0 is the moment before this one is sent */
        const char         *serial;  /* JSON pointer: the pty's name in the answer; NULL: not this step */
        const char         *until;   /* JSON pointer: asked again until that place of the answer is until_is; NULL: once */
        struct json_object *until_is;
};

struct peer_helper {
        struct json_object *argv;
        const char         *ready; /* a path that appears when it is; NULL: at once */
};

struct peer {
        struct json_object *doc;
        char                dir[PATH_MAX]; /* of the file: what relative paths are relative to */
        const char         *name, *what;
        struct json_object *vars;          /* name to value; NULL: none */
        struct peer_vars    given;         /* instead of the file's */
        char               *other_name;    /* the same for name; NULL: none was given */
        struct json_object *files, *prepare, *before, *argv, *env, *after; /* arrays and an object of strings to be expanded; NULL: none */
        struct peer_helper  helpers[PEER_HELPERS_MAX];
        size_t              nr_helpers;
        enum peer_serial    serial;
        const char         *serial_path, *serial_pattern;
        enum peer_api       api;
        const char         *api_path;
        struct peer_step    steps[PEER_STEPS_MAX];
        size_t              nr_steps;
        bool                t0_is_step;    /* else T0 is the moment before the program is started */
        uint64_t            timeout_ns;    /* 0: the bench's */
};

/* spec: FILE[,NAME=VALUE...]. A value that names a file which is there becomes absolute. 0, or -errno, kind ERR_USAGE; *ret is
 * freed already then. */
int  peer_load(struct peer *ret, const char *spec, struct err *e);
void peer_free(struct peer *p);

/* What a run knows. */
struct peer_places {
        const char *snapshot, *rouse;
        const char *work;    /* a directory that stays from the first run to the last */
        const char *scratch; /* one that is new for each run */
        const char *serial;
};
/* All variables of a run: the built-in ones, then the file's, each of which may use those before it. */
int peer_vars_fill(const struct peer *p, const struct peer_places *at, struct peer_vars *ret, struct err *e);
