/* bench/plan_costs: what the plan's cost model stands on (core/plan_costs.h): bringing in warm pages of a file by each means.
 *
 * Each figure is the median of the rounds; memory is new each time, as a restore's is. Absolute times of a shared machine mean
 * little:
 * what the plan decides by are the ratios, and it decides the same way for all of those seen here. */
#include "bench/sample.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_BYTES (256 * MIB)
#define ROUNDS     7

static void die(const char *what)
{
        fprintf(stderr, "bench/plan_costs: %s: %s\n", what, strerror(errno));
        exit(1);
}

static int make_file(void)
{
        char path[4096];
        uint8_t *block = malloc(MIB);
        int fd;

        snprintf(path, sizeof(path), "%s/rouse-plan-costs-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        fd = mkstemp(path);
        if (fd < 0 || !block)
                die(path);
        unlink(path);
        for (uint64_t done = 0; done < FILE_BYTES; done += MIB) {
                memset(block, (int)(done / MIB) + 1, MIB);
                if (write(fd, block, MIB) != (ssize_t)MIB)
                        die("write");
        }
        free(block);
        return fd;
}

/* 2 MiB-aligned room for all of the file. */
static uint8_t *make_room(void)
{
        uint8_t *room = mmap(NULL, FILE_BYTES + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (room == MAP_FAILED)
                die("mmap");
        return (uint8_t *)align_up((uint64_t)room, HUGE_PAGE_BYTES);
}

static uint8_t *make_mapping(int fd, uint8_t *at)
{
        uint8_t *m = mmap(at, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);

        if (m == MAP_FAILED)
                die("mmap of the file");
        return m;
}

/* Brings in one extent. */
typedef void (*means)(int fd, uint8_t *ram, uint64_t offset, uint64_t len);

static void populate_write(int fd, uint8_t *ram, uint64_t offset, uint64_t len)
{
        (void)fd;
        if (madvise(ram + offset, len, MADV_POPULATE_WRITE) < 0)
                die("MADV_POPULATE_WRITE");
}

static void populate_read(int fd, uint8_t *ram, uint64_t offset, uint64_t len)
{
        (void)fd;
        if (madvise(ram + offset, len, MADV_POPULATE_READ) < 0)
                die("MADV_POPULATE_READ");
}

/* read(2) into the mapping itself: the kernel copies the page that it then overwrites. */
static void read_over(int fd, uint8_t *ram, uint64_t offset, uint64_t len)
{
        if (pread(fd, ram + offset, len, (off_t)offset) != (ssize_t)len)
                die("pread");
}

/* The extent becomes anonymous, and is read. */
static void replace_and_read(int fd, uint8_t *ram, uint64_t offset, uint64_t len)
{
        if (mmap(ram + offset, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
                 0) == MAP_FAILED)
                die("mmap");
        madvise(ram + offset, len, MADV_DONTFORK);
        madvise(ram + offset, len, MADV_NOHUGEPAGE);
        read_over(fd, ram, offset, len);
}

static void read_huge(int fd, uint8_t *ram, uint64_t offset, uint64_t len)
{
        madvise(ram + offset, len, MADV_HUGEPAGE);
        read_over(fd, ram, offset, len);
}

/* us a page, extents of len bytes spread over the whole file. */
static double measure(int fd, means bring, uint64_t len, bool mapped)
{
        struct sample s = {0};
        double us;

        for (int round = 0; round < ROUNDS; round++) {
                uint8_t *ram = make_room();
                uint64_t stride = MAX(len, FILE_BYTES / 128), nr = FILE_BYTES / stride, begin;

                if (mapped)
                        make_mapping(fd, ram);
                begin = now_ns();
                for (uint64_t i = 0; i < nr; i++)
                        bring(fd, ram, i * stride, len);
                sample_add(&s, (double)(now_ns() - begin) / 1000 / (double)(nr * bytes_to_pages(len)));
                munmap(ram, FILE_BYTES);
        }
        us = sample_quantile(&s, 0.5);
        sample_free(&s);
        return us;
}

int main(void)
{
        static const uint64_t pages[] = {1, 4, 16, 64, 512};
        static const struct {
                const char *name;
                means bring;
                bool mapped;
        } rows[] = {
                {"mapped, POPULATE_READ", populate_read, true},
                {"mapped, POPULATE_WRITE", populate_write, true},
                {"mapped, read over", read_over, true},
                {"made anonymous, read", replace_and_read, true},
                {"anonymous already, read", read_over, false},
                {"huge page, read", read_huge, false},
        };
        int fd = make_file();

        printf("us a page of 4 KiB, warm, medians of %d; extents of\n%-26s", ROUNDS, "");
        for (size_t k = 0; k < ARRAY_LEN(pages); k++)
                printf("%7llu p", (unsigned long long)pages[k]);
        printf("\n");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                printf("%-26s", rows[i].name);
                for (size_t k = 0; k < ARRAY_LEN(pages); k++)
                        if (rows[i].bring == read_huge && pages[k] < 512)
                                printf("%9s", "-");
                        else
                                printf("%9.3f", measure(fd, rows[i].bring, pages_to_bytes(pages[k]), rows[i].mapped));
                printf("\n");
        }
        close(fd);
        return 0;
}
