/* core/console: serial output past the clock and the patterns. */
#include "core/base/clock.h"
#include "core/console.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct seen {
        int      first, out, until, mark;
        uint64_t first_ns, out_ns;
        int      fd;  /* where the byte arrives; 0: nobody looks */
        char     got; /* what had arrived there when it was told to be out */
};

static void on_first(void *arg, uint64_t ns)
{
        struct seen *s = arg;

        s->first++;
        s->first_ns = ns;
}

static void on_out(void *arg, uint64_t ns)
{
        struct seen *s = arg;

        s->out++;
        s->out_ns = ns;
        cr_expect_eq(s->first, 1, "the time is kept before");
        if (s->fd && read(s->fd, &s->got, 1) < 0)
                s->got = 0;
}

static void on_match(void *arg, bool until, uint64_t ns)
{
        struct seen *s = arg;
        (void)ns;

        if (until)
                s->until++;
        else
                s->mark++;
}

static struct console *make(int fd, const char *until, const char *mark, struct seen *seen)
{
        struct console_config c = {.out_fd = fd, .until = until, .mark = mark, .arg = seen, .first_byte = on_first, .first_is_out = on_out, .matched = on_match};
        struct console *con;
        struct err e = {0};

        cr_assert_eq(console_new(&c, &con, &e), 0, "%s", e.text);
        return con;
}

static void put(struct console *c, const char *text)
{
        while (*text)
                console_put(c, (uint8_t)*text++);
}

Test(console, the_first_byte_is_told_once_and_at_once)
{
        struct seen s = {0};
        struct console *c = make(-1, NULL, NULL, &s);
        uint64_t before = now_ns();

        console_put(c, 'x');
        cr_expect_eq(s.first, 1);
        cr_expect(s.first_ns >= before && s.first_ns <= now_ns());
        put(c, "more\nand more\n");
        cr_expect_eq(s.first, 1);
        cr_expect_eq(s.out, 1);
        cr_expect_eq(s.out_ns, s.first_ns);
        console_free(c);
}

Test(console, whoever_would_take_the_vcpus_place_is_woken_behind_the_first_byte)
{
        struct seen s = {0};
        int fds[2];
        struct console *c;

        cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        s.fd = fds[0];
        c = make(fds[1], NULL, NULL, &s);
        console_put(c, 'x');
        cr_expect_eq(s.out, 1);
        cr_expect_eq(s.got, 'x');
        console_free(c);
        close(fds[0]);
        close(fds[1]);
}

Test(console, the_first_byte_is_out_before_whoever_put_it_goes_on)
{
        struct seen s = {0};
        int fds[2];
        char byte = 0;
        struct console *c;

        cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        c = make(fds[1], NULL, NULL, &s);
        console_put(c, 'x');
        cr_expect_eq(read(fds[0], &byte, 1), 1, "it waits for the writer");
        cr_expect_eq(byte, 'x');
        console_free(c);
        close(fds[0]);
        close(fds[1]);
}

Test(console, a_first_byte_that_nobody_has_room_for_does_not_stop_who_puts_it)
{
        struct seen s = {0};
        int fds[2];
        struct console *c;

        cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        while (write(fds[1], "full", 4) == 4)
                ;
        fcntl(fds[1], F_SETFL, 0);
        c = make(fds[1], NULL, NULL, &s);
        console_put(c, 'x');
        cr_expect_eq(s.first, 1);
        console_free(c);
        close(fds[0]);
        close(fds[1]);
}

Test(console, a_pattern_matches_whole_lines_only_and_once)
{
        struct seen s = {0};
        struct console *c = make(-1, "^TICK [0-9]+ ok$", "BOOT", &s);

        put(c, "TICK 1 o");
        cr_expect_eq(s.until, 0);
        put(c, "k\r");
        cr_expect_eq(s.until, 0, "the line has not ended");
        put(c, "\n");
        cr_expect_eq(s.until, 1);
        put(c, "TICK 2 ok\nBOOTED\n");
        cr_expect_eq(s.until, 1);
        cr_expect_eq(s.mark, 1);
        console_free(c);
}

Test(console, a_bad_pattern_is_a_usage_error_that_quotes_it)
{
        struct console_config cfg = {.out_fd = -1, .until = "a(b"};
        struct console *c;
        struct err e = {0};

        cr_expect_lt(console_new(&cfg, &c, &e), 0);
        cr_expect_eq(e.kind, ERR_USAGE);
        cr_expect(strstr(e.text, "a(b"));
}

Test(console, everything_that_was_put_comes_out_in_order)
{
        struct seen s = {0};
        struct console *c;
        char got[100000];
        size_t len = 0;
        int p[2];

        cr_assert_eq(pipe(p), 0);
        c = make(p[1], NULL, NULL, &s);
        for (int i = 0; i < 5000; i++) {
                console_put(c, (uint8_t)('a' + i % 26));
                if (i % 80 == 79)
                        console_put(c, '\n');
        }
        console_flush(c, 5000);
        console_free(c);
        close(p[1]);
        for (ssize_t n; (n = read(p[0], got + len, sizeof(got) - len)) > 0;)
                len += (size_t)n;
        cr_assert_eq(len, 5000 + 5000 / 80);
        for (size_t i = 0, k = 0; i < len; i++)
                if (got[i] != '\n') {
                        cr_assert_eq(got[i], 'a' + (char)(k % 26));
                        k++;
                }
}

static void *put_much(void *arg)
{
        for (int i = 0; i < 400000; i++)
                console_put(arg, 'x');
        return NULL;
}

Test(console, a_vcpu_that_waits_for_a_reader_goes_on_when_the_vm_is_paused, .timeout = 20)
{
        struct seen s = {0};
        struct console *c;
        pthread_t t;
        int p[2];

        cr_assert_eq(pipe(p), 0);
        c = make(p[1], NULL, NULL, &s);
        cr_assert_eq(pthread_create(&t, NULL, put_much, c), 0);
        usleep(200000);
        cr_expect_eq(pthread_tryjoin_np(t, NULL), EBUSY, "nobody reads: the writer must wait");
        console_hold_open(c, true);
        cr_expect_eq(pthread_join(t, NULL), 0);
        console_free(c); /* and nobody needs a reader to end */
        close(p[0]);
        close(p[1]);
}

Test(console, a_flush_gives_up_after_its_time, .timeout = 20)
{
        struct seen s = {0};
        struct console *c;
        uint64_t before;
        int p[2];

        cr_assert_eq(pipe(p), 0);
        c = make(p[1], NULL, NULL, &s);
        console_hold_open(c, true);
        put_much(c);
        before = now_ns();
        console_flush(c, 200);
        cr_expect_geq(now_ns() - before, 190000000u);
        console_free(c);
        close(p[0]);
        close(p[1]);
}

static struct console *make_lossy(struct seen *seen)
{
        struct console_config c = {.out_fd = -1, .lossy = true, .arg = seen, .first_byte = on_first, .first_is_out = on_out, .matched = on_match};
        struct console *con;
        struct err e = {0};

        cr_assert_eq(console_new(&c, &con, &e), 0, "%s", e.text);
        return con;
}

static size_t read_for(int fd, char *buf, size_t size, const char *until)
{
        size_t len = 0;

        while (len < size - 1 && (len == 0 || !strstr(buf, until))) {
                ssize_t n = read(fd, buf + len, size - 1 - len);

                if (n <= 0)
                        break;
                len += (size_t)n;
                buf[len] = 0;
        }
        return len;
}

Test(console, a_lossy_one_keeps_the_newest_bytes_for_its_first_reader, .timeout = 20)
{
        static char buf[100000];
        struct seen s = {0};
        struct console *c = make_lossy(&s);
        uint64_t dropped;
        size_t len;
        int p[2];

        cr_assert_eq(pipe(p), 0);
        for (int i = 0; i < 200000; i++)
                console_put(c, (uint8_t)('a' + i % 26)); /* nobody is there, and nobody waits */
        put(c, "the end\n");
        dropped = console_connect(c, p[1]);
        len = read_for(p[0], buf, sizeof(buf), "the end\n");
        cr_expect_eq(dropped + len, 200008, "dropped %llu, read %zu", (unsigned long long)dropped, len);
        cr_expect_geq(len, 48 * 1024);
        cr_expect_eq(buf[0], 'a' + (int)(dropped % 26));
        console_free(c);
        close(p[0]);
        close(p[1]);
}

Test(console, a_reader_that_does_not_read_can_be_left_for_another_one, .timeout = 20)
{
        static char buf[100000];
        struct seen s = {0};
        struct console *c = make_lossy(&s);
        int one[2], two[2];
        uint64_t dropped;

        cr_assert_eq(pipe(one), 0);
        cr_assert_eq(pipe(two), 0);
        cr_expect_eq(console_connect(c, one[1]), 0);
        for (int i = 0; i < 400000; i++)
                console_put(c, 'x');
        dropped = console_connect(c, -1);
        cr_expect_geq(dropped, 100000u);
        close(one[0]);
        close(one[1]);
        console_connect(c, two[1]);
        put(c, "for two\n");
        read_for(two[0], buf, sizeof(buf), "for two\n");
        cr_expect(strstr(buf, "for two\n"));
        console_free(c);
        close(two[0]);
        close(two[1]);
}
