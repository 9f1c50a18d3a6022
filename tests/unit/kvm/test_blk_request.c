/* One request of a disk without a disk: what it does with answers that a file seldom gives. */
#include "kvm/device/blk_request.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct asked {
        struct blk_header  header;
        uint8_t            data[512], status;
        struct iovec       iov[3], pieces[VIRTIO_QUEUE_SIZE_MAX];
        struct blk_request r;
};

static const struct blk_shape shape = { .has_file = true, .block_bytes = 512, .mem_align = 1, .offset_align = 1, .sectors = 16 };

static void ask(struct asked *a, uint32_t type)
{
        bool               in = type == BLK_T_IN;
        uint16_t           nr_out = in ? 1 : 2;
        struct virtq_chain c = { .nr_out = nr_out, .nr_in = (uint16_t)(3 - nr_out), .iov = a->iov };

        a->header = (struct blk_header){ .type = type, .sector = 3 };
        a->iov[0] = (struct iovec){ &a->header, sizeof(a->header) };
        a->iov[1] = (struct iovec){ a->data, sizeof(a->data) };
        a->iov[2] = (struct iovec){ &a->status, 1 };
        c.out_bytes = sizeof(a->header) + (in ? 0 : sizeof(a->data));
        c.in_bytes = 1 + (in ? sizeof(a->data) : 0);
        a->r.pieces = a->pieces;
        cr_assert_eq(blk_request_take(&a->r, &c, &shape), BLK_RUN);
}

static void expect_again(struct asked *a, enum blk_io_kind kind)
{
        cr_assert(blk_request_next(&a->r, &shape));
        cr_assert_eq(a->r.op.kind, kind);
        if (kind != BLK_IO_SYNC)
                cr_assert(a->r.op.offset_bytes == 3 * 512 && a->r.op.len_bytes == 512 && a->r.op.iov->iov_base == a->data);
}

static void assert_tries_again(uint32_t type, enum blk_io_kind kind, int error)
{
        struct asked a = { 0 };

        ask(&a, type);
        for (int i = 0; i < 3; i++) {
                expect_again(&a, kind);
                a.r.op.result = -error;
                cr_assert_eq(blk_request_done(&a.r, &shape), 0);
        }
        expect_again(&a, kind);
        a.r.op.result = kind == BLK_IO_SYNC ? 0 : 512;
        cr_assert_eq(blk_request_done(&a.r, &shape), 0);
        cr_assert_not(blk_request_next(&a.r, &shape));
        cr_assert_eq(a.r.status, BLK_S_OK);
}

Test(blk_request, what_was_interrupted_or_short_of_resources_is_done_again)
{
        static const int errors[] = { EINTR, EAGAIN };

        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
                assert_tries_again(BLK_T_IN, BLK_IO_READ, errors[i]);
                assert_tries_again(BLK_T_OUT, BLK_IO_WRITE, errors[i]);
                assert_tries_again(BLK_T_FLUSH, BLK_IO_SYNC, errors[i]);
        }
}

Test(blk_request, a_file_that_is_short_of_resources_forever_is_an_error_in_the_end)
{
        struct asked a = { 0 };
        int          told = 0, tries = 0;

        ask(&a, BLK_T_OUT);
        while (blk_request_next(&a.r, &shape)) {
                cr_assert_lt(tries++, 1000);
                a.r.op.result = -EAGAIN;
                told = blk_request_done(&a.r, &shape);
        }
        cr_assert_eq(told, -EAGAIN);
        cr_assert_eq(a.r.status, BLK_S_IOERR);
}
