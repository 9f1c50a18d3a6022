/* The states of a page and the moves between them. */
#include "core/base/units.h"
#include "uffd/page_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct page_states new_states(void)
{
        struct page_states s;

        cr_assert_eq(page_states_init(&s, 100), 0);
        return s;
}

/* Brings page 7 to a state by allowed moves. */
static void bring_to(struct page_states *s, enum page_state st)
{
        if (st == PAGE_ABSENT)
                return;
        if (st == PAGE_POISONED)
                cr_assert(page_state_lose(s, 7, -EIO));
        cr_assert(page_state_move(s, 7, st));
}

Test(page_state, every_page_begins_absent)
{
        struct page_states s = new_states();

        for (uint64_t page = 0; page < 100; page++)
                cr_assert_eq(page_state_get(&s, page), PAGE_ABSENT);
        cr_assert_eq(s.count[PAGE_ABSENT], 100);
        page_states_free(&s);
}

Test(page_state, a_move_happens_if_and_only_if_the_table_allows_it)
{
        static const char *const may_go_to[PAGE_STATES] = { "wrixl", "rixl", "ixl", "x", "", "xp", "x" };
        static const char        letters[PAGE_STATES] = "awrixlp";

        for (int from = 0; from < PAGE_STATES; from++) {
                for (int to = 0; to < PAGE_STATES; to++) {
                        struct page_states s = new_states();
                        bool               may = strchr(may_go_to[from], letters[to]);

                        bring_to(&s, from);
                        cr_assert_eq(page_state_move(&s, 7, to), may, "%d to %d", from, to);
                        cr_assert_eq(page_state_get(&s, 7), may ? to : from);
                        page_states_free(&s);
                }
        }
}

Test(page_state, an_installed_page_is_never_absent_again)
{
        struct page_states s = new_states();

        cr_assert(page_state_move(&s, 3, PAGE_INSTALLED));
        cr_assert(!page_state_move(&s, 3, PAGE_ABSENT));
        cr_assert(!page_state_move(&s, 3, PAGE_READING));
        page_states_free(&s);
}

Test(page_state, the_counts_follow_the_moves)
{
        struct page_states s = new_states();

        page_state_move(&s, 1, PAGE_WANTED);
        page_state_move(&s, 1, PAGE_READING);
        page_state_move(&s, 2, PAGE_INSTALLED);
        cr_assert_eq(s.count[PAGE_ABSENT], 98);
        cr_assert_eq(s.count[PAGE_WANTED], 0);
        cr_assert_eq(s.count[PAGE_READING], 1);
        cr_assert_eq(s.count[PAGE_INSTALLED], 1);
        page_states_free(&s);
}

Test(page_state, a_lost_page_keeps_its_reason_through_poison)
{
        static const int   errors[] = { -EIO, -ENODATA, -EBADMSG, -ETIMEDOUT, -ENOMEM, -ENOSPC };
        struct page_states s = new_states();
        struct page_loss   loss;

        for (uint64_t i = 0; i < ARRAY_LEN(errors); i++) {
                cr_assert(page_state_lose(&s, i, errors[i]));
                cr_assert(page_state_move(&s, i, PAGE_POISONED));
                cr_assert(page_state_find_loss(&s, i, &loss));
                cr_assert_eq(loss.error, errors[i]);
                cr_assert(loss.poisoned);
        }
        cr_assert(page_state_lose(&s, 9, -EPERM));
        cr_assert(page_state_find_loss(&s, 9, &loss));
        cr_assert_eq(loss.error, -EIO, "what has no code of its own is told as an I/O error");
        page_states_free(&s);
}

Test(page_state, marked_pages_count_until_they_are_settled)
{
        struct page_states s = new_states();

        page_state_move(&s, 1, PAGE_READING);
        page_state_mark(&s, 1);
        page_state_mark(&s, 1);
        page_state_move(&s, 2, PAGE_INSTALLED);
        page_state_mark(&s, 2);
        cr_assert_eq(s.nr_marked, 1);
        page_state_move(&s, 1, PAGE_REMOVED);
        cr_assert_eq(s.nr_marked, 0);
        page_states_free(&s);
}

Test(page_state, that_a_fault_waited_is_remembered_through_moves)
{
        struct page_states s = new_states();

        page_state_demand(&s, 1);
        page_state_move(&s, 1, PAGE_READING);
        page_state_lose(&s, 1, -EIO);
        cr_assert(page_state_demanded(&s, 1));
        cr_assert(!page_state_demanded(&s, 2));
        page_states_free(&s);
}

Test(page_state, a_page_that_was_given_back_is_not_lost_any_more)
{
        struct page_states s = new_states();

        cr_assert(page_state_lose(&s, 1, -EIO));
        cr_assert(page_state_move(&s, 1, PAGE_REMOVED));
        cr_assert(!page_state_find_loss(&s, 1, NULL));
        page_states_free(&s);
}

Test(page_state, absent_pages_are_found_across_words)
{
        struct page_states s = new_states();

        page_states_install_absent(&s, 5, 60);
        page_state_move(&s, 70, PAGE_READING);
        cr_assert_eq(s.count[PAGE_INSTALLED], 60);
        cr_assert_eq(page_states_end_of_absent(&s, 0, 100), 5);
        cr_assert_eq(page_states_next_absent(&s, 5, 100), 65);
        cr_assert_eq(page_states_next_absent(&s, 5, 40), 40);
        cr_assert_eq(page_states_end_of_absent(&s, 65, 100), 70);
        cr_assert_eq(page_states_next_absent(&s, 70, 100), 71);
        cr_assert_eq(page_states_end_of_absent(&s, 71, 100), 100);
        cr_assert_eq(page_states_near(&s, 7, 16), 11);
        cr_assert_eq(page_states_near(&s, 64, 32), 1);
        cr_assert_eq(page_states_near(&s, 70, 16), 1);
        cr_assert_eq(page_states_near(&s, 99, 32), 0);
        for (uint64_t page = 0; page < 100; page++)
                cr_assert_eq(page_state_get(&s, page), page == 70 ? PAGE_READING : page >= 5 &&
                             page < 65 ? PAGE_INSTALLED : PAGE_ABSENT);
        page_states_free(&s);
}

/* A model of the table beside it, driven by a seeded generator. */
Test(page_state, busy_pages_are_found_whatever_came_and_went_before)
{
        uint8_t           model[4096] = { 0 };
        struct busy_pages b;
        uint64_t          x = 1;

        cr_assert_eq(busy_pages_init(&b, 512), 0);
        for (int i = 0; i < 200000; i++) {
                uint64_t page;
                uint8_t  bits;

                x = x * 6364136223846793005ULL + 1442695040888963407ULL;
                page = x >> 33 & 4095;
                bits = x >> 60 & 1 ? (x >> 50 & 0xff) | 1 : 0;
                if (busy_pages_set(&b, page, bits))
                        model[page] = bits;
                else
                        cr_assert_eq(b.nr, 512, "refused only where it is full");
        }
        for (uint64_t page = 0; page < 4096; page++)
                cr_assert_eq(busy_pages_get(&b, page), model[page]);
        busy_pages_free(&b);
}

Test(page_state, where_too_many_pages_are_busy_the_next_one_stays_absent)
{
        struct page_states s;
        uint64_t           page = 0;

        cr_assert_eq(page_states_init(&s, 2 * BUSY_PAGES_MAX), 0);
        while (page_state_move(&s, page, PAGE_READING))
                page++;
        cr_assert_eq(page, BUSY_PAGES_MAX);
        cr_assert(!page_states_have_room(&s, 1));
        cr_assert_eq(page_state_get(&s, page), PAGE_ABSENT);
        cr_assert(page_state_move(&s, 0, PAGE_INSTALLED));
        cr_assert(page_state_move(&s, page, PAGE_WANTED));
        page_states_free(&s);
}
