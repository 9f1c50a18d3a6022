/* kvm/virtio/chain.c: the pieces of a chain as one run of bytes. */
#include "kvm/virtio/queue.h"
#include "kvm/virtio/ram_copy.h"

#define PIECES_PER_COPY 64 /* ram_copy.h's most */

size_t virtq_chain_slice(const struct virtq_chain *c, bool in, uint64_t offset_bytes, uint64_t len_bytes, struct iovec *ret,
                         size_t nr_max)
{
        const struct iovec *v = c->iov + (in ? c->nr_out : 0);
        size_t              nr_pieces = in ? c->nr_in : c->nr_out, nr = 0;

        for (size_t i = 0; i < nr_pieces && nr < nr_max && len_bytes; i++) {
                uint64_t part;

                if (offset_bytes >= v[i].iov_len) {
                        offset_bytes -= v[i].iov_len;
                        continue;
                }
                part = MIN(v[i].iov_len - offset_bytes, len_bytes);
                if (in)
                        written_pages_mark(c->written, (uint8_t *)v[i].iov_base + offset_bytes, part);
                ret[nr++] = (struct iovec){ .iov_base = (uint8_t *)v[i].iov_base + offset_bytes, .iov_len = part };
                len_bytes -= part;
                offset_bytes = 0;
        }
        return nr;
}

static size_t bytes_of(const struct iovec *v, size_t nr)
{
        size_t sum = 0;

        for (size_t i = 0; i < nr; i++)
                sum += v[i].iov_len;
        return sum;
}

ssize_t virtq_chain_read(const struct virtq_chain *c, uint64_t offset_bytes, void *buf, size_t len_bytes)
{
        struct iovec v[PIECES_PER_COPY];
        size_t       done = 0, nr;

        while ((nr = virtq_chain_slice(c, false, offset_bytes + done, len_bytes - done, v, PIECES_PER_COPY))) {
                int r = ram_gather(c->settled, (uint8_t *)buf + done, v, nr);

                if (r < 0)
                        return r;
                done += bytes_of(v, nr);
        }
        return (ssize_t)done;
}

ssize_t virtq_chain_write(const struct virtq_chain *c, uint64_t offset_bytes, const void *buf, size_t len_bytes)
{
        struct iovec v[PIECES_PER_COPY];
        size_t       done = 0, nr;

        while ((nr = virtq_chain_slice(c, true, offset_bytes + done, len_bytes - done, v, PIECES_PER_COPY))) {
                int r = ram_scatter(c->settled, v, nr, (const uint8_t *)buf + done);

                if (r < 0)
                        return r;
                done += bytes_of(v, nr);
        }
        return (ssize_t)done;
}
