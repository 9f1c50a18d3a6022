/* tests/support/qmp.h: a QMP client as simple as they come: a socket, lines in, lines out.
 * Owns:    qmp_close closes the socket.
 * Threads: one at a time.
 * Blocks:  up to QMP_PATIENCE_MS, then the test fails.  */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define QMP_PATIENCE_MS 20000

struct qmp {
        int    fd;
        size_t len;
        char   buf[65536];  /* read, not yet taken */
        char   line[65536]; /* the last one, without its end */
};

/* Waits until there is a socket, connects, and takes the greeting. */
void qmp_open(struct qmp *q, const char *path);
/* Without waiting for the greeting. */
void qmp_connect(struct qmp *q, const char *path);
void qmp_close(struct qmp *q);

void qmp_send(const struct qmp *q, const char *text);
void qmp_send_bytes(const struct qmp *q, const void *bytes, size_t len);
/* The next line, reply or event. */
const char *qmp_line(struct qmp *q);
/* True when the other side has hung up. */
bool qmp_is_over(struct qmp *q);
/* Has a line come within that time? */
bool qmp_has_line(struct qmp *q, int timeout_ms);
/* Sends a request and asserts the next line, whole. */
void qmp_expect(struct qmp *q, const char *request, const char *reply);
/* Asserts that the next line is an event of that name; its data holds `holds`. */
void qmp_expect_event(struct qmp *q, const char *name, const char *holds);
