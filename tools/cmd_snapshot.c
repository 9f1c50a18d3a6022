/* rouse snapshot: asks a running VM to save itself. */
#include "tools/cli.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/client.h"
#include "tools/pack_option.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

static const struct option options[] = {
        {"qmp", required_argument, NULL, 'q'},
        {"format", required_argument, NULL, 'F'},
        {"base", required_argument, NULL, 'b'},
        {"then", required_argument, NULL, 't'},
        {"replace", no_argument, NULL, 'r'},
        {"ledger", required_argument, NULL, 'l'},
        PACK_OPTIONS,
        CLI_LAST_OPTIONS,
};

/* What the command line asks for. */
struct wish {
        const char *name, *qmp_path; /* one of them */
        const char *dir, *base, *format, *then, *ledger;
        bool replace;
        struct pack_option pack;
};

/* The VM has another working directory: it gets an absolute path. The last part need not exist yet. */
static char *absolute(const char *path, struct err *e)
{
        _cleanup_free_ char *cwd = NULL;
        char *ret = NULL;

        if (path[0] == '/')
                return strdup(path);
        cwd = getcwd(NULL, 0);
        if (!cwd || asprintf(&ret, "%s/%s", cwd, path) < 0) {
                err_set(e, -errno, "working directory: %s", strerror(errno));
                return NULL;
        }
        return ret;
}

static struct json_object *make_request(const struct wish *w, const char *dir, const char *base)
{
        struct json_object *request = json_object_new_object(), *args = json_object_new_object();

        json_object_object_add(args, "dir", json_object_new_string(dir));
        if (base)
                json_object_object_add(args, "base", json_object_new_string(base));
        json_object_object_add(args, "format", json_object_new_string(w->format));
        json_object_object_add(args, "then", json_object_new_string(w->then));
        json_object_object_add(args, "replace", json_object_new_boolean(w->replace));
        if (w->pack.lz4) {
                json_object_object_add(args, "pack", json_object_new_string("lz4"));
                json_object_object_add(args, "pack-level", json_object_new_int(w->pack.level));
        }
        json_object_object_add(request, "execute", json_object_new_string(w->qmp_path ? "x-rouse-snapshot" : "snapshot"));
        json_object_object_add(request, "arguments", args);
        return request;
}

static uint64_t number(struct json_object *o, const char *key)
{
        struct json_object *v;

        return json_object_object_get_ex(o, key, &v) ? json_object_get_uint64(v) : 0;
}

static double mib(struct json_object *reply, const char *key)
{
        return (double)number(reply, key) / (double)MIB;
}

static void print_ledger(FILE *to, struct json_object *reply)
{
        fprintf(to, "pause %.2f ms, total %.2f ms, data %.1f MiB (%.1f MiB stored), zero %.1f MiB",
                (double)number(reply, "pause_us") / 1000,
                (double)number(reply, "total_us") / 1000, mib(reply, "data_bytes"), mib(reply, "stored_bytes"),
                mib(reply, "zero_bytes"));
        if (json_object_object_get_ex(reply, "parent_bytes", NULL))
                fprintf(to, ", the base's %.1f MiB (never fetched %.1f, not written %.1f, the same of %.1f compared %.1f)",
                        mib(reply, "parent_bytes"),
                        mib(reply, "unfetched_bytes"), mib(reply, "clean_bytes"), mib(reply, "compared_bytes"),
                        mib(reply, "same_bytes"));
        fprintf(to, "\n");
}

static int write_ledger(struct json_object *reply, const char *path, struct err *e)
{
        if (strcmp(path, "-") == 0)
                print_ledger(stderr, reply);
        else if (json_object_to_file_ext(path, reply, JSON_C_TO_STRING_PRETTY) < 0)
                return err_set(e, -EIO, "write ledger %s: %s", path, json_util_get_last_err());
        return 0;
}

/* Either has a name or a QMP socket. */
static int ask(const struct wish *w, struct err *e)
{
        _cleanup_free_ char *path = absolute(w->dir, e);
        _cleanup_free_ char *base = path && w->base ? absolute(w->base, e) : NULL;
        struct json_object *request, *reply = NULL;
        char runtime_dir[4096];
        int r;

        if (!path || (w->base && !base))
                return e->code;
        if (!cli_runtime_dir(runtime_dir, sizeof(runtime_dir)))
                return err_set(e, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
        request = make_request(w, path, base);
        r = w->qmp_path ? qmp_ask(w->qmp_path, request, &reply, e) : control_ask(runtime_dir, w->name, request, &reply, e);
        json_object_put(request);
        if (r >= 0 && w->ledger)
                r = write_ledger(reply, w->ledger, e);
        json_object_put(reply);
        return r;
}

static bool is_one_of(const char *word, const char *const *words)
{
        while (*words && strcmp(*words, word))
                words++;
        return *words;
}

static int check_words(const struct wish *w, const char *qmp, int nr_words)
{
        static const char *const thens[] = {"resume", "pause", "quit", NULL}, *const formats[] = {"native", "stratovirt", NULL};

        if (!is_one_of(w->then, thens))
                return cli_usage("snapshot", "--then: expected resume, pause or quit, found '%s'", w->then);
        if (!is_one_of(w->format, formats))
                return cli_usage("snapshot", "--format: expected native or stratovirt, found '%s'", w->format);
        if (w->base && strcmp(w->format, "native") != 0)
                return cli_usage("snapshot", "--base: a snapshot of format %s cannot refer to another; use --format native",
                                 w->format);
        if (qmp && (strncmp(qmp, "unix=", 5) || !qmp[5]))
                return cli_usage("snapshot", "--qmp: expected unix=PATH, found '%s'", qmp);
        if (nr_words != (qmp ? 1 : 2))
                return cli_usage("snapshot", "expected %s, found %d words",
                                 qmp ? "DIR, as the VM is found by --qmp" : "NAME and DIR", nr_words);
        return pack_option_check(&verb_snapshot, &w->pack);
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct wish w = {.format = "native", .then = "resume", .pack = PACK_OPTION_DEFAULT};
        const char *qmp = NULL;
        struct err err = {0};
        int c, status;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_snapshot, argc, argv, options)) != -1) {
                if (c == '?' || pack_option(&verb_snapshot, c, optarg, &w.pack) < 0)
                        return EXIT_USAGE;
                if (c == 'q')
                        qmp = optarg;
                if (c == 'F')
                        w.format = optarg;
                if (c == 'b')
                        w.base = optarg;
                if (c == 't')
                        w.then = optarg;
                if (c == 'r')
                        w.replace = true;
                if (c == 'l')
                        w.ledger = optarg;
        }
        status = check_words(&w, qmp, argc - optind);
        if (status != EXIT_OK)
                return status;
        w.qmp_path = qmp ? qmp + 5 : NULL;
        w.name = qmp ? NULL : argv[optind];
        w.dir = argv[argc - 1];
        return ask(&w, &err) < 0 ? cli_fail(&err) : EXIT_OK;
}

const struct verb verb_snapshot = {
        .name = "snapshot",
        .summary = "save a running VM",
        .help = "usage: rouse snapshot (--qmp unix=PATH | NAME) DIR [OPTIONS]\n\n"
                "Saves the running VM called NAME (run --name, restore --name) into the new directory DIR. DIR is there\n"
                "whole or not at all; when it cannot be written the VM goes on.\n\n"
                "  --qmp unix=PATH            the VM that answers QMP there (run --qmp, restore --qmp), instead of NAME\n"
                "  --format NAME              native (default), or stratovirt: what StratoVirt 2.5 restores\n"
                "  --base BASE                save only what is not as the snapshot BASE has it, and refer to BASE for the "
                "rest: DIR\n                             needs it from then on. Cheap where the VM was restored from BASE, or "
                "saved as BASE:\n                             pages that were never fetched stay absent, and with restore "
                "--track-dirty none is\n                             compared. The ledger says how many were\n"
                "  --then resume|pause|quit   what the VM does afterwards (default resume)\n"
                "  --replace                  exchange a snapshot that is there already\n"
                PACK_HELP
                "  --ledger FILE|-            pause and total time, bytes: JSON to FILE, or a line on standard error\n\n"
                "examples: rouse snapshot web /srv/snapshots/web --then quit\n"
                "          rouse snapshot web /srv/snapshots/web-2 --base /srv/snapshots/web\n",
        .run = run,
};
