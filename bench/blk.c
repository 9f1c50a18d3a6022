/* bench/blk: reads of a guest from its disk beside the same reads of a plain process from the same file: MB/s, latency, and their
 * ratio.
 *
 * The process reads with pread at depth 1 and with io_uring deeper. Arms are interleaved, round by round; the file is warm, or
 * both read it with O_DIRECT. Absolute numbers of a shared machine mean little: read the ratios. */
#include "bench/blk_reads.h"
#include "bench/sample.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

struct row {
        const char   *name;
        unsigned long len;
        unsigned int  depth;
        bool          is_random;
        unsigned long reads;
};

#define ROW(name, len, depth, is_random, reads) { name, len, depth, is_random, reads },
static const struct row rows[] = { BLK_READS(ROW) };
#define ROWS ARRAY_LEN(rows)

enum side { HOST, GUEST, SIDES };
enum column { COL_MB, COL_P50, COL_P99, COLS };

struct bench {
        const char   *rouse, *guest;
        char          file[4096];
        unsigned long size_bytes;
        unsigned int  rounds;
        double        tsc_per_us;
        uint8_t      *buffers; /* [BLK_DEPTH_MAX][BLK_READ_MAX_BYTES] */
        struct sample samples[2][ROWS][SIDES][COLS]; /* warm, direct */
};

static void die(const char *what, const char *why)
{
        fprintf(stderr, "bench/blk: %s: %s\n", what, why);
        exit(1);
}

/* One run of a row; us is sorted by what asks for its quantiles. */
static void add(struct bench *b, bool direct, size_t row, enum side side, double total_us, double p50_us, double p99_us)
{
        struct sample *s = b->samples[direct][row][side];

        sample_add(&s[COL_MB], (double)(rows[row].len * rows[row].reads) / total_us);
        sample_add(&s[COL_P50], p50_us);
        sample_add(&s[COL_P99], p99_us);
}

/* --- the host --- */

static unsigned long offset_of(const struct bench *b, const struct row *w, unsigned long i)
{
        return blk_read_offset(i, w->len, w->is_random, b->size_bytes);
}

static void read_one_by_one(const struct bench *b, int fd, const struct row *w, struct sample *us)
{
        for (unsigned long i = 0; i < w->reads; i++) {
                uint64_t t = now_ns();

                if (pread(fd, b->buffers, w->len, (off_t)offset_of(b, w, i)) != (ssize_t)w->len)
                        die(b->file, "short read");
                sample_add(us, (double)(now_ns() - t) / 1000);
        }
}

static void start(const struct bench *b, struct io_uring *ring, int fd, const struct row *w, unsigned long i, unsigned long slot,
                  uint64_t *started)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

        io_uring_prep_read(sqe, fd, b->buffers + slot * BLK_READ_MAX_BYTES, (unsigned int)w->len, offset_of(b, w, i));
        io_uring_sqe_set_data64(sqe, slot);
        started[slot] = now_ns();
}

static void read_at_depth(const struct bench *b, int fd, const struct row *w, struct sample *us)
{
        struct io_uring ring;
        unsigned long   next = 0;
        uint64_t        started[BLK_DEPTH_MAX];

        if (io_uring_queue_init(BLK_DEPTH_MAX, &ring, 0) < 0)
                die("io_uring", "this host has none");
        for (; next < w->depth; next++)
                start(b, &ring, fd, w, next, next, started);
        for (unsigned long done = 0; done < w->reads;) {
                struct io_uring_cqe *cqe;

                io_uring_submit_and_wait(&ring, 1);
                for (; io_uring_peek_cqe(&ring, &cqe) == 0; done++) {
                        unsigned long slot = io_uring_cqe_get_data64(cqe);

                        if (cqe->res != (int)w->len)
                                die(b->file, "short read");
                        io_uring_cqe_seen(&ring, cqe);
                        sample_add(us, (double)(now_ns() - started[slot]) / 1000);
                        if (next < w->reads)
                                start(b, &ring, fd, w, next++, slot, started);
                }
        }
        io_uring_queue_exit(&ring);
}

static void run_host(struct bench *b, bool direct)
{
        int fd = open(b->file, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));

        if (fd < 0)
                die(b->file, strerror(errno));
        for (size_t i = 0; i < ROWS; i++) {
                struct sample us = { 0 };
                uint64_t      t = now_ns();

                if (rows[i].depth == 1)
                        read_one_by_one(b, fd, &rows[i], &us);
                else
                        read_at_depth(b, fd, &rows[i], &us);
                t = now_ns() - t;
                add(b, direct, i, HOST, (double)t / 1000, sample_quantile(&us, 0.5), sample_quantile(&us, 0.99));
                sample_free(&us);
        }
        close(fd);
}

/* --- the guest --- */

static pid_t spawn_guest(const struct bench *b, bool direct, int out)
{
        char                       disk[4200];
        const char *const          argv[] = { b->rouse, "run", "--kernel", b->guest, "--memory", "128M", "--disk", disk,
                                              "--until", "^END",
                                              "--timeout", "120s", NULL };
        posix_spawn_file_actions_t actions;
        pid_t                      pid;
        int                        e;

        snprintf(disk, sizeof(disk), "%s,readonly,direct=%s", b->file, direct ? "on" : "off");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        e = posix_spawn(&pid, b->rouse, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (e)
                die(b->rouse, strerror(e));
        return pid;
}

static size_t take_line(struct bench *b, bool direct, const char *line)
{
        unsigned long row, reads, errors, cycles, p50, p99;

        if (sscanf(line, "BLK %lu reads=%lu errors=%lu cycles=%lu p50=%lu p99=%lu", &row, &reads, &errors, &cycles,
                   &p50, &p99) != 6)
                return 0;
        if (row >= ROWS || reads != rows[row].reads || errors)
                die("the guest's reads", line);
        add(b, direct, row, GUEST, (double)cycles / b->tsc_per_us, (double)p50 / b->tsc_per_us, (double)p99 / b->tsc_per_us);
        return 1;
}

static void run_guest(struct bench *b, bool direct)
{
        char   line[400], last[400] = "nothing was heard of it";
        size_t seen = 0;
        int    p[2], status;
        FILE  *f;
        pid_t  pid;

        if (pipe2(p, O_CLOEXEC) < 0 || !(f = fdopen(p[0], "r")))
                die("pipe", strerror(errno));
        pid = spawn_guest(b, direct, p[1]);
        close(p[1]);
        for (; fgets(line, sizeof(line), f); memcpy(last, line, sizeof(last)))
                seen += take_line(b, direct, line);
        fclose(f);
        if (waitpid(pid, &status, 0) != pid || status != 0 || seen != ROWS)
                die("the guest did not finish", last);
}

/* --- both --- */

/* How many cycles a microsecond has: 50 ms of both clocks. */
static double measure_tsc(void)
{
        uint64_t t = now_ns(), cycles = __rdtsc(), end;

        do
                end = now_ns();
        while (end - t < 50 * NS_PER_MS);
        return (double)(__rdtsc() - cycles) * 1000 / (double)(end - t);
}

/* Without a name, so that nothing of it is left however this ends; rouse opens it by our descriptor, which stays. */
static void make_file(struct bench *b)
{
        uint64_t *words = (uint64_t *)(void *)b->buffers;
        int       fd;

        snprintf(b->file, sizeof(b->file), "%s/rouse-bench-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        fd = mkostemp(b->file, O_CLOEXEC);
        if (fd < 0)
                die(b->file, strerror(errno));
        unlink(b->file);
        for (unsigned long at = 0; at < BLK_FILE_BYTES; at += BLK_READ_MAX_BYTES) {
                for (unsigned long i = 0; i < BLK_READ_MAX_BYTES / sizeof(*words); i++)
                        words[i] = at + i;
                if (write(fd, words, BLK_READ_MAX_BYTES) != BLK_READ_MAX_BYTES)
                        die(b->file, "cannot be filled");
        }
        fsync(fd);
        snprintf(b->file, sizeof(b->file), "/proc/%d/fd/%d", (int)getpid(), fd);
}

static void open_file(struct bench *b)
{
        struct stat st;

        if (!b->file[0])
                make_file(b);
        if (stat(b->file, &st) < 0 || (unsigned long)st.st_size < BLK_FILE_BYTES)
                die(b->file, "expected a file of 512 MiB at least");
        b->size_bytes = (unsigned long)st.st_size / BLK_READ_MAX_BYTES * BLK_READ_MAX_BYTES;
}

static void print(struct bench *b, bool direct)
{
        static const char *const titles[COLS] = { "MB/s", "p50 us", "p99 us" };

        printf("\n%s, %u rounds, medians%*s", direct ? "O_DIRECT" : "warm", b->rounds, direct ? 0 : 4, "");
        for (int c = 0; c < COLS; c++)
                printf(" | host %6s     guest  ratio", titles[c]);
        for (size_t i = 0; i < ROWS; i++) {
                printf("\n%-16s depth %-2u     ", rows[i].name, rows[i].depth);
                for (int c = 0; c < COLS; c++) {
                        double host = sample_quantile(&b->samples[direct][i][HOST][c], 0.5),
                               guest = sample_quantile(&b->samples[direct][i][GUEST][c], 0.5);

                        if (b->rouse)
                                printf(" | %11.1f %9.1f %6.2f", host, guest, guest / host);
                        else
                                printf(" | %11.1f %9s %6s", host, "-", "-");
                }
        }
        printf("\n");
}

static int usage(void)
{
        fprintf(stderr, "usage: bench/blk [--rounds N] [--file FILE] [--rouse PATH] [--guest PATH] [--host-only]\n");
        return 2;
}

static int parse(struct bench *b, int argc, char **argv)
{
        static const struct option options[] = { { "rounds", required_argument, NULL, 'r' },
                                                 { "file", required_argument, NULL, 'f' },
                                                 { "rouse", required_argument, NULL, 'R' },
                                                 { "guest", required_argument, NULL, 'g' },
                                                 { "host-only", no_argument, NULL, 'h' },    { 0 } };
        int                        c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
                if (c == 'r')
                        b->rounds = (unsigned int)strtoul(optarg, NULL, 10);
                else if (c == 'f')
                        snprintf(b->file, sizeof(b->file), "%s", optarg);
                else if (c == 'R')
                        b->rouse = optarg;
                else if (c == 'g')
                        b->guest = optarg;
                else if (c == 'h')
                        b->rouse = NULL;
                else
                        return usage();
        }
        return optind != argc || b->rounds == 0 ? usage() : 0;
}

int main(int argc, char **argv)
{
        static struct bench b = { .rouse = "build/rouse", .guest = "build/guest/blkbench.bin", .rounds = 5 };
        int                 r = parse(&b, argc, argv);

        if (r)
                return r;
        b.buffers = mmap(NULL, BLK_DEPTH_MAX * BLK_READ_MAX_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (b.buffers == MAP_FAILED)
                die("mmap", strerror(errno));
        open_file(&b);
        b.tsc_per_us = measure_tsc();
        for (unsigned int i = 0; i < b.rounds; i++) {
                for (int direct = 0; direct < 2; direct++) {
                        run_host(&b, direct);
                        if (b.rouse)
                                run_guest(&b, direct);
                }
        }
        print(&b, false);
        print(&b, true);
        return 0;
}
