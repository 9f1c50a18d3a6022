/* test_cursor: nothing is read past the end, and the message says where that would have been. */
#include "formats/cursor.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(cursor, a_read_past_the_end_is_refused_and_the_cursor_stays)
{
        const uint8_t  bytes[12] = { 1 };
        struct cursor  c = { "state", bytes, 4096, sizeof(bytes), 0 };
        const uint8_t *p = NULL;
        struct err     e = { 0 };
        uint64_t       v = 0;

        cr_assert_eq(cursor_u64(&c, "a name", &v, &e), 0);
        cr_assert_eq(v, 1);
        cr_assert_eq(cursor_u64(&c, "a size", &v, &e), -EBADMSG);
        cr_assert_eq(v, 1);
        cr_assert_str_eq(e.text, "state: offset 4104: expected 8 bytes of a size, found 4; the file is cut short or damaged, use "
                         "another copy");
        cr_assert_eq(cursor_take(&c, "a body", UINT64_MAX, &p, &e), -EBADMSG);
        cr_assert_eq(cursor_take(&c, "a body", 4, &p, &e), 0);
        cr_assert_eq(p, bytes + 8);
        cr_assert_eq(cursor_left(&c), 0);
}
