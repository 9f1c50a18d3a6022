/* What is served is mapped privately from the template, zeros are no part of it: a write into one of its holes would put a page
 * there. */
#include "core/shared_restore.h"

#include "core/base/cleanup.h"
#include "core/huge_pool.h"
#include "core/template.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int check_host(const struct session *s, const struct restore_options *o, struct err *e)
{
        bool huge = o->common.memory_backing == RAM_HUGETLB;

        if (o->common.memory_backing == RAM_MEMFD)
                return err_usage(e, "--mode shared cannot have --memory-backing memfd: guest RAM is a private mapping of a template, not a memfd of the VM's own; use anon "
                                 "or hugetlb, or --mode lazy");
        if (huge ? s->caps.uffd_minor_hugetlbfs : s->caps.uffd_minor_shmem)
                return 0;
        return err_host(e, -EOPNOTSUPP, "--mode shared: this kernel has no minor faults of %s for userfaultfd (Linux 5.14); use --mode lazy",
                        huge ? "huge pages" : "shared memory");
}

static int find_template(struct session *s, const struct restore_options *o, struct err *e)
{
        struct template_ask ask = {
                .runtime_dir = o->runtime_dir,
                .identity = &s->snap.identity,
                .nr_pages = bytes_to_pages(s->layout.total_bytes),
                .huge = o->common.memory_backing == RAM_HUGETLB,
                .private_bytes = s->layout.total_bytes,
                .verified = o->verify && s->snap.verifiable,
                .ranges = s->plan.served,
                .nr_ranges = s->plan.nr_served,
        };
        int r = template_find(&ask, &s->template, e);

        if (r >= 0 && template_alone(s->template))
                snapshot_note(&s->snap, "%s", template_alone(s->template));
        return r;
}

/* What others have put into the template is charged to them. */
static int check_limits(struct session *s, const struct plan_limits *limits, struct err *e)
{
        struct stat st;

        if (template_was_there(s->template) && fstat(template_fd(s->template), &st) == 0)
                plan_has_already(&s->plan, (uint64_t)st.st_blocks * 512);
        return plan_check(&s->plan, limits, e);
}

static int map_small(struct session *s, struct err *e)
{
        int r = guest_ram_map(s->layout.total_bytes, false, &s->ram, e);

        for (size_t i = 0; r >= 0 && i < s->plan.nr_served; i++) {
                const struct pager_range *p = &s->plan.served[i];
                uint64_t offset = pages_to_bytes(p->first_page), bytes = pages_to_bytes(p->nr_pages);
                uint8_t *at = s->ram.base + offset;

                if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, template_fd(s->template), (off_t)offset) == MAP_FAILED)
                        return err_host(e, -errno, "map %llu bytes of the template: %s", (unsigned long long)bytes,
                                        strerror(errno));
                madvise(at, bytes, MADV_DONTFORK);
                madvise(at, bytes, MADV_NOHUGEPAGE);
        }
        return r;
}

/* All of RAM in one mapping, which reserves a page of the pool for each that the guest may come to write; holes of the template
 * are the guest's own. */
static int map_huge(struct session *s, struct err *e)
{
        uint64_t bytes = s->layout.total_bytes;
        int fd = fcntl(template_fd(s->template), F_DUPFD_CLOEXEC, 0);
        void *base;

        if (fd < 0)
                return err_set(e, -errno, "dup: %s", strerror(errno));
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (base == MAP_FAILED) {
                close(fd);
                return huge_pool_refuse(bytes, e);
        }
        madvise(base, bytes, MADV_DONTFORK);
        s->ram = (struct guest_ram){.base = base, .size_bytes = bytes, .backing = RAM_HUGETLB, .fd = fd};
        return 0;
}

int session_map_shared(struct session *s, const struct restore_options *o, const struct plan_limits *limits, struct err *e)
{
        bool huge = o->common.memory_backing == RAM_HUGETLB;
        int r = check_host(s, o, e);

        if (r >= 0 && huge)
                r = huge_pool_check_size(s->layout.total_bytes, e);
        if (r >= 0)
                r = find_template(s, o, e);
        if (r >= 0)
                r = check_limits(s, limits, e);
        if (r >= 0)
                r = huge ? map_huge(s, e) : map_small(s, e);
        if (r < 0)
                return r;
        s->ram.shared = s->plan.served;
        s->ram.nr_shared = s->plan.nr_served;
        return 0;
}
