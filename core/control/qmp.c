/* Greets, reads requests, sends replies in order, and events behind them. */
#include "core/control/qmp.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/control/clients.h"
#include "core/control/json_text.h"
#include "core/control/qmp_parser.h"
#include "core/control/qmp_vm.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define EVENTS_MAX       50          /* as StratoVirt's queue */
#define WAITING_BYTES_MAX (64 * KIB) /* requests of a client whose command still runs */
#define JSON_FLAGS       (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

struct qmp_server {
        struct clients    *clients;
        struct qmp_vm      vm;
        struct qmp_client *saver;   /* whose command it is that saves */
        unsigned int       running; /* commands: another client's may run inside of one that saves */
        size_t             nr_events;
        struct json_object *events[EVENTS_MAX]; /* behind the reply of the command that runs */
};

struct qmp_client {
        struct qmp_server  *server;
        struct client      *client;
        struct qmp_parser  *parser;
        bool                busy; /* a command of his runs: what comes now waits */
        size_t              waiting_bytes;
        size_t              first, nr, room; /* [first, nr) wait to be carried out */
        struct qmp_request *requests;
};

/* --- events --- */

static struct json_object *make_event(const char *name, struct json_object *data)
{
        struct json_object *event = json_object_new_object(), *stamp = json_object_new_object();
        uint64_t ns = clock_read_ns(CLOCK_REALTIME);

        json_add_u64(stamp, "seconds", ns / NS_PER_S);
        json_add_u64(stamp, "microseconds", ns % NS_PER_S / NS_PER_US);
        json_add_str(event, "event", name);
        json_object_object_add(event, "data", data ? data : json_object_new_object());
        json_object_object_add(event, "timestamp", stamp);
        return event;
}

static void flush_events(struct qmp_server *srv)
{
        for (size_t i = 0; i < srv->nr_events; i++) {
                clients_send_all(srv->clients, json_object_to_json_string_ext(srv->events[i], JSON_FLAGS));
                json_object_put(srv->events[i]);
        }
        srv->nr_events = 0;
}

/* Takes the event. */
static void put_event(struct qmp_server *srv, struct json_object *event)
{
        if (srv->nr_events < EVENTS_MAX)
                srv->events[srv->nr_events++] = event;
        else
                json_object_put(event);
        if (!srv->running)
                flush_events(srv);
}

static void say_event(void *server, const char *name)
{
        put_event(server, make_event(name, NULL));
}

static struct json_object *make_shutdown(const struct qmp_vm *vm)
{
        struct json_object *data = json_object_new_object();
        const char *reason = vm->end_reason;
        bool guest = false;

        switch (session_why(vm->session)) {
        case SESSION_GUEST_OFF:
                guest = true;
                reason = "guest-shutdown";
                break;
        case SESSION_LOST:
        case SESSION_ERROR:
                reason = "host-error";
                break;
        case SESSION_SIGNAL:
        case SESSION_TIMEOUT:
        case SESSION_UNTIL:
                reason = "host-signal";
                break;
        case SESSION_NONE:
        case SESSION_QUIT: /* by whatever door */
                break;
        }
        json_object_object_add(data, "guest", json_object_new_boolean(guest));
        json_add_str(data, "reason", reason ? reason : "host-qmp-quit");
        return data;
}

static void on_changed(void *arg, enum session_change what)
{
        struct qmp_server *srv = arg;

        switch (what) {
        case SESSION_STOPPED:
                say_event(srv, "STOP");
                break;
        case SESSION_RESUMED:
                say_event(srv, "RESUME");
                break;
        case SESSION_SHUTDOWN:
                put_event(srv, make_event("SHUTDOWN", make_shutdown(&srv->vm)));
                break;
        }
}

/* --- requests and replies --- */

static struct json_object *make_error(const char *class, const char *desc)
{
        struct json_object *error = json_object_new_object();

        json_add_str(error, "class", class ? class : "GenericError");
        json_add_str(error, "desc", desc);
        return error;
}

static struct json_object *make_reply(struct qmp_server *srv, const struct qmp_request *rq)
{
        struct json_object *reply = json_object_new_object();
        struct qmp_answer a = {0};
        int r = -EINVAL;

        if (rq->execute)
                r = qmp_execute(&srv->vm, rq->execute, rq->arguments, rq->bad_arguments, &a);
        if (r >= 0) {
                json_object_object_add(reply, "return", a.value ? a.value : json_object_new_object());
        } else {
                json_object_put(a.value);
                json_object_object_add(reply, "error", make_error(a.error_class, rq->execute ? a.err.text : rq->error));
        }
        if (rq->has_id)
                json_object_object_add(reply, "id", json_object_get(rq->id));
        return reply;
}

static void carry_out(struct qmp_client *c, const struct qmp_request *rq)
{
        struct qmp_server *srv = c->server;
        bool outermost = srv->running++ == 0;
        struct json_object *reply;

        c->busy = true;
        if (outermost)
                srv->saver = c;
        reply = make_reply(srv, rq);
        client_send(c->client, json_object_to_json_string_ext(reply, JSON_FLAGS));
        json_object_put(reply);
        c->busy = false;
        srv->running--;
        if (outermost) {
                srv->saver = NULL;
                flush_events(srv);
        }
}

/* In order, one after the other. More may come in meanwhile. */
static void carry_out_all(struct qmp_client *c)
{
        while (c->first < c->nr) {
                struct qmp_request rq = c->requests[c->first++];

                carry_out(c, &rq);
                qmp_request_free(&rq);
        }
        c->first = c->nr = 0;
        c->waiting_bytes = 0;
}

static bool add_request(struct qmp_client *c, struct qmp_request *rq)
{
        size_t room = c->room ? 2 * c->room : 8;
        struct qmp_request *bigger = c->nr < c->room ? c->requests : reallocarray(c->requests, room, sizeof(*bigger));

        if (!bigger) {
                qmp_request_free(rq);
                return false;
        }
        c->room = c->nr < c->room ? c->room : room;
        c->requests = bigger;
        c->requests[c->nr++] = *rq;
        return true;
}

static bool is_for_now(const struct qmp_request *rq)
{
        return rq->execute && strcmp(rq->execute, "migrate_cancel") == 0;
}

/* From inside of session_save. True: the save is to be given up. */
static bool serve_others(void *server)
{
        struct qmp_server *srv = server;
        struct qmp_client *c = srv->saver;
        bool cancel = false;

        clients_serve(srv->clients);
        for (size_t i = c ? c->first : 0; c && i < c->nr; i++)
                cancel |= is_for_now(&c->requests[i]);
        return cancel;
}

/* --- clients --- */

static bool on_received(void *state, const char *bytes, size_t len_bytes)
{
        struct qmp_client *c = state;
        struct qmp_request rq;
        bool complete;

        c->waiting_bytes += len_bytes;
        if (c->busy && c->waiting_bytes > WAITING_BYTES_MAX)
                return false;
        while (len_bytes > 0) {
                size_t n = qmp_parser_take(c->parser, bytes, len_bytes, &rq, &complete);

                bytes += n;
                len_bytes -= n;
                if (complete && !add_request(c, &rq))
                        return false;
        }
        if (!c->busy)
                carry_out_all(c);
        return true;
}

static void on_left(void *state)
{
        struct qmp_client *c = state;

        for (size_t i = c->first; i < c->nr; i++)
                qmp_request_free(&c->requests[i]);
        free(c->requests);
        qmp_parser_free(c->parser);
        free(c);
}

static void *on_joined(void *arg, struct client *client)
{
        static const char greeting[] = "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":1,\"minor\":0,\"major\":5},\"package\":\"rouse-" ROUSE_VERSION
                                       "\"},\"capabilities\":[]}}";
        struct qmp_client *c = calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        *c = (struct qmp_client){.server = arg, .client = client};
        if (qmp_parser_new(&c->parser) < 0) {
                free(c);
                return NULL;
        }
        client_send(client, greeting);
        return c;
}

static const struct clients_ops qmp_clients = {
        .eol = "\r\n",
        .full = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"8 clients are connected already\"}}",
        .joined = on_joined,
        .received = on_received,
        .left = on_left,
};

int qmp_server_new(struct session *s, int listen_fd, struct qmp_server **ret, struct err *e)
{
        struct qmp_server *srv = calloc(1, sizeof(*srv));
        int r = srv ? clients_new(s, listen_fd, &qmp_clients, srv, &srv->clients) : -ENOMEM;

        if (r < 0) {
                free(srv);
                return err_set(e, r, "QMP socket: %s", strerror(-r));
        }
        srv->vm = (struct qmp_vm){
                .session      = s,
                .migration    = session_is_restored(s) ? MIGRATION_COMPLETED : MIGRATION_SETUP,
                .server       = srv,
                .serve_others = serve_others,
                .say_event    = say_event,
        };
        session_observe(s, on_changed, srv);
        *ret = srv;
        return 0;
}

void qmp_server_serve(struct qmp_server *srv)
{
        clients_serve(srv->clients);
}

void qmp_server_free(struct qmp_server *srv)
{
        if (!srv)
                return;
        session_observe(srv->vm.session, NULL, NULL);
        clients_free(srv->clients);
        free(srv);
}
