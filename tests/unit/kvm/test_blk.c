/* A disk and a driver: every request, laid out in every way, and what is refused. */
#include "tests/unit/kvm/blk_rig.h"

#include "tests/support/loop.h"

#define FEATURES_DISCARD (BLK_F_DISCARD | BLK_F_WRITE_ZEROES)

/* --- configuration --- */

static uint32_t config32(struct disk *g, uint32_t at)
{
        uint32_t v;

        g->d->ops->read_config(g->d, at, (uint8_t *)&v, 4);
        return v;
}

Test(blk, a_disk_offers_what_stratovirt_offers)
{
        struct disk *g = disk_new();

        disk_make(g, NULL);
        cr_assert_eq(g->d->offered, 0x130000204);
        cr_assert_eq(g->d->nr_queues, 1);
        cr_assert_eq(virtq_state(g->d->queues[0])->max_size, 256);
        cr_assert(config32(g, 0) == DISK_SECTORS && config32(g, 4) == 0 && config32(g, 12) == 254);
        for (uint32_t at = 16; at < 256; at += 4)
                cr_assert_eq(config32(g, at), 0);
        disk_free(g);
}

Test(blk, discard_adds_its_features_and_its_part_of_the_configuration)
{
        struct disk *g = disk_new();
        uint8_t     all[64];

        g->config.discard = true;
        disk_make(g, NULL);
        cr_assert_eq(g->d->offered, 0x130000204 | 1 << 13 | 1 << 14);
        cr_assert(config32(g, 36) && config32(g, 40) && config32(g, 44) == 1 && config32(g, 48) && config32(g, 52));
        g->d->ops->read_config(g->d, 56, all, 8);
        cr_assert(all[0] == 1 && disk_all(all + 1, 0, 7));
        g->d->ops->read_config(g->d, UINT32_MAX - 3, all, 8);
        cr_assert(disk_all(all, 0, 8));
        disk_free(g);
}

Test(blk, a_file_of_no_whole_number_of_sectors_is_a_disk_of_the_whole_ones)
{
        struct disk *g = disk_new();
        gpa_t       data = disk_take(g, 512, 512, 0);

        disk_make_file(g, 10 * 512 + 100);
        disk_make(g, NULL);
        disk_activate(g, DISK_FEATURES, 256);
        cr_assert_eq(config32(g, 0), 10);
        cr_assert_eq(disk_do(g, BLK_T_IN, 9, data, 512), BLK_S_OK);
        cr_assert(disk_is_original(disk_at(g, data), 9 * 512, 512));
        cr_assert_eq(disk_do(g, BLK_T_IN, 10, data, 512), BLK_S_IOERR);
        disk_free(g);
}

/* --- requests --- */

Test(blk, what_is_read_is_what_the_file_holds)
{
        struct disk *g = disk_usual(0);
        gpa_t       data = disk_take(g, 64 * KIB, 512, 0);

        cr_assert_eq(disk_do(g, BLK_T_IN, 3, data, 64 * KIB), BLK_S_OK);
        cr_assert(disk_is_original(disk_at(g, data), 3 * 512, 64 * KIB));
        cr_assert_eq(g->used_len, 64 * KIB + 1);
        cr_assert_geq(g->t.interrupts, 1);
        disk_free(g);
}

Test(blk, what_is_written_is_in_the_file_and_nowhere_else)
{
        struct disk *g = disk_usual(0);
        gpa_t       data = disk_take(g, 8 * KIB, 512, 0);
        uint8_t     bytes[12 * KIB];

        memset(disk_at(g, data), 0xa5, 8 * KIB);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 4, data, 8 * KIB), BLK_S_OK);
        cr_assert_eq(g->used_len, 1);
        cr_assert_eq(disk_do(g, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
        disk_read_file(g, 0, bytes, sizeof(bytes));
        cr_assert(disk_is_original(bytes, 0, 2048) && disk_all(bytes + 2048, 0xa5, 8 * KIB) &&
                  disk_is_original(bytes + 10 * KIB, 10 * KIB, 2048));
        disk_free(g);
}

Test(blk, a_driver_without_flush_gets_its_writes_done_all_the_same)
{
        struct disk *g = disk_new();
        gpa_t       data = disk_take(g, 512, 512, 0);
        uint8_t     bytes[512];

        disk_make(g, NULL);
        disk_activate(g, VIRTIO_F_VERSION_1, 8);
        memset(disk_at(g, data), 0x77, 512);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 1, data, 512), BLK_S_OK);
        disk_read_file(g, 512, bytes, 512);
        cr_assert(disk_all(bytes, 0x77, 512));
        disk_free(g);
}

Test(blk, get_id_answers_the_serial_and_nothing_without_one)
{
        struct disk *g = disk_new();
        gpa_t       data = disk_take(g, 32, 16, 0);

        g->config.serial = "twenty characters ok";
        disk_make(g, NULL);
        disk_activate(g, DISK_FEATURES, 256);
        memset(disk_at(g, data), 0xee, 32);
        cr_assert_eq(disk_do(g, BLK_T_GET_ID, 0, data, 20), BLK_S_OK);
        cr_assert(memcmp(disk_at(g, data), "twenty characters ok\xee", 21) == 0);
        cr_assert_eq(g->used_len, 21);
        disk_end(g);

        g->config.serial = NULL;
        disk_make(g, NULL);
        disk_activate(g, DISK_FEATURES, 256);
        cr_assert_eq(disk_do(g, BLK_T_GET_ID, 0, data, 20), BLK_S_OK);
        cr_assert(disk_all(disk_at(g, data), 0, 20));
        disk_free(g);
}

Test(blk, a_serial_that_is_too_long_is_refused)
{
        struct disk *g = disk_new();
        struct err  e;

        g->config.serial = "twenty-one characters";
        cr_assert_lt(disk_try(g, NULL, &e), 0);
        cr_assert(e.kind == ERR_USAGE && strstr(e.text, "serial=twenty-one"), "%s", e.text);
        disk_free(g);
}

Test(blk, unknown_requests_are_not_supported)
{
        struct disk         *g = disk_usual(0);
        static const uint32_t types[] = { 2, 3, 5, 9, 11, 13, 14, 0x80000001, UINT32_MAX };
        gpa_t                 data = disk_take(g, 512, 512, 0);

        for (size_t i = 0; i < ARRAY_LEN(types); i++)
                cr_assert_eq(disk_do(g, types[i], 0, data, 512), BLK_S_UNSUPP, "type %u", types[i]);
        disk_free(g);
}

/* --- layouts --- */

Test(blk, a_header_may_be_split_and_share_a_piece_with_the_data)
{
        struct disk       *g = disk_usual(0);
        struct disk_request k = disk_request(g, BLK_T_OUT, 7);
        gpa_t              data = disk_take(g, 1024, 512, 0), both = disk_take(g, 3 + 512, 16, 0);
        struct rig_buf   p[17];
        uint8_t            bytes[1024];

        memset(disk_at(g, data), 0x33, 1024);
        /* 13 pieces of a byte; then 3 bytes of header and half of the data in one; then the other half */
        for (int i = 0; i < 13; i++)
                p[i] = (struct rig_buf){ k.header + (gpa_t)i, 1, false };
        memcpy(disk_at(g, both), (uint8_t *)disk_at(g, k.header) + 13, 3);
        memcpy((uint8_t *)disk_at(g, both) + 3, disk_at(g, data), 512);
        p[13] = (struct rig_buf){ both, 3 + 512, false };
        p[14] = (struct rig_buf){ data, 200, false };
        p[15] = (struct rig_buf){ data + 200, 312, false };
        p[16] = (struct rig_buf){ k.status, 1, true };
        for (int indirect = 0; indirect < 2; indirect++) {
                disk_offer(g, p, 17, indirect);
                disk_kick(g);
                disk_wait(g);
                cr_assert_eq(disk_status(g, k), BLK_S_OK);
                disk_read_file(g, 7 * 512, bytes, 1024);
                cr_assert(disk_all(bytes, 0x33, 1024));
        }
        disk_free(g);
}

Test(blk, the_status_is_the_last_byte_of_what_the_driver_gave_to_write)
{
        struct disk       *g = disk_usual(0);
        struct disk_request k = disk_request(g, BLK_T_IN, 1);
        gpa_t              data = disk_take(g, 513, 16, 0);
        struct rig_buf   p[] = { { k.header, 16, false }, { data, 100, true }, { data + 100, 413, true } };

        memset(disk_at(g, data), 0xee, 513);
        disk_offer(g, p, 3, true);
        disk_kick(g);
        disk_wait(g);
        cr_assert(disk_is_original(disk_at(g, data), 512, 512));
        cr_assert_eq(*(uint8_t *)disk_at(g, data + 512), BLK_S_OK);
        disk_free(g);
}

Test(blk, a_request_of_a_thousand_pieces_is_one_request)
{
        struct disk       *g = disk_new();
        struct disk_request k = disk_request(g, BLK_T_IN, 0);
        gpa_t              data = disk_take(g, 1000 * 2048, 4096, 0);
        struct rig_buf   p[1002] = { { k.header, 16, false } };
        struct virtio_state saved = { .kind = VIRTIO_BLK, .slot = 2, .device_features = 0x130000204, .nr_queues = 1,
                                      .queues[0].max_size = 1024,
                                      .u.blk = { .capacity_sectors = DISK_SECTORS, .seg_max = 1022 } };

        for (int i = 0; i < 1000; i++)
                p[i + 1] = (struct rig_buf){ data + (gpa_t)i * 2048, 512, true };
        p[1001] = (struct rig_buf){ k.status, 1, true };
        disk_make(g, &saved);
        disk_activate(g, DISK_FEATURES, 1024);
        disk_offer(g, p, 1002, true);
        disk_kick(g);
        disk_wait(g);
        cr_assert_eq(disk_status(g, k), BLK_S_OK);
        for (int i = 0; i < 1000; i++)
                cr_assert(disk_is_original((uint8_t *)disk_at(g, data) + i * 2048, (uint64_t)i * 512, 512));
        disk_free(g);
}

Test(blk, a_request_without_header_or_status_breaks_the_device_and_harms_nothing)
{
        for (int i = 0; i < 3; i++) {
                struct disk       *g = disk_usual(0);
                struct disk_request k = disk_request(g, BLK_T_OUT, 0);
                struct rig_buf   short_header[] = { { k.header, 15, false }, { k.status, 1, true } };
                struct rig_buf   no_status[] = { { k.header, 16, false } }, no_header[] = { { k.status, 1, true } };

                disk_offer(g, i == 0 ? short_header : i == 1 ? no_status : no_header, i == 0 ? 2 : 1, false);
                disk_kick(g);
                for (int ms = 0; !g->t.resets_needed; ms++) {
                        cr_assert_lt(ms, 20000);
                        poll(NULL, 0, 1);
                }
                cr_assert(virtio_is_broken(g->d));
                disk_end(g);
                cr_assert(strstr(g->r->message, "no header or no status"), "%s", g->r->message);
                cr_assert(disk_file_is_original(g));
                disk_free(g);
        }
}

/* --- bounds --- */

Test(blk, nothing_past_the_end_is_read_or_written)
{
        struct disk *g = disk_usual(0);
        uint64_t    sectors = DISK_SECTORS;
        gpa_t       data = disk_take(g, 4096, 512, 0);
        struct stat st;

        for (uint32_t type = BLK_T_IN; type <= BLK_T_OUT; type++) {
                cr_assert_eq(disk_do(g, type, sectors, data, 512), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, sectors - 1, data, 1024), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, UINT64_MAX, data, 512), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, UINT64_MAX / 512, data, 512), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, UINT64_MAX / 512 + 1, data, 512), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, 0, data, 511), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, 0, data, 513), BLK_S_IOERR);
        }
        cr_assert_eq(disk_do(g, BLK_T_IN, sectors - 1, data, 512), BLK_S_OK);
        cr_assert(stat(g->path, &st) == 0 && (uint64_t)st.st_size == DISK_FILE_BYTES);
        cr_assert(disk_file_is_original(g));
        disk_free(g);
}

Test(blk, a_file_that_was_cut_is_an_io_error_and_one_line)
{
        struct disk *g = disk_usual(0);
        gpa_t       data = disk_take(g, 4096, 512, 0);

        cr_assert_eq(truncate(g->path, 5 * 512), 0);
        cr_assert_eq(disk_do(g, BLK_T_IN, 0, data, 4096), BLK_S_IOERR);
        cr_assert_eq(disk_do(g, BLK_T_IN, 100, data, 4096), BLK_S_IOERR);
        cr_assert_eq(disk_do(g, BLK_T_IN, 0, data, 5 * 512), BLK_S_OK);
        disk_end(g);
        cr_assert_eq(g->r->nr_messages, 1);
        cr_assert(strstr(g->r->message, g->path) && strstr(g->r->message, "disk in slot 2") &&
                  strstr(g->r->message, "offset 2560"), "%s", g->r->message);
        disk_free(g);
}

/* --- what is behind it --- */

Test(blk, a_slot_without_a_file_fails_every_request)
{
        struct disk *g = disk_new();
        gpa_t       data = disk_take(g, 512, 512, 0);

        g->config.path = NULL;
        disk_make(g, NULL);
        cr_assert_eq(config32(g, 0), 0);
        cr_assert_eq(g->d->offered, 0x130000204);
        disk_activate(g, DISK_FEATURES, 256);
        for (uint32_t type = 0; type < 15; type++)
                cr_assert_eq(disk_do(g, type, 0, data, 512), BLK_S_IOERR);
        disk_free(g);
}

Test(blk, a_readonly_disk_says_so_and_is_not_written)
{
        struct disk *g = disk_new();
        gpa_t       data = disk_take(g, 512, 512, 0);

        g->config.readonly = true;
        disk_make(g, NULL);
        cr_assert_eq(g->d->offered, 0x130000204 | 1 << 5);
        disk_activate(g, DISK_FEATURES, 256);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 0, data, 512), BLK_S_IOERR);
        cr_assert_eq(disk_do(g, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
        cr_assert_eq(disk_do(g, BLK_T_IN, 0, data, 512), BLK_S_OK);
        cr_assert(disk_is_original(disk_at(g, data), 0, 512));
        cr_assert(disk_file_is_original(g));
        disk_free(g);
}

Test(blk, two_disks_do_not_share_a_file)
{
        struct disk          *g = disk_usual(0);
        struct virtio_device *second;
        struct err            e = { 0 };

        cr_assert_lt(blk_maker.new(&g->config, NULL, &g->r->env, &second, &e), 0);
        cr_assert(strstr(e.text, g->path), "%s", e.text);
        disk_free(g);
}

/* --- discard and write zeroes --- */

static uint8_t segments(struct disk *g, uint32_t type, const struct blk_segment *s, size_t nr)
{
        gpa_t data = disk_take(g, nr * sizeof(*s), 16, 0);

        memcpy(disk_at(g, data), s, nr * sizeof(*s));
        return disk_do(g, type, 0, data, (uint32_t)(nr * sizeof(*s)));
}

static uint64_t allocated_bytes(struct disk *g)
{
        struct stat st;

        cr_assert_eq(stat(g->path, &st), 0);
        cr_assert_eq((uint64_t)st.st_size, DISK_FILE_BYTES);
        return (uint64_t)st.st_blocks * 512;
}

Test(blk, a_discard_gives_blocks_back)
{
        struct disk       *g = disk_usual(FEATURES_DISCARD);
        struct blk_segment s[] = { { 0, 2048, 0 }, { 4096, 0, 0 }, { 4096, 1024, 0 } };
        uint64_t           before;
        uint8_t            bytes[512];

        cr_assert_eq(disk_do(g, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
        before = allocated_bytes(g);
        cr_assert_eq(segments(g, BLK_T_DISCARD, s, 3), BLK_S_OK);
        cr_assert_leq(allocated_bytes(g) + 1536 * KIB, before);
        disk_read_file(g, 2048 * 512, bytes, 512);
        cr_assert(disk_is_original(bytes, 2048 * 512, 512));
        disk_free(g);
}

static void zeroes(uint32_t flags)
{
        struct disk           *g = disk_usual(FEATURES_DISCARD);
        struct blk_segment     s[] = { { 1, 3001, flags }, { 5000, 1, flags } };
        _cleanup_free_ uint8_t *bytes = malloc(DISK_FILE_BYTES);

        cr_assert_eq(segments(g, BLK_T_WRITE_ZEROES, s, 2), BLK_S_OK);
        disk_read_file(g, 0, bytes, DISK_FILE_BYTES);
        cr_assert(disk_is_original(bytes, 0, 512));
        cr_assert(disk_all(bytes + 512, 0, 3001 * 512));
        cr_assert(disk_is_original(bytes + 3002 * 512, 3002 * 512, 1998 * 512));
        cr_assert(disk_all(bytes + 5000 * 512, 0, 512));
        cr_assert(disk_is_original(bytes + 5001 * 512, 5001 * 512, DISK_FILE_BYTES - 5001 * 512));
        disk_free(g);
}

Test(blk, written_zeroes_are_zeros_to_the_sector)
{
        zeroes(0);
}

Test(blk, written_zeroes_that_may_unmap_are_zeros_to_the_sector)
{
        zeroes(BLK_SEGMENT_UNMAP);
}

Test(blk, segments_are_checked_before_any_is_carried_out)
{
        struct disk       *g = disk_usual(FEATURES_DISCARD);
        uint64_t           sectors = DISK_SECTORS;
        struct blk_segment past[] = { { 0, 8, 0 }, { sectors - 1, 2, 0 } },
                           far[] = { { 0, 8, 0 }, { UINT64_MAX, UINT32_MAX, 0 } };
        struct blk_segment unmap[] = { { 0, 8, 0 }, { 8, 8, BLK_SEGMENT_UNMAP } }, odd[] = { { 0, 8, 0 }, { 8, 8, 2 } };
        gpa_t              data = disk_take(g, 64 * KIB, 16, 0);

        for (uint32_t type = BLK_T_DISCARD; type <= BLK_T_WRITE_ZEROES; type += 2) {
                cr_assert_eq(segments(g, type, past, 2), BLK_S_IOERR);
                cr_assert_eq(segments(g, type, far, 2), BLK_S_IOERR);
                cr_assert_eq(segments(g, type, odd, 2), BLK_S_UNSUPP);
                cr_assert_eq(disk_do(g, type, 0, data, 15), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, 0, data, 24), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, 0, data, 65 * 16), BLK_S_IOERR);
                cr_assert_eq(disk_do(g, type, 0, 0, 0), BLK_S_IOERR);
        }
        cr_assert_eq(segments(g, BLK_T_DISCARD, unmap, 2), BLK_S_UNSUPP);
        cr_assert(disk_file_is_original(g));
        disk_free(g);
}

Test(blk, readonly_and_discard_are_refused_together)
{
        struct disk *g = disk_new();
        struct err  e;

        g->config.readonly = g->config.discard = true;
        cr_assert_lt(disk_try(g, NULL, &e), 0);
        cr_assert(e.kind == ERR_USAGE && strstr(e.text, "readonly and discard"), "%s", e.text);
        disk_free(g);
}

/* Blocks of 4 KiB under sectors of 512: through the page cache and with O_DIRECT. */
static void on_a_block_device(bool direct)
{
        struct disk            *g = disk_new();
        _cleanup_loop_ struct loop l = loop_new(g->path, 4096);
        gpa_t                   data = disk_take(g, 8 * KIB, 4096, 0);
        struct blk_segment      zero[] = { { 17, 30, 0 } }, unmap[] = { { 64, 8, BLK_SEGMENT_UNMAP } },
                                discard[] = { { 127, 18, 0 } };
        uint8_t                 bytes[16 * KIB];

        g->config.path = l.path;
        g->config.direct = direct;
        g->config.discard = true;
        disk_make(g, NULL);
        disk_activate(g, DISK_FEATURES | FEATURES_DISCARD, 256);
        cr_assert_eq(config32(g, 44), 8);
        cr_assert_eq(disk_do(g, BLK_T_IN, 3, data, 4096), BLK_S_OK);
        cr_assert(disk_is_original(disk_at(g, data), 3 * 512, 4096));
        memset(disk_at(g, data), 0x5a, 8 * KIB);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 1, data, 512), BLK_S_OK);
        cr_assert_eq(disk_do(g, BLK_T_OUT, 8, data, 4096), BLK_S_OK);
        cr_assert_eq(segments(g, BLK_T_WRITE_ZEROES, zero, 1), BLK_S_OK);
        cr_assert_eq(segments(g, BLK_T_WRITE_ZEROES, unmap, 1), BLK_S_OK);
        cr_assert_eq(segments(g, BLK_T_DISCARD, discard, 1), BLK_S_OK);
        cr_assert_eq(disk_do(g, BLK_T_FLUSH, 0, 0, 0), BLK_S_OK);
        cr_assert_eq(disk_do(g, BLK_T_IN, 1, data, 8 * KIB), BLK_S_OK);
        cr_assert(disk_all(disk_at(g, data), 0x5a, 512) && disk_is_original((uint8_t *)disk_at(g, data) + 512, 1024, 6 * 512));
        disk_end(g);
        g->config.path = g->path;
        cr_assert_eq(fsync(l.fd), 0);
        disk_read_file(g, 0, bytes, sizeof(bytes));
        cr_assert(disk_is_original(bytes, 0, 512) && disk_all(bytes + 512, 0x5a, 512) &&
                  disk_is_original(bytes + 1024, 1024, 6 * 512));
        cr_assert(disk_all(bytes + 4096, 0x5a, 4096) && disk_is_original(bytes + 8192, 8192, 512));
        cr_assert(disk_all(bytes + 17 * 512, 0, 15 * 512));
        disk_read_file(g, 64 * 512, bytes, 4096);
        cr_assert(disk_all(bytes, 0, 4096));
        disk_read_file(g, 127 * 512, bytes, 512);
        cr_assert(disk_is_original(bytes, 127 * 512, 512));
        disk_read_file(g, 144 * 512, bytes, 512);
        cr_assert(disk_is_original(bytes, 144 * 512, 512));
        disk_free(g);
}

Test(blk, a_block_device_of_large_blocks_takes_requests_of_small_sectors)
{
        on_a_block_device(false);
}

Test(blk, a_block_device_of_large_blocks_takes_requests_of_small_sectors_also_with_direct)
{
        on_a_block_device(true);
}
