/* Which device answers, and what happens where there is none. */
#include "kvm/bus.h"

#include <criterion/criterion.h>
#include <errno.h>

struct box {
        uint64_t offset;
        uint32_t len;
};

static void box_read(void *arg, uint64_t offset, uint8_t *ret_data, uint32_t len)
{
        *(struct box *)arg = (struct box){ offset, len };
        for (uint32_t i = 0; i < len; i++)
                ret_data[i] = (uint8_t)(0x10 + offset + i);
}

static void box_write(void *arg, uint64_t offset, const uint8_t *data, uint32_t len)
{
        (void)data;
        *(struct box *)arg = (struct box){ offset, len };
}

static const struct bus_ops box_ops = { .read = box_read, .write = box_write };

Test(bus, an_access_reaches_its_device_with_the_offset_in_its_range)
{
        struct bus b = { 0 };
        struct box box = { 0 };
        uint8_t    data[2];

        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x3f8, 8, &box_ops, &box), 0);
        bus_read(&b, BUS_PORTS, 0x3fa, data, 2);
        cr_assert_eq(box.offset, 2);
        cr_assert_eq(box.len, 2);
        cr_assert_eq(data[0], 0x12);
        cr_assert_eq(data[1], 0x13);
        bus_write(&b, BUS_PORTS, 0x3ff, data, 1);
        cr_assert_eq(box.offset, 7);
}

Test(bus, a_read_from_nobody_gives_all_ones)
{
        struct bus b = { 0 };
        uint8_t    data[4] = { 0 };

        bus_read(&b, BUS_PORTS, 0x64, data, 1);
        cr_assert_eq(data[0], 0xff);
        bus_read(&b, BUS_MMIO, 0xf0100000, data, 4);
        cr_assert_eq(data[3], 0xff);
        bus_write(&b, BUS_MMIO, 0xf0100000, data, 4);
}

Test(bus, an_access_past_the_end_of_a_range_is_nobodys)
{
        struct bus b = { 0 };
        struct box box = { 0 };
        uint8_t    data[4] = { 0 };

        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x3f8, 8, &box_ops, &box), 0);
        bus_read(&b, BUS_PORTS, 0x3fe, data, 4);
        cr_assert_eq(box.len, 0);
        cr_assert_eq(data[0], 0xff);
}

Test(bus, ports_and_mmio_are_different_spaces)
{
        struct bus b = { 0 };
        struct box port = { 0 }, mmio = { 0 };
        uint8_t    data;

        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x100, 8, &box_ops, &port), 0);
        cr_assert_eq(bus_add(&b, BUS_MMIO, 0x100, 8, &box_ops, &mmio), 0);
        bus_read(&b, BUS_MMIO, 0x101, &data, 1);
        cr_assert_eq(mmio.len, 1);
        cr_assert_eq(port.len, 0);
}

Test(bus, overlapping_empty_and_endless_ranges_are_refused)
{
        struct bus b = { 0 };
        struct box box;

        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x100, 8, &box_ops, &box), 0);
        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x107, 2, &box_ops, &box), -EEXIST);
        cr_assert_eq(bus_add(&b, BUS_PORTS, 0xff, 2, &box_ops, &box), -EEXIST);
        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x200, 0, &box_ops, &box), -EINVAL);
        cr_assert_eq(bus_add(&b, BUS_MMIO, UINT64_MAX - 3, 8, &box_ops, &box), -EINVAL);
}

Test(bus, a_full_table_takes_no_more)
{
        struct bus b = { 0 };
        struct box box;

        for (uint64_t i = 0; i < BUS_RANGES_MAX; i++)
                cr_assert_eq(bus_add(&b, BUS_PORTS, i * 8, 8, &box_ops, &box), 0);
        cr_assert_eq(bus_add(&b, BUS_PORTS, 0x1000, 8, &box_ops, &box), -ENOSPC);
}
