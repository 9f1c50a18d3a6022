/* Finds the device at an address; where there is none, the bus floats high. */
#include "kvm/bus.h"

#include "core/base/units.h"

#include <errno.h>
#include <string.h>

static bool overlap(const struct bus_range *r, uint64_t first, uint64_t len)
{
        return first < r->first + r->len && r->first < first + len;
}

int bus_add(struct bus *b, enum bus_space space, uint64_t first, uint64_t len, const struct bus_ops *ops, void *arg)
{
        if (!len || len > UINT64_MAX - first)
                return -EINVAL;
        for (size_t i = 0; i < b->nr; i++)
                if (b->ranges[i].space == space && overlap(&b->ranges[i], first, len))
                        return -EEXIST;
        if (b->nr == BUS_RANGES_MAX)
                return -ENOSPC;
        b->ranges[b->nr++] = (struct bus_range){ .space = space, .first = first, .len = len, .ops = ops, .arg = arg };
        return 0;
}

static const struct bus_range *find(const struct bus *b, enum bus_space space, uint64_t addr, uint32_t len_bytes)
{
        for (size_t i = 0; i < b->nr; i++) {
                const struct bus_range *r = &b->ranges[i];

                if (r->space == space && addr >= r->first && range_fits(addr - r->first, len_bytes, r->len))
                        return r;
        }
        return NULL;
}

void bus_read(const struct bus *b, enum bus_space space, uint64_t addr, uint8_t *ret_data, uint32_t len_bytes)
{
        const struct bus_range *r = find(b, space, addr, len_bytes);

        if (r)
                r->ops->read(r->arg, addr - r->first, ret_data, len_bytes);
        else
                memset(ret_data, 0xff, len_bytes);
}

void bus_write(const struct bus *b, enum bus_space space, uint64_t addr, const uint8_t *data, uint32_t len_bytes)
{
        const struct bus_range *r = find(b, space, addr, len_bytes);

        if (r)
                r->ops->write(r->arg, addr - r->first, data, len_bytes);
}
