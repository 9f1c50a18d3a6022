/* `rouse bench restore` as its user sees it: what is in the result, what is thrown away, what it ends with. Figures are never
 * judged here. */
#include "tests/e2e/bench_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TMPFS_MAGIC 0x01021994
#define RUNS        3

Test(bench, every_arm_has_a_value_of_every_round_and_the_result_says_how_it_came_about, .timeout = 200)
{
        static const char *const seen[] = {"t1", "t2", "t3", "t3.ledger", "t4", "cpu", "rss.t3", "rss.end", "rss_peak", "pss.end", "faults.demand", "bytes.read"};
        struct place p = place_new();
        struct json_object *doc;
        const char *const arms[] = {"eager", "eager-naive", "hints"};

        BENCH(&p, 0, fixture_dir("stratovirt/microvm-128m"), "--arms", "eager,eager-naive,hints", "--runs", "3", "--seed", "7",
              "--without", "control,floors,score");
        doc = read_result(&p);
        cr_expect_str_eq(json_object_get_string(json_at(doc, "kind")), "restore");
        cr_expect_eq(json_object_get_int(json_at(doc, "seed")), 7);
        cr_expect_eq(json_object_get_int(json_at(doc, "rounds")), RUNS);
        for (size_t a = 0; a < ARRAY_LEN(arms); a++) {
                struct json_object *arm = arm_of(doc, "warm", arms[a]);

                for (size_t i = 0; i < ARRAY_LEN(seen); i++)
                        cr_expect_eq(nr_values(arm, seen[i]), RUNS, "%s: expected %d values of %s, found %zu", arms[a], RUNS,
                                     seen[i], nr_values(arm, seen[i]));
                cr_expect_gt(json_object_array_length(json_at(arm, "timeline.levels")), 0, "%s: nobody looked at its memory",
                             arms[a]);
        }
        cr_expect_gt(json_object_array_length(json_at(arm_of(doc, "warm", "hints"), "timeline.faults")), 0);
        cr_expect_gt(json_object_array_length(json_at(group_of(doc, "warm"), "words")), 0);
        cr_expect(is_empty(p.tmp), "%s is not empty", p.tmp);
        json_object_put(doc);
        tmpdir_free(&p.t);
}

static double first_value(struct json_object *arm, const char *metric)
{
        struct json_object *m = find(arm, "metrics", metric);

        cr_assert_not_null(m, "no %s", metric);
        return json_object_get_double(json_object_array_get_idx(json_object_array_get_idx(json_at(m, "values"), 0), 1));
}

Test(bench, naive_reads_every_byte_and_holds_every_page_and_eager_leaves_the_zeros_out, .timeout = 200)
{
        struct place p = place_new();
        struct json_object *doc, *eager, *naive;

        BENCH(&p, 0, fixture_dir("stratovirt/microvm-128m"), "--arms", "eager,eager-naive", "--runs", "1", "--without",
              "control,floors,timeline,score");
        doc = read_result(&p);
        eager = arm_of(doc, "warm", "eager");
        naive = arm_of(doc, "warm", "eager-naive");
        cr_expect_eq((uint64_t)first_value(naive, "bytes.read"), 128 * MIB);
        cr_expect_gt((uint64_t)first_value(naive, "rss.end"), 128 * MIB);
        cr_expect_lt((uint64_t)first_value(eager, "bytes.read"), 64 * MIB);
        /* held against one another: a sanitizer's build has more memory of its own */
        cr_expect_lt(first_value(eager, "rss.end"), first_value(naive, "rss.end") - (double)(64 * MIB));
        json_object_put(doc);
        tmpdir_free(&p.t);
}

/* The words of the first command line that has `what` in it, up to its end. */
static char *line_with(const char *log, const char *what)
{
        const char *at = strstr(log, what);

        cr_assert_not_null(at, "no '%s' in:\n%s", what, log);
        return strndup(at, strcspn(at, "\n"));
}

Test(bench, hints_are_recorded_before_anything_is_timed_and_judged_by_recordings_that_they_were_not_made_of, .timeout = 200)
{
        struct place p = place_new();
        _cleanup_free_ char *log = NULL, *merge = NULL, *score = NULL;
        struct json_object *doc, *arm;
        char *save = NULL;

        BENCH(&p, 0, fixture_dir("stratovirt/microvm-128m"), "--arms", "hints", "--runs", "1", "--without",
              "control,floors,timeline");
        log = read_log(&p);
        merge = line_with(log, "hints merge -o ");
        score = line_with(log, "hints score --json ");
        cr_expect_lt(strstr(log, "hints merge"), strstr(log, "--t0-ns"));
        cr_expect_eq(count(log, " --record "), count(merge, "recording-") + count(score, "recording-"));
        for (char *word = strtok_r(score, " ", &save); word; word = strtok_r(NULL, " ", &save))
                cr_expect(!strstr(word, "recording-") ||
                          !strstr(merge, word), "%s was merged, and judges what it was merged into", word);
        doc = read_result(&p);
        arm = arm_of(doc, "warm", "hints");
        cr_expect_gt(nr_values(arm, "hints.recall"), 0);
        cr_expect_gt(nr_values(arm, "hints.precision"), 0);
        cr_expect_gt(nr_values(arm, "hints.wasted"), 0);
        json_object_put(doc);
        tmpdir_free(&p.t);
}

static void need_evictable(const char *path)
{
        struct statfs fs;

        cr_assert_eq(statfs(path, &fs), 0);
        if (fs.f_type == TMPFS_MAGIC)
                need_lacks("a snapshot on a file system that can be read cold (this is a tmpfs)", EOPNOTSUPP);
}

Test(bench, a_cold_run_that_was_not_cold_is_thrown_away_and_counted, .timeout = 200)
{
        struct place p = place_new();
        struct json_object *doc, *arm;
        char dir[4200], state[4300];
        struct stat st;
        void *held;
        int fd;

        need_evictable(p.t.path);
        snprintf(dir, sizeof(dir), "%s/own", p.t.path);
        fixture_copy("stratovirt/microvm-128m", dir);
        snprintf(state, sizeof(state), "%s/state", dir);
        fd = open(state, O_RDONLY | O_CLOEXEC);
        cr_assert(fd >= 0 && fstat(fd, &st) == 0);
        /* the flag, as sanitizers make mlock(3) do nothing */
        held = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | MAP_LOCKED | MAP_POPULATE, fd, 0);
        cr_assert(held != MAP_FAILED, "mmap: %s", strerror(errno));
        BENCH(&p, 1, dir, "--arms", "mmap", "--runs", "2", "--cold", "--without", "control,floors,timeline,score");
        doc = read_result(&p);
        arm = arm_of(doc, "cold", "mmap");
        cr_expect_eq(nr_values(arm, "t3"), 0);
        cr_expect_geq(json_object_get_int(json_at(arm, "runs_not_cold")), 2);
        cr_expect_eq(nr_values(arm_of(doc, "warm", "mmap"), "t3"), 2);
        json_object_put(doc);

        munmap(held, (size_t)st.st_size);
        close(fd);
        BENCH(&p, 0, dir, "--arms", "mmap", "--runs", "2", "--cold", "--without", "control,floors,timeline,score");
        doc = read_result(&p);
        arm = arm_of(doc, "cold", "mmap");
        cr_expect_eq(nr_values(arm, "t3"), 2);
        cr_expect_eq(json_object_get_int(json_at(arm, "runs_not_cold")), 0);
        json_object_put(doc);
        tmpdir_free(&p.t);
}

Test(bench, a_bad_snapshot_is_exit_4_and_starts_nothing, .timeout = 60)
{
        struct place p = place_new();
        _cleanup_free_ char *log = NULL;
        char dir[4200];

        snprintf(dir, sizeof(dir), "%s/bad", p.t.path);
        cr_assert_eq(mkdir(dir, 0700), 0);
        tmpdir_write(&p.t, "bad/state", "not a snapshot", 14);
        tmpdir_write(&p.t, "bad/memory", "neither", 7);
        BENCH(&p, 4, dir, "--runs", "1");
        BENCH(&p, 4, "/nowhere/at/all", "--runs", "1");
        log = read_log(&p);
        cr_expect_str_empty(log);
        tmpdir_free(&p.t);
}

Test(bench, a_signal_ends_what_runs_and_reports_what_there_is, .timeout = 200)
{
        struct place p = place_new();
        _cleanup_free_ char *log = NULL;
        struct json_object *doc;
        struct child c = start_bench(&p, fixture_dir("stratovirt/microvm-128m"),
                                     (const char *const[]){"--arms", "mmap", "--runs", "100000", "--without", "control,floors,timeline,score", NULL});

        for (int i = 0; i < PATIENCE_MS / 50 && (!log || count(log, "--t0-ns") < 4); i++) {
                usleep(50000);
                free(log);
                log = read_log(&p);
        }
        cr_assert_geq(count(log, "--t0-ns"), 4, "it does not come to its fourth run: %s", log);
        child_kill(&c, SIGINT);
        child_wait(&c, PATIENCE_MS);
        cr_expect_eq(c.status, 128 + SIGINT, "exit %d: %s", c.status, c.err);
        child_free(&c);
        free(log);
        log = read_log(&p);
        for (const char *line = log; *line; line = strchr(line, '\n') + 1) {
                pid_t pid = (pid_t)strtol(line, NULL, 10);

                cr_expect(kill(pid, 0) < 0 && errno == ESRCH, "process %d is left running", pid);
        }
        doc = read_result(&p);
        cr_expect_geq(nr_values(arm_of(doc, "warm", "mmap"), "t3"), 2);
        json_object_put(doc);
        cr_expect(is_empty(p.tmp), "%s is not empty", p.tmp);
        tmpdir_free(&p.t);
}

/* Not one that only waits to be reaped: its command line is gone. */
static bool is_alive(pid_t pid)
{
        char path[64], byte;
        _cleanup_close_ int fd = -1;

        snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd >= 0 && read(fd, &byte, 1) == 1;
}

static size_t nr_alive(const char *log)
{
        size_t nr = 0;

        for (const char *line = log; *line; line = strchr(line, '\n') + 1)
                nr += is_alive((pid_t)strtol(line, NULL, 10));
        return nr;
}

/* A peer that starts a VM in a session of its own and never answers. */
static void write_detaching_peer(const struct place *p, const char *dir, char ret[4300])
{
        char text[14000];
        int n = snprintf(text, sizeof(text), "{\"name\": \"detached\", \"what\": \"for a test\", \"serial\": {\"from\": \"stdout\"},\n"
                                             " \"argv\": [\"sh\", \"-c\", \"setsid '%s' restore '%s' --timeout 300s >/dev/null 2>&1 & exec sleep 300\"]}\n", p->rouse, dir);

        tmpdir_write(&p->t, "detached.json", text, (size_t)n);
        snprintf(ret, 4300, "%s/detached.json", p->t.path);
}

Test(bench, a_bench_that_is_killed_leaves_no_process_however_detached_and_no_file, .timeout = 200)
{
        struct place p = place_new();
        _cleanup_free_ char *log = NULL;
        char peer[4300];
        struct child c;

        write_detaching_peer(&p, fixture_dir("stratovirt/microvm-128m"), peer);
        c = start_bench(&p, fixture_dir("stratovirt/microvm-128m"),
                        (const char *const[]){"--arms", "mmap", "--peer", peer, "--runs", "1", "--without", "control,floors,timeline,score", NULL});
        for (int i = 0; i < PATIENCE_MS / 50 && (!log || !strstr(log, "--timeout 300s")); i++) {
                usleep(50000);
                free(log);
                log = read_log(&p);
        }
        cr_assert(strstr(log, "--timeout 300s"), "the peer's VM does not start: %s", log);
        cr_assert_geq(nr_alive(log), 1);
        cr_assert_not(is_empty(p.tmp));
        child_kill(&c, SIGKILL);
        child_wait(&c, PATIENCE_MS);
        child_free(&c);
        for (int i = 0; i < PATIENCE_MS / 50 && (nr_alive(log) || !is_empty(p.tmp)); i++)
                usleep(50000);
        cr_expect_eq(nr_alive(log), 0, "left running, of: %s", log);
        cr_expect(is_empty(p.tmp), "%s is not empty", p.tmp);
        tmpdir_free(&p.t);
}

Test(bench, an_arm_that_was_named_and_cannot_be_had_is_exit_1_and_its_reason_is_in_the_result, .timeout = 200)
{
        struct place p = place_new();
        struct json_object *doc, *arm;
        char packed[4200];
        struct child c;

        snprintf(packed, sizeof(packed), "%s/packed", p.t.path);
        c = RUN(PATIENCE_MS, rouse_program(), "convert", fixture_dir("stratovirt/microvm-128m"), packed, "--pack", "lz4");
        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
        BENCH(&p, 1, packed, "--arms", "eager,mmap", "--runs", "1", "--without", "control,floors,timeline,score");
        doc = read_result(&p);
        arm = arm_of(doc, "warm", "mmap");
        cr_expect_eq(nr_values(arm, "t3"), 0);
        cr_expect(strstr(json_object_get_string(json_at(arm, "failure")), "packed"), "%s", json_object_to_json_string(arm));
        cr_expect_eq(nr_values(arm_of(doc, "warm", "eager"), "t3"), 1);
        json_object_put(doc);
        tmpdir_free(&p.t);
}
