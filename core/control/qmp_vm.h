/* core/control/qmp_vm.h: what QMP commands act on, and what they answer. Between the server, which knows clients, and the
 * commands, which do not.
 * Owns:    nothing; an answer's value belongs to the caller.
 * Threads: session thread.
 * Blocks:  as long as a command takes. */
#pragma once

#include "core/session.h"

#include <json-c/json.h>

/* In the order of StratoVirt's own. */
enum migration {
        MIGRATION_NONE,
        MIGRATION_SETUP,
        MIGRATION_ACTIVE,
        MIGRATION_COMPLETED,
        MIGRATION_FAILED,
        MIGRATION_CANCELED,
};

struct qmp_vm {
        struct session *session;
        enum migration  migration;
        bool            saving;    /* the session thread is inside session_save: whoever asks now is served from there */
        bool            cancelled; /* the save is to be given up */
        enum { THEN_AS_BEFORE, THEN_STOP, THEN_CONT } then; /* said while saving, for afterwards */
        const char *end_reason; /* of the SHUTDOWN event; NULL: as the session says */
        void       *server;
        bool (*serve_others)(void *server); /* while saving; true: the save is to be given up */
        void (*say_event)(void *server, const char *name);
};

struct qmp_answer {
        struct json_object *value; /* NULL: {} */
        const char         *error_class; /* NULL: GenericError */
        struct err          err;
};

/* Checks arguments and carries the command out: 0, or -errno with error_class and err set. */
int qmp_execute(struct qmp_vm *vm, const char *name, struct json_object *arguments, struct json_object *bad_arguments,
                struct qmp_answer *a);

/* --- qmp_migrate.c --- */

/* As query-migrate says it. */
const char *migration_name(enum migration m);
/* "file:DIR[,mapped=true|false]": the directory, which the caller frees. */
int migration_parse_uri(const char *uri, char **ret_dir, struct err *e);

/* The commands migrate and x-rouse-snapshot: return when the snapshot is written; 0, or -errno with a->err set. */
int qmp_migrate(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a);
int qmp_snapshot(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a);
