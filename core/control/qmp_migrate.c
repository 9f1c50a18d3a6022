/* migrate and its status machine. The session thread writes the snapshot itself, and serves the other clients from inside of
 * it. */
#include "core/control/commands.h"
#include "core/control/qmp_parser.h"
#include "core/control/qmp_vm.h"

#include "core/base/units.h"

#include <errno.h>
#include <string.h>

const char *migration_name(enum migration m)
{
        static const char *const names[] = {
                [MIGRATION_NONE] = "none",           [MIGRATION_SETUP] = "setup",   [MIGRATION_ACTIVE] = "active",
                [MIGRATION_COMPLETED] = "completed", [MIGRATION_FAILED] = "failed", [MIGRATION_CANCELED] = "canceled",
        };

        return names[m];
}

/* A step that StratoVirt's status machine does not know is refused. */
static int migration_move(enum migration *m, enum migration to, struct err *e)
{
        static const uint8_t may[] = { /* a bit each for where it may go */
                [MIGRATION_NONE] = 1 << MIGRATION_SETUP,
                [MIGRATION_SETUP] = 1 << MIGRATION_ACTIVE | 1 << MIGRATION_FAILED | 1 << MIGRATION_CANCELED,
                [MIGRATION_ACTIVE] = 1 << MIGRATION_COMPLETED | 1 << MIGRATION_FAILED | 1 << MIGRATION_CANCELED,
                [MIGRATION_COMPLETED] = 1 << MIGRATION_ACTIVE,
                [MIGRATION_FAILED] = 1 << MIGRATION_SETUP | 1 << MIGRATION_ACTIVE,
                [MIGRATION_CANCELED] = UINT8_MAX,
        };

        if (!(may[*m] >> to & 1))
                return err_set(e, -EINVAL, "Failed to transfer migration status from %s to %s.", migration_name(*m),
                               migration_name(to));
        *m = to;
        return 0;
}

static bool has_prefix(const char *text, const char *prefix)
{
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

int migration_parse_uri(const char *uri, char **ret_dir, struct err *e)
{
        /* how it will be restored: not the writer's affair */
        static const char *const options[] = {",mapped=true", ",mapped=false"};
        const char *colon = strchr(uri, ':');
        size_t len;

        if (has_prefix(uri, "tcp:") || has_prefix(uri, "unix:"))
                return err_set(e, -EINVAL, "MicroVM does not support migration");
        if (!colon || !colon[1])
                return err_set(e, -EINVAL, "Invalid uri: %.*s", qmp_clip(uri, 256), uri);
        if (!has_prefix(uri, "file:"))
                return err_set(e, -EINVAL, "Unknown mode: invalid uri %.*s", qmp_clip(uri, 256), uri);
        len = strlen(colon + 1);
        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
                size_t n = strlen(options[i]);

                if (len >= n && strcmp(colon + 1 + len - n, options[i]) == 0) {
                        len -= n;
                        break;
                }
        }
        if (!len)
                return err_set(e, -EINVAL, "Invalid uri: %.*s", qmp_clip(uri, 256), uri);
        *ret_dir = strndup(colon + 1, len);
        return *ret_dir ? 0 : err_set(e, -ENOMEM, "no memory for a path");
}

/* --- saving --- */

static bool asked_to_give_up(void *arg)
{
        struct qmp_vm *vm = arg;

        vm->cancelled |= vm->serve_others(vm->server);
        return vm->cancelled;
}

static int begin_save(struct qmp_vm *vm, struct err *e)
{
        if (vm->saving)
                return err_set(e, -EBUSY, "a snapshot of this VM is being written already");
        vm->saving = true;
        vm->cancelled = false;
        vm->then = THEN_AS_BEFORE;
        return 0;
}

/* What was said meanwhile, and answered with success, holds now: but not of a VM that is to stay stopped, as a template is. */
static void end_save(struct qmp_vm *vm, bool stays_stopped)
{
        vm->saving = false;
        if (!stays_stopped && vm->then == THEN_STOP)
                session_pause(vm->session);
        if (!stays_stopped && vm->then == THEN_CONT)
                session_resume(vm->session);
}

int qmp_migrate(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        struct save_options o = {.format = "stratovirt", .replace = true, .pause_after = true, .cancelled = asked_to_give_up,
                                 .cancelled_arg = vm};
        struct save_report report;
        char *dir;
        int r = migration_parse_uri(json_object_get_string(json_object_object_get(args, "uri")), &dir, &a->err);

        if (r < 0)
                return r;
        r = migration_move(&vm->migration, MIGRATION_ACTIVE, &a->err);
        if (r >= 0) {
                r = begin_save(vm, &a->err);
                if (r >= 0) {
                        o.path = dir;
                        r = session_save(vm->session, &o, &report, &a->err);
                        end_save(vm, r >= 0);
                }
                vm->migration = r >= 0 ? MIGRATION_COMPLETED : r == -ECANCELED && vm->cancelled ? MIGRATION_CANCELED
                                : MIGRATION_FAILED;
        }
        free(dir);
        return r;
}

int qmp_snapshot(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        struct save_options o = {.cancelled = asked_to_give_up, .cancelled_arg = vm};
        int r = begin_save(vm, &a->err);

        if (r < 0)
                return r;
        a->value = json_object_new_object();
        r = control_snapshot(vm->session, args, &o, a->value, &a->err);
        end_save(vm, r >= 0 && o.pause_after);
        return r;
}
