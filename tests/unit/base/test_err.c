/* test_err: an error carries its code, whose fault it is, and one line. */
#include "core/base/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(err, setting_one_returns_its_code_and_keeps_the_text)
{
        struct err e = { 0 };

        cr_assert_eq(err_set(&e, -ENOENT, "open %s", "memory"), -ENOENT);
        cr_assert_eq(e.code, -ENOENT);
        cr_assert_eq(e.kind, ERR_FAILED);
        cr_assert_str_eq(e.text, "open memory");
}

Test(err, nobody_need_listen)
{
        cr_assert_eq(err_set(NULL, -EIO, "x"), -EIO);
        cr_assert_eq(err_host(NULL, -EPERM, "x"), -EPERM);
        cr_assert_eq(err_usage(NULL, "x"), -EINVAL);
        cr_assert_eq(err_bad(NULL, "state", 0, "x"), -EBADMSG);
        cr_assert_eq(err_wrap(NULL, -EIO, "x"), -EIO);
}

Test(err, each_way_to_set_one_says_who_must_act)
{
        struct err e = { 0 };

        err_host(&e, -EACCES, "x");
        cr_assert_eq(e.kind, ERR_HOST);
        cr_assert_eq(err_usage(&e, "x"), -EINVAL);
        cr_assert_eq(e.kind, ERR_USAGE);
        err_bad(&e, "state", 0, "x");
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
}

Test(err, a_bad_snapshot_names_file_and_offset)
{
        struct err e = { 0 };

        cr_assert_eq(err_bad(&e, "memory", 8192, "expected %d bytes, found %d", 4096, 17), -EBADMSG);
        cr_assert_eq(e.code, -EBADMSG);
        cr_assert_str_eq(e.text, "memory: offset 8192: expected 4096 bytes, found 17");
}

Test(err, a_bad_snapshot_without_an_offset_names_the_file_only)
{
        struct err e = { 0 };

        err_bad(&e, "state", ERR_NO_OFFSET, "expected a magic");
        cr_assert_str_eq(e.text, "state: expected a magic");
}

Test(err, a_phrase_stands_before_the_text_and_keeps_code_and_kind)
{
        struct err e = { 0 };

        err_bad(&e, "state", 4, "inner");
        cr_assert_eq(err_wrap(&e, -EIO, "restore %s", "DIR"), -EBADMSG);
        cr_assert_str_eq(e.text, "restore DIR: state: offset 4: inner");
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_eq(e.code, -EBADMSG);
}

Test(err, a_phrase_around_nothing_is_the_text)
{
        struct err e = { 0 };

        cr_assert_eq(err_wrap(&e, -EIO, "outer"), -EIO);
        cr_assert_str_eq(e.text, "outer");
}

Test(err, a_text_may_quote_the_text_it_replaces)
{
        struct err e = { 0 };

        err_set(&e, -EIO, "first");
        err_set(&e, -EINVAL, "second after %s", e.text);
        cr_assert_str_eq(e.text, "second after first");
        err_bad(&e, e.text, 1, "third after %s", e.text);
        cr_assert_str_eq(e.text, "second after first: offset 1: third after second after first");
}

Test(err, a_text_that_is_too_long_is_cut)
{
        struct err e = { 0 };
        char       word[3000];

        memset(word, 'x', sizeof(word));
        word[sizeof(word) - 1] = '\0';
        err_set(&e, -EIO, "%s", word);
        cr_assert_eq(strlen(e.text), sizeof(e.text) - 1);
        err_wrap(&e, -EIO, "outer");
        cr_assert_eq(strlen(e.text), sizeof(e.text) - 1);
        cr_assert_eq(strncmp(e.text, "outer: xxx", 10), 0);
        err_wrap(&e, -EIO, "%s", word);
        cr_assert_eq(strlen(e.text), sizeof(e.text) - 1);
}
