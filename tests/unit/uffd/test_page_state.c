/* The states of a page and the moves between them. */
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
        static const int   errors[] = { -EIO, -ENODATA, -EBADMSG, -ETIMEDOUT, -ENOMEM };
        struct page_states s = new_states();

        for (uint64_t i = 0; i < 5; i++) {
                cr_assert(page_state_lose(&s, i, errors[i]));
                cr_assert(page_state_move(&s, i, PAGE_POISONED));
                cr_assert_eq(page_state_error(&s, i), errors[i]);
        }
        cr_assert(page_state_lose(&s, 9, -EPERM));
        cr_assert_eq(page_state_error(&s, 9), -EIO, "what has no code of its own is told as an I/O error");
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
