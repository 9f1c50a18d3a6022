/* What the plan must know of the host beyond host_caps: can a file be mapped, is it cached, are there huge pages. */
#include "core/plan.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Magic numbers that linux/magic.h of Debian 12 does not have. */
#define MAGIC_CIFS 0xFF534D42
#define MAGIC_SMB2 0xFE534D42
#define MAGIC_CEPH 0x00C36400
#define MAGIC_VBOX 0x786F4256

/* A mapping of a file elsewhere takes the guest with it when the other side goes away: SIGBUS, or a vCPU that waits for ever. The
 * pager has --source-timeout. */
static const struct {
        uint64_t    magic;
        const char *why;
} elsewhere[] = {
        {NFS_SUPER_MAGIC, "on NFS: copied, a mapping could stall the guest for ever"},
        {MAGIC_CIFS, "on CIFS: copied, a mapping could stall the guest for ever"},
        {MAGIC_SMB2, "on SMB: copied, a mapping could stall the guest for ever"},
        {SMB_SUPER_MAGIC, "on SMB: copied, a mapping could stall the guest for ever"},
        {FUSE_SUPER_MAGIC, "on a FUSE file system: copied, a mapping could stall the guest for ever"},
        {V9FS_MAGIC, "on 9p: copied, a mapping could stall the guest for ever"},
        {MAGIC_CEPH, "on Ceph: copied, a mapping could stall the guest for ever"},
        {AFS_SUPER_MAGIC, "on AFS: copied, a mapping could stall the guest for ever"},
        {CODA_SUPER_MAGIC, "on Coda: copied, a mapping could stall the guest for ever"},
        {MAGIC_VBOX, "on a shared folder: copied, a mapping could stall the guest for ever"},
};

static const char *why_unmappable(int fd)
{
        struct statfs st;

        if (fstatfs(fd, &st) < 0)
                return "copied: nobody knows what file system it is on";
        for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
                if ((uint32_t)st.f_type == elsewhere[i].magic)
                        return elsewhere[i].why;
        return NULL;
}

/* "always [madvise] never": MADV_HUGEPAGE is heard unless it says never. */
static bool has_huge_pages(void)
{
        _cleanup_close_ int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
        char line[64];
        ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

        if (n <= 0)
                return false;
        line[n] = 0;
        return !strstr(line, "[never]");
}

/* mincore(2) over a mapping; of somebody else's file it says that all is there. */
static bool is_absent(int fd, uint64_t offset_bytes)
{
        unsigned char there = 1;
        void *m = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, fd, (off_t)(offset_bytes / PAGE_BYTES * PAGE_BYTES));

        if (m == MAP_FAILED)
                return false;
        (void)mincore(m, PAGE_BYTES, &there);
        munmap(m, PAGE_BYTES);
        return !(there & 1);
}

/* RWF_NOWAIT (Linux 4.14): EAGAIN where the byte would have to come from the disk. Where the file system does not know it, all
 * counts as cached. */
static bool would_wait(int fd, uint64_t offset_bytes)
{
        uint8_t byte;
        struct iovec one = {&byte, 1};

        return preadv2(fd, &one, 1, (off_t)offset_bytes, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

/* mincore first: what RWF_NOWAIT does not find the kernel begins to read ahead, and the next sample may find that. */
static bool is_cold_at(int fd, uint64_t offset_bytes)
{
        return is_absent(fd, offset_bytes) || would_wait(fd, offset_bytes);
}

static bool is_cold(const struct page_map *map, uint64_t page)
{
        const struct page_run *run = page_map_find(map, page);
        uint64_t offset;

        if (!run || run->kind == RUN_ZERO)
                return false;
        offset = run->kind == RUN_RAW ? run->file_offset_bytes + pages_to_bytes(page - run->first_page)
                                      : page_map_find_chunk(map, run, page).chunk->file_offset_bytes;
        return is_cold_at(map->sources[run->source].fd, offset);
}

/* Some hints stand for all: they are cold together, or were read together. A half of the cold ones is enough. */
static bool hints_are_cold(const struct page_map *map, const struct hints *h)
{
        const size_t samples = 16;
        size_t step = h->nr / samples + 1, cold = 0, nr = 0;

        for (size_t i = 0; i < h->nr; i += step, nr++)
                cold += is_cold(map, h->v[i].page);
        return nr && 2 * cold >= nr;
}

int plan_facts_probe(const struct page_map *map, const struct hints *h, struct plan_facts *ret)
{
        struct plan_facts f = {.unmappable = calloc(map->nr_sources + 1, sizeof(*f.unmappable)), .nr_sources = map->nr_sources};

        if (!f.unmappable)
                return -ENOMEM;
        for (size_t i = 0; i < map->nr_sources; i++)
                f.unmappable[i] = why_unmappable(map->sources[i].fd);
        f.huge_pages = h->nr && has_huge_pages();
        f.cold = hints_are_cold(map, h);
        *ret = f;
        return 0;
}

void plan_facts_free(struct plan_facts *f)
{
        free(f->unmappable);
        *f = (struct plan_facts){0};
}
