/* virtio-rng: random bytes come, as many as a buffer holds or 64 KiB, and nothing else changes. */
#include "tests/unit/kvm/fake_driver.h"

static const struct device_config config = {.kind = VIRTIO_RNG};

/* Chance of a run of 16 zero bytes where random ones should be: none worth a thought. */
static bool looks_random(const uint8_t *p, size_t len)
{
        static const uint8_t zeros[16];

        for (size_t i = 0; i + sizeof(zeros) <= len; i += sizeof(zeros))
                if (memcmp(p + i, zeros, sizeof(zeros)) == 0)
                        return false;
        return true;
}

Test(rng, a_buffer_is_filled_and_the_driver_interrupted)
{
        struct driver *g = driver_new(&rng_maker, &config, NULL);
        uint32_t len;

        driver_start(g, 0, 1, 64);
        driver_add_one(g, 0, DRIVER_DATA_GPA, 64, true);
        driver_kick(g, 0);
        cr_expect_eq(driver_take(g, 0, &len), 0);
        cr_expect_eq(len, 64);
        cr_expect(looks_random(driver_at(g, DRIVER_DATA_GPA), 64));
        cr_expect_eq(*driver_at(g, DRIVER_DATA_GPA + 64), 0);
        driver_await(g->t.interrupts == 1);
        driver_free(g);
}

Test(rng, a_chain_of_pieces_is_filled_through)
{
        const struct rig_buf v[] = {{DRIVER_DATA_GPA, 100, true}, {DRIVER_DATA_GPA + 0x1000, 1, true},
                                    {RIG_HIGH_GPA, 5000, true}};
        struct driver *g = driver_new(&rng_maker, &config, NULL);
        uint32_t len;

        driver_start(g, 0, 1, 64);
        rig_send(&g->t.q[0], v, 3);
        driver_kick(g, 0);
        driver_take(g, 0, &len);
        cr_expect_eq(len, 5101);
        cr_expect(looks_random(driver_at(g, DRIVER_DATA_GPA), 96));
        cr_expect(looks_random(driver_at(g, RIG_HIGH_GPA), 4992));
        driver_free(g);
}

Test(rng, a_request_for_more_than_64_kib_gets_64_kib)
{
        struct driver *g = driver_new(&rng_maker, &config, NULL);
        uint32_t len;

        driver_start(g, 0, 1, 64);
        driver_add_one(g, 0, DRIVER_DATA_GPA, 1 << 20, true);
        driver_kick(g, 0);
        driver_take(g, 0, &len);
        cr_expect_eq(len, 64 * KIB);
        cr_expect(looks_random(driver_at(g, DRIVER_DATA_GPA), 64 * KIB));
        cr_expect_eq(*driver_at(g, DRIVER_DATA_GPA + 64 * KIB), 0);
        driver_free(g);
}

/* More than one wake-up's worth, with one bell. */
Test(rng, a_full_queue_is_served_after_one_kick)
{
        struct driver *g = driver_new(&rng_maker, &config, NULL);
        uint32_t len;

        driver_start(g, 0, 1, 64);
        for (int i = 0; i < 64; i++)
                driver_add_one(g, 0, DRIVER_DATA_GPA, 64 * KIB, true);
        driver_kick(g, 0);
        for (int i = 0; i < 64; i++) {
                driver_take(g, 0, &len);
                cr_expect_eq(len, 64 * KIB);
        }
        driver_free(g);
}

Test(rng, a_buffer_that_takes_no_byte_breaks_the_device_and_the_user_is_told)
{
        struct driver *g = driver_new(&rng_maker, &config, NULL);

        driver_start(g, 0, 1, 64);
        driver_add_one(g, 0, DRIVER_DATA_GPA, 64, false);
        driver_kick(g, 0);
        driver_await(virtio_is_broken(g->d));
        driver_await(g->t.resets_needed == 1);
        driver_await(g->r->nr_messages == 1);
        cr_expect(strstr(g->r->message, "random"), "%s", g->r->message);
        cr_expect_not(driver_has_used(g, 0));
        driver_free(g);
}

Test(rng, after_a_reset_it_serves_again)
{
        struct driver *g = driver_new(&rng_maker, &config, NULL);

        driver_start(g, 0, 1, 64);
        driver_restart(g, 0, 1, 8);
        driver_add_one(g, 0, DRIVER_DATA_GPA, 16, true);
        driver_kick(g, 0);
        driver_take(g, 0, NULL);
        driver_free(g);
}

Test(rng, a_restored_one_serves_what_was_asked_of_the_saved_one)
{
        struct driver *g = driver_new(&rng_maker, &config, NULL), *h;
        struct virtio_state s;
        uint32_t len;

        driver_start(g, 0, 1, 64);
        driver_add_one(g, 0, DRIVER_DATA_GPA, 32, true);
        driver_kick(g, 0);
        driver_take(g, 0, NULL);
        s = driver_save(g);
        driver_add_one(g, 0, DRIVER_DATA_GPA + 0x1000, 48, true); /* nobody rang for it yet */
        h = driver_restore(&rng_maker, &config, &s, g);
        driver_take(h, 0, &len);
        cr_expect_eq(len, 48);
        driver_free(g);
        driver_free(h);
}
