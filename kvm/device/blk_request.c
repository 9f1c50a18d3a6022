/* kvm/device/blk_request.c: requests of virtio 1.2, section 5.2.6: read once, checked, then carried out step by step. */
#include "kvm/device/blk_request.h"

#include "core/base/checked_copy.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define COPY_PIECES_MAX 64 /* of one checked copy */
#define ZEROS_BYTES     (64 * KIB)
#define ZEROS_REPEAT    16
#define AGAIN_MAX       100 /* of a request; who says so that often means no */

/* What is written where a range can be made zero in no better way: a MiB at once, from one buffer. */
static const uint8_t zeros[ZEROS_BYTES] __attribute__((aligned(4096)));
#define ZEROS_PIECE { .iov_base = (void *)(uintptr_t)zeros, .iov_len = ZEROS_BYTES }
#define ZEROS_4     ZEROS_PIECE, ZEROS_PIECE, ZEROS_PIECE, ZEROS_PIECE
static const struct iovec zeros_iov[ZEROS_REPEAT] = { ZEROS_4, ZEROS_4, ZEROS_4, ZEROS_4 };

/* --- what the driver asks for --- */

static enum blk_verdict answer(struct blk_request *r, uint8_t status)
{
        r->status = status;
        return BLK_ANSWERED;
}

static bool range_is_odd(const struct blk_shape *s, uint64_t at_bytes, uint64_t len_bytes)
{
        return (at_bytes | len_bytes) % s->offset_align != 0;
}

static bool pieces_fit_direct(const struct blk_request *r, const struct blk_shape *s)
{
        for (uint32_t i = 0; i < r->nr; i++)
                if ((uintptr_t)r->pieces[i].iov_base % s->mem_align != 0 || r->pieces[i].iov_len % s->offset_align != 0)
                        return false;
        return true;
}

static enum blk_verdict take_data(struct blk_request *r, const struct virtq_chain *c, const struct blk_shape *s, uint64_t sector)
{
        bool     in = r->type == BLK_T_IN;
        uint64_t start = in ? 0 : sizeof(struct blk_header);
        uint64_t len = in ? c->in_bytes - 1 : c->out_bytes - start;

        if (!in && s->readonly)
                return answer(r, BLK_S_IOERR);
        if (len % BLK_SECTOR_BYTES != 0 || !range_fits(sector, len / BLK_SECTOR_BYTES, s->sectors))
                return answer(r, BLK_S_IOERR);
        r->nr = (uint32_t)virtq_chain_slice(c, in, start, len, r->pieces, VIRTIO_QUEUE_SIZE_MAX);
        r->at_bytes = sector * BLK_SECTOR_BYTES;
        r->left_bytes = len;
        r->needs_bounce = !range_is_odd(s, r->at_bytes, len) && !pieces_fit_direct(r, s);
        return BLK_RUN;
}

static enum blk_verdict take_id(struct blk_request *r, const struct virtq_chain *c, const struct blk_shape *s)
{
        ssize_t n = virtq_chain_write(c, 0, s->serial, MIN(c->in_bytes - 1, sizeof(s->serial)));

        if (n < 0)
                return answer(r, BLK_S_IOERR);
        r->read_bytes = (uint32_t)n;
        return answer(r, BLK_S_OK);
}

/* Section 5.2.6.2: an unknown flag is UNSUPP, and so is `unmap` in a discard. */
static uint8_t check_segment(const struct blk_request *r, uint32_t i, const struct blk_shape *s)
{
        const struct blk_segment *g = &r->segments[i];
        bool                      discard = r->type == BLK_T_DISCARD;
        uint32_t                  max = discard ? s->max_discard_sectors : s->max_write_zeroes_sectors;

        if (g->flags & ~(discard ? 0U : BLK_SEGMENT_UNMAP))
                return BLK_S_UNSUPP;
        if ((max && g->num_sectors > max) || !range_fits(g->sector, g->num_sectors, s->sectors))
                return BLK_S_IOERR;
        return BLK_S_OK;
}

static enum blk_verdict take_segments(struct blk_request *r, const struct virtq_chain *c, const struct blk_shape *s)
{
        bool     discard = r->type == BLK_T_DISCARD;
        uint32_t limit = discard ? s->max_discard_seg : s->max_write_zeroes_seg;
        uint64_t max = limit ? MIN(limit, BLK_SEGMENTS_MAX) : BLK_SEGMENTS_MAX;
        uint64_t start = sizeof(struct blk_header), len = c->out_bytes - start;

        if (!(discard ? s->discard : s->write_zeroes))
                return answer(r, BLK_S_UNSUPP);
        if (s->readonly || len == 0 || len % sizeof(r->segments[0]) != 0 || len / sizeof(r->segments[0]) > max)
                return answer(r, BLK_S_IOERR);
        if (virtq_chain_read(c, start, r->segments, len) != (ssize_t)len)
                return answer(r, BLK_S_IOERR);
        r->nr = (uint32_t)(len / sizeof(r->segments[0]));
        for (uint32_t i = 0; i < r->nr; i++) {
                uint8_t status = check_segment(r, i, s);

                if (status != BLK_S_OK)
                        return answer(r, status);
        }
        r->to_sync = !discard && s->writethrough;
        return BLK_RUN;
}

enum blk_verdict blk_request_take(struct blk_request *r, const struct virtq_chain *c, const struct blk_shape *s)
{
        struct blk_header h;
        struct iovec      status;

        if (c->out_bytes < sizeof(h) || c->in_bytes < 1 || virtq_chain_slice(c, true, c->in_bytes - 1, 1, &status, 1) != 1)
                return BLK_BROKEN;
        *r = (struct blk_request){ .head = c->head, .status_hva = status.iov_base, .pieces = r->pieces };
        if (virtq_chain_read(c, 0, &h, sizeof(h)) != sizeof(h) || !s->has_file)
                return answer(r, BLK_S_IOERR);
        r->type = h.type;
        switch (h.type) {
        case BLK_T_IN:
        case BLK_T_OUT:
                return take_data(r, c, s, h.sector);
        case BLK_T_FLUSH:
                r->to_sync = true;
                return BLK_RUN;
        case BLK_T_GET_ID:
                return take_id(r, c, s);
        case BLK_T_DISCARD:
        case BLK_T_WRITE_ZEROES:
                return take_segments(r, c, s);
        default:
                return answer(r, BLK_S_UNSUPP);
        }
}

/* --- guest memory --- */

/* Copies between the front of the pieces and buf. */
static int copy_pieces(const struct blk_request *r, uint8_t *buf, size_t len_bytes, bool to_guest)
{
        uint32_t i = r->first;

        while (len_bytes > 0) {
                struct iovec some[COPY_PIECES_MAX];
                size_t       nr = 0, sum = 0;
                int          e;

                for (; nr < COPY_PIECES_MAX && i < r->nr && sum < len_bytes; i++, nr++) {
                        some[nr] = r->pieces[i];
                        some[nr].iov_len = MIN(some[nr].iov_len, len_bytes - sum);
                        sum += some[nr].iov_len;
                }
                if (nr == 0)
                        return -EFAULT;
                e = to_guest ? checked_scatter(some, nr, buf) : checked_gather(buf, some, nr);
                if (e < 0)
                        return e;
                buf += sum;
                len_bytes -= sum;
        }
        return 0;
}

static void drop_pieces(struct blk_request *r, uint64_t bytes)
{
        while (bytes > 0 && r->first < r->nr) {
                struct iovec *v = &r->pieces[r->first];
                size_t        n = MIN(bytes, v->iov_len);

                v->iov_base = (uint8_t *)v->iov_base + n;
                v->iov_len -= n;
                bytes -= n;
                if (v->iov_len == 0)
                        r->first++;
        }
}

/* --- step by step --- */

static bool has_segments(const struct blk_request *r)
{
        return r->type == BLK_T_DISCARD || r->type == BLK_T_WRITE_ZEROES;
}

static void fail(struct blk_request *r, uint8_t status)
{
        r->status = status;
        r->left_bytes = 0;
        r->first = r->nr;
        r->to_sync = false;
}

/* A discard is a wish: of a block device only the whole blocks in it. */
static void shrink_to_blocks(struct blk_request *r, uint32_t block_bytes)
{
        uint64_t end = (r->at_bytes + r->left_bytes) / block_bytes * block_bytes;

        r->at_bytes = align_up(r->at_bytes, block_bytes);
        r->left_bytes = end > r->at_bytes ? end - r->at_bytes : 0;
}

static void load_segment(struct blk_request *r, const struct blk_shape *s)
{
        const struct blk_segment *g = &r->segments[r->first++];

        r->at_bytes = g->sector * BLK_SECTOR_BYTES;
        r->left_bytes = (uint64_t)g->num_sectors * BLK_SECTOR_BYTES;
        r->means = r->type == BLK_T_DISCARD || g->flags ? BLK_PUNCH : BLK_ZERO_RANGE;
        if (r->type == BLK_T_DISCARD && s->is_block)
                shrink_to_blocks(r, s->block_bytes);
}

/* fallocate(2) of a block device zeroes it, and PUNCH_HOLE gives the blocks back as well (Linux 4.9). */
static enum blk_means next_means(const struct blk_request *r, const struct blk_shape *s)
{
        if (r->type == BLK_T_DISCARD)
                return r->means == BLK_PUNCH && s->is_block ? BLK_BLKDISCARD : BLK_NO_MEANS;
        return r->means == BLK_PUNCH ? BLK_ZERO_RANGE : r->means == BLK_ZERO_RANGE ? BLK_WRITE_ZEROS : BLK_NO_MEANS;
}

static void zero_by_writing(struct blk_request *r)
{
        if (r->left_bytes < ZEROS_BYTES) {
                r->one = (struct iovec){ .iov_base = (void *)(uintptr_t)zeros, .iov_len = r->left_bytes };
                r->op.iov = &r->one;
                r->op.nr_iov = 1;
                return;
        }
        r->op.iov = zeros_iov;
        r->op.nr_iov = (uint32_t)MIN(r->left_bytes / ZEROS_BYTES, ZEROS_REPEAT);
        r->op.len_bytes = r->op.nr_iov * ZEROS_BYTES;
}

static void prepare_segment(struct blk_request *r, const struct blk_shape *s)
{
        switch (r->means) {
        case BLK_PUNCH:
                r->op.kind = BLK_IO_FALLOCATE;
                r->op.flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
                break;
        case BLK_ZERO_RANGE:
                r->op.kind = BLK_IO_FALLOCATE;
                r->op.flags = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
                break;
        case BLK_BLKDISCARD:
                r->op.kind = BLK_IO_DISCARD;
                break;
        case BLK_WRITE_ZEROS:
        case BLK_NO_MEANS:
                r->op.kind = BLK_IO_WRITE;
                r->op.flags = s->writethrough ? RWF_DSYNC : 0;
                zero_by_writing(r);
                break;
        }
}

static int prepare_data(struct blk_request *r, const struct blk_shape *s)
{
        bool in = r->type == BLK_T_IN;

        r->op.kind = in ? BLK_IO_READ : BLK_IO_WRITE;
        r->op.flags = !in && s->writethrough ? RWF_DSYNC : 0;
        if (!r->bounce) {
                r->op.iov = r->pieces + r->first;
                r->op.nr_iov = r->nr - r->first;
                return 0;
        }
        r->op.len_bytes = MIN(r->left_bytes, BLK_BOUNCE_BYTES);
        r->one = (struct iovec){ .iov_base = r->bounce, .iov_len = r->op.len_bytes };
        r->op.iov = &r->one;
        r->op.nr_iov = 1;
        return in ? 0 : copy_pieces(r, r->bounce, r->op.len_bytes, false);
}

bool blk_request_next(struct blk_request *r, const struct blk_shape *s)
{
        while (has_segments(r) && r->left_bytes == 0 && r->first < r->nr)
                load_segment(r, s);
        if (r->left_bytes > 0) {
                r->op = (struct blk_io_op){ .offset_bytes = r->at_bytes, .len_bytes = r->left_bytes };
                if (has_segments(r)) {
                        prepare_segment(r, s);
                        return true;
                }
                if (prepare_data(r, s) == 0)
                        return true;
                fail(r, BLK_S_IOERR);
        }
        if (!r->to_sync)
                return false;
        r->to_sync = false;
        r->op = (struct blk_io_op){ .kind = BLK_IO_SYNC };
        return true;
}

bool blk_request_runs_alone(const struct blk_request *r, const struct blk_shape *s)
{
        if (r->op.kind == BLK_IO_READ || r->op.kind == BLK_IO_WRITE)
                return range_is_odd(s, r->op.offset_bytes, r->op.len_bytes);
        return r->op.kind == BLK_IO_DISCARD;
}

static void moved(struct blk_request *r)
{
        uint64_t n = MIN((uint64_t)r->op.result, r->op.len_bytes);

        if (r->type == BLK_T_IN && r->bounce && copy_pieces(r, r->bounce, n, true) < 0) {
                fail(r, BLK_S_IOERR);
                return;
        }
        if (!has_segments(r))
                drop_pieces(r, n);
        if (r->type == BLK_T_IN)
                r->read_bytes += (uint32_t)n;
        r->at_bytes += n;
        r->left_bytes -= n;
}

static bool means_lacks(int64_t result)
{
        return result == -EOPNOTSUPP || result == -EINVAL || result == -ENOTTY || result == -ENOSYS;
}

int blk_request_done(struct blk_request *r, const struct blk_shape *s)
{
        bool    data = r->op.kind == BLK_IO_READ || r->op.kind == BLK_IO_WRITE;
        int64_t result = r->op.result;

        if (result == -EINTR || (result == -EAGAIN && r->nr_again++ < AGAIN_MAX)) {
                r->to_sync |= r->op.kind == BLK_IO_SYNC;
                return 0; /* the next step is the same one */
        }
        if (data && result > 0) {
                moved(r); /* maybe a part of it: the next step goes on from there */
                return 0;
        }
        if (data && result == 0)
                result = -ENODATA; /* somebody cut the file */
        if (result == 0) {
                r->left_bytes = 0;
                return 0;
        }
        if (has_segments(r) && !data && r->op.kind != BLK_IO_SYNC && means_lacks(result)) {
                r->means = next_means(r, s);
                if (r->means == BLK_NO_MEANS)
                        fail(r, BLK_S_UNSUPP);
                return 0;
        }
        fail(r, BLK_S_IOERR);
        return result == -EFAULT ? 0 : (int)result;
}
