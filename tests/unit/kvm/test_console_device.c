/* virtio-console: ports are announced as the specification says, bytes pass both ways in order, and nobody waits for a reader. */
#include "tests/support/tmpdir.h"
#include "tests/unit/kvm/fake_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define F_SIZE      (1ULL << 0)
#define F_MULTIPORT (1ULL << 1)

enum { IN, OUT, CTRL_IN, CTRL_OUT };
enum { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };

struct control {
        uint32_t id;
        uint16_t event, value;
};

/* Where the tests' buffers are. */
#define CTRL_IN_GPA  (DRIVER_DATA_GPA)
#define CTRL_OUT_GPA (DRIVER_DATA_GPA + 0x10000)
#define OUT_GPA      (DRIVER_DATA_GPA + 0x20000)
#define IN_GPA       (DRIVER_DATA_GPA + 0x400000)
#define CTRL_BYTES   64u

static void give_ctrl(struct driver *g, unsigned int nr)
{
        for (unsigned int i = 0; i < nr; i++)
                driver_add_one(g, CTRL_IN, CTRL_IN_GPA + driver_next_head(g, CTRL_IN) * CTRL_BYTES, CTRL_BYTES, true);
        driver_kick(g, CTRL_IN);
}

static void say(struct driver *g, uint32_t id, uint16_t event, uint16_t value)
{
        struct control c = {id, event, value};
        gpa_t gpa = CTRL_OUT_GPA + driver_next_head(g, CTRL_OUT) * CTRL_BYTES;

        memcpy(driver_at(g, gpa), &c, sizeof(c));
        driver_add_one(g, CTRL_OUT, gpa, sizeof(c), false);
        driver_kick(g, CTRL_OUT);
        driver_take(g, CTRL_OUT, NULL);
}

/* The next control message; its bytes past the head in *ret_more. */
static struct control hear(struct driver *g, uint8_t ret_more[CTRL_BYTES], uint32_t *ret_len)
{
        uint32_t len, head = driver_take(g, CTRL_IN, &len);
        const uint8_t *at = driver_at(g, CTRL_IN_GPA + head * CTRL_BYTES);
        struct control c;

        cr_assert_geq(len, sizeof(c));
        memcpy(&c, at, sizeof(c));
        if (ret_more)
                memcpy(ret_more, at + sizeof(c), len - sizeof(c));
        if (ret_len)
                *ret_len = len - (uint32_t)sizeof(c);
        return c;
}

static void expect_control(struct driver *g, uint32_t id, uint16_t event, uint16_t value)
{
        struct control c = hear(g, NULL, NULL);

        cr_expect(c.id == id && c.event == event && c.value == value, "expected port %u event %u value %u, found %u %u %u", id,
                  event, value, c.id, c.event, c.value);
}

static void announce(struct driver *g)
{
        give_ctrl(g, 16);
        say(g, 0, DEVICE_READY, 1);
        expect_control(g, 0, DEVICE_ADD, 1);
}

static void start_ports(struct driver *g)
{
        driver_start(g, F_SIZE | F_MULTIPORT, 4, 128);
        announce(g);
}

static void ready_port(struct driver *g, bool connected)
{
        say(g, 0, PORT_READY, 1);
        expect_control(g, 0, CONSOLE_PORT, 1);
        expect_control(g, 0, PORT_NAME, 1);
        if (connected)
                expect_control(g, 0, PORT_OPEN, 1);
        say(g, 0, PORT_OPEN, 1);
}

static void write_out(struct driver *g, const char *text)
{
        memcpy(driver_at(g, OUT_GPA), text, strlen(text));
        driver_add_one(g, OUT, OUT_GPA, (uint32_t)strlen(text), false);
        driver_kick(g, OUT);
}

/* --- a socket's client --- */

struct at_socket {
        struct tmpdir        dir;
        char                 path[4300];
        struct device_config config;
};

static void at_socket_init(struct at_socket *a)
{
        a->dir = tmpdir_new();
        snprintf(a->path, sizeof(a->path), "%s/s", a->dir.path);
        a->config = (struct device_config){.kind = VIRTIO_CONSOLE, .path = a->path, .listen = true};
}

static int call(const char *path)
{
        struct sockaddr_un s = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(s.sun_path, sizeof(s.sun_path), "%s", path);
        cr_assert_eq(connect(fd, (struct sockaddr *)&s, sizeof(s)), 0, "%s: %s", path, strerror(errno));
        return fd;
}

/* Exactly len bytes within 10 s. */
static void read_all(int fd, char *buf, size_t len)
{
        for (size_t done = 0; done < len;) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                ssize_t n;

                cr_assert_eq(poll(&p, 1, 10000), 1, "%zu of %zu bytes came", done, len);
                n = read(fd, buf + done, len - done);
                cr_assert_gt(n, 0);
                done += (size_t)n;
        }
}

static void expect_text(int fd, const char *text)
{
        char buf[200] = "";

        read_all(fd, buf, strlen(text));
        cr_expect_str_eq(buf, text);
}

Test(console_device, a_new_one_has_one_port_and_a_size)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct driver *g = driver_new(&console_maker, &c, NULL);
        uint8_t cfg[16];

        memset(cfg, 0xff, sizeof(cfg));
        g->d->ops->read_config(g->d, 0, cfg, 8);
        g->d->ops->read_config(g->d, 8, cfg + 8, 8);
        cr_expect_eq(cfg[0], 80);
        cr_expect_eq(cfg[2], 25);
        cr_expect_eq(cfg[4], 1);
        cr_expect_eq(cfg[8] | cfg[12], 0);
        cr_expect_eq(g->d->nr_queues, 4);
        cr_expect_eq(virtq_state(g->d->queues[0])->max_size, 128);
        cr_expect_eq(virtq_state(g->d->queues[2])->max_size, 32);
        driver_free(g);
}

Test(console_device, ports_are_announced_in_the_order_of_the_specification)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct driver *g = driver_new(&console_maker, &c, NULL);
        uint8_t more[CTRL_BYTES] = {0};
        uint32_t len;

        start_ports(g);
        say(g, 0, PORT_READY, 1);
        expect_control(g, 0, CONSOLE_PORT, 1);
        cr_expect_eq(hear(g, more, &len).event, PORT_NAME);
        cr_expect(len == 15 && memcmp(more, "rouse.console.0", 15) == 0);
        expect_control(g, 0, PORT_OPEN, 1);
        driver_free(g);
}

/* Linux would take its columns for rows. */
Test(console_device, nobody_is_told_of_a_size_that_did_not_change)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct driver *g = driver_new(&console_maker, &c, NULL);

        start_ports(g);
        ready_port(g, true);
        usleep(5000);
        cr_expect_not(driver_has_used(g, CTRL_IN));
        driver_free(g);
}

/* Of each failure, whatever it repeats. */
Test(console_device, a_driver_that_cannot_use_its_ports_over_and_over_does_not_flood_the_user)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct driver *g = driver_new(&console_maker, &c, NULL);

        start_ports(g);
        for (unsigned i = 0; i < 50; i++)
                say(g, 0, PORT_READY, 0);
        cr_expect_eq(g->r->nr_messages, 1, "%u messages", g->r->nr_messages);
        cr_expect_not_null(strstr(g->r->message, "cannot use port 0"), "%s", g->r->message);
        driver_free(g);
}

Test(console_device, messages_wait_until_the_driver_has_room_for_them)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct driver *g = driver_new(&console_maker, &c, NULL);

        driver_start(g, F_MULTIPORT, 4, 128);
        say(g, 0, DEVICE_READY, 1);
        usleep(5000);
        cr_expect_not(driver_has_used(g, CTRL_IN));
        give_ctrl(g, 1);
        expect_control(g, 0, DEVICE_ADD, 1);
        say(g, 0, PORT_READY, 1);
        give_ctrl(g, 2);
        expect_control(g, 0, CONSOLE_PORT, 1);
        give_ctrl(g, 2);
        expect_control(g, 0, PORT_NAME, 1);
        expect_control(g, 0, PORT_OPEN, 1);
        driver_free(g);
}

Test(console_device, nonsense_on_the_control_queue_changes_nothing)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct driver *g = driver_new(&console_maker, &c, NULL);

        start_ports(g);
        say(g, 1, PORT_READY, 1);
        say(g, UINT32_MAX, PORT_OPEN, 1);
        say(g, 0, 99, 1);
        say(g, 0, DEVICE_ADD, 1);
        driver_add_one(g, CTRL_OUT, CTRL_OUT_GPA, 3, false); /* too short to say anything */
        driver_kick(g, CTRL_OUT);
        driver_take(g, CTRL_OUT, NULL);
        cr_expect_not(driver_has_used(g, CTRL_IN));
        cr_expect_not(virtio_is_broken(g->d));
        ready_port(g, true);
        driver_free(g);
}

Test(console_device, output_is_appended_to_a_file)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], text[100] = "";
        const struct device_config c = {.kind = VIRTIO_CONSOLE, .path = path};
        struct driver *g;
        int fd;

        tmpdir_write(&t, "log", "before ", 7);
        snprintf(path, sizeof(path), "%s/log", t.path);
        g = driver_new(&console_maker, &c, NULL);
        start_ports(g);
        ready_port(g, true);
        write_out(g, "one ");
        driver_take(g, OUT, NULL);
        write_out(g, "two");
        driver_take(g, OUT, NULL);
        driver_free(g);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_expect_gt(read(fd, text, sizeof(text) - 1), 0);
        cr_expect_str_eq(text, "before one two");
        close(fd);
}

Test(console_device, without_multiport_port_0_works_by_itself)
{
        struct at_socket a;
        struct driver *g;
        uint32_t len;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        driver_start(g, 0, 2, 128);
        fd = call(a.path);
        cr_assert_eq(write(fd, "in", 2), 2);
        driver_add_one(g, IN, IN_GPA, 100, true);
        driver_kick(g, IN);
        driver_take(g, IN, &len);
        cr_expect_eq(len, 2);
        cr_expect_eq(memcmp(driver_at(g, IN_GPA), "in", 2), 0);
        write_out(g, "out");
        expect_text(fd, "out");
        close(fd);
        driver_free(g);
        cr_expect_neq(access(a.path, F_OK), 0, "the socket's name is left behind");
        tmpdir_free(&a.dir);
}

Test(console_device, the_guest_hears_of_clients_that_come_and_go)
{
        struct at_socket a;
        struct driver *g;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        for (int i = 0; i < 3; i++) {
                give_ctrl(g, 2);
                fd = call(a.path);
                expect_control(g, 0, PORT_OPEN, 1);
                close(fd);
                expect_control(g, 0, PORT_OPEN, 0);
        }
        driver_free(g);
        tmpdir_free(&a.dir);
}

Test(console_device, output_is_dropped_while_nobody_is_connected)
{
        struct at_socket a;
        struct driver *g;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        write_out(g, "unheard");
        driver_take(g, OUT, NULL);
        fd = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        write_out(g, "heard");
        expect_text(fd, "heard");
        close(fd);
        driver_free(g);
        tmpdir_free(&a.dir);
}

/* 8 MiB into a socket that holds some 200 KiB: the queue stands still, the worker does not, and nothing is lost or doubled. */
Test(console_device, a_slow_reader_holds_up_the_queue_and_not_the_worker)
{
        enum { PIECE = 32 * 1024, PIECES = 256 };
        char *buf = malloc(PIECE);
        struct at_socket a;
        struct driver *g;
        unsigned int added = 0, taken = 0;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        fd = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        for (; added < 64; added++) {
                memset(driver_at(g, OUT_GPA + added * PIECE), (int)(added & 0xff), PIECE);
                driver_add_one(g, OUT, OUT_GPA + added * PIECE, PIECE, false);
        }
        driver_kick(g, OUT);
        usleep(20000);
        while (driver_has_used(g, OUT)) {
                driver_take(g, OUT, NULL);
                taken++;
        }
        cr_expect_lt(taken, 64);
        /* It still listens to the driver, and can be parked, which a save does. */
        say(g, 0, 99, 0);
        virtio_device_park(g->d);
        virtio_device_resume(g->d);
        for (unsigned int heard = 0; heard < PIECES; heard++) {
                read_all(fd, buf, PIECE);
                for (int i = 0; i < PIECE; i++)
                        cr_assert_eq((uint8_t)buf[i], heard & 0xff, "piece %u byte %d", heard, i);
                while (added < PIECES && (taken < heard || driver_has_used(g, OUT))) {
                        driver_take(g, OUT, NULL);
                        taken++;
                        memset(driver_at(g, OUT_GPA + added % 64 * PIECE), (int)(added & 0xff), PIECE);
                        driver_add_one(g, OUT, OUT_GPA + added % 64 * PIECE, PIECE, false);
                        added++;
                        driver_kick(g, OUT);
                }
        }
        close(fd);
        free(buf);
        driver_free(g);
        tmpdir_free(&a.dir);
}

Test(console_device, a_reader_that_leaves_in_the_middle_lets_the_queue_go)
{
        struct at_socket a;
        struct driver *g;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        fd = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        for (int i = 0; i < 100; i++)
                driver_add_one(g, OUT, OUT_GPA, 32 * 1024, false);
        driver_kick(g, OUT);
        usleep(20000);
        close(fd);
        for (int i = 0; i < 100; i++)
                driver_take(g, OUT, NULL);
        expect_control(g, 0, PORT_OPEN, 0);
        driver_free(g);
        tmpdir_free(&a.dir);
}

Test(console_device, a_second_client_waits_for_the_first)
{
        struct at_socket a;
        struct driver *g;
        int first, second;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        first = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        second = call(a.path);
        write_out(g, "to the first");
        expect_text(first, "to the first");
        close(first);
        expect_control(g, 0, PORT_OPEN, 0);
        expect_control(g, 0, PORT_OPEN, 1);
        write_out(g, "to the second");
        expect_text(second, "to the second");
        close(second);
        driver_free(g);
        tmpdir_free(&a.dir);
}

Test(console_device, input_waits_until_the_guest_has_the_port_open_and_room)
{
        struct at_socket a;
        struct driver *g;
        uint32_t len;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        fd = call(a.path);
        cr_assert_eq(write(fd, "0123456789", 10), 10);
        driver_add_one(g, IN, IN_GPA, 4, true);
        driver_kick(g, IN);
        usleep(5000);
        cr_expect_not(driver_has_used(g, IN));
        say(g, 0, PORT_OPEN, 1);
        driver_take(g, IN, &len);
        cr_expect_eq(len, 4);
        usleep(5000);
        cr_expect_not(driver_has_used(g, IN));
        driver_add_one(g, IN, IN_GPA + 4, 100, true);
        driver_kick(g, IN);
        driver_take(g, IN, &len);
        cr_expect_eq(len, 6);
        cr_expect_eq(memcmp(driver_at(g, IN_GPA), "0123456789", 10), 0);
        close(fd);
        driver_free(g);
        tmpdir_free(&a.dir);
}

/* As `printf ... | nc -N -U`: all of it is said before anybody listens. */
Test(console_device, what_a_client_said_before_it_left_is_heard)
{
        struct at_socket a;
        struct driver *g;
        uint32_t len, heard = 0;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        fd = call(a.path);
        for (int i = 0; i < 100; i++)
                cr_assert_eq(write(fd, "0123456789", 10), 10);
        close(fd);
        expect_control(g, 0, PORT_OPEN, 1);
        while (heard < 1000) {
                driver_add_one(g, IN, IN_GPA + heard, 100, true);
                driver_kick(g, IN);
                driver_take(g, IN, &len);
                heard += len;
        }
        for (int i = 0; i < 1000; i++)
                cr_assert_eq(*driver_at(g, IN_GPA + (gpa_t)i), '0' + i % 10);
        expect_control(g, 0, PORT_OPEN, 0);
        driver_free(g);
        tmpdir_free(&a.dir);
}

Test(console_device, one_that_only_stops_talking_still_listens)
{
        struct at_socket a;
        struct driver *g;
        uint32_t len;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        driver_add_one(g, IN, IN_GPA, 100, true);
        driver_kick(g, IN);
        fd = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        cr_assert_eq(write(fd, "date\n", 5), 5);
        shutdown(fd, SHUT_WR);
        driver_take(g, IN, &len);
        cr_expect_eq(len, 5);
        driver_add_one(g, IN, IN_GPA, 100, true);
        driver_kick(g, IN);
        usleep(5000);
        write_out(g, "today");
        expect_text(fd, "today");
        cr_expect_not(driver_has_used(g, CTRL_IN));
        close(fd);
        expect_control(g, 0, PORT_OPEN, 0);
        driver_free(g);
        tmpdir_free(&a.dir);
}

Test(console_device, after_a_reset_by_the_driver_the_client_is_still_there)
{
        struct at_socket a;
        struct driver *g;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        fd = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        driver_restart(g, F_SIZE | F_MULTIPORT, 4, 128);
        announce(g);
        ready_port(g, true);
        write_out(g, "anew");
        expect_text(fd, "anew");
        close(fd);
        driver_free(g);
        tmpdir_free(&a.dir);
}

/* --- saved and restored --- */

Test(console_device, a_restored_one_goes_on_without_being_announced_again)
{
        struct at_socket a;
        struct driver *g, *h;
        struct virtio_state s;
        int fd;

        at_socket_init(&a);
        g = driver_new(&console_maker, &a.config, NULL);
        start_ports(g);
        ready_port(g, false);
        fd = call(a.path);
        expect_control(g, 0, PORT_OPEN, 1);
        s = driver_save(g);
        cr_expect(s.u.console.ports[0].guest_connected && s.u.console.ports[0].host_connected);
        cr_expect_eq(s.u.console.max_ports, 1);
        close(fd);
        unlink(a.path);
        h = driver_restore(&console_maker, &a.config, &s, g);
        expect_control(h, 0, PORT_OPEN, 0); /* nobody is there yet */
        fd = call(a.path);
        expect_control(h, 0, PORT_OPEN, 1);
        write_out(h, "again");
        expect_text(fd, "again");
        close(fd);
        driver_free(h);
        driver_free(g);
        tmpdir_free(&a.dir);
}

/* As StratoVirt's default: 31 ports, 64 queues. */
static struct virtio_state saved_31(void)
{
        struct virtio_state s = {.kind = VIRTIO_CONSOLE, .device_features = VIRTIO_F_VERSION_1 | F_SIZE | F_MULTIPORT,
                                 .nr_queues = 64,
                                 .u.console = {.max_ports = 31}};

        return s;
}

Test(console_device, a_saved_number_of_ports_is_kept_and_those_with_nothing_behind_them_swallow)
{
        const struct device_config c = {.kind = VIRTIO_CONSOLE};
        struct virtio_state s = saved_31();
        struct driver *g;

        s.u.console.ports[3].host_connected = true;
        g = driver_new(&console_maker, &c, &s);
        cr_expect_eq(g->d->nr_queues, 64);
        driver_start(g, F_SIZE | F_MULTIPORT, 64, 32);
        give_ctrl(g, 8);
        say(g, 0, DEVICE_READY, 1);
        expect_control(g, 0, DEVICE_ADD, 1);
        expect_control(g, 3, DEVICE_ADD, 1);
        say(g, 3, PORT_READY, 1);
        say(g, 3, PORT_OPEN, 1);
        driver_add_one(g, 9, OUT_GPA, 100, false); /* port 3 out */
        driver_kick(g, 9);
        driver_take(g, 9, NULL);
        cr_expect_not(driver_has_used(g, CTRL_IN));
        driver_free(g);
}

Test(console_device, a_saved_number_of_ports_or_queues_that_cannot_be_is_refused)
{
        static const uint32_t ports[] = {0, 32, UINT32_MAX, 30};
        const struct device_config c = {.kind = VIRTIO_CONSOLE};

        for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
                struct driver *g = calloc(1, sizeof(*g));
                struct virtio_state s = saved_31();
                struct err e = {0};

                s.u.console.max_ports = ports[i];
                cr_expect_lt(driver_try_new(g, &console_maker, &c, &s, &e), 0);
                cr_expect_eq(e.kind, ERR_SNAPSHOT);
                driver_free(g);
        }
}

Test(console_device, a_path_that_cannot_be_had_is_refused_at_once)
{
        const struct device_config file = {.kind = VIRTIO_CONSOLE, .path = "/nowhere/at/all"};
        const struct device_config sock = {.kind = VIRTIO_CONSOLE, .path = "/nowhere/at/all", .listen = true};
        struct driver *g = calloc(1, sizeof(*g)), *h = calloc(1, sizeof(*h));
        struct err e = {0};

        cr_expect_lt(driver_try_new(g, &console_maker, &file, NULL, &e), 0);
        cr_expect(strstr(e.text, "/nowhere/at/all"), "%s", e.text);
        cr_expect_lt(driver_try_new(h, &console_maker, &sock, NULL, &e), 0);
        cr_expect(strstr(e.text, "/nowhere/at/all"), "%s", e.text);
        driver_free(g);
        driver_free(h);
}
