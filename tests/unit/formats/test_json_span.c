/* test_json_span: JSON text is walked and skipped without being believed. */
#include "formats/json_fields.h"
#include "formats/json_skip.h"
#include "formats/json_span.h"

#include "core/base/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct json_span span(const char *text)
{
        return (struct json_span){ text, strlen(text) };
}

static size_t skipped(const char *text)
{
        const char *after = json_skip_container(text, text + strlen(text));

        return after ? (size_t)(after - text) : 0;
}

Test(json_span, concatenated_objects_are_taken_one_by_one)
{
        struct json_span text = span("{\"a\":1}{\"b\":\"}\"} [2]"), value;

        cr_assert(json_take(&text, &value) && json_span_is(value, "{\"a\":1}"));
        cr_assert(json_take(&text, &value) && json_span_is(value, "{\"b\":\"}\"}"));
        cr_assert(json_take(&text, &value) && json_span_is(value, "[2]"));
        cr_assert_eq(text.len, 0);
        cr_assert(!json_take(&text, &value));
}

Test(json_span, brackets_and_escaped_quotes_in_strings_do_not_count)
{
        cr_assert_eq(skipped("{\"a[\\\"{\":[\"]\",\"\\\\\"]} "), strlen("{\"a[\\\"{\":[\"]\",\"\\\\\"]}"));
}

Test(json_span, a_bracket_that_closes_another_kind_is_refused)
{
        cr_assert_eq(skipped("{\"a\":[1}]"), 0);
        cr_assert_eq(skipped("[1,2"), 0);
        cr_assert_eq(skipped("[\"1,2]"), 0);
        cr_assert_eq(skipped("[\"1\\"), 0);
}

Test(json_span, nesting_below_the_limit_is_refused)
{
        char text[2 * JSON_DEPTH_MAX + 3];

        for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
                memset(text, '[', (size_t)depth);
                memset(text + depth, ']', (size_t)depth);
                text[2 * depth] = '\0';
                cr_assert_eq(skipped(text), depth <= JSON_DEPTH_MAX ? strlen(text) : 0);
        }
}

/* What skipping must find, one byte at a time. */
static size_t skipped_slowly(const char *p, size_t len)
{
        char   closers[JSON_DEPTH_MAX];
        size_t depth = 0;
        bool   in_string = false;

        for (size_t i = 0; i < len; i++) {
                if (in_string && p[i] == '\\') {
                        i++;
                } else if (p[i] == '"') {
                        in_string = !in_string;
                } else if (!in_string && strchr("{[", p[i])) {
                        if (depth == JSON_DEPTH_MAX)
                                return 0;
                        closers[depth++] = p[i] == '{' ? '}' : ']';
                } else if (!in_string && strchr("}]", p[i])) {
                        if (!depth || p[i] != closers[--depth])
                                return 0;
                        if (!depth)
                                return i + 1;
                }
        }
        return 0;
}

Test(json_span, skipping_64_bytes_at_a_time_agrees_with_one_at_a_time_on_200000_random_texts)
{
        static const char letters[] = "{}[]\"\\,:aaaaaaaaaaaaaaaaaaa{}[]\"\"1234567890";
        uint64_t          x = 88172645463325252ULL; /* seed of xorshift64 */
        char              text[400];

        for (int round = 0; round < 200000; round++) {
                size_t      len = 1 + (size_t)(x % 390);
                const char *after;

                text[0] = x & 1 ? '{' : '[';
                for (size_t i = 1; i < len; i++) {
                        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
                        text[i] = letters[x % (round % 3 ? sizeof(letters) - 1 : 20)];
                }
                after = json_skip_container(text, text + len);
                cr_assert_eq(after ? (size_t)(after - text) : 0, skipped_slowly(text, len), "round %d: %.*s", round, (int)len,
                             text);
        }
}

Test(json_span, numbers_are_exact_up_to_64_bits_and_nothing_else)
{
        static const char *const bad[] = { "", "-1", "01", "1.0", "1e3", "18446744073709551616", "99999999999999999999", " 1",
        "x" };
        uint64_t                 v = 7;

        cr_assert(json_u64(span("18446744073709551615"), &v) && v == UINT64_MAX);
        cr_assert(json_u64(span("0"), &v) && v == 0);
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                cr_assert(!json_u64(span(bad[i]), &v), "%s", bad[i]);
}

Test(json_span, an_array_of_bytes_has_exactly_its_length)
{
        uint8_t b[3];

        cr_assert(json_bytes(span("[1, 2,255]"), b, 3) && b[2] == 255);
        cr_assert(!json_bytes(span("[1,2]"), b, 3));
        cr_assert(!json_bytes(span("[1,2,3,4]"), b, 3));
        cr_assert(!json_bytes(span("[1,2,256]"), b, 3));
        cr_assert(!json_bytes(span("[1,2,]"), b, 3));
        cr_assert(!json_bytes(span("{}"), b, 3));
}

struct pair {
        uint64_t number;
        bool     yes;
};

static const struct json_field pair_fields[] = {
        { "number", JSON_U64, offsetof(struct pair, number), 100 },
        { "yes", JSON_BOOL, offsetof(struct pair, yes), 0 },
};

static int read_pair(const char *text, struct pair *ret, struct err *e)
{
        struct json_place at = { "file", text, 1000 };

        return json_read(&at, span(text), pair_fields, ARRAY_LEN(pair_fields), ret, e);
}

Test(json_fields, wanted_members_are_found_between_others)
{
        struct pair p;
        struct err  e = { 0 };

        cr_assert_eq(read_pair("{ \"x\" : [{}], \"yes\" : true , \"number\":100}", &p, &e), 0, "%s", e.text);
        cr_assert(p.yes && p.number == 100);
}

Test(json_fields, each_kind_of_fault_is_named_with_its_offset)
{
        static const struct {
                const char *text, *message;
        } bad[] = {
                { "{\"number\":1}", "file: offset 1000: expected a member \"yes\", found none" },
                { "{\"yes\":true,\"yes\":true}", "file: offset 1018: expected \"yes\" once, found it again" },
                { "{\"number\":101}", "file: offset 1010: \"number\": expected a number of at most 100, found 101" },
                { "{\"yes\":1}", "file: offset 1007: \"yes\": expected true or false, found 1" },
                { "{\"yes\":true", "file: offset 1011: expected JSON members" },
                { "{\"yes\":true,\"number\":1}x", "file: offset 1023: expected JSON members" },
                { "[1]", "file: offset 1000: expected a JSON object" },
        };
        struct pair p;

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct err e = { 0 };

                cr_assert_eq(read_pair(bad[i].text, &p, &e), -EBADMSG, "%s", bad[i].text);
                cr_assert_eq(strncmp(e.text, bad[i].message, strlen(bad[i].message)), 0, "%s: %s", bad[i].text, e.text);
        }
}
