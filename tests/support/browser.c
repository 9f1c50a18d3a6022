/* A command is a JSON object and a byte of zero; answers carry its id, events none. */
#include "tests/support/browser.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { ANSWER_MS = 60000, MESSAGE_BYTES_MAX = 64 << 20 };

struct browser {
        pid_t         pid;
        int           to_fd, from_fd;
        struct tmpdir profile;
        int64_t       last_id;
        char          session[64];
        bool          loaded;
        char          complaint[600];
        char         *buf; /* bytes that were read and not yet used */
        size_t        nr, room;
};

static void become(int commands, int answers, const char *profile)
{
        char  data_dir[PATH_MAX + 20];
        char *argv[] = {(char *)"chromium", (char *)"--headless=new", (char *)"--no-sandbox", (char *)"--disable-gpu",
                        (char *)"--disable-quic", (char *)"--no-first-run",
                        (char *)"--disable-background-networking", (char *)"--disable-component-update", (char *)"--disable-sync",
                        (char *)"--disable-extensions",
                        (char *)"--disable-dev-shm-usage", (char *)"--hide-scrollbars", (char *)"--remote-debugging-pipe",
                        data_dir, (char *)"about:blank", NULL};
        int   null = open("/dev/null", O_RDWR);

        snprintf(data_dir, sizeof(data_dir), "--user-data-dir=%s", profile);
        setsid(); /* its children end with it */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* out of the way of 3 and 4, which Chromium reads and writes */
        commands = fcntl(commands, F_DUPFD, 10);
        answers = fcntl(answers, F_DUPFD, 10);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        dup2(commands, 3);
        dup2(answers, 4);
        close(commands);
        close(answers);
        setenv("HOME", profile, 1);
        execvp(argv[0], argv);
        _exit(127);
}

static void put(struct json_object **o)
{
        json_object_put(*o);
}
#define _cleanup_json_ _cleanup_(put)

static void complain(struct browser *b, const char *what, const char *text)
{
        if (!b->complaint[0])
                snprintf(b->complaint, sizeof(b->complaint), "%s: %s", what, text);
}

static const char *text_at(struct json_object *o, const char *path)
{
        struct json_object *v = json_at(o, path);

        return v ? json_object_get_string(v) : "";
}

/* A page of a file loads that file, and what stands in it. */
static bool is_from_here(const char *url)
{
        return strncmp(url, "file://", 7) == 0 || strncmp(url, "data:", 5) == 0 || strncmp(url, "about:", 6) == 0;
}

static void take_event(struct browser *b, const char *method, struct json_object *message)
{
        const char *level = text_at(message, "params.entry.level"), *type = text_at(message, "params.type");

        if (strcmp(method, "Page.loadEventFired") == 0)
                b->loaded = true;
        else if (strcmp(method, "Runtime.exceptionThrown") == 0)
                complain(b, "exception", text_at(message, "params.exceptionDetails.text"));
        else if (strcmp(method, "Log.entryAdded") == 0 && (strcmp(level, "error") == 0 || strcmp(level, "warning") == 0))
                complain(b, "log", text_at(message, "params.entry.text"));
        else if (strcmp(method, "Runtime.consoleAPICalled") == 0 && (strcmp(type, "error") == 0 || strcmp(type, "warning") == 0 ||
                                                                     strcmp(type, "assert") == 0))
                complain(b, "console", json_object_to_json_string(json_at(message, "params.args")));
        else if (strcmp(method, "Network.requestWillBeSent") == 0 && !is_from_here(text_at(message, "params.request.url")))
                complain(b, "request", text_at(message, "params.request.url"));
}

static void read_more(struct browser *b, uint64_t until_ns)
{
        struct pollfd p = {.fd = b->from_fd, .events = POLLIN};
        uint64_t      now = now_ns();
        ssize_t       n;

        if (b->room - b->nr < 65536) {
                b->room = b->room * 2 + 131072;
                cr_assert_lt(b->room, MESSAGE_BYTES_MAX);
                b->buf = realloc(b->buf, b->room);
                cr_assert_not_null(b->buf);
        }
        cr_assert(now < until_ns &&
                  poll(&p, 1, (int)((until_ns - now) / NS_PER_MS)) > 0, "chromium did not answer within %d s", ANSWER_MS / 1000);
        n = read(b->from_fd, b->buf + b->nr, b->room - b->nr);
        cr_assert_gt(n, 0, "chromium ended");
        b->nr += (size_t)n;
}

/* The next message, whole. */
static struct json_object *next_message(struct browser *b, uint64_t until_ns)
{
        struct json_object *message;
        char               *end;

        while (b->nr == 0 || !(end = memchr(b->buf, 0, b->nr)))
                read_more(b, until_ns);
        message = json_tokener_parse(b->buf);
        cr_assert_not_null(message, "chromium said no JSON: %.200s", b->buf);
        b->nr -= (size_t)(end + 1 - b->buf);
        memmove(b->buf, end + 1, b->nr);
        return message;
}

/* One message; true when it is the answer to id, which *ret then holds. */
static bool pump(struct browser *b, int64_t id, uint64_t until_ns, struct json_object **ret)
{
        _cleanup_json_ struct json_object *message = next_message(b, until_ns);
        struct json_object                *v;

        if (json_object_object_get_ex(message, "id", &v)) {
                if (json_object_get_int64(v) != id)
                        return false;
                *ret = TAKE_PTR(message);
                return true;
        }
        take_event(b, text_at(message, "method"), message);
        return false;
}

/* The answer's "result"; an error fails the test. Takes params (NULL: none). */
static struct json_object *call(struct browser *b, const char *method, struct json_object *params)
{
        _cleanup_json_ struct json_object *command = json_object_new_object(), *answer = NULL;
        struct json_object                *result;
        const char                        *text;
        uint64_t                           until = now_ns() + ANSWER_MS * NS_PER_MS;

        json_object_object_add(command, "id", json_object_new_int64(++b->last_id));
        json_object_object_add(command, "method", json_object_new_string(method));
        json_object_object_add(command, "params", params ? params : json_object_new_object());
        if (b->session[0])
                json_object_object_add(command, "sessionId", json_object_new_string(b->session));
        text = json_object_to_json_string(command);
        cr_assert_not_null(text);
        cr_assert_eq(write(b->to_fd, text, strlen(text) + 1), (ssize_t)strlen(text) + 1, "chromium takes no commands: %s",
                     strerror(errno));
        while (!pump(b, b->last_id, until, &answer))
                ;
        cr_assert(json_object_object_get_ex(answer, "result", &result), "%s: %s", method, json_object_to_json_string(answer));
        return json_object_get(result);
}

static void do_call(struct browser *b, const char *method, struct json_object *params)
{
        json_object_put(call(b, method, params));
}

static struct json_object *params_of(const char *key, struct json_object *v)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, key, v);
        return o;
}

static void attach(struct browser *b)
{
        _cleanup_json_ struct json_object *target = call(b, "Target.createTarget",
                                                         params_of("url", json_object_new_string("about:blank"))),
                                                         *session = NULL;
        struct json_object                *params = params_of("targetId", json_object_new_string(text_at(target, "targetId")));

        json_object_object_add(params, "flatten", json_object_new_boolean(true));
        session = call(b, "Target.attachToTarget", params);
        snprintf(b->session, sizeof(b->session), "%s", text_at(session, "sessionId"));
        do_call(b, "Page.enable", NULL);
        do_call(b, "Runtime.enable", NULL);
        do_call(b, "Log.enable", NULL);
        do_call(b, "Network.enable", NULL);
}

static bool on_path(const char *program)
{
        const char          *all = getenv("PATH");
        _cleanup_free_ char *path = strdup(all ? all : "/usr/bin:/bin");

        for (char *save = NULL, *dir = strtok_r(path, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
                char name[PATH_MAX];

                snprintf(name, sizeof(name), "%s/%s", dir, program);
                if (access(name, X_OK) == 0)
                        return true;
        }
        return false;
}

struct browser *browser_start(void)
{
        struct browser *b = calloc(1, sizeof(*b));
        int             commands[2], answers[2];

        if (!on_path("chromium"))
                need_lacks("chromium", ENOENT);
        cr_assert_not_null(b);
        b->profile = tmpdir_new();
        cr_assert(pipe2(commands, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0, "pipe: %s", strerror(errno));
        b->pid = fork();
        cr_assert_geq(b->pid, 0);
        if (b->pid == 0)
                become(commands[0], answers[1], b->profile.path);
        close(commands[0]);
        close(answers[1]);
        b->to_fd = commands[1];
        b->from_fd = answers[0];
        attach(b);
        return b;
}

void browser_free(struct browser **p)
{
        struct browser *b = *p;

        if (!b)
                return;
        close(b->to_fd);
        close(b->from_fd);
        kill(-b->pid, SIGKILL);
        waitpid(b->pid, NULL, 0);
        tmpdir_free(&b->profile);
        free(b->buf);
        free(b);
        *p = NULL;
}

static void emulate(struct browser *b, const struct browser_view *view)
{
        struct json_object *size = params_of("width", json_object_new_int(view->width)),
                           *feature = params_of("name", json_object_new_string("prefers-color-scheme")),
                           *features = json_object_new_array();

        json_object_object_add(size, "height", json_object_new_int(view->height));
        json_object_object_add(size, "deviceScaleFactor", json_object_new_int(1));
        json_object_object_add(size, "mobile", json_object_new_boolean(view->phone));
        do_call(b, "Emulation.setDeviceMetricsOverride", size);
        json_object_object_add(feature, "value", json_object_new_string(view->dark ? "dark" : "light"));
        json_object_array_add(features, feature);
        do_call(b, "Emulation.setEmulatedMedia", params_of("features", features));
}

void browser_open(struct browser *b, const char *path, const struct browser_view *view)
{
        char     absolute[PATH_MAX], url[PATH_MAX + 10];
        uint64_t until = now_ns() + ANSWER_MS * NS_PER_MS;

        cr_assert_not_null(realpath(path, absolute), "%s: %s", path, strerror(errno));
        snprintf(url, sizeof(url), "file://%s", absolute);
        emulate(b, view);
        b->loaded = false;
        b->complaint[0] = 0;
        do_call(b, "Page.navigate", params_of("url", json_object_new_string(url)));
        while (!b->loaded) {
                struct json_object *none = NULL;

                pump(b, -1, until, &none);
        }
}

const char *browser_complaint(const struct browser *b)
{
        return b->complaint[0] ? b->complaint : NULL;
}

char *browser_evaluate(struct browser *b, const char *expression)
{
        struct json_object                *params = params_of("expression", json_object_new_string(expression)), *v;
        _cleanup_json_ struct json_object *result = NULL;

        json_object_object_add(params, "returnByValue", json_object_new_boolean(true));
        result = call(b, "Runtime.evaluate", params);
        cr_assert_null(json_at(result, "exceptionDetails"), "%s: %s", expression, json_object_to_json_string(result));
        v = json_at(result, "result.value");
        return strdup(v ? json_object_get_string(v) : "");
}

static unsigned digit(char c)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char       *at = strchr(digits, c);

        return at && c ? (unsigned)(at - digits) : 0;
}

/* Base64, four characters at a time. */
static void write_decoded(FILE *f, const char *s)
{
        for (; s[0] && s[1] && s[2] && s[3]; s += 4) {
                unsigned bits = digit(s[0]) << 18 | digit(s[1]) << 12 | digit(s[2]) << 6 | digit(s[3]);

                fputc((int)(bits >> 16), f);
                if (s[2] != '=')
                        fputc((int)(bits >> 8 & 255), f);
                if (s[3] != '=')
                        fputc((int)(bits & 255), f);
        }
}

void browser_screenshot(struct browser *b, const char *png_path)
{
        _cleanup_json_ struct json_object *shot = call(b, "Page.captureScreenshot",
                                                       params_of("captureBeyondViewport", json_object_new_boolean(true)));
        _cleanup_fclose_ FILE             *f = fopen(png_path, "we");

        cr_assert_not_null(f, "%s: %s", png_path, strerror(errno));
        write_decoded(f, text_at(shot, "data"));
}
