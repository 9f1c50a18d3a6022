/* One connection, one request, one reply. */
#include "core/control/client.h"

#include "core/base/cleanup.h"
#include "core/control/socket_path.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

int control_connect(const struct sockaddr_un *a, const char *whom, struct err *e)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r;

        if (fd < 0)
                return err_set(e, -errno, "socket: %s", strerror(errno));
        if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
                r = -errno;
                if (r == -ENOENT || r == -ECONNREFUSED)
                        return err_set(e, -ENOENT, "no VM %s is running (looked for %s)", whom, a->sun_path);
                return err_set(e, r, "connect to %s: %s", a->sun_path, strerror(-r));
        }
        return TAKE_FD(fd);
}

int control_send(int fd, struct json_object *request, struct err *e)
{
        const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
        size_t len = strlen(text);
        struct iovec v[2] = {{.iov_base = (void *)(uintptr_t)text, .iov_len = len}, {.iov_base = (char[]){'\n'}, .iov_len = 1}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
        ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);

        if (n != (ssize_t)len + 1)
                return err_set(e, n < 0 ? -errno : -EIO, "send the request: %s", strerror(n < 0 ? errno : EIO));
        return 0;
}

/* Neither a greeting nor an event: those come unasked. */
static bool is_reply(struct json_object *line)
{
        return !json_object_object_get_ex(line, "QMP", NULL) && !json_object_object_get_ex(line, "event", NULL);
}

int control_take_reply(struct json_object *reply, struct json_object **ret, struct err *e)
{
        struct json_object *value, *desc;

        if (json_object_object_get_ex(reply, "return", &value)) {
                *ret = json_object_get(value);
                return 0;
        }
        if (json_object_object_get_ex(reply, "error", &value) && json_object_object_get_ex(value, "desc", &desc))
                return err_set(e, -EIO, "%s", json_object_get_string(desc));
        return err_set(e, -EPROTO, "the VM's answer has neither \"return\" nor \"error\"");
}

static int read_reply(FILE *f, const char *whom, struct json_object **ret, struct err *e)
{
        _cleanup_free_ char *line = NULL;
        size_t cap = 0;

        while (getline(&line, &cap, f) > 0) {
                struct json_object *doc = json_tokener_parse(line);
                int r;

                if (!doc)
                        return err_set(e, -EPROTO, "the VM's answer is no JSON");
                if (!is_reply(doc)) {
                        json_object_put(doc);
                        continue;
                }
                r = control_take_reply(doc, ret, e);
                json_object_put(doc);
                return r;
        }
        return err_set(e, -ECONNRESET, "the VM %s ended before it answered", whom);
}

/* Takes fd, which may be an error already. */
static int ask(int fd, const char *whom, struct json_object *request, struct json_object **ret_reply, struct err *e)
{
        _cleanup_close_ int mine = fd;
        _cleanup_fclose_ FILE *f = NULL;
        int r;

        if (fd < 0)
                return fd;
        r = control_send(fd, request, e);
        if (r < 0)
                return r;
        f = fdopen(fd, "r");
        if (!f)
                return err_set(e, -errno, "fdopen: %s", strerror(errno));
        TAKE_FD(mine);
        return read_reply(f, whom, ret_reply, e);
}

int control_ask(const char *runtime_dir, const char *name, struct json_object *request, struct json_object **ret_reply,
                struct err *e)
{
        struct sockaddr_un a;
        char whom[80];
        int r = control_address(runtime_dir, name, &a, e);

        if (r < 0)
                return r;
        snprintf(whom, sizeof(whom), "named '%s'", name);
        return ask(control_connect(&a, whom, e), whom, request, ret_reply, e);
}

int qmp_ask(const char *path, struct json_object *request, struct json_object **ret_reply, struct err *e)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(a.sun_path))
                return err_usage(e, "%s: expected a path of at most %zu bytes for a socket", path, sizeof(a.sun_path) - 1);
        memcpy(a.sun_path, path, strlen(path));
        return ask(control_connect(&a, "at this socket", e), "at this socket", request, ret_reply, e);
}
