/* Streams between a guest's ports and unix sockets: made, used, ended by either side, and a device that is saved between. */
#include "tests/unit/kvm/vsock_rig.h"

#include <sys/resource.h>

/* --- from the host --- */

Test(vsock, a_host_client_is_connected_to_the_guests_port_that_it_names)
{
        struct guest *g = guest_started();
        int           fd = host_connects(g);
        struct packet p;
        char          ok[32];

        host_writes(fd, "CONNECT 52\n", 11);
        p = guest_hears(g, VSOCK_REQUEST);
        cr_assert_eq(p.h.src_cid, VSOCK_CID_HOST);
        cr_assert_eq(p.h.dst_cid, GUEST_CID);
        cr_assert_eq(p.h.dst_port, 52);
        cr_assert_eq(p.h.type, VSOCK_STREAM);
        cr_assert_gt(p.h.buf_alloc, 0);
        cr_assert_geq(p.h.src_port, 1u << 30);
        guest_says(g, VSOCK_RESPONSE, 52, p.h.src_port, 0);
        snprintf(ok, sizeof(ok), "OK %u\n", p.h.src_port);
        host_reads_exactly(fd, ok);

        host_writes(fd, "to the guest", 12);
        p = guest_hears(g, VSOCK_RW);
        cr_assert_eq(p.h.len, 12);
        cr_assert_arr_eq(p.data, "to the guest", 12);
        guest_writes(g, 52, p.h.src_port, "to the host", 11);
        host_reads_exactly(fd, "to the host");
        close(fd);
        guest_free(g);
}

Test(vsock, a_command_may_come_in_pieces_and_what_follows_it_is_the_guests)
{
        struct guest *g = guest_started();
        int           fd = host_connects(g);
        struct packet p;

        host_writes(fd, "conn", 4);
        guest_hears_nothing(g);
        host_writes(fd, "ect 7\nhello", 11);
        p = guest_hears(g, VSOCK_REQUEST);
        cr_assert_eq(p.h.dst_port, 7);
        guest_hears_nothing(g);
        guest_says(g, VSOCK_RESPONSE, 7, p.h.src_port, 0);
        p = guest_hears(g, VSOCK_RW);
        cr_assert_eq(p.h.len, 5);
        cr_assert_arr_eq(p.data, "hello", 5);
        close(fd);
        guest_free(g);
}

Test(vsock, a_client_whose_port_the_guest_refuses_finds_the_end)
{
        struct guest *g = guest_started();
        int           fd = host_connects(g);
        struct packet p;

        host_writes(fd, "CONNECT 52\n", 11);
        p = guest_hears(g, VSOCK_REQUEST);
        guest_says(g, VSOCK_RST, 52, p.h.src_port, 0);
        host_reads_end(fd);
        close(fd);
        guest_free(g);
}

Test(vsock, a_client_that_says_anything_else_finds_the_end_and_the_guest_hears_nothing)
{
        static const char *const lines[] = {
                "HELLO\n", "CONNECT\n", "CONNECT \n", "CONNECT x\n", "CONNECT -1\n", "CONNECT 5 6\n", "CONNECT 0x5\n",
                " CONNECT 5\n", "\n", "CONNECT 4294967295\n", "CONNECT 99999999999999999999\n",
                "CONNECT 1111111111111111111111111111111111111111\n",
        };
        struct guest *g = guest_started();

        for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
                int fd = host_connects(g);

                host_writes(fd, lines[i], strlen(lines[i]));
                host_reads_end(fd);
                close(fd);
        }
        guest_hears_nothing(g);
        guest_free(g);
}

Test(vsock, a_client_that_leaves_before_the_answer_is_a_reset_for_the_guest)
{
        struct guest *g = guest_started();
        int           fd = host_connects(g);
        struct packet p;

        host_writes(fd, "CONNECT 52\n", 11);
        p = guest_hears(g, VSOCK_REQUEST);
        close(fd);
        cr_assert_eq(guest_hears(g, VSOCK_RST).h.src_port, p.h.src_port);
        guest_free(g);
}

/* --- from the guest --- */

Test(vsock, a_guest_reaches_who_listens_at_the_path_of_its_port)
{
        struct guest *g = guest_started();
        int           at = host_listens(g, "_1234"), fd;
        struct packet p;

        guest_says(g, VSOCK_REQUEST, 99, 1234, 0);
        p = guest_hears(g, VSOCK_RESPONSE);
        cr_assert_eq(p.h.src_port, 1234);
        cr_assert_eq(p.h.dst_port, 99);
        fd = accept(at, NULL, NULL);
        guest_writes(g, 99, 1234, "hello", 5);
        host_reads_exactly(fd, "hello");
        host_writes(fd, "world", 5);
        cr_assert_arr_eq(guest_hears(g, VSOCK_RW).data, "world", 5);
        close(fd);
        close(at);
        guest_free(g);
}

Test(vsock, a_guest_that_calls_where_nobody_listens_is_refused)
{
        struct guest *g = guest_started();
        struct packet p;

        guest_says(g, VSOCK_REQUEST, 99, 1234, 0);
        p = guest_hears(g, VSOCK_RST);
        cr_assert_eq(p.h.src_port, 1234);
        cr_assert_eq(p.h.dst_port, 99);
        cr_assert_eq(p.h.src_cid, VSOCK_CID_HOST);
        cr_assert_eq(p.h.dst_cid, GUEST_CID);
        guest_free(g);
}

/* --- rules that a guest breaks --- */

Test(vsock, a_packet_that_belongs_to_nothing_is_answered_with_rst_and_an_rst_with_nothing)
{
        struct guest              *g = guest_started();
        int                        at = host_listens(g, "_1234");
        const struct vsock_header  fine = guest_header(g, VSOCK_REQUEST, 99, 1234);
        struct vsock_header        v[] = { fine, fine, fine, fine, fine, fine, fine };

        v[0].src_cid = 78;
        v[1].dst_cid = 3;
        v[2].type = 2; /* SEQPACKET */
        v[3].op = VSOCK_RW;
        v[4].op = VSOCK_NOTHING;
        v[5].op = 0xffff;
        v[6].op = VSOCK_SHUTDOWN;
        for (size_t i = 0; i < ARRAY_LEN(v); i++) {
                struct packet p;

                cr_assert(guest_sends(g, v[i], NULL, 0, 20000));
                p = guest_hears(g, VSOCK_RST);
                cr_assert_eq(p.h.src_cid, v[i].dst_cid);
                cr_assert_eq(p.h.dst_cid, v[i].src_cid);
                cr_assert_eq(p.h.type, v[i].type);
                v[i].op = VSOCK_RST;
                cr_assert(guest_sends(g, v[i], NULL, 0, 20000));
        }
        guest_hears_nothing(g);
        close(at);
        guest_free(g);
}

Test(vsock, a_connection_whose_rules_the_guest_breaks_is_reset_and_its_socket_closed)
{
        enum { LEN = 100 };
        static const struct {
                const char *what;
                uint16_t    op;
                uint32_t    len; /* as the header says; LEN bytes are there */
        } v[] = {
                { "an unknown word", 77, 0 },
                { "no word", VSOCK_NOTHING, 0 },
                { "a second request", VSOCK_REQUEST, 0 },
                { "an answer", VSOCK_RESPONSE, 0 },
                { "more data than is there", VSOCK_RW, LEN + 1 },
                { "4 GiB", VSOCK_RW, UINT32_MAX },
        };
        static const uint8_t bytes[LEN];
        struct guest        *g = guest_started();

        for (size_t i = 0; i < ARRAY_LEN(v); i++) {
                uint32_t            port;
                int                 fd = host_client(g, &port);
                struct vsock_header h = guest_header(g, v[i].op, 52, port);

                h.len = v[i].len;
                cr_assert(guest_sends(g, h, bytes, LEN, 20000));
                cr_assert_eq(guest_hears(g, VSOCK_RST).h.src_port, port, "%s", v[i].what);
                host_reads_end(fd);
                close(fd);
        }
        guest_free(g);
}

static void assert_broken(struct guest *g, const char *text)
{
        for (int i = 0; i < 200000 && !atomic_load(&g->t.resets_needed); i++)
                rig_nap();
        cr_assert_eq(atomic_load(&g->t.resets_needed), 1);
        cr_assert_not_null(strstr(g->r->message, text), "%s", g->r->message);
}

Test(vsock, a_packet_without_a_whole_header_breaks_the_device)
{
        struct guest *g = guest_started();

        rig_send(&g->t.q[VSOCK_TX], &(struct rig_buf){ g->tx_gpa, 43, false }, 1);
        rig_kick(&g->t, VSOCK_TX);
        assert_broken(g, "expected a header of 44 bytes, found 43");
        guest_free(g);
}

Test(vsock, a_receive_buffer_without_room_for_data_breaks_the_device)
{
        struct guest *g = guest_started_with(0);

        rig_send(&g->t.q[VSOCK_RX], &(struct rig_buf){ g->tx_gpa, 44, true }, 1);
        cr_assert(guest_sends(g, guest_header(g, VSOCK_RW, 1, 2), NULL, 0, 20000));
        assert_broken(g, "expected more than the 44 bytes of a header, found 44");
        guest_free(g);
}

Test(vsock, refusals_that_the_guest_does_not_collect_stop_its_sending_and_none_is_lost)
{
        enum { SENT = 600 };
        struct guest       *g = guest_started_with(0);
        struct rig_queue   *tx = &g->t.q[VSOCK_TX];
        struct vsock_header h = guest_header(g, VSOCK_RW, 0, 0);
        gpa_t               gpa = rig_alloc(g->r, SENT * sizeof(h), 16);
        struct rig_used     u;
        unsigned int        sent = 0, taken = 0;

        for (unsigned int quiet = 0; quiet < 500; quiet++) {
                for (; sent < SENT && tx->nr_free; sent++) {
                        h.src_port = sent;
                        rig_poke(g->r, gpa + sent * sizeof(h), &h, sizeof(h));
                        rig_send(tx, &(struct rig_buf){ gpa + sent * sizeof(h), sizeof(h), false }, 1);
                }
                rig_kick(&g->t, VSOCK_TX);
                for (; rig_take_used(tx, &u); taken++)
                        quiet = 0;
                rig_nap();
        }
        cr_assert_lt(taken, 300);
        guest_offer(g, 16);
        for (unsigned int i = 0; i < SENT; i++) {
                cr_assert_eq(guest_hears(g, VSOCK_RST).h.dst_port, i);
                for (; rig_take_used(tx, &u); taken++)
                        ;
                for (; sent < SENT && tx->nr_free; sent++) {
                        h.src_port = sent;
                        rig_poke(g->r, gpa + sent * sizeof(h), &h, sizeof(h));
                        rig_send(tx, &(struct rig_buf){ gpa + sent * sizeof(h), sizeof(h), false }, 1);
                        rig_kick(&g->t, VSOCK_TX);
                }
        }
        guest_free(g);
}

/* --- credit --- */

Test(vsock, the_guest_gets_no_more_than_its_credit_until_it_gives_more)
{
        static const uint8_t bytes[5000];
        struct guest        *g = guest_started();
        uint32_t             port, got = 0;
        int                  fd;

        g->buf_alloc = 1000;
        fd = host_client(g, &port);
        host_writes(fd, bytes, sizeof(bytes));
        while (got < 1000)
                got += guest_hears(g, VSOCK_RW).h.len;
        cr_assert_eq(got, 1000);
        guest_hears(g, VSOCK_CREDIT_REQUEST);
        guest_says(g, VSOCK_CREDIT_UPDATE, 52, port, 0); /* nothing is free yet */
        guest_hears_nothing(g);
        g->fwd_cnt = 1000;
        guest_says(g, VSOCK_CREDIT_UPDATE, 52, port, 0);
        for (got = 0; got < 1000;)
                got += guest_hears(g, VSOCK_RW).h.len;
        cr_assert_eq(got, 1000);
        guest_hears(g, VSOCK_CREDIT_REQUEST);
        g->fwd_cnt = 0xfffffff0; /* a lie: more in flight than there can be */
        guest_says(g, VSOCK_CREDIT_UPDATE, 52, port, 0);
        guest_hears_nothing(g);
        close(fd);
        guest_free(g);
}

/* A guest that keeps to its credit: sends until it has none, byte i being i * 7; what the last packet heard says goes into *p. */
static uint32_t write_all_credit(struct guest *g, uint32_t port, uint32_t sent, struct packet *p)
{
        uint8_t  b[3000];
        uint32_t end = p->h.fwd_cnt + p->h.buf_alloc;

        while (sent < end) {
                uint32_t len = MIN((uint32_t)sizeof(b), end - sent);

                for (uint32_t i = 0; i < len; i++)
                        b[i] = (uint8_t)((sent + i) * 7);
                guest_writes(g, 52, port, b, len);
                sent += len;
                while (guest_gets(g, p, 0))
                        end = p->h.fwd_cnt + p->h.buf_alloc;
        }
        return sent;
}

Test(vsock, a_host_peer_that_does_not_read_takes_the_guests_credit_and_gives_it_back_by_reading)
{
        struct guest *g = guest_started();
        uint32_t      port, sent, nr_read = 0;
        int           fd = host_client(g, &port);
        struct packet p = { 0 };
        uint8_t       b[8192];

        guest_says(g, VSOCK_CREDIT_REQUEST, 52, port, 0);
        p = guest_hears(g, VSOCK_CREDIT_UPDATE);
        sent = write_all_credit(g, port, 0, &p);
        guest_hears_nothing(g);
        while (nr_read < sent) {
                size_t n = host_reads(fd, b, sizeof(b));

                for (size_t i = 0; i < n; i++)
                        cr_assert_eq(b[i], (uint8_t)((nr_read + i) * 7));
                nr_read += (uint32_t)n;
        }
        while (guest_gets(g, &p, 50))
                cr_assert_eq(p.h.op, VSOCK_CREDIT_UPDATE);
        cr_assert_geq(p.h.fwd_cnt, sent - p.h.buf_alloc / 2);
        close(fd);
        guest_free(g);
}

Test(vsock, data_beyond_the_credit_is_a_reset)
{
        static const uint8_t bytes[64 * KIB];
        struct guest        *g = guest_started();
        uint32_t             port;
        int                  fd = host_client(g, &port);
        struct packet        p = { 0 };

        guest_says(g, VSOCK_CREDIT_REQUEST, 52, port, 0);
        p = guest_hears(g, VSOCK_CREDIT_UPDATE);
        write_all_credit(g, port, 0, &p);
        guest_writes(g, 52, port, bytes, sizeof(bytes));
        guest_hears(g, VSOCK_RST);
        close(fd);
        guest_free(g);
}

static uint64_t cpu_us(void)
{
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

Test(vsock, data_and_an_end_that_the_guest_has_no_buffers_for_wait_and_nobody_spins)
{
        struct guest *g = guest_started_with(1);
        int           at = host_listens(g, "_5"), fd;
        uint64_t      before;
        struct packet p;

        guest_says(g, VSOCK_REQUEST, 9, 5, 0);
        fd = accept(at, NULL, NULL); /* the one buffer holds the answer now, and is not given back */
        host_writes(fd, "last words", 10);
        close(fd);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
        before = cpu_us();
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
        cr_assert_lt(cpu_us() - before, 50000);
        guest_offer(g, 8);
        guest_hears(g, VSOCK_RESPONSE);
        p = guest_hears(g, VSOCK_RW);
        cr_assert_arr_eq(p.data, "last words", 10);
        cr_assert_eq(guest_hears(g, VSOCK_SHUTDOWN).h.flags, VSOCK_SHUT_BOTH);
        close(at);
        guest_free(g);
}

/* --- ends --- */

Test(vsock, a_host_that_ends_its_half_still_hears_the_guest)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port);

        host_writes(fd, "question", 8);
        shutdown(fd, SHUT_WR);
        cr_assert_eq(guest_hears(g, VSOCK_RW).h.len, 8);
        cr_assert_eq(guest_hears(g, VSOCK_SHUTDOWN).h.flags, VSOCK_SHUT_SEND);
        guest_writes(g, 52, port, "answer", 6);
        host_reads_exactly(fd, "answer");
        guest_says(g, VSOCK_SHUTDOWN, 52, port, VSOCK_SHUT_SEND);
        host_reads_end(fd);
        cr_assert_eq(guest_hears(g, VSOCK_SHUTDOWN).h.flags, VSOCK_SHUT_BOTH);
        guest_says(g, VSOCK_RST, 52, port, 0);
        guest_hears_nothing(g);
        close(fd);
        guest_free(g);
}

Test(vsock, a_guest_that_ends_its_half_still_hears_the_host)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port);

        guest_writes(g, 52, port, "bye", 3);
        guest_says(g, VSOCK_SHUTDOWN, 52, port, VSOCK_SHUT_SEND);
        host_reads_exactly(fd, "bye");
        host_reads_end(fd);
        host_writes(fd, "and you", 7);
        cr_assert_eq(guest_hears(g, VSOCK_RW).h.len, 7);
        guest_writes(g, 52, port, "more", 4); /* after its goodbye */
        guest_hears(g, VSOCK_RST);
        close(fd);
        guest_free(g);
}

Test(vsock, a_guest_that_receives_no_more_ends_the_hosts_writing)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port);

        guest_says(g, VSOCK_SHUTDOWN, 52, port, VSOCK_SHUT_RECEIVE);
        cr_assert_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
        cr_assert_eq(errno, EPIPE);
        guest_writes(g, 52, port, "still", 5);
        host_reads_exactly(fd, "still");
        close(fd);
        cr_assert_eq(guest_hears(g, VSOCK_SHUTDOWN).h.flags, VSOCK_SHUT_BOTH);
        guest_free(g);
}

Test(vsock, a_guest_that_closes_has_its_last_bytes_delivered_to_a_slow_host_and_is_answered_with_rst)
{
        struct guest *g = guest_started();
        uint32_t      port, sent, nr_read = 0;
        int           fd = host_client(g, &port);
        struct packet p = { 0 };
        uint8_t       b[8192];
        size_t        n;

        guest_says(g, VSOCK_CREDIT_REQUEST, 52, port, 0);
        p = guest_hears(g, VSOCK_CREDIT_UPDATE);
        sent = write_all_credit(g, port, 0, &p);
        guest_says(g, VSOCK_SHUTDOWN, 52, port, VSOCK_SHUT_BOTH);
        guest_hears_nothing(g);
        while ((n = host_reads(fd, b, sizeof(b))))
                nr_read += (uint32_t)n;
        cr_assert_eq(nr_read, sent);
        do
                cr_assert(guest_gets(g, &p, 20000));
        while (p.h.op == VSOCK_CREDIT_UPDATE);
        cr_assert_eq(p.h.op, VSOCK_RST);
        close(fd);
        guest_free(g);
}

Test(vsock, a_host_that_closes_is_a_shutdown_after_its_last_bytes_and_the_guest_ends_it)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port);

        host_writes(fd, "last", 4);
        close(fd);
        cr_assert_eq(guest_hears(g, VSOCK_RW).h.len, 4);
        cr_assert_eq(guest_hears(g, VSOCK_SHUTDOWN).h.flags, VSOCK_SHUT_BOTH);
        guest_writes(g, 52, port, "too late", 8); /* was under way */
        guest_hears_nothing(g);
        guest_says(g, VSOCK_SHUTDOWN, 52, port, VSOCK_SHUT_BOTH);
        guest_hears(g, VSOCK_RST);
        guest_writes(g, 52, port, "nobody", 6);
        guest_hears(g, VSOCK_RST); /* the connection is no more */
        guest_free(g);
}

Test(vsock, a_guests_rst_ends_the_socket)
{
        struct guest *g = guest_started();
        uint32_t      port;
        int           fd = host_client(g, &port);

        guest_says(g, VSOCK_RST, 52, port, 0);
        host_reads_end(fd);
        guest_hears_nothing(g);
        close(fd);
        guest_free(g);
}

/* --- many --- */

Test(vsock, a_thousand_and_23_connections_are_made_and_no_more_until_one_ends)
{
        enum { CONNS = 1023 };
        struct rlimit l = { 4096, 4096 };
        struct guest *g = guest_started();
        int           at = host_listens(g, "_5"), fd[CONNS];

        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
        for (uint32_t i = 0; i < CONNS; i++) {
                guest_says(g, VSOCK_REQUEST, 1000 + i, 5, 0);
                cr_assert_eq(guest_hears(g, VSOCK_RESPONSE).h.dst_port, 1000 + i);
                fd[i] = accept(at, NULL, NULL);
        }
        guest_says(g, VSOCK_REQUEST, 99, 5, 0);
        guest_hears(g, VSOCK_RST);
        for (uint32_t i = 0; i < CONNS; i += 100) {
                guest_writes(g, 1000 + i, 5, &i, sizeof(i));
                host_writes(fd[i], &i, sizeof(i));
                cr_assert_eq(guest_hears(g, VSOCK_RW).h.dst_port, 1000 + i);
        }
        close(fd[7]); /* one that waits for the guest's last word makes room */
        guest_hears(g, VSOCK_SHUTDOWN);
        guest_says(g, VSOCK_REQUEST, 99, 5, 0);
        guest_hears(g, VSOCK_RESPONSE);
        for (uint32_t i = 0; i < CONNS; i++)
                if (i != 7)
                        close(fd[i]);
        close(at);
        guest_free(g);
}

Test(vsock, a_guest_that_takes_all_connections_leaves_half_of_the_descriptors_to_the_others)
{
        enum { LIMIT = 200 };
        struct rlimit before, l;
        struct guest *g;
        int           at, fd[LIMIT / 2];

        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        l = (struct rlimit){ LIMIT, before.rlim_max };
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
        g = guest_started();
        at = host_listens(g, "_5");
        guest_says(g, VSOCK_REQUEST, 999, 5, 0);
        guest_hears(g, VSOCK_RESPONSE);
        /* our own ends of the connections shall not count here */
        l.rlim_cur = before.rlim_max;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &l), 0);
        for (uint32_t i = 1; i < LIMIT / 2; i++) {
                guest_says(g, VSOCK_REQUEST, 1000 + i, 5, 0);
                guest_hears(g, VSOCK_RESPONSE);
                fd[i] = accept(at, NULL, NULL);
        }
        guest_says(g, VSOCK_REQUEST, 99, 5, 0);
        guest_hears(g, VSOCK_RST);
        for (uint32_t i = 1; i < LIMIT / 2; i++)
                close(fd[i]);
        close(at);
        guest_free(g);
}

Test(vsock, connections_take_turns)
{
        static const uint8_t bytes[60000];
        struct guest        *g = guest_started_with(0);
        int                  fd[2], at = host_listens(g, "_5");
        struct packet        p;
        unsigned int         of[2] = { 0 };

        guest_says(g, VSOCK_REQUEST, 0, 5, 0);
        fd[0] = accept(at, NULL, NULL);
        guest_says(g, VSOCK_REQUEST, 1, 5, 0);
        fd[1] = accept(at, NULL, NULL);
        host_writes(fd[0], bytes, sizeof(bytes));
        host_writes(fd[1], bytes, sizeof(bytes));
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        guest_offer(g, 14);
        for (unsigned int i = 0; i < 12; i++) {
                cr_assert(guest_gets(g, &p, 20000));
                of[p.h.dst_port]++;
        }
        cr_assert_eq(of[0], of[1]);
        for (unsigned int i = 0; i < 2; i++)
                close(fd[i]);
        close(at);
        guest_free(g);
}
