/* QMP on real VMs: as a client of StratoVirt speaks it, as one of QEMU does, and as nobody should. */
#include "tests/support/need.h"
#include "tests/support/qmp.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define OK      "{\"return\":{}}"
#define RUNNING "{\"return\":{\"running\":true,\"singlestep\":false,\"status\":\"running\"}}"
#define PAUSED  "{\"return\":{\"running\":false,\"singlestep\":false,\"status\":\"paused\"}}"
#define CMD(c)  "{\"execute\":\"" c "\"}"

/* A VM that boots, with QMP at a path short enough for a socket. */
struct rig {
        struct tmpdir t;
        char          dir[32], path[40], arg[48];
        struct child  vm;
        struct qmp    q;
};

static void rig_paths(struct rig *r)
{
        r->t = tmpdir_new();
        snprintf(r->dir, sizeof(r->dir), "/tmp/rouse-e2e-XXXXXX");
        cr_assert_not_null(mkdtemp(r->dir));
        snprintf(r->path, sizeof(r->path), "%s/qmp", r->dir);
        snprintf(r->arg, sizeof(r->arg), "unix=%s", r->path);
}

static struct rig *boot(void)
{
        struct rig *r = calloc(1, sizeof(*r));

        need_kvm();
        rig_paths(r);
        r->vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--qmp", r->arg, "--timeout", "60s");
        qmp_open(&r->q, r->path);
        cr_assert(child_wait_output(&r->vm, "TICK 2 ", 60000), "%s", r->vm.err);
        return r;
}

static void end(struct rig *r)
{
        qmp_close(&r->q);
        child_free(&r->vm);
        unlink(r->path);
        cr_expect_eq(rmdir(r->dir), 0);
        tmpdir_free(&r->t);
        free(r);
}

static void quit(struct rig *r)
{
        qmp_expect(&r->q, CMD("quit"), OK);
        qmp_expect_event(&r->q, "SHUTDOWN", "\"guest\":false,\"reason\":\"host-qmp-quit\"");
        cr_expect(qmp_is_over(&r->q));
        cr_expect_eq(child_wait(&r->vm, 20000), 0, "%s", r->vm.err);
        cr_expect_eq(access(r->path, F_OK), -1, "the socket is still there");
        end(r);
}

/* Does the guest go on? */
static void expect_ticks(struct rig *r)
{
        struct beacon_tick last = {0};
        char tick[64];

        while (child_wait_output(&r->vm, "never said", 50)) /* reads what there is */
                ;
        cr_assert(beacon_last(r->vm.out, &last));
        snprintf(tick, sizeof(tick), "TICK %llu ", (unsigned long long)last.n + 2);
        cr_assert(child_wait_output(&r->vm, tick, 20000), "the guest does not go on:\n%s", r->vm.err);
}

static void migrate_request(char *buf, size_t size, const struct rig *r, const char *dir)
{
        snprintf(buf, size, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:%.250s/%.100s\"}}", r->t.path, dir);
}

Test(qmp, the_template_recipe_of_stratovirt_works_word_by_word, .timeout = 90)
{
        struct rig *r = boot();
        char request[400], dir[300];
        struct saved s = {0};

        qmp_expect(&r->q, CMD("qmp_capabilities"), OK);
        qmp_expect(&r->q, CMD("query-status"), RUNNING);
        qmp_expect(&r->q, CMD("query-migrate"), "{\"return\":{\"status\":\"setup\"}}");
        qmp_expect(&r->q, CMD("stop"), OK);
        qmp_expect_event(&r->q, "STOP", "");
        qmp_expect(&r->q, CMD("query-status"), PAUSED);
        migrate_request(request, sizeof(request), r, "template");
        qmp_expect(&r->q, request, OK);
        qmp_expect(&r->q, CMD("query-migrate"), "{\"return\":{\"status\":\"completed\"}}");
        qmp_expect(&r->q, CMD("query-status"), PAUSED);
        qmp_expect(&r->q, CMD("quit"), OK);
        qmp_expect_event(&r->q, "SHUTDOWN", "\"guest\":false,\"reason\":\"host-qmp-quit\"");
        cr_expect_eq(child_wait(&r->vm, 20000), 0, "%s", r->vm.err);
        cr_assert(beacon_last(r->vm.out, &s.next));
        s.next.n++;
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(r->vm.out, '\n') + 1);
        snprintf(dir, sizeof(dir), "%.200s/template", r->t.path);
        snprintf(s.path, sizeof(s.path), "%s", dir);
        assert_wakes(&s, 5, WORDS("--hints", "none"));
        end(r);
}

Test(qmp, migrate_stops_a_running_vm_says_so_after_its_reply_and_takes_an_old_snapshots_place, .timeout = 90)
{
        struct rig *r = boot();
        char request[400];

        for (int i = 0; i < 2; i++) {
                migrate_request(request, sizeof(request), r, "template,mapped=true");
                qmp_expect(&r->q, request, OK);
                qmp_expect_event(&r->q, "STOP", "");
                qmp_expect(&r->q, CMD("query-status"), PAUSED);
                qmp_expect(&r->q, CMD("cont"), OK);
                qmp_expect_event(&r->q, "RESUME", "");
                expect_ticks(r);
        }
        quit(r);
}

Test(qmp, a_session_as_qemus_clients_have_it_works, .timeout = 90)
{
        struct rig *r = boot();
        char expected[400];

        qmp_expect(&r->q, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}, \"id\": 1}\r\n",
                   "{\"return\":{},\"id\":1}");
        qmp_expect(&r->q, "{\"execute\":\"query-version\",\"id\":{\"n\":[null,1.5]}}",
                   "{\"return\":{\"package\":\"rouse-" ROUSE_VERSION "\",\"qemu\":{\"major\":5,\"micro\":1,\"minor\":0}},\"id\":{\"n\":[null,1.5]}}");
        qmp_expect(&r->q, "{'execute':'query-kvm','id':'a'}", "{\"return\":{\"enabled\":true,\"present\":true},\"id\":\"a\"}");
        qmp_expect(&r->q, CMD("query-name"), OK);
        qmp_expect(&r->q, CMD("query-target"), "{\"return\":{\"arch\":\"x86_64\"}}");
        qmp_expect(&r->q, CMD("query-events"),
                   "{\"return\":[{\"name\":\"RESUME\"},{\"name\":\"SHUTDOWN\"},{\"name\":\"STOP\"}]}");
        qmp_send(&r->q, CMD("query-commands"));
        cr_expect(strstr(qmp_line(&r->q), "{\"name\":\"query-migrate\"},"), "%s", r->q.line);
        qmp_send(&r->q, CMD("query-cpus"));
        qmp_line(&r->q);
        snprintf(expected, sizeof(expected), "{\"return\":[{\"CPU\":0,\"arch\":\"x86\",\"current\":true,\"halted\":false,"
                 "\"qom_path\":\"/machine/unattached/device[0]\",\"thread_id\":");
        cr_expect(strncmp(r->q.line, expected, strlen(expected)) == 0, "%s", r->q.line);
        snprintf(expected, sizeof(expected), "/proc/%d/task/%d", (int)r->vm.pid, atoi(r->q.line + strlen(expected)));
        cr_expect_eq(access(expected, F_OK), 0, "no such thread: %s", expected);
        quit(r);
}

Test(qmp, errors_have_the_classes_and_texts_of_stratovirt, .timeout = 90)
{
        struct rig *r = boot();

#define ERROR(desc) "{\"error\":{\"class\":\"GenericError\",\"desc\":\"" desc "\"}}"
        qmp_send(&r->q, CMD("foo"));
        cr_expect(strstr(qmp_line(&r->q),
                         "{\"error\":{\"class\":\"GenericError\",\"desc\":\"unknown variant `foo`, expected one of `balloon`, `cont`, ") == r->q.line,
                  "%s", r->q.line);
        qmp_expect(&r->q, CMD("migrate"), ERROR("missing field `arguments`"));
        qmp_expect(&r->q, "{\"execute\":\"migrate\",\"arguments\":{}}", ERROR("missing field `uri`"));
        qmp_expect(&r->q, "{\"execute\":\"stop\",\"arguments\":\"isdf\"}",
                   ERROR("invalid type: string \\\"isdf\\\", expected struct stop"));
        qmp_expect(&r->q, "{\"execute\":\"stop\",\"arguments\":{\"x\":1}}", ERROR("unknown field `x`, there are no fields"));
        qmp_expect(&r->q, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"tcp:1.2.3.4:5\"}}",
                   ERROR("MicroVM does not support migration"));
        qmp_expect(&r->q, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:rm\"}}",
                   ERROR("Unknown mode: invalid uri exec:rm"));
        qmp_expect(&r->q, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"dir\"}}", ERROR("Invalid uri: dir"));
        qmp_expect(&r->q, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:,mapped=true\"}}",
                   ERROR("Invalid uri: file:,mapped=true"));
        qmp_expect(&r->q, "{\"execute\":\"balloon\",\"arguments\":{\"value\":-1}}",
                   ERROR("invalid value: integer `-1`, expected u64"));
        qmp_expect(&r->q, "{\"execute\":\"balloon\",\"arguments\":{\"value\":1}}",
                   "{\"error\":{\"class\":\"DeviceNotActive\",\"desc\":\"No balloon device has been activated\"}}");
        qmp_expect(&r->q, CMD("query-balloon"),
                   "{\"error\":{\"class\":\"DeviceNotActive\",\"desc\":\"No balloon device has been activated\"}}");
        qmp_expect(&r->q, CMD("query-migrate"), "{\"return\":{\"status\":\"setup\"}}");
        quit(r);
}

Test(qmp, stop_and_cont_answer_first_and_tell_again_when_nothing_changed, .timeout = 90)
{
        struct rig *r = boot();

        for (int i = 0; i < 2; i++) {
                qmp_expect(&r->q, CMD("stop"), OK);
                qmp_expect_event(&r->q, "STOP", "");
        }
        for (int i = 0; i < 2; i++) {
                qmp_expect(&r->q, CMD("cont"), OK);
                qmp_expect_event(&r->q, "RESUME", "");
        }
        expect_ticks(r);
        quit(r);
}

Test(qmp, requests_come_in_any_packets, .timeout = 90)
{
        static const char text[] = CMD("stop") CMD("query-status") "\n" CMD("cont") "  " CMD("query-status");
        struct rig *r = boot();

        qmp_send(&r->q, text);
        for (size_t i = 0; i < 2; i++) {
                cr_expect_str_eq(qmp_line(&r->q), OK);
                qmp_expect_event(&r->q, "STOP", "");
                cr_expect_str_eq(qmp_line(&r->q), PAUSED);
                cr_expect_str_eq(qmp_line(&r->q), OK);
                qmp_expect_event(&r->q, "RESUME", "");
                cr_expect_str_eq(qmp_line(&r->q), RUNNING);
                if (i == 0)
                        for (const char *p = text; *p; p++) {
                                qmp_send_bytes(&r->q, p, 1);
                                usleep(500);
                        }
        }
        quit(r);
}

Test(qmp, garbage_is_one_error_however_much_of_it_there_is, .timeout = 90)
{
        struct rig *r = boot();
        char *much = malloc(10 << 20);

        cr_assert_not_null(much);
        memset(much, 'x', 10 << 20);
        qmp_send_bytes(&r->q, much, 10 << 20);
        cr_expect(strstr(qmp_line(&r->q), "\"GenericError\",\"desc\":\"JSON parse error"), "%s", r->q.line);
        qmp_expect(&r->q, "\n" CMD("query-status"), RUNNING);
        qmp_send(&r->q, "{\"execute\":\"");
        qmp_send_bytes(&r->q, much, 10 << 20);
        cr_expect(strstr(qmp_line(&r->q), "longer than 65536 bytes"), "%s", r->q.line);
        qmp_expect(&r->q, "\n" CMD("query-status"), RUNNING);
        free(much);
        expect_ticks(r);
        quit(r);
}

Test(qmp, clients_that_hang_up_in_the_middle_or_never_read_harm_nothing, .timeout = 90)
{
        struct rig *r = boot();
        struct qmp *other = calloc(1, sizeof(*other));
        int flags;

        for (int i = 0; i < 50; i++) { /* more than there is room for at once */
                qmp_connect(other, r->path);
                if (i % 3)
                        qmp_send(other, i % 3 == 1 ? "{\"execute\":\"query-"
                                 : CMD("query-commands") CMD("query-status") CMD("stop") CMD("cont"));
                qmp_close(other);
        }
        qmp_connect(other, r->path);
        flags = fcntl(other->fd, F_GETFL);
        fcntl(other->fd, F_SETFL, flags | O_NONBLOCK);
        for (int i = 0; i < 200000; i++) { /* asks and never reads: he is dropped */
                if (send(other->fd, CMD("query-commands"), strlen(CMD("query-commands")), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
                        break;
                cr_assert_lt(i, 199999, "he who never reads was not dropped");
        }
        qmp_close(other);
        free(other);
        while (qmp_has_line(&r->q, 200)) /* STOP and RESUME of the others */
                cr_expect(strstr(qmp_line(&r->q), "{\"event\":") == r->q.line, "%s", r->q.line);
        qmp_expect(&r->q, CMD("query-status"), RUNNING);
        expect_ticks(r);
        quit(r);
}

Test(qmp, a_second_client_is_served_too_and_all_hear_of_events, .timeout = 90)
{
        struct rig *r = boot();
        struct qmp *second = calloc(1, sizeof(*second));

        qmp_open(second, r->path);
        qmp_expect(&r->q, CMD("query-status"), RUNNING);
        qmp_expect(second, CMD("stop"), OK);
        qmp_expect_event(second, "STOP", "");
        qmp_expect_event(&r->q, "STOP", "");
        qmp_expect(&r->q, CMD("query-status"), PAUSED);
        qmp_close(second);
        qmp_expect(&r->q, CMD("query-status"), PAUSED);
        free(second);
        quit(r);
}

Test(qmp, a_migrate_that_cannot_be_written_fails_and_the_vm_goes_on, .timeout = 90)
{
        struct rig *r = boot();

        qmp_send(&r->q, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:/no/such/place/dir\"},\"id\":4}");
        cr_expect(strstr(qmp_line(&r->q), "{\"error\":{\"class\":\"GenericError\",\"desc\":\"") == r->q.line, "%s", r->q.line);
        cr_expect(strstr(r->q.line, "/no/such/place") && strstr(r->q.line, ",\"id\":4}"), "%s", r->q.line);
        qmp_expect(&r->q, CMD("query-migrate"), "{\"return\":{\"status\":\"failed\"}}");
        qmp_expect(&r->q, CMD("query-status"), RUNNING);
        expect_ticks(r);
        quit(r);
}

Test(qmp, powerdown_and_reset_end_a_microvm, .timeout = 120)
{
        static const struct {
                const char *request, *reason;
        } ends[] = {
                {CMD("system_powerdown"), "\"guest\":false,\"reason\":\"host-qmp-quit\""},
                {CMD("system_reset"), "\"guest\":false,\"reason\":\"host-qmp-system-reset\""},
        };

        for (size_t i = 0; i < 2; i++) {
                struct rig *r = boot();

                qmp_expect(&r->q, ends[i].request, OK);
                qmp_expect_event(&r->q, "SHUTDOWN", ends[i].reason);
                cr_expect_eq(child_wait(&r->vm, 20000), 0);
                end(r);
        }
}

Test(qmp, a_signal_is_told_too, .timeout = 90)
{
        struct rig *r = boot();

        child_kill(&r->vm, SIGTERM);
        qmp_expect_event(&r->q, "SHUTDOWN", "\"guest\":false,\"reason\":\"host-signal\"");
        cr_expect_eq(child_wait(&r->vm, 20000), 128 + SIGTERM);
        end(r);
}

/* A VM started by nohup(1) outlives its terminal. */
Test(qmp, a_signal_that_the_caller_ignores_is_ignored, .timeout = 90)
{
        struct rig *r;

        signal(SIGHUP, SIG_IGN);
        r = boot();
        child_kill(&r->vm, SIGHUP);
        usleep(200000);
        qmp_expect(&r->q, CMD("query-status"), "{\"return\":{\"running\":true,\"singlestep\":false,\"status\":\"running\"}}");
        quit(r);
}

Test(qmp, rouse_snapshot_finds_a_vm_by_its_qmp_socket, .timeout = 120)
{
        struct rig *r = boot();
        char dir[300];
        struct child c;
        struct saved s = {0};

        snprintf(dir, sizeof(dir), "%.200s/saved", r->t.path);
        c = RUN(30000, rouse_program(), "snapshot", "--qmp", r->arg, dir, "--then", "quit", "--ledger", "-");
        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect(strstr(c.err, "pause "), "%s", c.err);
        child_free(&c);
        cr_expect_eq(child_wait(&r->vm, 20000), 0);
        cr_assert(beacon_last(r->vm.out, &s.next));
        s.next.n++;
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(r->vm.out, '\n') + 1);
        snprintf(s.path, sizeof(s.path), "%s", dir);
        assert_wakes(&s, 5, WORDS("--hints", "none"));
        c = RUN(30000, rouse_program(), "snapshot", "--qmp", r->arg, dir);
        cr_expect_eq(c.status, 1);
        cr_expect(strstr(c.err, r->path), "%s", c.err);
        child_free(&c);
        end(r);
}

/* --- the socket --- */

static struct child start_at(const char *arg)
{
        return RUN(20000, rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--qmp", arg, "--until",
                   "TICK 1 ", "--timeout", "30s");
}

Test(qmp, only_a_dead_socket_is_replaced, .timeout = 120)
{
        struct rig *r = boot();
        char path[200], arg[240];
        struct child c = start_at(r->arg);
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd;

        cr_expect_eq(c.status, 1, "a live socket was taken");
        cr_expect(strstr(c.err, r->path), "%s", c.err);
        child_free(&c);
        qmp_expect(&r->q, CMD("query-status"), RUNNING);

        snprintf(path, sizeof(path), "%.180s/file", r->t.path);
        snprintf(arg, sizeof(arg), "unix=%s", path);
        fd = open(path, O_CREAT | O_WRONLY, 0600);
        close(fd);
        c = start_at(arg);
        cr_expect_eq(c.status, 1, "a file was taken");
        cr_expect_eq(access(path, F_OK), 0);
        child_free(&c);

        snprintf(a.sun_path, sizeof(a.sun_path), "%s/dead", r->dir);
        snprintf(arg, sizeof(arg), "unix=%s", a.sun_path);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        close(fd);
        c = start_at(arg);
        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect_eq(access(a.sun_path, F_OK), -1);
        child_free(&c);
        quit(r);
}

Test(qmp, a_vm_that_cannot_be_made_leaves_no_socket, .timeout = 30)
{
        struct rig *r = calloc(1, sizeof(*r));
        struct child c;

        need_kvm();
        rig_paths(r);
        c = RUN(20000, rouse_program(), "run", "--kernel", "/no/such/kernel", "--qmp", r->arg);
        cr_expect_eq(c.status, 1, "%s", c.err);
        cr_expect_eq(access(r->path, F_OK), -1);
        child_free(&c);
        cr_expect_eq(rmdir(r->dir), 0);
        tmpdir_free(&r->t);
        free(r);
}

/* The guest moves its balloon when it comes to it. */
static void await_balloon(struct rig *r, const char *reply)
{
        for (int i = 0; i < 200; i++) {
                qmp_send(&r->q, CMD("query-balloon"));
                if (strcmp(qmp_line(&r->q), reply) == 0)
                        return;
                usleep(50000);
        }
        cr_assert_fail("expected %s, found %s", reply, r->q.line);
}

/* The guest gives at most 8192 pages, of the 14336 that are asked for. */
Test(qmp, balloon_says_how_much_memory_the_guest_keeps_and_query_balloon_how_much_it_kept, .timeout = 60)
{
        struct rig *r = calloc(1, sizeof(*r));

        need_kvm();
        rig_paths(r);
        r->vm = START(rouse_program(), "run", "--kernel", guest_file("balloon"), "--balloon", "--memory", "128M", "--qmp", r->arg,
                      "--timeout", "60s");
        qmp_open(&r->q, r->path);
        cr_assert(child_wait_output(&r->vm, "TICK 1 ", 60000), "%s", r->vm.err);
        qmp_expect(&r->q, CMD("query-balloon"), "{\"return\":{\"actual\":134217728}}");
        qmp_expect(&r->q, "{\"execute\":\"balloon\",\"arguments\":{\"value\":75497472}}", OK);
        await_balloon(r, "{\"return\":{\"actual\":100663296}}");
        qmp_expect(&r->q, "{\"execute\":\"balloon\",\"arguments\":{\"value\":999999999999}}", OK);
        await_balloon(r, "{\"return\":{\"actual\":134217728}}");
        qmp_expect(&r->q, CMD("quit"), OK);
        end(r);
}
