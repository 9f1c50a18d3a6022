/* What the kernel refuses and what that means; and the ioctls themselves. */
#include "core/base/units.h"
#include "tests/support/need.h"
#include "uffd/backing.h"
#include "uffd/install.h"
#include "uffd/uffd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 16 };

struct place {
        int              fd;
        uint8_t         *ram, *src;
        struct installer in;
        struct host_caps caps;
};

static struct place new_place(const struct pager_faults *faults)
{
        struct place p = { 0 };
        struct err   e = { 0 };

        need_uffd();
        uffd_probe(&p.caps);
        cr_assert_eq(uffd_open(&p.caps, UFFD_FEATURE_EVENT_REMOVE, &p.fd, &e), 0, "%s", e.text);
        p.ram = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p.src = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p.src, 0xa5, PAGES * PAGE_BYTES);
        cr_assert_eq(uffd_register(p.fd, p.ram, PAGES * PAGE_BYTES, UFFDIO_REGISTER_MODE_MISSING), 0);
        p.in = (struct installer){ .uffd = p.fd, .ram = p.ram, .faults = faults, .ops = backing_find(true, false, false) };
        return p;
}

static void assert_all_copied(const struct place *p)
{
        cr_assert_arr_eq(p->ram, p->src, PAGES * PAGE_BYTES);
}

Test(install, pages_that_are_there_already_are_a_success_and_keep_their_bytes)
{
        struct place p = new_place(NULL);
        uint64_t     done;

        cr_assert_eq(install_zero(&p.in, 5, 2, &done), 0);
        cr_assert_eq(install_copy(&p.in, 0, p.src, PAGES, &done), 0);
        cr_assert_eq(done, PAGES);
        for (int page = 0; page < PAGES; page++)
                cr_assert_eq(p.ram[page * PAGE_BYTES], page == 5 || page == 6 ? 0 : 0xa5);
}

Test(install, a_short_copy_goes_on_from_where_it_stopped)
{
        struct pager_faults f = { .short_copy = 1 };
        struct place        p = new_place(&f);
        uint64_t            done;

        cr_assert_eq(install_copy(&p.in, 0, p.src, PAGES, &done), 0);
        cr_assert_eq(done, PAGES);
        assert_all_copied(&p);
}

Test(install, eagain_with_nothing_done_is_the_callers)
{
        struct pager_faults f = { .eagain_copy = 1 };
        struct place        p = new_place(&f);
        uint64_t            done = 99;

        cr_assert_eq(install_copy(&p.in, 0, p.src, PAGES, &done), -EAGAIN);
        cr_assert_eq(done, 0);
        cr_assert_eq(install_copy(&p.in, 0, p.src, PAGES, &done), 0);
        assert_all_copied(&p);
}

static void *discard_first(void *arg)
{
        struct place *p = arg;

        madvise(p->ram, PAGE_BYTES, MADV_DONTNEED);
        return NULL;
}

Test(install, while_a_discard_is_unread_every_copy_is_eagain_and_afterwards_none)
{
        struct place    p = new_place(NULL);
        struct uffd_msg msg;
        pthread_t       t;
        uint64_t        done;
        int             r;

        pthread_create(&t, NULL, discard_first, &p);
        do
                r = install_copy(&p.in, 3, p.src, 1, &done);
        while (r == 0); /* until its event is on the way */
        cr_assert_eq(r, -EAGAIN);
        usleep(10000);
        cr_assert_eq(install_copy(&p.in, 4, p.src, 1, &done), -EAGAIN);
        cr_assert_eq(uffd_read_events(p.fd, &msg, 1), 1);
        cr_assert_eq(msg.event, UFFD_EVENT_REMOVE);
        cr_assert_eq(msg.arg.remove.start, (uintptr_t)p.ram);
        pthread_join(t, NULL);
        cr_assert_eq(install_copy(&p.in, 4, p.src, 1, &done), 0);
}

Test(install, a_page_that_is_not_registered_is_refused)
{
        struct place p = new_place(NULL);
        uint64_t     done;

        cr_assert_eq(uffd_unregister(p.fd, p.ram + 8 * PAGE_BYTES, 8 * PAGE_BYTES), 0);
        cr_assert_eq(install_copy(&p.in, 8, p.src, 1, &done), -ENOENT);
        cr_assert_eq(done, 0);
}

Test(install, a_page_that_is_there_cannot_be_poisoned)
{
        struct place p = new_place(NULL);
        uint64_t     done;

        if (!p.caps.uffd_poison)
                cr_skip_test("this kernel has no UFFDIO_POISON (Linux 6.6)");
        cr_assert_eq(install_copy(&p.in, 0, p.src, 1, &done), 0);
        cr_assert_eq(install_poison(&p.in, 0), -EEXIST);
        cr_assert_eq(p.ram[0], 0xa5);
}

Test(uffd, the_probe_finds_what_open_then_uses)
{
        struct host_caps caps = { 0 };

        need_uffd();
        uffd_probe(&caps);
        cr_assert_neq(caps.uffd_way, UFFD_WAY_NONE);
        cr_assert_eq(caps.uffd_errno, 0);
        cr_assert(caps.uffd_features & UFFD_FEATURE_EVENT_REMOVE);
        for (enum uffd_way way = UFFD_WAY_DEVICE; way <= UFFD_WAY_SYSCALL; way++) {
                struct err e = { 0 };
                int        fd = -1;

                caps.uffd_way = way;
                if (uffd_open(&caps, 0, &fd, &e) == 0)
                        close(fd);
                else
                        cr_assert_eq(e.kind, ERR_HOST); /* one of the two ways may be closed here */
        }
}

Test(uffd, features_that_no_kernel_has_are_an_error_of_the_host)
{
        struct host_caps caps = { 0 };
        struct err       e = { 0 };
        int              fd = -1;

        need_uffd();
        uffd_probe(&caps);
        cr_assert_eq(uffd_open(&caps, 1ULL << 62, &fd, &e), -EINVAL);
        cr_assert_eq(e.kind, ERR_HOST);
        cr_assert_eq(fd, -1);
}

Test(uffd, no_message_is_none_and_not_an_error)
{
        struct place    p = new_place(NULL);
        struct uffd_msg msg;

        cr_assert_eq(uffd_read_events(p.fd, &msg, 1), 0);
}
