/* A disk under load: many requests at once, O_DIRECT, a host without io_uring, parks in the middle, and a VM that is
 * condemned. */
#include "tests/unit/kvm/blk_rig.h"

#include "core/base/uapi.h"
#include "tests/support/need.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* From now on io_uring_setup fails in this process as in a container that forbids it. */
static void forbid_io_uring(void)
{
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ARRAY_LEN(filter), .filter = filter };

        cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* A page of the file each, scattered over it. */
static uint64_t sector_of(uint32_t i)
{
        return (uint64_t)i * 37 % (DISK_FILE_BYTES / 4096) * 8;
}

/* As many reads at once as the queue takes, each a chain in a table of its own; then as many writes. */
static void fill_the_queue(struct disk *g, uint64_t off)
{
        struct disk_request k[256];
        gpa_t              data[256];
        uint8_t            bytes[4096];

        for (int write = 0; write < 2; write++) {
                for (uint32_t i = 0; i < 256; i++) {
                        k[i] = disk_request(g, write ? BLK_T_OUT : BLK_T_IN, sector_of(i));
                        if (!write)
                                data[i] = disk_take(g, 4096, 4096, off);
                        else
                                memset(disk_at(g, data[i]), (int)(i + 1), 4096);
                        disk_offer(g, (struct rig_buf[]){ { k[i].header, 16, false }, { data[i], 4096, !write },
                                                          { k[i].status, 1, true } }, 3, true);
                }
                disk_kick(g);
                disk_wait(g);
                for (uint32_t i = 0; i < 256; i++) {
                        cr_assert_eq(disk_status(g, k[i]), BLK_S_OK);
                        if (!write)
                                cr_assert(disk_is_original(disk_at(g, data[i]), sector_of(i) * 512, 4096));
                }
        }
        for (uint32_t i = 0; i < 256; i++) {
                disk_read_file(g, sector_of(i) * 512, bytes, sizeof(bytes));
                cr_assert(disk_all(bytes, (uint8_t)(i + 1), 4096));
        }
}

Test(blk_depth, a_full_queue_completes_each_with_its_own_bytes)
{
        struct disk *g = disk_usual(0);

        fill_the_queue(g, 0);
        cr_assert_eq(g->r->nr_messages, 0, "%s", g->r->message);
        disk_free(g);
}

static struct disk *direct_rig(void)
{
        struct disk *g = disk_new();

        g->config.direct = true;
        disk_make(g, NULL);
        disk_activate(g, DISK_FEATURES, 256);
        return g;
}

Test(blk_depth, a_full_queue_of_direct_requests_completes)
{
        struct disk *g = direct_rig();

        fill_the_queue(g, 0);
        disk_free(g);
}

Test(blk_depth, a_full_queue_of_direct_requests_in_odd_places_completes)
{
        struct disk *g = direct_rig(); /* more of them than there are buffers to bounce through */

        fill_the_queue(g, 3);
        disk_free(g);
}

Test(blk_depth, a_large_direct_request_in_pieces_of_odd_lengths_keeps_its_order)
{
        struct disk     *g = direct_rig();
        gpa_t            data = disk_take(g, MIB, 4096, 1);
        uint32_t         sum = 0;
        struct rig_buf p[202];
        uint8_t         *bytes = malloc(MIB);

        for (int write = 0; write < 2; write++) {
                struct disk_request k = disk_request(g, write ? BLK_T_OUT : BLK_T_IN, write ? 1 : 0);

                p[0] = (struct rig_buf){ k.header, 16, false };
                for (uint32_t i = 1; i <= 200; i++) {
                        uint32_t len = i < 200 ? 5003 + i : MIB - sum;

                        p[i] = (struct rig_buf){ data + sum, len, !write };
                        sum += len;
                }
                p[201] = (struct rig_buf){ k.status, 1, true };
                disk_offer(g, p, 202, true);
                disk_kick(g);
                disk_wait(g);
                cr_assert_eq(disk_status(g, k), BLK_S_OK);
                cr_assert(disk_is_original(disk_at(g, data), 0, MIB));
                sum = 0;
        }
        disk_read_file(g, 512, bytes, MIB);
        cr_assert(disk_is_original(bytes, 0, MIB)); /* what stood at 0 was written to sector 1 */
        free(bytes);
        disk_free(g);
}

Test(blk_depth, a_host_without_io_uring_serves_all_the_same_and_says_what_to_do)
{
        struct disk *g;

        forbid_io_uring();
        g = disk_usual(0);
        fill_the_queue(g, 0);
        disk_end(g);
        cr_assert_eq(g->r->nr_messages, 1);
        cr_assert(strstr(g->r->message, "refuses io_uring") &&
                  strstr(g->r->message, "sysctl -w kernel.io_uring_disabled=0"), "%s", g->r->message);
        disk_free(g);
}

Test(blk_depth, a_host_without_io_uring_serves_direct_requests_in_odd_places)
{
        struct disk *g;

        forbid_io_uring();
        g = direct_rig();
        fill_the_queue(g, 3);
        disk_free(g);
}

/* Parks again and again while the driver keeps the queue full: what was popped was returned, and every request comes back
 * once. */
Test(blk_depth, a_park_leaves_nothing_in_flight_and_loses_nothing)
{
        struct disk *g = direct_rig();
        gpa_t       data = disk_take(g, 256 * 4096, 4096, 0);
        gpa_t       start = g->r->next_free;

        for (int round = 0; round < 50; round++) {
                struct disk_request k[256];

                g->r->next_free = start;
                for (uint32_t i = 0; i < 256; i++) {
                        k[i] = disk_request(g, BLK_T_IN, sector_of(i));
                        disk_offer(g, (struct rig_buf[]){ { k[i].header, 16, false }, { data + i * 4096, 4096, true },
                                                          { k[i].status, 1, true } }, 3,
                                  true);
                        if (i % 64 == 0)
                                disk_kick(g);
                }
                virtio_device_park(g->d);
                cr_assert_eq(virtq_state(g->d->queues[0])->next_avail, rig_used_idx(&g->t.q[0]));
                cr_assert_eq(virtq_state(g->d->queues[0])->next_used, rig_used_idx(&g->t.q[0]));
                memset(disk_at(g, data), 0, 4096); /* parked, nobody writes */
                virtio_device_resume(g->d);
                disk_wait(g);
                for (uint32_t i = 0; i < 256; i++)
                        cr_assert_eq(disk_status(g, k[i]), BLK_S_OK);
        }
        disk_free(g);
}

Test(blk_depth, a_condemned_vm_writes_nothing_any_more)
{
        struct disk *g = disk_usual(BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
        gpa_t        data = disk_take(g, 4096, 4096, 0);

        g->r->env.condemned = true;
        *(struct blk_segment *)disk_at(g, data) = (struct blk_segment){ .num_sectors = 1024 };
        disk_start(g, BLK_T_OUT, 0, data, 4096, false);
        disk_start(g, BLK_T_DISCARD, 0, data, sizeof(struct blk_segment), false);
        disk_start(g, BLK_T_WRITE_ZEROES, 0, data, sizeof(struct blk_segment), false);
        disk_kick(g);
        while (poll(&(struct pollfd){ .fd = g->t.kicks[0], .events = POLLIN }, 1, 0) == 1)
                rig_nap();
        virtio_device_park(g->d); /* it heard the bell, and is done with it */
        cr_assert(disk_file_is_original(g));
        disk_free(g);
}

/* What a restore does on a kernel that cannot poison a page: the VM is condemned, then the page is answered with zeros. */
struct condemner {
        struct disk *g;
        int          uffd;
};

static void *condemn_and_answer(void *arg)
{
        struct condemner *c = arg;
        struct uffd_msg   m;
        struct pollfd     p = { .fd = c->uffd, .events = POLLIN };

        if (poll(&p, 1, 20000) == 1 && read(c->uffd, &m, sizeof(m)) == (ssize_t)sizeof(m)) {
                struct uffdio_zeropage z = { .range = { .start = m.arg.pagefault.address & ~(PAGE_BYTES - 1),
                                                        .len = PAGE_BYTES } };

                c->g->r->env.condemned = true;
                ioctl(c->uffd, UFFDIO_ZEROPAGE, &z);
        }
        return NULL;
}

static int register_page(void *page)
{
        struct uffdio_api      api = { .api = UFFD_API };
        struct uffdio_register reg = { .range = { .start = (uintptr_t)page, .len = PAGE_BYTES },
                                       .mode = UFFDIO_REGISTER_MODE_MISSING };
        int                    uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

        need_uffd();
        cr_assert_geq(uffd, 0);
        cr_assert_eq(ioctl(uffd, UFFDIO_API, &api), 0);
        cr_assert_eq(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
        return uffd;
}

/* With the data in the absent page, then with the segments of a discard there. */
static void vm_condemned_by_a_page(uint32_t type)
{
        struct disk         *g = disk_usual(BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
        gpa_t                data = disk_take(g, 4096, 4096, 0);
        struct condemner     c = { .g = g, .uffd = register_page(disk_at(g, data)) };
        struct disk_request  k;
        pthread_t            thread;

        cr_assert_eq(pthread_create(&thread, NULL, condemn_and_answer, &c), 0);
        k = disk_start(g, type, 0, data, type == BLK_T_OUT ? 4096 : 16, false);
        disk_kick(g);
        disk_wait(g);
        pthread_join(thread, NULL);
        cr_assert(g->r->env.condemned);
        cr_assert_eq(disk_status(g, k), BLK_S_IOERR);
        cr_assert(disk_file_is_original(g));
        close(c.uffd);
        disk_free(g);
}

Test(blk_depth, zeros_of_a_page_that_condemned_the_vm_are_not_written)
{
        vm_condemned_by_a_page(BLK_T_OUT);
}

Test(blk_depth, a_request_in_a_page_that_condemned_the_vm_changes_nothing)
{
        vm_condemned_by_a_page(BLK_T_WRITE_ZEROES);
        vm_condemned_by_a_page(BLK_T_DISCARD);
}

Test(blk_depth, a_page_that_cannot_be_had_is_not_written_and_not_read_into)
{
        struct disk       *g = disk_usual(0);
        gpa_t              data = disk_take(g, 2 * 4096, 4096, 0);

        cr_assert_eq(mprotect((uint8_t *)disk_at(g, data) + 4096, 4096, PROT_NONE), 0);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 0, data, 2 * 4096), BLK_S_IOERR);
        cr_assert(disk_file_is_original(g));
        cr_assert_eq(disk_do(g, BLK_T_IN, 0, data, 2 * 4096), BLK_S_IOERR);
        cr_assert_eq(disk_do(g, BLK_T_IN, 0, data, 4096), BLK_S_OK);
        cr_assert(disk_is_original(disk_at(g, data), 0, 4096));
        disk_free(g);
}

Test(blk_depth, a_reset_in_the_middle_leaves_a_disk_that_can_be_used_anew)
{
        struct disk *g = disk_usual(0);
        gpa_t       data = disk_take(g, 256 * 4096, 4096, 0);

        for (int round = 0; round < 20; round++) {
                for (uint32_t i = 0; i < 80; i++)
                        disk_start(g, BLK_T_IN, sector_of(i), data + i * 4096, 4096, false);
                disk_kick(g);
                disk_activate(g, DISK_FEATURES, 256); /* resets it */
                cr_assert_eq(disk_do(g, BLK_T_IN, 5, data, 4096), BLK_S_OK);
                cr_assert(disk_is_original(disk_at(g, data), 5 * 512, 4096));
        }
        disk_free(g);
}
