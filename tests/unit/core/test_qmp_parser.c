/* QMP requests out of any packets, and one error out of any garbage. */
#include "core/control/qmp_parser.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_MAX 64

/* What came out: a request's `execute`, or "!error". */
struct seen {
        size_t nr;
        char   v[SEEN_MAX][256];
        char   id[SEEN_MAX][256];
};

static void note(struct seen *s, const struct qmp_request *rq)
{
        cr_assert_lt(s->nr, (size_t)SEEN_MAX);
        snprintf(s->v[s->nr], sizeof(s->v[0]), "%s%s", rq->execute ? "" : "!", rq->execute ? rq->execute : rq->error);
        snprintf(s->id[s->nr], sizeof(s->id[0]), "%s",
                 !rq->has_id ? "-" : rq->id ? json_object_to_json_string_ext(rq->id, 0) : "null");
        s->nr++;
}

static void feed(struct qmp_parser *p, const char *bytes, size_t len, struct seen *ret)
{
        struct qmp_request rq;
        bool complete;

        while (len > 0) {
                size_t n = qmp_parser_take(p, bytes, len, &rq, &complete);

                cr_assert(n > 0 && n <= len);
                if (complete)
                        note(ret, &rq);
                qmp_request_free(&rq);
                bytes += n;
                len -= n;
        }
}

static struct seen parse_in_packets_of(size_t packet, const char *text)
{
        struct qmp_parser *p;
        struct seen s = {0};
        size_t len = strlen(text);

        cr_assert_eq(qmp_parser_new(&p), 0);
        for (size_t at = 0; at < len; at += packet)
                feed(p, text + at, at + packet < len ? packet : len - at, &s);
        qmp_parser_free(p);
        return s;
}

static struct seen parse(const char *text)
{
        return parse_in_packets_of(strlen(text), text);
}

#define GOOD "{\"execute\":\"query-status\"}"

Test(qmp_parser, several_requests_in_one_packet_come_out_in_order)
{
        struct seen s = parse("{\"execute\":\"a\"}{\"execute\":\"b\"} \r\n\t{\"execute\":\"c\",\"arguments\":{\"x\":{\"y\":[1,{}]}}}");

        cr_assert_eq(s.nr, 3u);
        cr_expect_str_eq(s.v[0], "a");
        cr_expect_str_eq(s.v[1], "b");
        cr_expect_str_eq(s.v[2], "c");
}

Test(qmp_parser, a_request_may_come_a_byte_at_a_time_even_within_a_character)
{
        static const char text[] = "{\"execute\":\"stop\",\"id\":\"\xc3\xa4\xf0\x9f\x90\xb4 {[\\\"}]\"}" GOOD;

        for (size_t packet = 1; packet < sizeof(text); packet++) {
                struct seen s = parse_in_packets_of(packet, text);

                cr_assert_eq(s.nr, 2u, "in packets of %zu", packet);
                cr_expect_str_eq(s.v[0], "stop");
                cr_expect_str_eq(s.id[0], "\"\xc3\xa4\xf0\x9f\x90\xb4 {[\\\"}]\"");
                cr_expect_str_eq(s.v[1], "query-status");
        }
}

Test(qmp_parser, an_id_may_be_any_json_value)
{
        static const char *const ids[] = {"\"x\"", "7", "-1.50", "18446744073709551615", "true", "null", "[1,2]", "{\"a\":[]}"};

        for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
                char text[100];
                struct seen s;

                snprintf(text, sizeof(text), "{\"id\":%s,\"execute\":\"stop\"}", ids[i]);
                s = parse(text);
                cr_assert_eq(s.nr, 1u);
                cr_expect_str_eq(s.v[0], "stop");
                cr_expect_str_eq(s.id[0], ids[i]);
        }
}

Test(qmp_parser, single_quotes_are_taken_as_qemu_takes_them)
{
        struct seen s = parse("{'execute':'stop','id':'a\"}'}");

        cr_assert_eq(s.nr, 1u);
        cr_expect_str_eq(s.v[0], "stop");
}

Test(qmp_parser, garbage_is_one_error_and_the_next_line_is_read)
{
        static const char *const garbage[] = {
                "garbage, and more of it", "\x01\x02\xff", "}", "]]]]", "42 43 44", "\"text\"", "{]", "{\"a\":\"\x01\"}",
                "{\"execute\":\"unfinished",
                "[{[{}}", "{\"a\":\x07}",
        };

        for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
                char text[200];
                struct seen s;

                snprintf(text, sizeof(text), "%s\n" GOOD, garbage[i]);
                s = parse(text);
                cr_assert_eq(s.nr, 2u, "%s: %zu came out", garbage[i], s.nr);
                cr_expect_eq(s.v[0][0], '!', "%s", garbage[i]);
                cr_expect_str_eq(s.v[1], "query-status", "%s", garbage[i]);
        }
}

Test(qmp_parser, a_nul_byte_is_garbage_like_any_other)
{
        static const char text[] = "\0\0\n{\"execute\":\"st\0op\"}\n{\"a\":\0}\n" GOOD;
        struct qmp_parser *p;
        struct seen s = {0};

        cr_assert_eq(qmp_parser_new(&p), 0);
        feed(p, text, sizeof(text) - 1, &s);
        qmp_parser_free(p);
        cr_assert_eq(s.nr, 4u);
        cr_expect_str_eq(s.v[3], "query-status");
}

Test(qmp_parser, what_has_matching_braces_but_is_no_json_is_an_error_of_its_own)
{
        static const char *const bad[] = {"{\"execute\":}", "{\"execute\" \"stop\"}", "{execute:stop}", "{\"execute\":\"\xff\"}",
                                          "[1 2]"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                char text[100];
                struct seen s;

                snprintf(text, sizeof(text), "%s" GOOD, bad[i]);
                s = parse(text);
                cr_assert_eq(s.nr, 2u, "%s", bad[i]);
                cr_expect(strstr(s.v[0], "!JSON parse error, ") == s.v[0], "%s", s.v[0]);
                cr_expect_str_eq(s.v[1], "query-status");
        }
}

Test(qmp_parser, what_is_json_but_no_request_says_what_is_wrong)
{
        static const struct {
                const char *text, *error;
        } bad[] = {
                {"[]", "expected a JSON object"},
                {"{}", "missing field `execute`"},
                {"{\"execute\":5}", "invalid type of `execute`"},
                {"{\"execute\":\"stop\",\"argument\":{}}",
                 "unknown field `argument`, expected one of `execute`, `arguments`, `id`"},
        };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                struct seen s = parse(bad[i].text);

                cr_assert_eq(s.nr, 1u);
                cr_expect(s.v[0][0] == '!' && strstr(s.v[0], bad[i].error), "%s: %s", bad[i].text, s.v[0]);
        }
}

Test(qmp_parser, a_request_that_cannot_be_carried_out_keeps_its_id)
{
        struct seen s = parse("{\"id\":9}");

        cr_assert_eq(s.nr, 1u);
        cr_expect_str_eq(s.id[0], "9");
}

Test(qmp_parser, nesting_has_a_limit)
{
        char many[61], text[200];
        struct seen s;

        memset(many, '[', 60);
        many[60] = 0;
        snprintf(text, sizeof(text), "{\"execute\":\"x\",\"arguments\":{\"a\":%s\n" GOOD, many);
        s = parse(text);
        cr_assert_eq(s.nr, 2u);
        cr_expect(strstr(s.v[0], "nested too deeply"), "%s", s.v[0]);
        cr_expect_str_eq(s.v[1], "query-status");
}

static struct seen parse_repeated(const char *begin, char fill, size_t nr, const char *end)
{
        char *middle = malloc(nr + 1), *text;
        struct seen s;

        cr_assert_not_null(middle);
        memset(middle, fill, nr);
        middle[nr] = 0;
        cr_assert_geq(asprintf(&text, "%s%s%s", begin, middle, end), 0);
        s = parse_in_packets_of(16384, text);
        free(middle);
        free(text);
        return s;
}

Test(qmp_parser, ten_megabytes_of_garbage_are_one_error)
{
        struct seen s = parse_repeated("", 'x', 10 << 20, "\n" GOOD);

        cr_assert_eq(s.nr, 2u);
        cr_expect_str_eq(s.v[1], "query-status");
}

Test(qmp_parser, a_string_that_does_not_end_is_one_error)
{
        struct seen s = parse_repeated("{\"execute\":\"", 'x', 10 << 20, "\n" GOOD);

        cr_assert_eq(s.nr, 2u);
        cr_expect(strstr(s.v[0], "longer than 65536 bytes"), "%s", s.v[0]);
        cr_expect_str_eq(s.v[1], "query-status");
}

Test(qmp_parser, a_request_of_exactly_the_limit_is_taken)
{
        static const char begin[] = "{\"execute\":\"", end[] = "\"}";
        size_t room = QMP_REQUEST_MAX - strlen(begin) - strlen(end);
        struct seen s = parse_repeated(begin, 'x', room, end);

        cr_assert_eq(s.nr, 1u);
        cr_expect_eq(s.v[0][0], 'x');
        s = parse_repeated(begin, 'x', room + 1, end);
        cr_assert_eq(s.nr, 1u);
        cr_expect_eq(s.v[0][0], '!');
}

Test(qmp_parser, a_name_in_a_message_is_cut_between_characters)
{
        cr_expect_eq(qmp_clip("abc", 8), 3);
        cr_expect_eq(qmp_clip("abcdef", 4), 4);
        cr_expect_eq(qmp_clip("abc\xc3\xa4", 4), 3);
        cr_expect_eq(qmp_clip("\xf0\x9f\x90\xb4", 3), 0);
}
