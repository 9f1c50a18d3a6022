/* One connection, one request after the other. */
#include "bench/run/peer_talk.h"

#include "bench/run/peer_connect.h"
#include "bench/run/peer_serial.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define AGAIN_NS    NS_PER_MS        /* "until": between two questions */
#define ANSWER_MAX  (1u << 20)
#define EVENTS_MAX  32
#define EVENT_BYTES 48

struct talk {
        struct peer_talk *t;
        struct guest_run *g;
        struct err       *e;
        int               fd;
        char             *buf; /* read, not yet taken; NUL-terminated */
        size_t            len;
        char              events[EVENTS_MAX][EVENT_BYTES]; /* QMP: seen, waited for by nobody yet */
        size_t            nr_events;
};

/* --- requests --- */

static int http_request(const struct peer_step *s, const char *body, char **ret)
{
        return s->body ? asprintf(ret, "%s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                  s->what, strlen(body), body)
                       : asprintf(ret, "%s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n", s->what);
}

static int prepare_step(struct peer_talk *t, size_t i, const struct peer_vars *vars, struct err *e)
{
        const struct peer_step *s = &t->peer->steps[i];
        struct json_object *body = s->body ? peer_expand_json(vars, s->body, e) : NULL;
        const char *text = body ? json_object_to_json_string_ext(body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : "";
        _cleanup_free_ char *what = peer_expand(vars, s->what, e);
        int n = 0;

        if ((s->body && !body) || !what) {
                json_object_put(body);
                return -EINVAL;
        }
        if (s->kind == PEER_STEP_HTTP)
                n = http_request(&(struct peer_step){.what = what, .body = s->body}, text, &t->requests[i].bytes);
        else if (s->kind == PEER_STEP_QMP && body)
                n = asprintf(&t->requests[i].bytes, "{\"execute\":\"%s\",\"arguments\":%s}\r\n", what, text);
        else if (s->kind == PEER_STEP_QMP)
                n = asprintf(&t->requests[i].bytes, "{\"execute\":\"%s\"}\r\n", what);
        json_object_put(body);
        if (n < 0)
                return err_set(e, -ENOMEM, "no memory");
        t->requests[i].len = (size_t)n;
        return 0;
}

int peer_talk_prepare(struct peer_talk *t, const struct peer *p, const struct peer_vars *vars, struct err *e)
{
        int r = 0;

        *t = (struct peer_talk){.peer = p};
        if (p->nr_steps == 0)
                return 0;
        t->path = peer_expand_path(vars, p->dir, p->api_path, e);
        if (!t->path)
                return -EINVAL;
        for (size_t i = 0; !r && i < p->nr_steps; i++)
                r = prepare_step(t, i, vars, e);
        return r;
}

void peer_talk_free(struct peer_talk *t)
{
        free(t->path);
        for (size_t i = 0; i < PEER_STEPS_MAX; i++)
                free(t->requests[i].bytes);
        *t = (struct peer_talk){0};
}

/* --- bytes --- */

/* Whoever closes in the middle has most likely ended: then that is what is told, with what it said last. */
static int closed(struct talk *k, const char *what)
{
        enum guest_event ev = guest_run_wait(k->g, -1, 0, now_ns() + NS_PER_S);

        return ev != GUEST_LIMIT ? (int)ev : err_set(k->e, -ECONNRESET, "%s: %s: the connection was closed before an answer", k->t->path, what);
}

static int send_all(struct talk *k, const char *what, const char *bytes, size_t len)
{
        while (len) {
                ssize_t n = send(k->fd, bytes, len, MSG_NOSIGNAL);

                if (n < 0 && errno == EAGAIN) {
                        enum guest_event ev = guest_run_wait(k->g, k->fd, POLLOUT, 0);

                        if (ev != GUEST_OTHER)
                                return (int)ev;
                } else if (n < 0 && errno != EINTR) {
                        return closed(k, what);
                } else if (n > 0) {
                        bytes += n;
                        len -= (size_t)n;
                }
        }
        return GUEST_OTHER;
}

static int receive_more(struct talk *k, const char *what)
{
        enum guest_event ev = guest_run_wait(k->g, k->fd, POLLIN, 0);
        ssize_t n;

        if (ev != GUEST_OTHER)
                return (int)ev;
        if (k->len == ANSWER_MAX)
                return err_set(k->e, -EMSGSIZE, "%s: %s: an answer of more than %u bytes", k->t->path, what, ANSWER_MAX);
        n = recv(k->fd, k->buf + k->len, ANSWER_MAX - k->len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                return closed(k, what);
        k->len += n > 0 ? (size_t)n : 0;
        k->buf[k->len] = 0;
        return GUEST_OTHER;
}

static void take_off(struct talk *k, size_t n)
{
        memmove(k->buf, k->buf + n, k->len - n + 1);
        k->len -= n;
}

/* --- HTTP --- */

/* The value of Content-Length in the head that ends at end; 0 where there is none. */
static size_t content_length(const char *head, const char *end)
{
        static const char key[] = "content-length:";

        for (const char *line = head; line && line < end; line = strstr(line, "\r\n"), line = line ? line + 2 : NULL)
                if (strncasecmp(line, key, sizeof(key) - 1) == 0)
                        return strtoul(line + sizeof(key) - 1, NULL, 10);
        return 0;
}

static int check_status(struct talk *k, const struct peer_step *s, int status, const char *body, size_t len)
{
        char said[400];
        size_t n = 0;

        if (s->status ? status == s->status : status >= 200 && status < 300)
                return GUEST_OTHER;
        for (; n < len && n < sizeof(said) - 1; n++)
                said[n] = isprint((unsigned char)body[n]) ? body[n] : ' ';
        said[n] = 0;
        return err_set(k->e, -EPROTO, "%s: HTTP status %d%s%s", s->what, status, n ? ": " : "", said);
}

static int http_answer(struct talk *k, const struct peer_step *s, struct json_object **ret)
{
        const char *end;
        size_t head, body;
        int r = GUEST_OTHER;

        while (r == GUEST_OTHER && !(end = strstr(k->buf, "\r\n\r\n")))
                r = receive_more(k, s->what);
        if (r != GUEST_OTHER)
                return r;
        if (strncmp(k->buf, "HTTP/1.", 7) != 0 || strlen(k->buf) < 12)
                return err_set(k->e, -EPROTO, "%s: %s: expected an answer in HTTP/1.1, found '%.40s'", k->t->path, s->what,
                               k->buf);
        head = (size_t)(end - k->buf) + 4;
        body = content_length(k->buf, end);
        if (body > ANSWER_MAX - head)
                return err_set(k->e, -EMSGSIZE, "%s: %s: an answer of %zu bytes; at most %u are taken", k->t->path, s->what, body,
                               ANSWER_MAX);
        while (r == GUEST_OTHER && k->len < head + body)
                r = receive_more(k, s->what);
        if (r == GUEST_OTHER)
                r = check_status(k, s, atoi(k->buf + 9), k->buf + head, body);
        if (r == GUEST_OTHER && body) {
                char after = k->buf[head + body];

                k->buf[head + body] = 0;
                *ret = json_tokener_parse(k->buf + head);
                k->buf[head + body] = after;
        }
        if (r == GUEST_OTHER)
                take_off(k, head + body);
        return r;
}

/* --- QMP --- */

/* The next object; a line of its own, as QEMU and StratoVirt write it. */
static int qmp_message(struct talk *k, const char *what, struct json_object **ret)
{
        char *end;
        int r = GUEST_OTHER;

        while (r == GUEST_OTHER && !(end = strchr(k->buf, '\n')))
                r = receive_more(k, what);
        if (r != GUEST_OTHER)
                return r;
        *end = 0;
        *ret = json_tokener_parse(k->buf);
        if (!json_object_is_type(*ret, json_type_object)) {
                json_object_put(*ret);
                *ret = NULL;
                return err_set(k->e, -EPROTO, "%s: %s: expected a line of QMP, found '%.80s'", k->t->path, what, k->buf);
        }
        take_off(k, (size_t)(end - k->buf) + 1);
        return GUEST_OTHER;
}

static const char *text_of(struct json_object *o, const char *pointer)
{
        struct json_object *v = NULL;

        return json_pointer_get(o, pointer, &v) == 0 && v ? json_object_get_string(v) : "";
}

static void keep_event(struct talk *k, struct json_object *message)
{
        const char *name = text_of(message, "/event");

        if (name[0] && k->nr_events < EVENTS_MAX)
                snprintf(k->events[k->nr_events++], EVENT_BYTES, "%s", name);
}

static bool take_event(struct talk *k, const char *name)
{
        for (size_t i = 0; i < k->nr_events; i++)
                if (strcmp(k->events[i], name) == 0) {
                        memmove(k->events[i], k->events[i + 1], (--k->nr_events - i) * EVENT_BYTES);
                        return true;
                }
        return false;
}

static int qmp_event(struct talk *k, const struct peer_step *s)
{
        int r = GUEST_OTHER;

        while (r == GUEST_OTHER && !take_event(k, s->what)) {
                struct json_object *message = NULL;

                r = qmp_message(k, s->what, &message);
                keep_event(k, message);
                json_object_put(message);
        }
        return r;
}

static int qmp_answer(struct talk *k, const char *what, struct json_object **ret)
{
        for (;;) {
                struct json_object *message = NULL, *v;
                int r = qmp_message(k, what, &message);

                if (r != GUEST_OTHER)
                        return r;
                if (json_object_object_get_ex(message, "return", &v)) {
                        *ret = json_object_get(v);
                        json_object_put(message);
                        return GUEST_OTHER;
                }
                if (json_object_object_get_ex(message, "error", &v)) {
                        r = err_set(k->e, -EPROTO, "%s: %s: %s", what, text_of(v, "/class"), text_of(v, "/desc"));
                        json_object_put(message);
                        return r;
                }
                keep_event(k, message);
                json_object_put(message);
        }
}

static int qmp_hello(struct talk *k)
{
        static const char request[] = "{\"execute\":\"qmp_capabilities\"}\r\n";
        struct json_object *greeting = NULL, *answer = NULL;
        int r = qmp_message(k, "the greeting", &greeting);

        json_object_put(greeting);
        r = r == GUEST_OTHER ? send_all(k, "qmp_capabilities", request, sizeof(request) - 1) : r;
        r = r == GUEST_OTHER ? qmp_answer(k, "qmp_capabilities", &answer) : r;
        json_object_put(answer);
        return r;
}

/* --- steps --- */

static bool is_there(const struct peer_step *s, struct json_object *answer)
{
        struct json_object *v = NULL;

        return !s->until || (answer && json_pointer_get(answer, s->until, &v) == 0 && json_object_equal(v, s->until_is));
}

static int take_serial(struct talk *k, const struct peer_step *s, struct json_object *answer)
{
        struct json_object *v = NULL;

        if (!s->serial)
                return GUEST_OTHER;
        if (!answer || json_pointer_get(answer, s->serial, &v) != 0 || !json_object_is_type(v, json_type_string))
                return err_set(k->e, -EPROTO,
                               "%s: no string at %s of the answer, where the name of the serial port's pty should be", s->what,
                               s->serial);
        return peer_serial_named(k->g, json_object_get_string(v), k->e) < 0 ? k->e->code : GUEST_OTHER;
}

static int ask(struct talk *k, size_t i, bool *ret_there)
{
        const struct peer_step *s = &k->t->peer->steps[i];
        struct json_object *answer = NULL;
        int r = send_all(k, s->what, k->t->requests[i].bytes, k->t->requests[i].len);

        if (r == GUEST_OTHER)
                r = s->kind == PEER_STEP_HTTP ? http_answer(k, s, &answer) : qmp_answer(k, s->what, &answer);
        *ret_there = is_there(s, answer);
        if (r == GUEST_OTHER && *ret_there)
                r = take_serial(k, s, answer);
        json_object_put(answer);
        return r;
}

static int run_step(struct talk *k, size_t i)
{
        const struct peer_step *s = &k->t->peer->steps[i];
        bool there = false;

        if (s->kind == PEER_STEP_EVENT)
                return qmp_event(k, s);
        if (s->t0)
                guest_run_t0(k->g);
        for (;;) {
                int r = ask(k, i, &there);

                if (r != GUEST_OTHER || there)
                        return r;
                r = (int)guest_run_wait(k->g, -1, 0, now_ns() + AGAIN_NS);
                if (r != GUEST_LIMIT)
                        return r;
        }
}

int peer_talk_run(struct peer_talk *t, struct guest_run *g, struct err *e)
{
        struct talk k = {.t = t, .g = g, .e = e, .fd = -1};
        int r;

        if (!t->path)
                return GUEST_OTHER;
        k.buf = calloc(1, ANSWER_MAX + 1);
        if (!k.buf)
                return err_set(e, -ENOMEM, "no memory");
        r = peer_connect(g, t->path, &k.fd, e);
        if (r == GUEST_OTHER && t->peer->api == PEER_QMP)
                r = qmp_hello(&k);
        for (size_t i = 0; r == GUEST_OTHER && i < t->peer->nr_steps; i++)
                r = run_step(&k, i);
        cleanup_close(&k.fd);
        free(k.buf);
        return r;
}
