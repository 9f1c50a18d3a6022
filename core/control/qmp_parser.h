/* core/control/qmp_parser.h: bytes in, QMP requests out. No line framing: a request ends with its closing brace, however many
 * packets it came in, and the next one may follow at once.
 * Owns:    what has come of a request, QMP_REQUEST_MAX bytes at most.
 * Threads: one at a time.
 * Blocks:  never.
 *
 * Garbage is one error, not one a byte: what cannot become a request any more is skipped up to the next newline, as QEMU does. A
 * text whose braces match but that is no JSON is an error of its own, and what follows it is read. 'Single quotes' are taken, as
 * QEMU takes them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct json_object;
struct qmp_parser;

#define QMP_REQUEST_MAX (64 * 1024)
#define QMP_DEPTH_MAX   32

struct qmp_request {
        struct json_object *doc;     /* owns what stands below; NULL: it was no JSON */
        const char         *execute; /* NULL: cannot be carried out, error says why */
        struct json_object *arguments; /* an object, or NULL: none */
        struct json_object *bad_arguments; /* there are some, but they are no object */
        struct json_object *id; /* of any type; null is NULL */
        bool                has_id;
        char                error[192];
};

/* 0 or -ENOMEM. */
int  qmp_parser_new(struct qmp_parser **ret);
void qmp_parser_free(struct qmp_parser *p); /* accepts NULL */

/* Takes bytes up to the end of one request or error and returns how many; *ret_complete says whether there is one in *ret. */
size_t qmp_parser_take(struct qmp_parser *p, const char *bytes, size_t len_bytes, struct qmp_request *ret, bool *ret_complete);
void   qmp_request_free(struct qmp_request *rq);

/* At most max_bytes of text, cut between characters: for a message that names what a client sent. */
int qmp_clip(const char *text, int max_bytes);
