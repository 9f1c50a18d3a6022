/* virtio-balloon: what is given is discarded in runs, in RAM only; what the host asks reaches the guest; both survive a save. */
#include "kvm/device/balloon.h"
#include "tests/unit/kvm/fake_driver.h"

#define F_REPORTING (1ULL << 5)

static const struct device_config config = {.kind = VIRTIO_BALLOON};

static struct driver *start(uint64_t features, uint16_t nr_queues)
{
        struct driver *g = driver_new(&balloon_maker, &config, NULL);

        driver_start(g, features, nr_queues, 64);
        return g;
}

static void send_pfns(struct driver *g, uint16_t queue, const uint32_t *pfns, size_t nr)
{
        memcpy(driver_at(g, DRIVER_DATA_GPA), pfns, nr * sizeof(*pfns));
        driver_add_one(g, queue, DRIVER_DATA_GPA, (uint32_t)(nr * sizeof(*pfns)), false);
        driver_kick(g, queue);
}

static uint32_t read32(const struct driver *g, uint32_t offset)
{
        uint32_t v;

        g->d->ops->read_config(g->d, offset, (uint8_t *)&v, sizeof(v));
        return v;
}

static void expect_discard(struct driver *g, size_t i, gpa_t gpa, uint64_t pages)
{
        cr_assert_lt(i, g->nr_discards);
        cr_expect_eq(g->discards[i].gpa, gpa, "discard %zu: %#llx", i, (unsigned long long)g->discards[i].gpa);
        cr_expect_eq(g->discards[i].len, pages_to_bytes(pages), "discard %zu: %llu", i, (unsigned long long)g->discards[i].len);
}

Test(balloon, neighbours_of_a_batch_are_discarded_at_once_whatever_their_order)
{
        const uint32_t pfns[] = {0x503, 0x501, 0x502, 0x700, 0x500, 0x502, 0x6ff};
        struct driver *g = start(0, 2);

        memset(driver_at(g, 0x501000), 0xaa, PAGE_BYTES);
        send_pfns(g, 0, pfns, ARRAY_LEN(pfns));
        driver_take(g, 0, NULL);
        cr_expect_eq(g->nr_discards, 2);
        expect_discard(g, 0, 0x500000, 4);
        expect_discard(g, 1, 0x6ff000, 2);
        cr_expect_eq(*driver_at(g, 0x501000), 0);
        driver_await(g->t.interrupts == 1);
        driver_free(g);
}

Test(balloon, a_list_longer_than_a_batch_is_taken_whole)
{
        struct driver *g = start(0, 2);
        uint32_t pfns[1000];

        for (uint32_t i = 0; i < 1000; i++)
                pfns[i] = 0x400 + i;
        send_pfns(g, 0, pfns, 1000);
        driver_take(g, 0, NULL);
        cr_expect_eq(g->nr_discards, 4);
        expect_discard(g, 3, (0x400 + 768) * PAGE_BYTES, 232);
        driver_free(g);
}

Test(balloon, a_page_where_no_ram_is_breaks_it_and_nothing_of_its_batch_is_discarded)
{
        static const uint32_t bad[] = {0x800, 0xfffff, 0x100800, UINT32_MAX};

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                const uint32_t pfns[] = {0x500, bad[i], 0x501};
                struct driver *g = start(0, 2);

                send_pfns(g, 0, pfns, 3);
                driver_await(virtio_is_broken(g->d));
                cr_expect_eq(g->nr_discards, 0);
                cr_expect_not(driver_has_used(g, 0));
                driver_free(g);
        }
}

Test(balloon, runs_end_where_a_window_of_ram_ends)
{
        const uint32_t pfns[] = {0x7ff, 0x100000, 0x7fe, 0x100001};
        struct driver *g = start(0, 2);

        send_pfns(g, 0, pfns, 4);
        driver_take(g, 0, NULL);
        cr_expect_eq(g->nr_discards, 2);
        expect_discard(g, 0, 0x7fe000, 2);
        expect_discard(g, 1, RIG_HIGH_GPA, 2);
        driver_free(g);
}

Test(balloon, an_endless_list_breaks_it)
{
        struct driver *g = start(0, 2);

        driver_add_one(g, 0, RIG_HIGH_GPA, 4 * 65537, false);
        driver_kick(g, 0);
        driver_await(virtio_is_broken(g->d));
        cr_expect_eq(g->nr_discards, 0);
        driver_free(g);
}

Test(balloon, pages_that_are_taken_back_are_acknowledged_and_left_alone)
{
        const uint32_t pfns[] = {0x500, 0x501};
        struct driver *g = start(0, 2);

        memset(driver_at(g, 0x500000), 7, PAGE_BYTES);
        send_pfns(g, 1, pfns, 2);
        driver_take(g, 1, NULL);
        cr_expect_eq(g->nr_discards, 0);
        cr_expect_eq(*driver_at(g, 0x500000), 7);
        driver_free(g);
}

/* Many more buffers than a wake-up takes, with one bell. */
Test(balloon, a_full_queue_is_served_after_one_kick)
{
        const uint32_t pfn = 0x500;
        struct driver *g = driver_new(&balloon_maker, &config, NULL);

        driver_start(g, 0, 2, 256);
        memcpy(driver_at(g, DRIVER_DATA_GPA), &pfn, sizeof(pfn));
        for (int i = 0; i < 256; i++)
                driver_add_one(g, 0, DRIVER_DATA_GPA, 4, false);
        driver_kick(g, 0);
        for (int i = 0; i < 256; i++)
                driver_take(g, 0, NULL);
        cr_expect_eq(g->nr_discards, 256);
        driver_free(g);
}

/* Drivers differ in which queue it is: the fifth by the specification, the third where unused ones are left out. */
Test(balloon, reported_pages_are_discarded_but_for_parts_of_pages)
{
        for (uint16_t queue = 2; queue < 5; queue++) {
                const struct rig_buf v[] = {{0x400000, 0x200000, true}, {0x300800, 0x2000, true}, {0x380010, 100, true}};
                struct driver *g = start(F_REPORTING, queue + 1);

                memset(driver_at(g, 0x300000), 1, 0x3000);
                rig_send(&g->t.q[queue], v, 3);
                driver_kick(g, queue);
                driver_take(g, queue, NULL);
                cr_expect_eq(g->nr_discards, 2);
                expect_discard(g, 0, 0x400000, 512);
                expect_discard(g, 1, 0x301000, 1);
                cr_expect_eq(*driver_at(g, 0x300fff), 1);
                cr_expect_eq(*driver_at(g, 0x302000), 1);
                driver_free(g);
        }
}

Test(balloon, a_target_is_seen_and_interrupts_and_the_answer_comes_back)
{
        struct driver *g = start(0, 2);
        const uint32_t actual = 123;

        balloon_set_target(g->d, 1000);
        driver_await(g->t.config_interrupts == 1);
        cr_expect_eq(read32(g, 0), 1000);
        g->d->ops->write_config(g->d, 4, (const uint8_t *)&actual, 4);
        cr_expect_eq(balloon_actual(g->d), 123);
        cr_expect_eq(read32(g, 4), 123);
        driver_free(g);
}

Test(balloon, the_driver_writes_nothing_but_what_it_gave)
{
        struct driver *g = start(0, 2);
        const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};

        g->d->ops->write_config(g->d, 0, bytes, 4);
        g->d->ops->write_config(g->d, 8, bytes, 4);
        g->d->ops->write_config(g->d, UINT32_MAX, bytes, 8);
        cr_expect_eq(read32(g, 0), 0);
        cr_expect_eq(read32(g, 4), 0);
        g->d->ops->write_config(g->d, 6, bytes, 8); /* past the end: its first bytes only */
        cr_expect_eq(balloon_actual(g->d), 0x02010000);
        cr_expect_eq(read32(g, 8), 0);
        driver_free(g);
}

Test(balloon, both_numbers_and_the_queues_survive)
{
        const uint32_t pfn = 0x500, actual = 77;
        struct driver *g = start(0, 2), *h;
        struct virtio_state s;

        balloon_set_target(g->d, 99);
        g->d->ops->write_config(g->d, 4, (const uint8_t *)&actual, 4);
        send_pfns(g, 0, &pfn, 1);
        driver_take(g, 0, NULL);
        s = driver_save(g);
        cr_expect_eq(s.u.balloon.num_pages, 99);
        cr_expect_eq(s.u.balloon.actual, 77);
        h = driver_restore(&balloon_maker, &config, &s, g);
        cr_expect_eq(read32(h, 0), 99);
        cr_expect_eq(balloon_actual(h->d), 77);
        send_pfns(h, 0, &pfn, 1);
        driver_take(h, 0, NULL);
        cr_expect_eq(h->nr_discards, 1);
        driver_free(g);
        driver_free(h);
}

Test(balloon, a_snapshot_with_a_feature_that_it_lacks_is_refused)
{
        struct virtio_state s = {.kind = VIRTIO_BALLOON, .device_features = VIRTIO_F_VERSION_1 | 1ULL << 1, .nr_queues = 3};
        struct driver *g = calloc(1, sizeof(*g));
        struct err e = {0};

        cr_expect_lt(driver_try_new(g, &balloon_maker, &config, &s, &e), 0);
        cr_expect_eq(e.kind, ERR_SNAPSHOT);
        driver_free(g);
}
