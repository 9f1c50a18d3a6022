/* Slow reads: at depth, out of order, with deadlines. */
#include "core/base/clock.h"
#include "core/base/units.h"
#include "tests/support/tmpdir.h"
#include "uffd/read_ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct read_ring *new_ring(void)
{
        struct read_ring *r = NULL;
        int               e = read_ring_new(&r);

        if (e < 0)
                cr_skip_test("io_uring is not to be had: %s", strerror(-e));
        return r;
}

static void start(struct read_ring *r, int slot, int fd, uint64_t offset_bytes, uint64_t deadline_ns)
{
        read_ring_start(r, slot, &(struct read_order){ .fd = fd, .offset_bytes = offset_bytes, .len_bytes = PAGE_BYTES,
                                                       .deadline_ns = deadline_ns });
}

static int reap_wait(struct read_ring *r, ssize_t *ret_result)
{
        struct pollfd fd = { .fd = read_ring_fd(r), .events = POLLIN };
        int           slot;

        read_ring_submit(r);
        while ((slot = read_ring_reap(r, ret_result)) < 0)
                cr_assert_eq(poll(&fd, 1, 5000), 1, "no completion in 5 s");
        return slot;
}

Test(read_ring, as_many_reads_as_slots_fly_at_once_and_each_brings_its_own_bytes)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct read_ring              *r = new_ring();
        int                            fd = openat(t.fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        uint64_t                       of_slot[READ_SLOTS];

        for (uint64_t i = 0; i < READ_SLOTS; i++)
                cr_assert_eq(pwrite(fd, &i, sizeof(i), (off_t)pages_to_bytes(i)), (ssize_t)sizeof(i));
        ftruncate(fd, (off_t)pages_to_bytes(READ_SLOTS));
        for (uint64_t i = 0; i < READ_SLOTS; i++) {
                int slot = read_ring_take(r, 1, true);

                cr_assert_geq(slot, 0);
                of_slot[slot] = i;
                start(r, slot, fd, pages_to_bytes(i), UINT64_MAX);
        }
        cr_assert_eq(read_ring_take(r, 1, true), -EBUSY);
        cr_assert_eq(read_ring_nr_flying(r), READ_SLOTS);
        for (int i = 0; i < READ_SLOTS; i++) {
                ssize_t result;
                int     slot = reap_wait(r, &result);

                cr_assert_eq(result, (ssize_t)PAGE_BYTES);
                cr_assert_arr_eq(read_ring_buf(r, slot), &of_slot[slot], sizeof(uint64_t));
                read_ring_release(r, slot);
        }
        cr_assert_eq(read_ring_nr_flying(r), 0);
        read_ring_free(r);
        close(fd);
}

Test(read_ring, a_read_behind_the_end_brings_nothing_and_a_bad_descriptor_an_error)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct read_ring              *r = new_ring();
        int                            fd = openat(t.fd, "f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ssize_t                        result;

        start(r, read_ring_take(r, 1, true), fd, pages_to_bytes(5), UINT64_MAX);
        read_ring_release(r, reap_wait(r, &result));
        cr_assert_eq(result, 0);
        start(r, read_ring_take(r, 1, true), 9999, 0, UINT64_MAX);
        read_ring_release(r, reap_wait(r, &result));
        cr_assert_eq(result, -EBADF);
        read_ring_free(r);
        close(fd);
}

Test(read_ring, a_silent_read_is_given_up_at_its_deadline_and_its_slot_comes_back)
{
        struct read_ring *r = new_ring();
        int               fds[2], slot = read_ring_take(r, 1, true);
        ssize_t           result;

        cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        start(r, slot, fds[0], 0, 1000);
        read_ring_submit(r);
        cr_assert_eq(read_ring_next_deadline_ns(r), 1000);
        cr_assert_eq(read_ring_expire(r, 999), -1);
        cr_assert_eq(read_ring_expire(r, 1000), slot);
        cr_assert_eq(read_ring_expire(r, 1000), -1);
        cr_assert_eq(read_ring_next_deadline_ns(r), UINT64_MAX);
        read_ring_submit(r);
        for (int i = 0; i < 1000 && (i == 0 || read_ring_take(r, 1, true) != slot); i++) {
                cr_assert_eq(read_ring_reap(r, &result), -1, "an abandoned read is nobody's");
                usleep(1000);
                for (int s = 0; s < READ_SLOTS; s++)
                        if (s != slot)
                                read_ring_release(r, s);
        }
        read_ring_free(r);
}

Test(read_ring, when_every_slot_is_abandoned_no_more_is_begun)
{
        struct read_ring *r = new_ring();
        int               fds[2];

        cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        for (int i = 0; i < READ_SLOTS; i++)
                start(r, read_ring_take(r, 1, true), fds[0], 0, 1000);
        for (int i = 0; i < READ_SLOTS; i++)
                cr_assert_geq(read_ring_expire(r, 1000), 0);
        cr_assert_eq(read_ring_take(r, 1, true), -ETIMEDOUT);
        read_ring_free(r);
}

Test(read_ring, freeing_takes_back_what_still_flies)
{
        struct read_ring *r = new_ring();
        uint64_t          start_ns = now_ns();
        int               fds[2];

        cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
        start(r, read_ring_take(r, 1, true), fds[0], 0, UINT64_MAX);
        read_ring_submit(r);
        read_ring_free(r);
        cr_assert_lt(now_ns() - start_ns, 150 * NS_PER_MS);
}
