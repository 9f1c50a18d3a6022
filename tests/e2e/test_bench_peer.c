/* Peers of `rouse bench restore`: a slow one is found slower, a dead one is told, nothing is left of any, and Debian's QEMU is
 * measured like rouse. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "tests/support/child.h"
#include "tests/support/fixture.h"
#include "tests/support/json_schema.h"
#include "tests/support/need.h"
#include "tests/support/qmp.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 120000
#define SLEPT_MS    1500 /* far above what parallel tests do to a round */
#define ROUNDS      7
#define QEMU        "/usr/bin/qemu-system-x86_64"

/* --- processes that may be left --- */

/* Does a process run whose command line has that word? */
static bool runs(const char *word)
{
        DIR *d = opendir("/proc");
        bool found = false;

        for (struct dirent *entry; d && !found && (entry = readdir(d));) {
                char path[300], text[2000];
                _cleanup_close_ int fd = -1;
                ssize_t n;

                snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
                for (ssize_t i = 0; i < n; i++)
                        text[i] = text[i] ? text[i] : ' ';
                text[n < 0 ? 0 : n] = 0;
                found = n > 0 && strstr(text, word) != NULL && atoi(entry->d_name) != getpid();
        }
        if (d)
                closedir(d);
        return found;
}

/* --- a bench --- */

struct place {
        struct tmpdir t;
        char          json[4200];
};

static struct place place_new(void)
{
        struct place p = {.t = tmpdir_new()};

        need_kvm();
        setenv("XDG_DATA_HOME", p.t.path, 1);
        snprintf(p.json, sizeof(p.json), "%s/result.json", p.t.path);
        return p;
}

/* NAME.json: a shell that runs script. */
static void write_peer(const struct place *p, const char *name, const char *script)
{
        char leaf[40], text[2000];
        int n = snprintf(text, sizeof(text),
                         "{\"name\": \"%s\", \"what\": \"%s, for a test\",\n \"argv\": [\"sh\", \"-c\", \"%s\"],\n \"serial\": {\"from\": \"stdout\"}}\n",
                         name, name, script);

        snprintf(leaf, sizeof(leaf), "%s.json", name);
        tmpdir_write(&p->t, leaf, text, (size_t)n);
}

static const char *peer_path(const struct place *p, const char *name, char buf[4200])
{
        snprintf(buf, 4200, "%s/%s.json", p->t.path, name);
        return buf;
}

static struct child start_bench(const struct place *p, const char *dir, const char *const *words)
{
        const char *argv[40] = {rouse_program(), "bench", "restore", dir, "--mark", "^TICK", "--json", p->json, "--arms", "mmap",
                                "--without", "control,floors,timeline,score"};
        size_t n = 12;

        while (*words)
                argv[n++] = *words++;
        return child_start(argv);
}
#define START_BENCH(p, ...) start_bench(p, fixture_dir("stratovirt/microvm-128m"), (const char *const[]){__VA_ARGS__, NULL})

static struct json_object *named(struct json_object *list, const char *key, const char *name)
{
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
                struct json_object *x = json_object_array_get_idx(list, i), *n = json_at(x, key);

                if (n && strcmp(json_object_get_string(n), name) == 0)
                        return x;
        }
        return NULL;
}

static struct json_object *arm_of(struct json_object *doc, const char *name)
{
        return named(json_at(json_object_array_get_idx(json_at(doc, "groups"), 0), "arms"), "name", name);
}

static struct json_object *metric_of(struct json_object *arm, const char *id)
{
        struct json_object *m = named(json_at(arm, "metrics"), "id", id);

        cr_assert(m, "no %s in %s", id, json_object_to_json_string(arm));
        return m;
}

/* The value of that round; 0: it has none. */
static double value_of(struct json_object *metric, int round)
{
        struct json_object *values = json_at(metric, "values");

        for (size_t i = 0; i < json_object_array_length(values); i++) {
                struct json_object *v = json_object_array_get_idx(values, i);

                if (json_object_get_int(json_object_array_get_idx(v, 0)) == round)
                        return json_object_get_double(json_object_array_get_idx(v, 1));
        }
        return 0;
}

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

static void assert_slow_is_slower(struct json_object *doc)
{
        struct json_object *slow = metric_of(arm_of(doc, "slow"), "t3"), *mmap = metric_of(arm_of(doc, "mmap"), "t3"), *r;
        double ratios[ROUNDS];

        for (int i = 0; i < ROUNDS; i++) {
                cr_assert_geq(value_of(slow, i + 1), SLEPT_MS * 1e3, "what was slept counts");
                ratios[i] = value_of(slow, i + 1) / value_of(mmap, i + 1);
        }
        qsort(ratios, ROUNDS, sizeof(*ratios), by_value);
        r = named(json_at(slow, "ratios"), "to", "mmap");
        cr_assert(r, "no ratio to mmap in %s", json_object_to_json_string(slow));
        cr_assert_float_eq(json_object_get_double(json_at(r, "ratio")), ratios[ROUNDS / 2], 0.01 * ratios[ROUNDS / 2],
                           "the ratio is the median of the rounds' ratios");
        cr_assert_str_eq(json_object_get_string(json_at(r, "verdict")), "higher");
        cr_assert_gt(json_object_get_double(json_object_array_get_idx(json_at(r, "ci95"), 0)), 1.0, "the interval excludes 1");
}

Test(bench_peer, a_slow_peer_is_found_slower_a_dead_one_is_told_and_no_daemon_is_left)
{
        struct place p = place_new();
        char slow[4200], dead[4200], daemon[4200], script[400], word[40];
        struct json_object *doc;
        struct child c;

        snprintf(word, sizeof(word), "sleep 7%d", getpid());
        snprintf(script, sizeof(script), "(setsid %s &); (%s &); exec {rouse} restore {snapshot} --mode mmap --hints none", word,
                 word);
        write_peer(&p, "slow", "sleep 1.5; exec {rouse} restore {snapshot} --mode mmap --hints none");
        write_peer(&p, "dead", "echo cannot open the moon >&2; exit 9");
        write_peer(&p, "daemon", script);
        c = START_BENCH(&p, "--runs", "7", "--peer", peer_path(&p, "slow", slow), "--peer", peer_path(&p, "dead", dead), "--peer",
                        peer_path(&p, "daemon", daemon));
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, 1, "an arm that was asked for failed: %d: %s", c.status, c.err);
        cr_assert(strstr(c.err, "dead") && strstr(c.err, "cannot open the moon"), "%s", c.err);
        cr_assert_not(runs(word), "a daemon was left behind");
        doc = json_object_from_file(p.json);
        cr_assert(doc);
        assert_slow_is_slower(doc);
        cr_assert_gt(value_of(metric_of(arm_of(doc, "daemon"), "t4"), ROUNDS), 0, "the bench went on with the others");
        cr_assert(strstr(json_object_get_string(json_at(arm_of(doc, "dead"), "failure")),
                         "exit 9 before the guest said anything: cannot open the moon"));
        json_object_put(doc);
        child_free(&c);
        tmpdir_free(&p.t);
}

Test(bench_peer, peers_alone_need_no_snapshot_that_rouse_reads_and_are_held_against_the_first)
{
        struct place p = place_new();
        char foreign[4200], quick[4200], other[4200];
        struct json_object *doc;
        struct child c;

        snprintf(foreign, sizeof(foreign), "%s/foreign", p.t.path);
        cr_assert_eq(mkdir(foreign, 0700), 0);
        tmpdir_write(&p.t, "foreign/state.json", "{}", 2);
        write_peer(&p, "quick", "test -f {snapshot}/state.json && echo TICK");
        write_peer(&p, "other", "echo TICK");
        c = start_bench(&p, foreign, WORDS("--runs", "1", "--peer", peer_path(&p, "quick", quick)));
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, 4, "%d: %s", c.status, c.err);
        cr_assert(strstr(c.err, "foreign: expected a snapshot of a known format") && strstr(c.err, "--arms none"), "%s", c.err);
        child_free(&c);

        c = start_bench(&p, foreign, WORDS("--runs", "2", "--arms", "none", "--peer", peer_path(&p, "quick", quick), "--peer",
                                            peer_path(&p, "other", other)));
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, 0, "%d: %s", c.status, c.err);
        doc = json_object_from_file(p.json);
        cr_assert(doc);
        cr_assert_gt(value_of(metric_of(arm_of(doc, "quick"), "t4"), 2), 0);
        cr_assert(named(json_at(metric_of(arm_of(doc, "other"), "t3"), "ratios"), "to", "quick"),
                  "no ratio to the first peer in %s", json_object_to_json_string(doc));
        json_object_put(doc);
        child_free(&c);
        tmpdir_free(&p.t);
}

Test(bench_peer, ctrl_c_ends_a_peer_and_its_daemons)
{
        struct place p = place_new();
        char path[4200], script[200], word[40];
        struct child c;

        snprintf(word, sizeof(word), "sleep 8%d", getpid());
        snprintf(script, sizeof(script), "(setsid %s &); exec %s", word, word);
        write_peer(&p, "silent", script);
        c = START_BENCH(&p, "--runs", "1", "--peer", peer_path(&p, "silent", path));
        for (int i = 0; i < 600 && !runs(word); i++)
                usleep(50000);
        cr_assert(runs(word), "the peer was never started");
        child_kill(&c, SIGINT);
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, 128 + SIGINT, "%d: %s", c.status, c.err);
        cr_assert_not(runs(word), "it was left behind");
        child_free(&c);
        tmpdir_free(&p.t);
}

Test(bench_peer, an_unknown_key_is_wrong_usage_with_its_place)
{
        struct place p = place_new();
        static const char text[] = "{\"name\": \"x\", \"what\": \"y\",\n\"argv\": [\"true\"], \"serial\": {\"from\": \"stdout\"},\n\"tiemout\": \"3s\"}";
        char path[4200];
        struct child c;

        tmpdir_write(&p.t, "x.json", text, sizeof(text) - 1);
        c = START_BENCH(&p, "--peer", peer_path(&p, "x", path));
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, 2, "%d: %s", c.status, c.err);
        cr_assert(strstr(c.err, "/tiemout (line 3): unknown key; known here: "), "%s", c.err);
        child_free(&c);
        tmpdir_free(&p.t);
}

Test(bench_peer, the_examples_are_as_their_schema_has_it)
{
        static const char *const names[] = {"stratovirt", "cloud-hypervisor-copy", "cloud-hypervisor-ondemand",
                                            "firecracker-file", "firecracker-uffd", "qemu"};

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                char path[80];

                snprintf(path, sizeof(path), "bench/peers/%s.json", names[i]);
                json_schema_expect("bench/peers/peer.schema.json", path);
        }
}

/* --- QEMU --- */

/* beacon.elf beside beacon.bin. */
static const char *guest_elf(char buf[4200])
{
        snprintf(buf, 4200, "%s", guest_path());
        snprintf(buf + strlen(buf) - 3, 4, "elf");
        return buf;
}

static void wait_for_tick(const char *path)
{
        char text[65536] = "";

        for (int i = 0; i < 400; i++) {
                _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
                ssize_t n = fd < 0 ? 0 : pread(fd, text, sizeof(text) - 1, 0);

                text[n < 0 ? 0 : n] = 0;
                if (strstr(text, "TICK 2"))
                        return;
                usleep(50000);
        }
        cr_assert_fail("QEMU's guest did not tick within 20 s: %s", text);
}

/* A beacon guest under QEMU, saved to the file. */
static void save_with_qemu(const struct place *p, const char *kernel, const char *state)
{
        char serial[4300], serial_word[4400], qmp[64], qmp_word[128], migrate[4400];
        struct child vm;
        struct qmp q;

        snprintf(serial, sizeof(serial), "%s/serial", p->t.path);
        snprintf(serial_word, sizeof(serial_word), "file:%s", serial);
        snprintf(qmp, sizeof(qmp), "/tmp/rouse-test-qmp-%d", getpid()); /* a socket's path is short */
        snprintf(qmp_word, sizeof(qmp_word), "unix:%s,server=on,wait=off", qmp);
        vm = START(QEMU, "-M", "microvm", "-accel", "kvm", "-cpu", "qemu64", "-m", "128M", "-nodefaults", "-no-user-config",
                   "-display", "none", "-kernel", kernel,
                   "-serial", serial_word, "-qmp", qmp_word);
        wait_for_tick(serial);
        qmp_connect(&q, qmp);
        cr_assert(strstr(qmp_line(&q), "\"QMP\""));
        qmp_expect(&q, "{\"execute\":\"qmp_capabilities\"}", "{\"return\": {}}");
        qmp_send(&q, "{\"execute\":\"stop\"}");
        snprintf(migrate, sizeof(migrate), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:cat > '%s'\"}}", state);
        qmp_send(&q, migrate);
        for (bool done = false; !done; usleep(20000)) {
                const char *line;

                qmp_send(&q, "{\"execute\":\"query-migrate\"}");
                do
                        line = qmp_line(&q);
                while (!strstr(line, "total-time") && !strstr(line, "\"status\""));
                cr_assert_not(strstr(line, "failed"), "%s", line);
                done = strstr(line, "completed") != NULL;
        }
        qmp_send(&q, "{\"execute\":\"quit\"}");
        /* a connection that is closed first may take the command with it */
        cr_assert_eq(child_wait(&vm, PATIENCE_MS), 0, "%s", vm.err);
        qmp_close(&q);
        child_free(&vm);
        unlink(qmp);
}

Test(bench_peer, qemu_is_measured_like_rouse)
{
        struct place p = place_new();
        char state[4300], spec[9000], kernel[4200], own[4200];
        struct json_object *doc, *qemu;
        struct child c;

        need_file(QEMU);
        snprintf(state, sizeof(state), "%s/qemu.state", p.t.path);
        save_with_qemu(&p, guest_elf(kernel), state);
        snprintf(spec, sizeof(spec), "bench/peers/qemu.json,state=%s,kernel=%s", state, kernel);
        snprintf(own, sizeof(own), "%s/own", p.t.path);
        fixture_copy("stratovirt/microvm-128m", own);
        c = start_bench(&p, own, WORDS("--runs", "2", "--cold", "--peer", spec));
        child_wait(&c, PATIENCE_MS);
        cr_assert_eq(c.status, 0, "%s%s", c.out, c.err);
        doc = json_object_from_file(p.json);
        cr_assert(doc);
        qemu = arm_of(doc, "qemu");
        cr_assert(qemu && json_object_get_boolean(json_at(qemu, "peer")));
        cr_assert(strstr(json_object_get_string(json_at(qemu, "what")), "(T0: just before it is started)"));
        for (int i = 1; i <= 2; i++) {
                cr_assert_gt(value_of(metric_of(qemu, "t3"), i), 0);
                cr_assert_leq(value_of(metric_of(qemu, "t3"), i), value_of(metric_of(qemu, "t4"), i));
                cr_assert_gt(value_of(metric_of(qemu, "cpu"), i), 0);
                cr_assert_gt(value_of(metric_of(qemu, "rss.end"), i), 32.0 * (double)MIB, "all of the guest's 32 MiB are read");
        }
        json_object_put(doc);
        child_free(&c);
        tmpdir_free(&p.t);
}
