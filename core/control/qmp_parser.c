/* A scanner that knows braces and strings finds where a request ends; json-c reads it whole, with its checks of UTF-8 and
 * depth. */
#include "core/control/qmp_parser.h"

#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qmp_parser {
        struct json_tokener *tokener;
        bool                 skipping; /* up to the next newline */
        /* where in a request the scanner is */
        unsigned int depth;
        uint64_t     brackets; /* a bit each open level: 1 for [, 0 for { */
        char         quote;    /* the string's, 0 outside of strings */
        bool         escaped;  /* behind a backslash */
        size_t       len;
        char         text[QMP_REQUEST_MAX];
};
static_assert(QMP_DEPTH_MAX <= 64, "a bit of `brackets` each");

int qmp_parser_new(struct qmp_parser **ret)
{
        struct qmp_parser *p = malloc(sizeof(*p));

        if (!p)
                return -ENOMEM;
        memset(p, 0, offsetof(struct qmp_parser, text)); /* the text's pages are touched when they are needed */
        p->tokener = json_tokener_new_ex(QMP_DEPTH_MAX + 1);
        if (!p->tokener) {
                free(p);
                return -ENOMEM;
        }
        json_tokener_set_flags(p->tokener, JSON_TOKENER_VALIDATE_UTF8);
        *ret = p;
        return 0;
}

void qmp_parser_free(struct qmp_parser *p)
{
        if (!p)
                return;
        json_tokener_free(p->tokener);
        free(p);
}

void qmp_request_free(struct qmp_request *rq)
{
        json_object_put(rq->doc);
        *rq = (struct qmp_request){0};
}

int qmp_clip(const char *text, int max_bytes)
{
        int whole = 0;

        for (int i = 0; i <= max_bytes; i++) {
                if (((unsigned char)text[i] & 0xc0) != 0x80) /* a character begins here, or the text ends */
                        whole = i;
                if (!text[i])
                        break;
        }
        return whole;
}

/* --- what a text says --- */

/* before, what was found (cut), after. */
static void set_error(struct qmp_request *rq, const char *before, const char *found, const char *after)
{
        rq->execute = NULL;
        snprintf(rq->error, sizeof(rq->error), "%s%.*s%s", before, qmp_clip(found, 64), found, after);
}

/* A string that is one for strcmp(3), too. */
static bool is_whole_string(struct json_object *v)
{
        return json_object_is_type(v, json_type_string) &&
               strlen(json_object_get_string(v)) == (size_t)json_object_get_string_len(v);
}

static void take_member(struct qmp_request *rq, const char *key, struct json_object *value)
{
        if (strcmp(key, "execute") == 0 && is_whole_string(value))
                rq->execute = json_object_get_string(value);
        else if (strcmp(key, "arguments") == 0 && json_object_is_type(value, json_type_object))
                rq->arguments = value;
        else if (strcmp(key, "arguments") == 0)
                rq->bad_arguments = value;
        else if (strcmp(key, "id") == 0)
                rq->id = value;
}

static void interpret(struct qmp_request *rq)
{
        struct json_object_iterator i = json_object_iter_begin(rq->doc), end = json_object_iter_end(rq->doc);
        const char *unknown = NULL;

        for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
                const char *key = json_object_iter_peek_name(&i);

                take_member(rq, key, json_object_iter_peek_value(&i));
                if (strcmp(key, "execute") && strcmp(key, "arguments") && strcmp(key, "id"))
                        unknown = key;
        }
        rq->has_id = json_object_object_get_ex(rq->doc, "id", NULL);
        if (unknown)
                set_error(rq, "unknown field `", unknown, "`, expected one of `execute`, `arguments`, `id`");
        else if (!json_object_object_get_ex(rq->doc, "execute", NULL))
                set_error(rq, "missing field `execute`", "", "");
        else if (!rq->execute)
                set_error(rq, "invalid type of `execute`, expected a string", "", "");
}

static void parse(struct qmp_parser *p, struct qmp_request *rq)
{
        enum json_tokener_error error;

        json_tokener_reset(p->tokener);
        rq->doc = json_tokener_parse_ex(p->tokener, p->text, (int)p->len);
        error = json_tokener_get_error(p->tokener);
        if (error != json_tokener_success || json_tokener_get_parse_end(p->tokener) != p->len) {
                json_object_put(rq->doc);
                rq->doc = NULL;
                set_error(rq, "JSON parse error, ", error == json_tokener_success || error == json_tokener_continue ?
                          "unexpected end" : json_tokener_error_desc(error), "");
        } else if (!json_object_is_type(rq->doc, json_type_object)) {
                set_error(rq, "expected a JSON object", "", "");
        } else {
                interpret(rq);
        }
}

/* --- where a text ends --- */

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* NULL, or what is wrong with c as the next character inside of a request. */
static const char *scan_string(struct qmp_parser *p, char c)
{
        if ((unsigned char)c < 0x20)
                return "control character in a string";
        if (p->escaped)
                p->escaped = false;
        else if (c == '\\')
                p->escaped = true;
        else if (c == p->quote)
                p->quote = 0;
        return NULL;
}

static const char *scan(struct qmp_parser *p, char c)
{
        if (p->quote)
                return scan_string(p, c);
        if (c == '"' || c == '\'') {
                p->quote = c;
        } else if (c == '{' || c == '[') {
                if (p->depth == QMP_DEPTH_MAX)
                        return "nested too deeply";
                p->brackets = p->brackets << 1 | (c == '[');
                p->depth++;
        } else if (c == '}' || c == ']') {
                if ((p->brackets & 1) != (c == ']'))
                        return "brackets do not match";
                p->brackets >>= 1;
                p->depth--;
        } else if ((unsigned char)c < 0x20 && !is_space(c)) {
                return "control character";
        }
        return NULL;
}

static void begin_again(struct qmp_parser *p)
{
        p->depth = 0;
        p->brackets = 0;
        p->quote = 0;
        p->escaped = false;
        p->len = 0;
}

/* One error, and silence up to the next newline. */
static void give_up(struct qmp_parser *p, char c, const char *why, struct qmp_request *ret)
{
        set_error(ret, "JSON parse error, ", why, "");
        p->skipping = c != '\n';
        begin_again(p);
}

/* True when a request, or an error, is complete. */
static bool take_char(struct qmp_parser *p, char c, struct qmp_request *ret)
{
        const char *wrong;

        if (p->skipping) {
                p->skipping = c != '\n';
                return false;
        }
        if (p->depth == 0 && is_space(c))
                return false;
        wrong = p->depth == 0 && c != '{' && c != '[' ? "expected a JSON object" : scan(p, c);
        if (!wrong && p->len == QMP_REQUEST_MAX)
                wrong = "a request is longer than 65536 bytes";
        if (wrong) {
                give_up(p, c, wrong, ret);
                return true;
        }
        p->text[p->len++] = c;
        if (p->depth > 0)
                return false;
        parse(p, ret);
        begin_again(p);
        return true;
}

size_t qmp_parser_take(struct qmp_parser *p, const char *bytes, size_t len_bytes, struct qmp_request *ret, bool *ret_complete)
{
        size_t n = 0;

        *ret = (struct qmp_request){0};
        *ret_complete = false;
        while (n < len_bytes && !*ret_complete)
                *ret_complete = take_char(p, bytes[n++], ret);
        return n;
}
