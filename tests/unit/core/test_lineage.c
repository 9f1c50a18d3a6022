/* test_lineage: what was written since which snapshot. */
#include "core/lineage.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PAGES 200u

static const struct identity restored = { "aa" }, first = { "bb" }, second = { "cc" }, stranger = { "dd" };

static struct lineage make(uint8_t *ram)
{
        struct lineage l;

        cr_assert_eq(lineage_init(&l, &restored, PAGES, true, ram, NULL), 0);
        return l;
}

static uint32_t epoch_of(const struct lineage *l, const struct identity *id)
{
        uint32_t epoch = UINT32_MAX;

        cr_assert(lineage_find(l, id, &epoch));
        return epoch;
}

Test(lineage, a_page_is_written_since_every_snapshot_before_and_no_later_one)
{
        struct lineage l = make(NULL);

        lineage_mark(&l, 7);
        lineage_add(&l, &first);
        lineage_mark(&l, 8);
        lineage_add(&l, &second);
        cr_assert(lineage_is_written(&l, 7, epoch_of(&l, &restored)));
        cr_assert_not(lineage_is_written(&l, 7, epoch_of(&l, &first)));
        cr_assert(lineage_is_written(&l, 8, epoch_of(&l, &restored)));
        cr_assert(lineage_is_written(&l, 8, epoch_of(&l, &first)));
        cr_assert_not(lineage_is_written(&l, 8, epoch_of(&l, &second)));
        cr_assert_not(lineage_is_written(&l, 9, epoch_of(&l, &restored)));
        lineage_free(&l);
}

/* No epoch begins where a snapshot failed: what was marked for it still counts. */
Test(lineage, what_was_marked_for_a_snapshot_that_failed_is_not_forgotten)
{
        struct lineage l = make(NULL);

        lineage_mark(&l, 7);
        lineage_mark(&l, 8);
        cr_assert(lineage_is_written(&l, 7, epoch_of(&l, &restored)));
        lineage_free(&l);
}

Test(lineage, a_snapshot_that_it_does_not_come_from_is_not_found)
{
        struct lineage l = make(NULL), booted = { 0 };
        uint32_t       epoch;

        cr_assert_not(lineage_find(&l, &stranger, &epoch));
        cr_assert_not(lineage_find(&booted, &restored, &epoch));
        cr_assert_not(lineage_tracks(&booted));
        lineage_add(&booted, &first);
        cr_assert(lineage_find(&booted, &first, &epoch));
        lineage_free(&booted);
        lineage_free(&l);
}

Test(lineage, what_devices_wrote_is_taken_once_and_to_the_page)
{
        uint8_t       *ram = calloc(PAGES, PAGE_BYTES);
        struct lineage l = make(ram);

        written_pages_mark(&l.written, ram + 2 * PAGE_BYTES - 1, 1);
        /* the end of one, all of the next, the begin of a third */
        written_pages_mark(&l.written, ram + 64 * PAGE_BYTES - 1, 2 + PAGE_BYTES);
        written_pages_mark(&l.written, ram, 0);
        written_pages_mark(NULL, ram, 1);
        lineage_take_written(&l);
        for (uint64_t page = 0; page < PAGES; page++)
                cr_assert_eq(lineage_is_written(&l, page, 0), page == 1 || (page >= 63 && page <= 65), "page %d", (int)page);
        lineage_add(&l, &first);
        lineage_take_written(&l);
        for (uint64_t page = 0; page < PAGES; page++)
                cr_assert_not(lineage_is_written(&l, page, 1));
        lineage_free(&l);
        free(ram);
}

Test(lineage, more_snapshots_than_it_can_tell_apart_are_forgotten_and_never_mixed_up)
{
        struct lineage  l = make(NULL);
        struct identity id = { "ee" };
        uint32_t        epoch;

        for (unsigned i = 1; i < UINT16_MAX; i++)
                lineage_add(&l, &stranger);
        lineage_mark(&l, 7);
        lineage_add(&l, &id);
        cr_assert_not(lineage_find(&l, &id, &epoch));
        cr_assert(lineage_is_written(&l, 7, epoch_of(&l, &stranger)));
        lineage_free(&l);
}
