/* Peer files, and runs of peers that are little scripts. The first words of each "VMM" are what a guest would say. */
#include "bench/run/arm.h"
#include "bench/run/guest_run.h"
#include "bench/run/peer_file.h"
#include "bench/run/tree.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* argv[0] "sh", or a path; of a document that is right but for what is added. */
#define HEAD "{\"name\": \"p\",\n\"what\": \"a peer.\",\n\"argv\": [\"sh\", \"-c\", \"%s\"],\n\"serial\": {\"from\": \"stdout\"}%s}"

static void write_peer(const struct tmpdir *t, const char *script, const char *more)
{
        char text[4096];
        int n = snprintf(text, sizeof(text), HEAD, script, more);

        tmpdir_write(t, "peer.json", text, (size_t)n);
}

static int load_text(const struct tmpdir *t, const char *text, struct err *e)
{
        char path[PATH_MAX + 16];
        struct peer p;
        int r;

        tmpdir_write(t, "peer.json", text, strlen(text));
        snprintf(path, sizeof(path), "%s/peer.json", t->path);
        r = peer_load(&p, path, e);
        if (r == 0)
                peer_free(&p);
        return r;
}

struct refusal {
        const char *what, *text, *says;
};

#define OK_HEAD "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"stdout\"}"

Test(peer_file, whatever_is_not_as_told_is_refused_with_its_place)
{
        static const struct refusal refusals[] = {
                {"unknown key", "{\"name\":\"p\",\n\"what\":\"w\",\n\"argw\":[\"x\"],\"serial\":{\"from\":\"stdout\"}}", "/argw (line 3): unknown key; known here: $schema, name"},
                {"unknown inner key", OK_HEAD ",\"helpers\":[{\"argv\":[\"y\"],\n\"redy\":\"z\"}]}", "/helpers/0/redy (line 2): unknown key; known here: argv, ready"},
                {"missing key", "{\"name\":\"p\",\"what\":\"w\",\"serial\":{\"from\":\"stdout\"}}", "/argv: missing"},
                {"wrong type", "{\"name\":3,\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"stdout\"}}", "/name (line 1): expected a string, found a whole number"},
                {"no JSON", "{\"name\":\n\n,}", "line 3: "},
                {"more after the end", OK_HEAD "} {}", "line 1: "},
                {"no object", "[]", "line 1: expected an object"},
                {"unknown variable", OK_HEAD ",\"files\":[\"{snapshto}/x\"]}", "/files (line 1): {snapshto} is no variable"},
                {"a brace alone", OK_HEAD ",\"files\":[\"a}b\"]}", "a '}' that belongs to no {name}"},
                {"a variable of ours", OK_HEAD ",\"vars\":{\"snapshot\":\"x\"}}", "/vars/snapshot (line 1): this one is rouse's own"},
                {"a variable that comes later", OK_HEAD ",\"vars\":{\"a\":\"{b}\",\"b\":\"x\"}}", "/vars/a (line 1): {b} is no variable"},
                {"an unknown place of the serial port", "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"usb\"}}", "/serial/from (line 1): expected stdout, pty"},
                {"a path that means nothing", "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"pty\",\"path\":\"y\"}}", "/serial/path (line 1): has no meaning with 'pty'"},
                {"a path that lacks", "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"listen\"}}", "/serial/path: missing: 'listen' needs it"},
                {"a pattern without a group", "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"printed-pty\",\"pattern\":\"x\"}}", "expected a group"},
                {"talk without an api", OK_HEAD ",\"talk\":[]}", "there is no \"api\" to talk to"},
                {"two moments", OK_HEAD ",\"api\":{\"qmp\":\"q\"},\"talk\":[{\"qmp\":\"a\",\"t0\":true},{\"qmp\":\"b\",\"t0\":true}]}", "/talk/1/t0: there is another step with t0"},
                {"HTTP to QMP", OK_HEAD ",\"api\":{\"qmp\":\"q\"},\"talk\":[{\"http\":\"PUT /x\"}]}", "/talk/0/http (line 1): unknown key; known here: qmp"},
                {"a request that is none", OK_HEAD ",\"api\":{\"http\":\"q\"},\"talk\":[{\"http\":\"PUT x\"}]}", "expected a method and a path"},
                {"an answer that nobody gives", "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"x\"],\"serial\":{\"from\":\"answered-pty\"}}", "'answered-pty' needs a step with"},
                {"a time that is none", OK_HEAD ",\"timeout\":\"5 minutes\"}", "/timeout (line 1): expected a time"},
                {"a program that is no list", OK_HEAD ",\"before\":[\"true\"]}", "/before/0: expected an array of strings"},
        };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
                struct err e = {0};

                cr_assert_lt(load_text(&t, refusals[i].text, &e), 0, "%s: was taken", refusals[i].what);
                cr_assert_eq(e.kind, ERR_USAGE);
                cr_assert(strstr(e.text, refusals[i].says), "%s: '%s' is not in: %s", refusals[i].what, refusals[i].says, e.text);
        }
}

Test(peer_file, every_example_can_be_read)
{
        DIR *d = opendir("bench/peers");
        unsigned nr = 0;

        cr_assert(d);
        for (struct dirent *entry; (entry = readdir(d));) {
                const char *dot = strrchr(entry->d_name, '.');
                char path[300];
                struct err e = {0};
                struct peer p;

                if (!dot || strcmp(dot, ".json") || strcmp(entry->d_name, "peer.schema.json") == 0)
                        continue;
                snprintf(path, sizeof(path), "bench/peers/%s", entry->d_name);
                cr_assert_eq(peer_load(&p, path, &e), 0, "%s", e.text);
                cr_assert_eq(strncmp(p.name, entry->d_name, (size_t)(dot - entry->d_name)), 0, "%s is called '%s'", entry->d_name,
                             p.name);
                peer_free(&p);
                nr++;
        }
        closedir(d);
        cr_assert_geq(nr, 6);
}

Test(peer_file, a_variable_is_taken_from_the_command_line_and_may_use_others)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char spec[PATH_MAX + 64], expected[PATH_MAX + 32];
        struct peer_vars vars = {0};
        struct err e = {0};
        struct peer p;

        write_peer(&t, "x", ",\"vars\": {\"a\": \"1\", \"b\": \"{a}{{{snapshot}}}\"}");
        snprintf(spec, sizeof(spec), "%s/peer.json,a=2", t.path);
        cr_assert_eq(peer_load(&p, spec, &e), 0, "%s", e.text);
        cr_assert_eq(peer_vars_fill(&p, &(struct peer_places){"/snap", "/rouse", "/work", "/scratch", "/serial"}, &vars, &e), 0,
                     "%s", e.text);
        cr_assert_str_eq(peer_vars_get(&vars, "b"), "2{/snap}");
        snprintf(expected, sizeof(expected), "%s", t.path);
        cr_assert_str_eq(peer_vars_get(&vars, "here"), expected);
        peer_vars_free(&vars);
        peer_free(&p);

        snprintf(spec, sizeof(spec), "%s/peer.json,name=q,a=3", t.path);
        cr_assert_eq(peer_load(&p, spec, &e), 0, "%s", e.text);
        cr_assert_str_eq(p.name, "q", "a file can be two arms");
        peer_free(&p);

        snprintf(spec, sizeof(spec), "%s/peer.json,c=2", t.path);
        cr_assert_lt(peer_load(&p, spec, &e), 0);
        cr_assert(strstr(e.text, "/vars/c: there is none of that name"), "%s", e.text);
}

/* --- runs --- */

struct outcome {
        int                  r;
        struct err           e;
        struct metric_values v;
        uint64_t             took_ns;
};

static struct outcome run_file(const struct tmpdir *t, const char *mark, uint64_t timeout_ns)
{
        struct arm_setting s = {.rouse = "/bin/false", .dir = t->path, .scratch = t->path, .mark = mark, .timeout_ns = timeout_ns};
        struct arm_list l = {0};
        struct outcome o = {0};
        char path[PATH_MAX + 16];
        uint64_t from;
        pid_t left;

        snprintf(path, sizeof(path), "%s/peer.json", t->path);
        cr_assert_eq(peer_arm_add(&l, path, &o.e), 0, "%s", o.e.text);
        o.r = l.v[0].ops->prepare(&l.v[0], &s, &o.e);
        from = now_ns();
        if (o.r == 0)
                o.r = l.v[0].ops->run(&l.v[0], &(struct arm_request){.setting = &s}, &o.v, &o.e);
        o.took_ns = now_ns() - from;
        arm_list_free(&l);
        cr_assert_eq(tree_list(getpid(), &left, 1), 0, "process %d was left behind", left);
        return o;
}

static struct outcome run_peer(const char *script, const char *more, const char *mark, uint64_t timeout_ns)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        write_peer(&t, script, more);
        return run_file(&t, mark, timeout_ns);
}

static struct outcome run_document(const char *text, const char *mark)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        tmpdir_write(&t, "peer.json", text, strlen(text));
        return run_file(&t, mark, 10 * NS_PER_S);
}

static void assert_done(const struct outcome *o)
{
        cr_assert_eq(o->r, 0, "%s", o->e.text);
        cr_assert(o->v.has[METRIC_T3] && o->v.has[METRIC_T4]);
        cr_assert_leq(o->v.v[METRIC_T3], o->v.v[METRIC_T4]);
}

Test(peer_run, the_first_byte_and_the_marked_line_of_standard_output_are_stamped_and_everything_is_ended)
{
        /* a child, a grandchild, and a daemon in a session of its own */
        struct outcome o = run_peer("(setsid sleep 100 &) ; sleep 101 & echo hello; echo tick 7; sleep 102", "", "^tick",
                                    10 * NS_PER_S);

        assert_done(&o);
        cr_assert_gt(o.v.v[METRIC_RSS_END], 3.0 * 4096, "the daemon and the sleeps count");
        cr_assert_lt(o.took_ns, 10 * NS_PER_S);
}

Test(peer_run, a_peer_that_dies_says_its_last_lines)
{
        struct outcome o = run_peer("echo one >&2; echo no memory >&2; echo giving up >&2; exit 7", "", NULL, 10 * NS_PER_S);

        cr_assert_lt(o.r, 0);
        cr_assert(strstr(o.e.text, "exit 7") && strstr(o.e.text, "one | no memory | giving up"), "%s", o.e.text);
}

Test(peer_run, a_peer_that_stays_silent_is_ended_at_the_timeout_of_its_file)
{
        struct outcome o = run_peer("trap '' TERM; sleep 100", ",\"timeout\": \"100ms\"", NULL, 100 * NS_PER_S);

        cr_assert_eq(o.r, -ETIMEDOUT);
        cr_assert(strstr(o.e.text, "within 0.1 s"), "%s", o.e.text);
}

Test(peer_run, a_helper_is_started_before_and_one_that_dies_is_the_failure)
{
        struct outcome o = run_peer("cat {scratch}/ready; sleep 100",
                                    ",\"helpers\": [{\"argv\": [\"sh\", \"-c\", \"echo served > {scratch}/x; mv {scratch}/x {scratch}/ready; "
                                    "sleep 100\"], \"ready\": \"{scratch}/ready\"}]",
                                    "^served", 10 * NS_PER_S);

        assert_done(&o);
        o = run_peer("echo x",
                     ",\"helpers\": [{\"argv\": [\"sh\", \"-c\", \"echo no uffd >&2; exit 3\"], \"ready\": \"{scratch}/ready\"}]",
                     NULL, 10 * NS_PER_S);
        cr_assert(strstr(o.e.text, "helper sh: exit 3") && strstr(o.e.text, "no uffd"), "%s", o.e.text);
}

Test(peer_run, a_vmm_that_ends_is_noticed_although_its_helper_lives)
{
        struct outcome o = run_peer("exit 4", ",\"helpers\": [{\"argv\": [\"sh\", \"-c\", \"sleep 100 & sleep 100\"]}]", NULL,
                                    60 * NS_PER_S);

        cr_assert_eq(o.r, -ECHILD, "%s", o.e.text);
        cr_assert(strstr(o.e.text, "exit 4"), "%s", o.e.text);
}

Test(peer_run, before_and_after_are_run_also_when_the_peer_fails)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[PATH_MAX + 16];
        struct outcome o;

        write_peer(&t, "test -f {snapshot}/made && exit 9", ",\"before\": [[\"touch\", \"{snapshot}/made\"]], \"after\": [[\"mv\", \"{snapshot}/made\", \"{snapshot}/gone\"]]");
        o = run_file(&t, NULL, 10 * NS_PER_S);
        cr_assert(strstr(o.e.text, "exit 9"), "%s", o.e.text);
        snprintf(path, sizeof(path), "%s/gone", t.path);
        cr_assert_eq(access(path, F_OK), 0);
}

Test(peer_run, a_file_or_program_that_is_not_there_is_told_before_the_first_run)
{
        struct outcome o = run_peer("x", ",\"files\": [\"{snapshot}/state.gone\"]", NULL, NS_PER_S);

        cr_assert_eq(o.r, -ENOENT);
        cr_assert(strstr(o.e.text, "/state.gone: No such file"), "%s", o.e.text);
        o = run_document("{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"no-such-vmm\"],\"serial\":{\"from\":\"stdout\"}}", NULL);
        cr_assert(strstr(o.e.text, "no-such-vmm: there is no such program in $PATH"), "%s", o.e.text);
}

Test(peer_run, the_environment_is_the_files)
{
        struct outcome o;

        setenv("GONE", "1", 1);
        o = run_peer("echo $HAS-$GONE-$SIX; sleep 100",
                     ",\"env\": {\"HAS\": \"{name}\", \"GONE\": null, \"SIX\": \"6\"}, \"vars\": {\"name\": \"n\"}", "^n--6$",
                     10 * NS_PER_S);
        assert_done(&o);
}

/* Each way to have a serial port, with a script for a VMM. */
struct serial_case {
        const char *serial, *script;
};

Test(peer_run, a_serial_port_is_found_wherever_it_is)
{
        static const struct serial_case cases[] = {
                {"{\"from\":\"pty\"}", "[\"sh\",\"-c\",\"echo hello > {serial}; echo tick > {serial}; sleep 100\"]"},
                {"{\"from\":\"stdio-pty\"}", "[\"sh\",\"-c\",\"test -t 0 && test -t 1 && echo hello && echo tick; sleep 100\"]"},
                {"{\"from\":\"file\",\"path\":\"{scratch}/log\"}", "[\"sh\",\"-c\",\"echo hello > {serial}; echo tick >> {serial}; sleep 100\"]"},
                {"{\"from\":\"listen\",\"path\":\"{scratch}/s\"}",
                 "[\"python3\",\"-c\",\"import socket,time; s=socket.socket(socket.AF_UNIX); s.connect('{serial}'); s.send(b'hello\\\\ntick\\\\n'); time.sleep(100)\"]"},
                {"{\"from\":\"socket\",\"path\":\"{scratch}/s\"}",
                 "[\"python3\",\"-c\",\"import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('{scratch}/s'); time.sleep(.05); s.listen(); c=s.accept()[0]; "
                 "c.send(b'hello\\\\ntick\\\\n'); time.sleep(100)\"]"},
                {"{\"from\":\"printed-pty\",\"pattern\":\"redirected to (/dev/pts/[0-9]+)\"}",
                 "[\"python3\",\"-c\",\"import os,pty,time; m,s=pty.openpty(); print('char device redirected to '+os.ttyname(s), flush=True); time.sleep(.1); "
                 "os.write(m,b'hello\\\\ntick\\\\n'); time.sleep(100)\"]"},
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char text[2048];
                struct outcome o;

                snprintf(text, sizeof(text), "{\"name\":\"p\",\"what\":\"w\",\"argv\":%s,\"serial\":%s}", cases[i].script,
                         cases[i].serial);
                o = run_document(text, "^tick$");
                cr_assert_eq(o.r, 0, "%s: %s", cases[i].serial, o.e.text);
                assert_done(&o);
        }
}

/* --- talking --- */

/* Standard output says "banner", then an API comes up, late; after the right request the guest speaks. */
#define HTTP_VMM                                                                                                                                     \
        "import socket,sys,time\\n"                                                                                                                  \
        "print('banner', flush=True)\\ntime.sleep(.3)\\n"                                                                                            \
        "s=socket.socket(socket.AF_UNIX); s.bind('{scratch}/api'); s.listen(); c=s.accept()[0]\\n"                                                   \
        "def take():\\n  b=b''\\n  while b'\\\\r\\\\n\\\\r\\\\n' not in b or not b.endswith(b'END\\\"}}'): b+=c.recv(1000)\\n  return b\\n"            \
        "r=take()\\nok=r.startswith(b'PUT /load HTTP/1.1') and b'snap\\\":\\\"{snapshot}' in r\\n"                                                     \
        "if not ok: print('tick: what a VMM says of itself is no guest', flush=True); time.sleep(.1)\\n"                                                 \
        "c.send(b'HTTP/1.1 204 \\\\r\\\\n\\\\r\\\\n' if ok else b'HTTP/1.1 400 \\\\r\\\\nContent-Length: 9\\\\r\\\\n\\\\r\\\\n[\\\"wrong\\\"]')\\n"      \
        "print('tick', flush=True)\\ntime.sleep(100)"

static struct outcome run_http(const char *step)
{
        char text[4096];

        snprintf(text, sizeof(text), "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"python3\",\"-c\",\"" HTTP_VMM "\"],\"serial\":{\"from\":\"stdout\"},"
                                     "\"api\":{\"http\":\"{scratch}/api\"},\"talk\":[%s]}", step);
        return run_document(text, "^tick");
}

Test(peer_talk, t0_can_be_the_call_that_restores_and_what_was_said_before_is_no_answer)
{
        struct outcome o = run_http("{\"http\":\"PUT /load\",\"body\":{\"snap\":\"{snapshot}\",\"x\":\"END\"},\"status\":204,\"t0\":true}");

        assert_done(&o);
        /* 300 ms of the run were before T0: from spawn on, T3 would be nearly all of it, and here it is not */
        cr_assert_leq(o.v.v[METRIC_T3] * (double)NS_PER_US, (double)(o.took_ns - 300 * NS_PER_MS));
}

Test(peer_talk, without_t0_the_start_counts)
{
        struct outcome o = run_http("{\"http\":\"PUT /load\",\"body\":{\"snap\":\"{snapshot}\",\"x\":\"END\"},\"status\":204}");

        assert_done(&o);
        cr_assert_geq(o.v.v[METRIC_T4], 300.0 * 1000);
        cr_assert_lt(o.v.v[METRIC_T3], o.v.v[METRIC_T4], "the banner came first");
}

Test(peer_talk, an_answer_of_another_status_is_the_failure_with_its_text)
{
        struct outcome o = run_http("{\"http\":\"PUT /load\",\"body\":{\"snap\":\"other\",\"x\":\"END\"},\"t0\":true}");

        cr_assert_eq(o.r, -EPROTO);
        cr_assert_str_eq(o.e.text, "p: PUT /load: HTTP status 400: [\"wrong\"]");
}

/* Greets, answers everything; an event comes before its answer, and what is asked for is there at the third time only. */
#define QMP_VMM                                                                                                                                       \
        "import socket,json,time,os,pty\\n"                                                                                                           \
        "m,t=pty.openpty()\\n"                                                                                                                        \
        "s=socket.socket(socket.AF_UNIX); s.bind('{scratch}/q'); s.listen(); c=s.accept()[0]; f=c.makefile('rw')\\n"                                  \
        "def say(o): f.write(json.dumps(o)+'\\\\r\\\\n'); f.flush()\\n"                                                                               \
        "say(dict(QMP=dict()))\\nn=0\\n"                                                                                                              \
        "for line in f:\\n"                                                                                                                           \
        "  q=json.loads(line)['execute']; n+=q=='query'\\n"                                                                                           \
        "  if q=='migrate-incoming': say(dict(event='MIGRATION'))\\n"                                                                                 \
        "  if q=='bad': say(dict(error=dict([('class','GenericError'),('desc','not now')]))); continue\\n"                                            \
        "  say(dict([('return',dict(status='completed' if n>2 else 'active',tty='pty:'+os.ttyname(t)))]))\\n"                                         \
        "  if q=='cont': os.write(m,b'tick %%d\\\\n' %% n)"

static struct outcome run_qmp(const char *steps)
{
        char text[4096];

        snprintf(text, sizeof(text), "{\"name\":\"p\",\"what\":\"w\",\"argv\":[\"python3\",\"-c\",\"" QMP_VMM "\"],\"serial\":{\"from\":\"answered-pty\"},"
                                     "\"api\":{\"qmp\":\"{scratch}/q\"},\"talk\":[%s]}", steps);
        return run_document(text, "^tick 3");
}

Test(peer_talk, qmp_waits_for_answers_events_and_states_and_learns_the_pty)
{
        struct outcome o = run_qmp("{\"qmp\":\"migrate-incoming\",\"arguments\":{\"uri\":\"x\"},\"t0\":true,\"serial\":\"/tty\"},{\"event\":\"MIGRATION\"},"
                                   "{\"qmp\":\"query\",\"until\":{\"/status\":\"completed\"}},{\"qmp\":\"cont\"}");

        assert_done(&o);
        o = run_qmp("{\"qmp\":\"bad\",\"serial\":\"/tty\"}");
        cr_assert_str_eq(o.e.text, "p: bad: GenericError: not now");
}
